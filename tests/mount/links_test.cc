// SPDX-License-Identifier: Apache-2.0
//
// Hard links through a real mount, and the tools that make many of them (H1, H2, H3).

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <set>
#include <string>

#include "tests/mount/mount_fixture.h"

namespace quayfs::mounttest {
namespace {

class LinksTest : public MountTest {
 protected:
  struct stat Stat(const std::string& name) {
    struct stat facts {};
    EXPECT_EQ(::lstat(Path(name).c_str(), &facts), 0) << name << ": " << errno;
    return facts;
  }
  void RemountCold() {
    ASSERT_NO_FATAL_FAILURE(env().Unmount());
    std::filesystem::remove_all(env().directory() + "/cache");
    ASSERT_NO_FATAL_FAILURE(env().Mount());
  }
  /// Objects that hold `body`.
  int Copies(const std::string& body) {
    env().Sync();
    int copies = 0;
    for (const std::string& name : env().ObjectNames())
      copies += env().ObjectBody(name) == body ? 1 : 0;
    return copies;
  }
};

TEST_P(LinksTest, LinkUnlinkAndTheirErrors) {
  WriteFile(Path("a"), "data");
  ASSERT_EQ(::mkdir(Path("d").c_str(), 0755), 0);
  ASSERT_EQ(Try(::link(Path("a").c_str(), Path("d/b").c_str())), 0);
  EXPECT_EQ(Stat("a").st_nlink, 2U);
  EXPECT_EQ(Stat("a").st_ino, Stat("d/b").st_ino);
  EXPECT_EQ(Try(::link(Path("a").c_str(), Path("d/b").c_str())), EEXIST);
  EXPECT_EQ(Try(::link(Path("d").c_str(), Path("e").c_str())), EPERM);
  EXPECT_EQ(Try(::link(Path("none").c_str(), Path("e").c_str())), ENOENT);
  EXPECT_EQ(Try(::link(Path("a").c_str(), Path(std::string(256, 'x')).c_str())), ENAMETOOLONG);
  WriteFile(Path("d/b"), "through the other name");
  EXPECT_EQ(ReadFile(Path("a")), "through the other name");
  EXPECT_EQ(Copies("through the other name"), 1);
  // linkat with an open file.
  const int fd = ::open(Path("a").c_str(), O_RDONLY | O_CLOEXEC);
  ASSERT_GE(fd, 0);
  EXPECT_EQ(Try(::linkat(fd, "", AT_FDCWD, Path("c").c_str(), AT_EMPTY_PATH)), 0);
  EXPECT_EQ(Stat("c").st_nlink, 3U);
  ASSERT_EQ(Try(::unlink(Path("a").c_str())), 0);
  ASSERT_EQ(Try(::unlink(Path("c").c_str())), 0);
  EXPECT_EQ(Stat("d/b").st_nlink, 1U);
  struct stat facts {};
  ASSERT_EQ(::fstat(fd, &facts), 0);
  EXPECT_EQ(facts.st_nlink, 1U);
  ASSERT_EQ(Try(::unlink(Path("d/b").c_str())), 0);
  ASSERT_EQ(::fstat(fd, &facts), 0);
  EXPECT_EQ(facts.st_nlink, 0U);
  ::close(fd);
}

TEST_P(LinksTest, RotationsKeepCountsAndOneObjectPerFile) {
  ASSERT_EQ(::mkdir(Path("day.0").c_str(), 0755), 0);
  WriteFile(Path("day.0/same"), "the same every day");
  WriteFile(Path("day.0/new"), "of the first day");
  for (int day = 0; day < 2; ++day) {
    ASSERT_EQ(RunCommand({"cp", "-al", Path("day.0"), Path("day.x")}).status, 0);
    if (day > 0) {
      ASSERT_EQ(Try(::rename(Path("day.1").c_str(), Path("day.2").c_str())), 0);
    }
    ASSERT_EQ(Try(::rename(Path("day.0").c_str(), Path("day.1").c_str())), 0);
    ASSERT_EQ(Try(::rename(Path("day.x").c_str(), Path("day.0").c_str())), 0);
    ASSERT_EQ(Try(::unlink(Path("day.0/new").c_str())), 0);
    WriteFile(Path("day.0/new"), "of day " + std::to_string(day + 1));
  }
  for (int round = 0; round < 2; ++round) {
    std::set<ino_t> inodes;
    for (const std::string folder : {"day.0", "day.1", "day.2"}) {
      EXPECT_EQ(Stat(folder + "/same").st_nlink, 3U) << folder;
      EXPECT_EQ(ReadFile(Path(folder + "/same")), "the same every day");
      EXPECT_EQ(Stat(folder + "/new").st_nlink, 1U) << folder;
      inodes.insert(Stat(folder + "/same").st_ino);
    }
    EXPECT_EQ(inodes.size(), 1U);
    if (round == 0) {
      EXPECT_EQ(Copies("the same every day"), 1);
      ASSERT_NO_FATAL_FAILURE(RemountCold());
    }
  }
  // The oldest goes; it has the data under its name.
  ASSERT_EQ(RunCommand({"rm", "-r", Path("day.2")}).status, 0);
  ASSERT_NO_FATAL_FAILURE(RemountCold());
  EXPECT_EQ(Stat("day.0/same").st_nlink, 2U);
  EXPECT_EQ(ReadFile(Path("day.1/same")), "the same every day");
  EXPECT_EQ(Copies("the same every day"), 1);
}

TEST_P(LinksTest, RsyncKeepsHardLinks) {
  const std::string from = env().directory() + "/from";
  ASSERT_TRUE(std::filesystem::create_directory(from));
  WriteFile(from + "/a", "linked");
  ASSERT_EQ(::link((from + "/a").c_str(), (from + "/b").c_str()), 0);
  if (RunCommand({"rsync", "--version"}).status != 0) GTEST_SKIP() << "no rsync";
  ASSERT_EQ(RunCommand({"rsync", "-aH", from + "/", Path("to")}).status, 0);
  ASSERT_NO_FATAL_FAILURE(RemountCold());
  EXPECT_EQ(Stat("to/a").st_nlink, 2U);
  EXPECT_EQ(Stat("to/a").st_ino, Stat("to/b").st_ino);
  const ProgramResult again = RunCommand({"rsync", "-aHi", from + "/", Path("to")});
  EXPECT_EQ(again.status, 0);
  EXPECT_EQ(again.out, "");
  EXPECT_EQ(Copies("linked"), 1);
}

INSTANTIATE_FOR_ALL_BACKENDS(LinksTest);

}  // namespace
}  // namespace quayfs::mounttest
