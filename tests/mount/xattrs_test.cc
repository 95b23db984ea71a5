// SPDX-License-Identifier: Apache-2.0
//
// Extended attributes and access control lists through a real mount (P1 to P4).

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <string>

#include "tests/mount/mount_fixture.h"

namespace quayfs::mounttest {
namespace {

class XattrsTest : public MountTest {
 protected:
  int Set(const std::string& name, const std::string& attribute, const std::string& value,
          int flags = 0) {
    return Try(
        ::setxattr(Path(name).c_str(), attribute.c_str(), value.data(), value.size(), flags));
  }
  std::string Get(const std::string& name, const std::string& attribute) {
    std::string value(65536, '\0');
    const ssize_t size =
        ::getxattr(Path(name).c_str(), attribute.c_str(), value.data(), value.size());
    if (size < 0) return "errno " + std::to_string(errno);
    value.resize(static_cast<size_t>(size));
    return value;
  }
  void RemountCold() {
    ASSERT_NO_FATAL_FAILURE(env().Unmount());
    std::filesystem::remove_all(env().directory() + "/cache");
    ASSERT_NO_FATAL_FAILURE(env().Mount());
  }
  /// What access(2) says to another user; 0 or the errno.
  int AccessAs(uid_t uid, const std::string& name, int mode) {
    const pid_t child = ::fork();
    if (child == 0) {
      // The way to the mount point may be closed to others.
      if (::chdir(env().mount_point().c_str()) != 0) ::_exit(255);
      if (::setgid(uid) != 0 || ::setuid(uid) != 0) ::_exit(255);
      ::_exit(::access(name.c_str(), mode) == 0 ? 0 : errno);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return WEXITSTATUS(status);
  }
};

TEST_P(XattrsTest, CallsAndTheirErrors) {
  WriteFile(Path("f"), "x");
  EXPECT_EQ(Get("f", "user.a"), "errno " + std::to_string(ENODATA));
  EXPECT_EQ(Set("f", "user.a", "1", XATTR_REPLACE), ENODATA);
  EXPECT_EQ(Set("f", "user.a", "1", XATTR_CREATE), 0);
  EXPECT_EQ(Set("f", "user.a", "2", XATTR_CREATE), EEXIST);
  EXPECT_EQ(Get("f", "user.a"), "1");
  EXPECT_EQ(Set("f", "user." + std::string(256, 'n'), "1"), ERANGE);
  EXPECT_EQ(Set("f", "user.big", std::string(65537, 'x')), E2BIG);
  EXPECT_EQ(Set("f", "user.big", std::string(65536, 'x')), 0);
  std::array<char, 4> small{};
  EXPECT_EQ(
      Try(static_cast<int>(::getxattr(Path("f").c_str(), "user.big", small.data(), small.size()))),
      ERANGE);
  EXPECT_EQ(Try(static_cast<int>(::listxattr(Path("f").c_str(), small.data(), small.size()))),
            ERANGE);
  std::array<char, 64> list{};
  ASSERT_EQ(::listxattr(Path("f").c_str(), list.data(), list.size()), 16);
  EXPECT_EQ(std::string(list.data(), 16), std::string("user.a\0user.big\0", 16));
  ASSERT_NO_FATAL_FAILURE(RemountCold());
  EXPECT_EQ(Get("f", "user.big"), std::string(65536, 'x'));
  EXPECT_EQ(Try(::removexattr(Path("f").c_str(), "user.big")), 0);
  EXPECT_EQ(Try(::removexattr(Path("f").c_str(), "user.big")), ENODATA);
  EXPECT_EQ(ReadFile(Path("f")), "x");
}

TEST_P(XattrsTest, ListsGiveAndTakeRights) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to act as somebody else";
  if (RunCommand({"setfacl", "--version"}).status != 0) GTEST_SKIP() << "no setfacl";
  ASSERT_NO_FATAL_FAILURE(env().Unmount());
  ASSERT_NO_FATAL_FAILURE(env().Mount({"-o", "allow_other"}));
  ASSERT_EQ(::chmod(env().mount_point().c_str(), 0755), 0);
  ASSERT_EQ(::chmod(env().directory().c_str(), 0755), 0);
  WriteFile(Path("f"), "x");
  ASSERT_EQ(::chmod(Path("f").c_str(), 0640), 0);
  EXPECT_EQ(AccessAs(4711, "f", R_OK), EACCES);
  ASSERT_EQ(RunCommand({"setfacl", "-m", "u:4711:r", Path("f")}).status, 0);
  EXPECT_EQ(AccessAs(4711, "f", R_OK), 0);
  EXPECT_EQ(AccessAs(4711, "f", W_OK), EACCES);
  EXPECT_EQ(AccessAs(4712, "f", R_OK), EACCES);
  ASSERT_EQ(::chmod(Path("f").c_str(), 0600), 0);  // the mask goes
  EXPECT_EQ(AccessAs(4711, "f", R_OK), EACCES);
  ASSERT_EQ(::mkdir(Path("d").c_str(), 0755), 0);
  ASSERT_EQ(RunCommand({"setfacl", "-d", "-m", "u:4711:rw", Path("d")}).status, 0);
  const mode_t before = ::umask(077);
  WriteFile(Path("d/new"), "x");
  ::umask(before);
  EXPECT_EQ(AccessAs(4711, "d/new", R_OK), 0);
  EXPECT_EQ(AccessAs(4712, "d/new", R_OK), 0);  // as the default list's entry for others says
  WriteFile(Path("plain"), "x");
  EXPECT_EQ(AccessAs(4711, "plain", W_OK), EACCES);
}

INSTANTIATE_FOR_ALL_BACKENDS(XattrsTest);

}  // namespace
}  // namespace quayfs::mounttest
