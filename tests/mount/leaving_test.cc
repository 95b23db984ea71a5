// SPDX-License-Identifier: Apache-2.0
//
// The end of a mount whose store does not answer: it can be seen what is waited for, the waiting
// can be ended, and nobody claims that everything is in the bucket.

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/mount/mount_fixture.h"

namespace quayfs::mounttest {
namespace {

class LeavingTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const std::string why = WhyNoFuse(); !why.empty()) GTEST_SKIP() << why;
    environment_.emplace("server");
    env().SetTopLines("parameters = \"RetryMode=Standard;RetryInterval=100;RetryCount=1\"");
  }
  void TearDown() override {
    if (environment_) BringStoreBack();
  }
  MountEnvironment& env() { return *environment_; }

  /// Requests that would bring contents to the bucket are never answered.
  void LoseStore() {
    testserver::Fault fault;
    fault.kind = testserver::FaultKind::kBlackHole;
    fault.method = "PUT";
    fault.count = -1;
    env().server()->AddFault(fault);
  }
  void BringStoreBack() { env().server()->ClearFaults(); }

  UniqueFd OpenWithUnsentBytes(const std::string& name) {
    UniqueFd file(::open(env().Path(name).c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
    EXPECT_TRUE(file.valid()) << std::strerror(errno);
    EXPECT_EQ(::write(file.get(), "unsent", 6), 6);
    return file;
  }
  /// Leaves a daemon that is unmounted, with one file that is not in the bucket.
  pid_t MakeLeavingDaemon() {
    env().Mount({"-o", "stall_timeout=1s"});
    const pid_t pid = env().DaemonPid();
    UniqueFd file = OpenWithUnsentBytes("f");
    LoseStore();
    EXPECT_EQ(::umount2(env().mount_point().c_str(), MNT_DETACH), 0) << std::strerror(errno);
    file.Reset();
    EXPECT_TRUE(Eventually([this] { return State() == "leaving"; })) << env().LogText();
    return pid;
  }
  nlohmann::json Status() {
    const ProgramResult result = RunQuayfs({"status", env().mount_point(), "--json"});
    const nlohmann::json report = nlohmann::json::parse(result.out, nullptr, false);
    return report.is_object() ? report.at("mounts").at(0) : nlohmann::json::object();
  }
  std::string State() { return Status().value("state", ""); }
  static void ExpectWords(const std::string& text, const std::vector<std::string>& words) {
    for (const std::string& word : words)
      EXPECT_NE(text.find(word), std::string::npos) << "'" << word << "' in: " << text;
    EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1) << text;
  }

  std::optional<MountEnvironment> environment_;
};

TEST_F(LeavingTest, TheNextMountIsToldWhoIsThereAndWhatItWaitsFor) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  const pid_t pid = MakeLeavingDaemon();
  const ProgramResult again = env().TryMount();
  EXPECT_EQ(again.status, 1);
  ExpectWords(again.err, {"unmounted at 20", "pid " + std::to_string(pid), "1 file, 6 B",
                          "s3://test", "until 20", "quayfs umount --force " + env().mount_point()});
  EXPECT_FALSE(IsMounted(env().mount_point()));

  // The same cache elsewhere is refused for the same reason.
  const std::string other = env().directory() + "/other";
  ASSERT_EQ(::mkdir(other.c_str(), 0755), 0);
  const ProgramResult elsewhere = RunQuayfs({"mount", env().config_path(), other});
  EXPECT_EQ(elsewhere.status, 1);
  ExpectWords(elsewhere.err, {"pid " + std::to_string(pid), env().mount_point()});

  // It shows in the list, although nothing is mounted.
  const ProgramResult list = RunQuayfs({"status"});
  EXPECT_NE(list.out.find(env().mount_point()), std::string::npos) << list.out;
  EXPECT_EQ(Status().at("pending").at("files"), 1);

  BringStoreBack();
  const ProgramResult waited = RunQuayfs({"umount", env().mount_point()});
  EXPECT_EQ(waited.status, 0) << waited.err;
  EXPECT_TRUE(IsGone(pid));
  EXPECT_EQ(env().ObjectBody("f"), "unsent");
  ASSERT_NO_FATAL_FAILURE(env().Mount());
}

