// SPDX-License-Identifier: Apache-2.0
//
// Contents of files through a real mount, by plain system calls, and what of them is in the bucket.

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <random>
#include <string>

#include "tests/mount/mount_fixture.h"

namespace quayfs::mounttest {
namespace {

class FilesTest : public MountTest {};

TEST_P(FilesTest, AFileIsOneObjectWithTheSameBytes) {
  WriteFile(Path("a.txt"), "hello\n");
  EXPECT_EQ(ReadFile(Path("a.txt")), "hello\n");
  EXPECT_EQ(env().ObjectBody("a.txt"), "hello\n");
  EXPECT_EQ(env().ObjectNames(), std::vector<std::string>{"a.txt"});
}

TEST_P(FilesTest, AnEmptyFileIsAnObjectToo) {
  WriteFile(Path("empty"), "");
  EXPECT_EQ(env().ObjectBody("empty"), "");
  struct stat facts {};
  ASSERT_EQ(::stat(Path("empty").c_str(), &facts), 0);
  EXPECT_EQ(facts.st_size, 0);
  EXPECT_TRUE(S_ISREG(facts.st_mode));
  EXPECT_EQ(facts.st_nlink, 1U);
}

TEST_P(FilesTest, WritesLandAnywhere) {
  std::string model = Pattern(300000, 1);
  WriteFile(Path("f"), model);
  const UniqueFd file(::open(Path("f").c_str(), O_RDWR | O_CLOEXEC));
  ASSERT_TRUE(file.valid());
  constexpr uint64_t kSeed = 7;
  std::mt19937_64 random(kSeed);
  for (int i = 0; i < 60; ++i) {
    const size_t offset = random() % 400000;
    const std::string piece = Pattern(1 + random() % 5000, random());
    ASSERT_EQ(::pwrite(file.get(), piece.data(), piece.size(), static_cast<off_t>(offset)),
              static_cast<ssize_t>(piece.size()));
    if (model.size() < offset + piece.size()) model.resize(offset + piece.size(), '\0');
    model.replace(offset, piece.size(), piece);
  }
  EXPECT_TRUE(ReadFile(Path("f")) == model) << "seed " << kSeed;
  ASSERT_EQ(::fsync(file.get()), 0) << std::strerror(errno);
  EXPECT_TRUE(env().ObjectBody("f") == model) << "seed " << kSeed;
}

TEST_P(FilesTest, ExclusiveCreateRefusesWhatIsThere) {
  UniqueFd first(::open(Path("x").c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  EXPECT_TRUE(first.valid()) << std::strerror(errno);
  first.Reset();
  EXPECT_EQ(Try(::open(Path("x").c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600)), EEXIST);
  ASSERT_NO_FATAL_FAILURE(env().PutObject("from-elsewhere", "x"));
  ASSERT_NO_FATAL_FAILURE(env().Remount());
  EXPECT_EQ(
      Try(::open(Path("from-elsewhere").c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600)),
      EEXIST);
}

TEST_P(FilesTest, TruncateOnOpenEmptiesTheObject) {
  WriteFile(Path("t"), "something long");
  {
    const UniqueFd file(::open(Path("t").c_str(), O_WRONLY | O_TRUNC | O_CLOEXEC));
    ASSERT_TRUE(file.valid());
  }
  EXPECT_EQ(env().ObjectBody("t"), "");
}

TEST_P(FilesTest, AppendGoesToTheEndWhereverTheOffsetIs) {
  WriteFile(Path("log"), "1\n");
  const UniqueFd file(::open(Path("log").c_str(), O_RDWR | O_APPEND | O_CLOEXEC));
  ASSERT_TRUE(file.valid());
  ASSERT_EQ(::lseek(file.get(), 0, SEEK_SET), 0);
  ASSERT_EQ(::write(file.get(), "2\n", 2), 2);
  const UniqueFd other(::open(Path("log").c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
  ASSERT_EQ(::write(other.get(), "3\n", 2), 2);
  ASSERT_EQ(::write(file.get(), "4\n", 2), 2);
  EXPECT_EQ(ReadFile(Path("log")), "1\n2\n3\n4\n");
}

TEST_P(FilesTest, TruncateShrinksAndGrowsWithZeros) {
  WriteFile(Path("t"), "0123456789");
  ASSERT_EQ(::truncate(Path("t").c_str(), 4), 0) << std::strerror(errno);
  EXPECT_EQ(ReadFile(Path("t")), "0123");
  ASSERT_EQ(::truncate(Path("t").c_str(), 7), 0);
  EXPECT_EQ(ReadFile(Path("t")), std::string("0123\0\0\0", 7));
  ASSERT_NO_FATAL_FAILURE(env().Remount());
  EXPECT_EQ(ReadFile(Path("t")), std::string("0123\0\0\0", 7));
}

TEST_P(FilesTest, AHoleReadsAsZeros) {
  {
    const UniqueFd file(::open(Path("sparse").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
    ASSERT_EQ(::pwrite(file.get(), "begin", 5, 0), 5);
    ASSERT_EQ(::pwrite(file.get(), "end", 3, 3 << 20), 3);
  }
  std::string expected = "begin";
  expected.resize(3 << 20, '\0');
  expected += "end";
  EXPECT_TRUE(ReadFile(Path("sparse")) == expected);
  EXPECT_TRUE(env().ObjectBody("sparse") == expected);
}

TEST_P(FilesTest, AnUnlinkedFileStaysUsableAndLeavesNothing) {
  const UniqueFd file(::open(Path("gone").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  ASSERT_EQ(::write(file.get(), "before", 6), 6);
  ASSERT_EQ(::unlink(Path("gone").c_str()), 0) << std::strerror(errno);
  EXPECT_EQ(Try(::access(Path("gone").c_str(), F_OK)), ENOENT);
  ASSERT_EQ(::write(file.get(), " after", 6), 6);
  char text[13] = {};
  ASSERT_EQ(::pread(file.get(), text, 12, 0), 12);
  EXPECT_STREQ(text, "before after");
  struct stat facts {};
  ASSERT_EQ(::fstat(file.get(), &facts), 0) << std::strerror(errno);
  EXPECT_EQ(facts.st_nlink, 0U);
  EXPECT_EQ(facts.st_size, 12);
  EXPECT_EQ(::fsync(file.get()), 0) << std::strerror(errno);
  EXPECT_EQ(env().ObjectNames(), std::vector<std::string>{});
}

TEST_P(FilesTest, AnUnlinkedFileThatWasInTheBucketStaysReadable) {
  ASSERT_NO_FATAL_FAILURE(env().PutObject("old", "from the bucket"));
  const UniqueFd file(::open(Path("old").c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(file.valid());
  char text[16] = {};
  ASSERT_EQ(::pread(file.get(), text, 4, 0), 4);
  ASSERT_EQ(::unlink(Path("old").c_str()), 0);
  ASSERT_EQ(::pread(file.get(), text, 15, 0), 15) << std::strerror(errno);
  EXPECT_STREQ(text, "from the bucket");
}

TEST_P(FilesTest, ASharedMappingIsWrittenBack) {
  constexpr size_t kSize = 3 << 16;
  {
    const UniqueFd file(::open(Path("mapped").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
    ASSERT_EQ(::ftruncate(file.get(), kSize), 0);
    void* const memory = ::mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
    ASSERT_NE(memory, MAP_FAILED) << std::strerror(errno);
    std::memcpy(static_cast<char*>(memory) + 70000, "mapped", 6);
    ASSERT_EQ(::msync(memory, kSize, MS_SYNC), 0) << std::strerror(errno);
    ASSERT_EQ(::munmap(memory, kSize), 0);
  }
  std::string expected(kSize, '\0');
  expected.replace(70000, 6, "mapped");
  EXPECT_TRUE(ReadFile(Path("mapped")) == expected);
  ASSERT_NO_FATAL_FAILURE(env().Unmount());
  EXPECT_TRUE(env().ObjectBody("mapped") == expected);
}

TEST_P(FilesTest, ALargeFileGoesInPartsAndIsPatchedInPlace) {
  std::string model = Pattern(64 << 20, 3);
  WriteFile(Path("large"), model);
  EXPECT_TRUE(env().ObjectBody("large") == model);
  const std::string piece = Pattern(5000, 4);
  constexpr size_t kOffset = (40 << 20) + 123;
  {
    const UniqueFd file(::open(Path("large").c_str(), O_WRONLY | O_CLOEXEC));
    ASSERT_EQ(::pwrite(file.get(), piece.data(), piece.size(), kOffset),
              static_cast<ssize_t>(piece.size()));
    ASSERT_EQ(::fsync(file.get()), 0) << std::strerror(errno);
  }
  model.replace(kOffset, piece.size(), piece);
  EXPECT_TRUE(env().ObjectBody("large") == model);
  ASSERT_NO_FATAL_FAILURE(env().Remount());
  EXPECT_TRUE(ReadFile(Path("large")) == model);
  if (env().server() != nullptr) {
    EXPECT_EQ(env().server()->UnfinishedUploads("test"), 0U);
  }
}

TEST_P(FilesTest, SurvivesARemount) {
  WriteFile(Path("a"), "one");
  ASSERT_EQ(::mkdir(Path("d").c_str(), 0755), 0);
  WriteFile(Path("d/b"), Pattern(100000, 9));
  ASSERT_NO_FATAL_FAILURE(env().Remount());
  EXPECT_EQ(Names(env().mount_point()), (std::vector<std::string>{"a", "d"}));
  EXPECT_EQ(ReadFile(Path("a")), "one");
  EXPECT_TRUE(ReadFile(Path("d/b")) == Pattern(100000, 9));
}

INSTANTIATE_FOR_ALL_BACKENDS(FilesTest);
INSTANTIATE_FOR_KODO(FilesTest);

}  // namespace
}  // namespace quayfs::mounttest
