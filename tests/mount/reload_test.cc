// SPDX-License-Identifier: Apache-2.0
//
// SIGHUP, which is what systemctl reload and logrotate send: the log goes to a new file, and
// credentials are read again.

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <csignal>
#include <filesystem>
#include <string>

#include "tests/mount/mount_fixture.h"

namespace quayfs::mounttest {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class ReloadTest : public ServerTest {
 protected:
  void HangUp() { ASSERT_EQ(::kill(env().DaemonPid(), SIGHUP), 0); }
  bool Logs(const std::string& words) {
    return Eventually([&] { return env().LogText().find(words) != std::string::npos; });
  }
};

TEST_F(ReloadTest, ALogThatWasRenamedIsGoneOnWithInANewFile) {
  ASSERT_NO_FATAL_FAILURE(env().Mount());
  const std::string log = env().directory() + "/log";
  const std::string rotated = log + ".1";
  std::filesystem::rename(log, rotated);
  HangUp();
  ASSERT_TRUE(Logs("config.reloaded"));
  struct stat facts {};
  ASSERT_EQ(::stat(log.c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777, 0600U);
  EXPECT_THAT(ReadFile(rotated), HasSubstr("mount.ready"));
  EXPECT_THAT(ReadFile(rotated), Not(HasSubstr("config.reloaded")))
      << "nothing goes there any more";
  WriteFile(Path("f"), "still there");
  env().Unmount();
  EXPECT_THAT(env().LogText(), HasSubstr("mount.ended"));
}

TEST_F(ReloadTest, KeysInTheConfigAreReadAgain) {
  env().SetTopLines("consistency = \"exclusive\"");
  ASSERT_NO_FATAL_FAILURE(env().Mount());
  WriteFile(Path("before"), "x");
  env().Sync();
  const std::string good = ReadFile(env().config_path());

  // What is wrong with the file changes nothing.
  WriteFile(env().config_path(), "provider = nonsense\n");
  HangUp();
  ASSERT_TRUE(Logs("config.not_reloaded"));
  WriteFile(Path("between"), "x");
  env().Sync();

  // Keys that the service does not know are taken, and are no good.
  env().SetValue("secret_access_key", "\"another-secret-of-no-use\"");
  env().WriteConfig();
  HangUp();
  ASSERT_TRUE(Logs("config.reloaded"));
  ASSERT_TRUE(Eventually([this] {
    WriteFile(Path("probe"), "x");
    return RunQuayfs({"sync", "-q", env().mount_point()}).status == 1;
  }));

  // The right ones again.
  WriteFile(env().config_path(), good);
  HangUp();
  EXPECT_TRUE(Eventually([this] {
    return RunQuayfs({"sync", "-q", env().mount_point()}).status == 0;
  })) << env().LogText();
  EXPECT_EQ(env().ObjectBody("probe"), "x");
  EXPECT_THAT(env().LogText(), Not(HasSubstr("another-secret-of-no-use")));
}

}  // namespace
}  // namespace quayfs::mounttest