TEST_F(LeavingTest, ForceEndsADaemonThatIsLeaving) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  const pid_t pid = MakeLeavingDaemon();
  const ProgramResult forced = RunQuayfs({"umount", "--force", env().mount_point()});
  EXPECT_EQ(forced.status, 1);
  ExpectWords(forced.err, {"1 file, 6 B", "not get into the bucket"});
  EXPECT_TRUE(IsGone(pid));
  EXPECT_NE(env().LogText().find("mount.ended_early"), std::string::npos);
  EXPECT_NE(env().LogText().find("files_not_in_bucket=1"), std::string::npos) << env().LogText();
}

TEST_F(LeavingTest, ForceUnmountsWhatCannotBeUploaded) {
  ASSERT_NO_FATAL_FAILURE(env().Mount());
  const pid_t pid = env().DaemonPid();
  const UniqueFd file = OpenWithUnsentBytes("f");
  LoseStore();
  const ProgramResult forced = RunQuayfs({"umount", "--force", env().mount_point()});
  EXPECT_EQ(forced.status, 1);
  ExpectWords(forced.err, {"1 file, 6 B", "not get into the bucket"});
  EXPECT_TRUE(IsGone(pid));
  EXPECT_FALSE(IsMounted(env().mount_point()));
}

TEST_F(LeavingTest, ForceUploadsWhatCanBeUploaded) {
  ASSERT_NO_FATAL_FAILURE(env().Mount());
  const pid_t pid = env().DaemonPid();
  const UniqueFd file = OpenWithUnsentBytes("f");
  const ProgramResult forced = RunQuayfs({"umount", "--force", env().mount_point()});
  EXPECT_EQ(forced.status, 0) << forced.err;
  EXPECT_TRUE(IsGone(pid));
  EXPECT_FALSE(IsMounted(env().mount_point()));
  EXPECT_EQ(env().ObjectBody("f"), "unsent");
}

TEST_F(LeavingTest, ASecondSignalEndsTheWaiting) {
  for (const int signal : {SIGTERM, SIGINT}) {
    env().WriteConfig();
    const std::string log = env().directory() + "/fg.log";
    const pid_t pid =
        StartQuayfs({"mount", env().config_path(), env().mount_point(), "--foreground"}, log);
    ASSERT_GT(pid, 0);
    ASSERT_TRUE(Eventually([this] { return IsMounted(env().mount_point()); }));
    const UniqueFd file = OpenWithUnsentBytes("f");
    LoseStore();
    const uint64_t before = env().server()->Count("PutObject");
    ASSERT_EQ(::kill(pid, signal), 0);
    // It tries to upload, and goes on trying.
    ASSERT_TRUE(Eventually([&] { return env().server()->Count("PutObject") > before; }) ||
                State() == "leaving");
    EXPECT_FALSE(IsGone(pid));
    ASSERT_EQ(::kill(pid, signal), 0);
    int status = -1;
    ASSERT_EQ(::waitpid(pid, &status, 0), pid);
    ASSERT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), 1);
    EXPECT_TRUE(Eventually([this] { return !IsMounted(env().mount_point()); }));
    const std::string text = ReadFile(log);
    EXPECT_NE(text.find("mount.ended_early"), std::string::npos) << text;
    EXPECT_NE(text.find("files_not_in_bucket=1"), std::string::npos) << text;
    BringStoreBack();
  }
}

TEST_F(LeavingTest, UmountDoesNotClaimWhatIsNotTrue) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  const pid_t pid = MakeLeavingDaemon();
  // Somebody ends the daemon while `quayfs umount` waits for it.
  const pid_t waiting = StartQuayfs({"umount", env().mount_point()}, env().directory() + "/umount");
  ASSERT_GT(waiting, 0);
  ASSERT_TRUE(Eventually(
      [&] { return ReadFile(fmt::format("/proc/{}/comm", waiting)).find("quayfs") == 0; }));
  ASSERT_EQ(::kill(pid, SIGTERM), 0);
  ASSERT_TRUE(
      Eventually([this] { return env().LogText().find("mount.stopping") != std::string::npos; }));
  ASSERT_EQ(::kill(pid, SIGTERM), 0);
  int status = -1;
  ASSERT_EQ(::waitpid(waiting, &status, 0), waiting);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 1);
}

}  // namespace
}  // namespace quayfs::mounttest
