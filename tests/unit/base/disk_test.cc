// SPDX-License-Identifier: Apache-2.0

#include "base/disk.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/hash.h"

namespace quayfs {
namespace {

class DiskTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "quayfs-disk-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::string Path(const std::string& name) const { return directory_ + "/" + name; }

  std::unique_ptr<DiskFile> Open(const std::string& name, OpenMode mode) {
    auto file = disk_.Open(Path(name), mode);
    EXPECT_TRUE(file.ok()) << file.error().ToString();
    return file.ok() ? std::move(file).value() : nullptr;
  }
  std::unique_ptr<DiskFile> Make(const std::string& name, std::string_view contents) {
    auto file = Open(name, OpenMode::kCreateExclusive);
    if (file) {
      EXPECT_TRUE(file->Write(0, AsBytes(contents)).ok());
    }
    return file;
  }
  static std::string ReadAll(const DiskFile& file, uint64_t offset = 0, size_t most = 1 << 20) {
    std::string out(most, '?');
    const auto got = file.Read(offset, std::as_writable_bytes(std::span(out.data(), out.size())));
    EXPECT_TRUE(got.ok());
    out.resize(got.ok() ? *got : 0);
    return out;
  }

  Disk& disk_ = SystemDisk();
  std::string directory_;
};

TEST_F(DiskTest, WritesAndReadsAnywhere) {
  auto file = Make("f", "hello");
  EXPECT_EQ(ReadAll(*file), "hello");
  EXPECT_TRUE(file->Write(8, AsBytes("x")).ok());
  EXPECT_EQ(ReadAll(*file), std::string("hello\0\0\0x", 9));
  EXPECT_EQ(ReadAll(*file, 3, 2), "lo");
  EXPECT_EQ(ReadAll(*file, 100), "");
  EXPECT_EQ(file->Size().value(), 9U);
  EXPECT_TRUE(file->Truncate(2).ok());
  EXPECT_EQ(ReadAll(*file), "he");
  EXPECT_TRUE(file->Truncate(4).ok());
  EXPECT_EQ(ReadAll(*file), std::string("he\0\0", 4));
  EXPECT_TRUE(file->SyncData().ok());
  EXPECT_GE(file->fd(), 0);
}

TEST_F(DiskTest, ALargeFileComesBackWhole) {
  std::string data(3 << 20, '\0');
  for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<char>(i * 31 >> 8);
  auto file = Make("f", data);
  EXPECT_EQ(ReadAll(*file, 0, data.size() + 10), data);
}

TEST_F(DiskTest, OpenModes) {
  EXPECT_TRUE(disk_.Open(Path("f"), OpenMode::kRead).Is(Code::kNotFound));
  EXPECT_TRUE(disk_.Open(Path("f"), OpenMode::kReadWrite).Is(Code::kNotFound));
  EXPECT_TRUE(disk_.Open(Path("f"), OpenMode::kCreateOrOpen).ok());
  EXPECT_TRUE(disk_.Open(Path("f"), OpenMode::kCreateExclusive).Is(Code::kAlreadyExists));
  EXPECT_TRUE(disk_.Open(Path("f"), OpenMode::kReadWrite).value()->Write(0, AsBytes("a")).ok());
  EXPECT_EQ(ReadAll(*Open("f", OpenMode::kCreateOrOpen)), "a");
  EXPECT_EQ(ReadAll(*Open("f", OpenMode::kRead)), "a");
  EXPECT_TRUE(Open("f", OpenMode::kRead)->Write(0, AsBytes("b")).Is(Code::kBadHandle));
  EXPECT_TRUE(Open("g", OpenMode::kCreateExclusive)->Write(0, AsBytes("b")).ok());
}

TEST_F(DiskTest, FilesBelongToTheirOwnerOnly) {
  Make("f", "");
  ASSERT_TRUE(disk_.MakeDirectory(Path("d")).ok());
  struct stat attributes = {};
  ASSERT_EQ(::stat(Path("f").c_str(), &attributes), 0);
  EXPECT_EQ(attributes.st_mode & 07777, 0600U);
  ASSERT_EQ(::stat(Path("d").c_str(), &attributes), 0);
  EXPECT_EQ(attributes.st_mode & 07777, 0700U);
}

TEST_F(DiskTest, OpensRegularFilesOnly) {
  Make("f", "secret");
  ASSERT_EQ(::symlink(Path("f").c_str(), Path("link").c_str()), 0);
  for (const OpenMode mode : {OpenMode::kRead, OpenMode::kReadWrite, OpenMode::kCreateOrOpen}) {
    EXPECT_TRUE(disk_.Open(Path("link"), mode).Is(Code::kTooManySymlinks));
  }
  EXPECT_TRUE(disk_.Open(Path("link"), OpenMode::kCreateExclusive).Is(Code::kAlreadyExists));
  EXPECT_TRUE(disk_.Open(directory_, OpenMode::kRead).Is(Code::kIsDirectory));
  EXPECT_TRUE(disk_.Open(directory_, OpenMode::kReadWrite).Is(Code::kIsDirectory));
  ASSERT_EQ(::mkfifo(Path("pipe").c_str(), 0600), 0);
  EXPECT_TRUE(disk_.Open(Path("pipe"), OpenMode::kRead).Is(Code::kInvalidArgument));
  EXPECT_TRUE(disk_.Open(Path("f") + "/x", OpenMode::kRead).Is(Code::kNotDirectory));
}

TEST_F(DiskTest, ErrorsNameTheFile) {
  const auto file = disk_.Open(Path("missing"), OpenMode::kRead);
  ASSERT_FALSE(file.ok());
  EXPECT_NE(file.error().message().find("missing"), std::string::npos);
}

TEST_F(DiskTest, ImpossibleOffsetsFail) {
  auto file = Make("f", "x");
  const uint64_t beyond = uint64_t{1} << 63;
  EXPECT_FALSE(file->Write(beyond, AsBytes("x")).ok());
  EXPECT_FALSE(file->Truncate(beyond).ok());
  EXPECT_FALSE(file->PunchHole({beyond, beyond + 1}).ok());
}

TEST_F(DiskTest, PunchHoleLeavesZerosAndTheSize) {
  const std::string data(1 << 20, 'x');
  auto file = Make("f", data);
  EXPECT_TRUE(file->PunchHole({}).ok());
  EXPECT_TRUE(file->PunchHole({100'000, 900'001}).ok());
  EXPECT_EQ(file->Size().value(), data.size());
  std::string expected = data;
  std::fill(expected.begin() + 100'000, expected.begin() + 900'001, '\0');
  EXPECT_EQ(ReadAll(*file), expected);
  EXPECT_TRUE(file->PunchHole({data.size() - 1, data.size() + 100}).ok());
  EXPECT_EQ(file->Size().value(), data.size());
}

TEST_F(DiskTest, WriteZerosDoesWhatAHoleDoes) {
  const std::string data(300'000, 'x');
  auto file = Make("f", data);
  EXPECT_TRUE(WriteZeros(*file, {50'000, 200'001}).ok());
  std::string expected = data;
  std::fill(expected.begin() + 50'000, expected.begin() + 200'001, '\0');
  EXPECT_EQ(ReadAll(*file), expected);
  EXPECT_TRUE(WriteZeros(*file, {299'999, 400'000}).ok());
  EXPECT_EQ(file->Size().value(), data.size());
  expected.back() = '\0';
  EXPECT_EQ(ReadAll(*file), expected);
  EXPECT_TRUE(WriteZeros(*file, {400'000, 500'000}).ok());
  EXPECT_EQ(file->Size().value(), data.size());
}

TEST_F(DiskTest, TemporaryFilesHaveNoName) {
  const auto expect_temporary = [this](Result<std::unique_ptr<DiskFile>> made) {
    ASSERT_TRUE(made.ok()) << made.error().ToString();
    const std::unique_ptr<DiskFile> file = std::move(made).value();
    EXPECT_TRUE(file->Write(0, AsBytes("abc")).ok());
    EXPECT_EQ(ReadAll(*file), "abc");
    EXPECT_TRUE(disk_.List(directory_).value().empty());
    struct stat attributes = {};
    ASSERT_EQ(::fstat(file->fd(), &attributes), 0);
    EXPECT_EQ(attributes.st_nlink, 0U);
    EXPECT_EQ(attributes.st_mode & 07777, 0600U);
  };
  expect_temporary(disk_.OpenTemporary(directory_));
  expect_temporary(internal::OpenTemporaryByName(directory_));
  EXPECT_TRUE(disk_.OpenTemporary(Path("missing")).Is(Code::kNotFound));
  EXPECT_TRUE(internal::OpenTemporaryByName(Path("missing")).Is(Code::kNotFound));
}

TEST_F(DiskTest, Directories) {
  EXPECT_TRUE(disk_.MakeDirectory(Path("d")).ok());
  EXPECT_TRUE(disk_.MakeDirectory(Path("d")).Is(Code::kAlreadyExists));
  EXPECT_TRUE(disk_.MakeDirectory(Path("x/y")).Is(Code::kNotFound));
  Make("d/f", "");
  EXPECT_TRUE(disk_.MakeDirectory(Path("d/f")).Is(Code::kAlreadyExists));
  EXPECT_TRUE(disk_.RemoveDirectory(Path("d")).Is(Code::kNotEmpty));
  EXPECT_TRUE(disk_.RemoveDirectory(Path("d/f")).Is(Code::kNotDirectory));
  EXPECT_TRUE(disk_.SyncDirectory(Path("d")).ok());
  EXPECT_TRUE(disk_.SyncDirectory(Path("d/f")).Is(Code::kNotDirectory));
  EXPECT_TRUE(disk_.SyncDirectory(Path("x")).Is(Code::kNotFound));
  EXPECT_TRUE(disk_.RemoveFile(Path("d/f")).ok());
  EXPECT_TRUE(disk_.RemoveFile(Path("d/f")).Is(Code::kNotFound));
  EXPECT_TRUE(disk_.RemoveDirectory(Path("d")).ok());
  EXPECT_TRUE(disk_.RemoveDirectory(Path("d")).Is(Code::kNotFound));
}

TEST_F(DiskTest, RenameReplacesAFile) {
  Make("a", "new");
  Make("b", "old");
  EXPECT_TRUE(disk_.Rename(Path("a"), Path("b")).ok());
  EXPECT_EQ(ReadAll(*Open("b", OpenMode::kRead)), "new");
  EXPECT_TRUE(disk_.Rename(Path("a"), Path("b")).Is(Code::kNotFound));
  ASSERT_TRUE(disk_.MakeDirectory(Path("d")).ok());
  EXPECT_TRUE(disk_.Rename(Path("b"), Path("d")).Is(Code::kIsDirectory));
}

TEST_F(DiskTest, LinkGivesASecondName) {
  auto file = Make("a", "one");
  EXPECT_TRUE(disk_.Link(Path("a"), Path("b")).ok());
  EXPECT_TRUE(disk_.Link(Path("a"), Path("b")).Is(Code::kAlreadyExists));
  EXPECT_TRUE(disk_.Link(Path("x"), Path("c")).Is(Code::kNotFound));
  EXPECT_TRUE(file->Write(0, AsBytes("two")).ok());
  EXPECT_EQ(ReadAll(*Open("b", OpenMode::kRead)), "two");
  EXPECT_EQ(disk_.Stat(Path("a")).value().inode, disk_.Stat(Path("b")).value().inode);
}

TEST_F(DiskTest, ListsEverythingButTheDots) {
  EXPECT_TRUE(disk_.List(directory_).value().empty());
  Make("f", "");
  Make(".hidden", "");
  ASSERT_TRUE(disk_.MakeDirectory(Path("d")).ok());
  ASSERT_EQ(::symlink("d", Path("link").c_str()), 0);
  auto entries = disk_.List(directory_).value();
  std::sort(entries.begin(), entries.end(),
            [](const DiskEntry& a, const DiskEntry& b) { return a.name < b.name; });
  ASSERT_EQ(entries.size(), 4U);
  EXPECT_EQ(entries[0].name, ".hidden");
  EXPECT_EQ(entries[1].name, "d");
  EXPECT_TRUE(entries[1].is_directory);
  EXPECT_EQ(entries[2].name, "f");
  EXPECT_FALSE(entries[2].is_directory);
  EXPECT_EQ(entries[3].name, "link");
  EXPECT_FALSE(entries[3].is_directory);
  EXPECT_TRUE(disk_.List(Path("f")).Is(Code::kNotDirectory));
  EXPECT_TRUE(disk_.List(Path("x")).Is(Code::kNotFound));
}

TEST_F(DiskTest, StatDoesNotFollow) {
  Make("f", "12345");
  ASSERT_TRUE(disk_.MakeDirectory(Path("d")).ok());
  ASSERT_EQ(::symlink("f", Path("link").c_str()), 0);
  const DiskStat file = disk_.Stat(Path("f")).value();
  EXPECT_EQ(file.size, 5U);
  EXPECT_TRUE(file.is_regular);
  EXPECT_FALSE(file.is_directory);
  EXPECT_NE(file.inode, 0U);
  const int64_t now = SystemClock().Now().time_since_epoch().count();
  constexpr int64_t kHour = 3'600'000'000'000;
  EXPECT_LT(std::abs(now - file.mtime_ns), kHour);
  EXPECT_LT(std::abs(now - file.ctime_ns), kHour);
  EXPECT_TRUE(disk_.Stat(Path("d")).value().is_directory);
  const DiskStat link = disk_.Stat(Path("link")).value();
  EXPECT_FALSE(link.is_regular);
  EXPECT_FALSE(link.is_directory);
  EXPECT_TRUE(disk_.Stat(Path("x")).Is(Code::kNotFound));
}

TEST_F(DiskTest, Space) {
  const DiskSpace space = disk_.Space(directory_).value();
  EXPECT_GT(space.total_bytes, 0U);
  EXPECT_LE(space.available_bytes, space.total_bytes);
  EXPECT_TRUE(disk_.Space(Path("x")).Is(Code::kNotFound));
}

TEST_F(DiskTest, AFileThatMayNotGrowSaysSo) {
  auto file = Make("f", "x");
  struct rlimit before = {};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  struct rlimit small = before;
  small.rlim_cur = 4096;
  const auto previous = ::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  // Part of it fits; the rest is what fails.
  const Status status = file->Write(0, AsBytes(std::string(10'000, 'y')));
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  ::signal(SIGXFSZ, previous);
  EXPECT_TRUE(status.Is(Code::kTooLarge));
  EXPECT_EQ(file->Size().value(), 4096U);
}

}  // namespace
}  // namespace quayfs
