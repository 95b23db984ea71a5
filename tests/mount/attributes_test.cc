// SPDX-License-Identifier: Apache-2.0
//
// Modes, owners and times through a real mount, and that they outlive it.

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string>

#include "tests/mount/mount_fixture.h"

namespace quayfs::mounttest {
namespace {

class AttributesTest : public MountTest {
 protected:
  struct stat Stat(const std::string& name) {
    struct stat facts {};
    EXPECT_EQ(::lstat(Path(name).c_str(), &facts), 0) << name << ": " << std::strerror(errno);
    return facts;
  }
  /// As on a machine that has never seen the bucket.
  void RemountCold() {
    ASSERT_NO_FATAL_FAILURE(env().Unmount());
    std::filesystem::remove_all(env().directory() + "/cache");
    ASSERT_NO_FATAL_FAILURE(env().Mount());
  }
};

constexpr timespec kAccessed = {981173106, 123456789};
constexpr timespec kModified = {1000000000, 987654321};

TEST_P(AttributesTest, AttributesOutliveTheMount) {
  WriteFile(Path("f"), "x");
  ASSERT_EQ(::mkdir(Path("d").c_str(), 0755), 0);
  for (const std::string name : {"f", "d"}) {
    ASSERT_EQ(::chmod(Path(name).c_str(), 0750), 0) << std::strerror(errno);
    if (::geteuid() == 0) {
      ASSERT_EQ(::chown(Path(name).c_str(), 1234, 4321), 0) << std::strerror(errno);
    }
    const std::array<timespec, 2> times = {kAccessed, kModified};
    ASSERT_EQ(::utimensat(AT_FDCWD, Path(name).c_str(), times.data(), 0), 0)
        << std::strerror(errno);
  }
  for (int round = 0; round < 2; ++round) {
    for (const std::string name : {"f", "d"}) {
      const struct stat facts = Stat(name);
      EXPECT_EQ(facts.st_mode & 07777, 0750U) << name;
      EXPECT_EQ(facts.st_mtim.tv_sec, kModified.tv_sec) << name;
      EXPECT_EQ(facts.st_mtim.tv_nsec, kModified.tv_nsec) << name;
      if (::geteuid() == 0) {
        EXPECT_EQ(facts.st_uid, 1234U) << name;
        EXPECT_EQ(facts.st_gid, 4321U) << name;
      }
    }
    if (round == 0) {
      ASSERT_NO_FATAL_FAILURE(RemountCold());
    }
  }
  EXPECT_EQ(ReadFile(Path("f")), "x");
}

TEST_P(AttributesTest, AModeGivenToCreateHoldsThroughTheUmask) {
  const mode_t before = ::umask(027);
  const UniqueFd file(::open(Path("f").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0666));
  const int made = ::mkdir(Path("d").c_str(), 0777);
  ::umask(before);
  ASSERT_EQ(made, 0);
  EXPECT_EQ(Stat("f").st_mode & 07777, 0640U);
  EXPECT_EQ(Stat("d").st_mode & 07777, 0750U);
}

TEST_P(AttributesTest, WritingMovesTimes) {
  WriteFile(Path("f"), "x");
  const std::array<timespec, 2> times = {kAccessed, kModified};
  ASSERT_EQ(::utimensat(AT_FDCWD, Path("f").c_str(), times.data(), 0), 0);
  const UniqueFd file(::open(Path("f").c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
  ASSERT_EQ(::write(file.get(), "y", 1), 1);
  EXPECT_GT(Stat("f").st_mtim.tv_sec, kModified.tv_sec);
  EXPECT_EQ(Stat("f").st_size, 2);
}

TEST_P(AttributesTest, ChangesOfAnOpenFileAreNotLost) {
  const UniqueFd file(::open(Path("f").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
  ASSERT_EQ(::write(file.get(), "abc", 3), 3);
  ASSERT_EQ(::fchmod(file.get(), 0600), 0);
  const std::array<timespec, 2> times = {kAccessed, kModified};
  ASSERT_EQ(::futimens(file.get(), times.data()), 0);
  ASSERT_EQ(::close(::dup(file.get())), 0) << std::strerror(errno);
  ASSERT_EQ(::fsync(file.get()), 0);
  const struct stat facts = Stat("f");
  EXPECT_EQ(facts.st_mode & 07777, 0600U);
  EXPECT_EQ(facts.st_mtim.tv_nsec, kModified.tv_nsec);
  EXPECT_EQ(env().ObjectBody("f"), "abc");
}

TEST_P(AttributesTest, StatfsShowsRoom) {
  struct statvfs facts {};
  ASSERT_EQ(::statvfs(env().mount_point().c_str(), &facts), 0) << std::strerror(errno);
  EXPECT_GT(facts.f_blocks, 0U);
  EXPECT_GT(facts.f_bavail, 0U);
  EXPECT_GT(facts.f_bsize, 0U);
  EXPECT_EQ(facts.f_namemax, 255U);
  EXPECT_LE(facts.f_bavail, facts.f_bfree);
  EXPECT_LE(facts.f_bfree, facts.f_blocks);
  EXPECT_LE(facts.f_ffree, facts.f_files);
  // A folder has the room of its file system; other stores do not say.
  struct statvfs under {};
  ASSERT_EQ(::statvfs(env().directory().c_str(), &under), 0) << std::strerror(errno);
  const uint64_t there = under.f_blocks * under.f_frsize;
  const uint64_t wanted = GetParam() == "local" ? there : 1ULL << 50;
  EXPECT_EQ(facts.f_blocks * facts.f_frsize, wanted / facts.f_frsize * facts.f_frsize);
  if (GetParam() == "local") {
    EXPECT_LE(facts.f_bavail * facts.f_frsize, there);
  }
  const uint64_t files = facts.f_files - facts.f_ffree;
  WriteFile(Path("one"), "more");
  ASSERT_EQ(::statvfs(env().mount_point().c_str(), &facts), 0) << std::strerror(errno);
  EXPECT_EQ(facts.f_files - facts.f_ffree, files + 1);
  ASSERT_NO_FATAL_FAILURE(env().Unmount());
  ASSERT_NO_FATAL_FAILURE(env().Mount({"-o", "mount.capacity=10GiB"}));
  ASSERT_EQ(::statvfs(env().mount_point().c_str(), &facts), 0) << std::strerror(errno);
  EXPECT_EQ(facts.f_blocks * facts.f_frsize, 10ULL << 30);
}

INSTANTIATE_FOR_ALL_BACKENDS(AttributesTest);
INSTANTIATE_FOR_KODO(AttributesTest);

}  // namespace
}  // namespace quayfs::mounttest
