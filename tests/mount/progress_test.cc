// SPDX-License-Identifier: Apache-2.0
//
// What `quayfs sync`, `quayfs umount`, the end of a daemon in the foreground, and `quayfs status`
// say of what is not in the bucket yet.

#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <stdlib.h>  // NOLINT(modernize-deprecated-headers): posix_openpt
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <nlohmann/json.hpp>
#include <regex>
#include <string>

#include "tests/mount/mount_fixture.h"

namespace quayfs::mounttest {
namespace {

/// A terminal of our own, and what has been written to it.
class Terminal {
 public:
  Terminal() : own_(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)) {
    EXPECT_EQ(::grantpt(own_.get()), 0);
    EXPECT_EQ(::unlockpt(own_.get()), 0);
    std::array<char, 64> name{};
    EXPECT_EQ(::ptsname_r(own_.get(), name.data(), name.size()), 0);
    path_ = name.data();
    // Held, so that reading does not fail between two writers.
    other_.Reset(::open(path_.c_str(), O_RDWR | O_NOCTTY | O_CLOEXEC));
    EXPECT_TRUE(other_.valid());
  }
  const std::string& path() const { return path_; }
  const std::string& text() {
    pollfd polled{own_.get(), POLLIN, 0};
    std::array<char, 4096> buffer;
    while (::poll(&polled, 1, 0) > 0 && (polled.revents & POLLIN) != 0) {
      const ssize_t got = ::read(own_.get(), buffer.data(), buffer.size());
      if (got <= 0) break;
      text_.append(buffer.data(), static_cast<size_t>(got));
    }
    return text_;
  }
  bool Eventually(const std::string& words) {
    return mounttest::Eventually([&] { return text().find(words) != std::string::npos; });
  }

 private:
  UniqueFd own_;
  UniqueFd other_;
  std::string path_;
  std::string text_;
};

class ProgressTest : public ::testing::Test {
 protected:
  static constexpr int kFiles = 5;

  void SetUp() override {
    if (const std::string why = WhyNoFuse(); !why.empty()) GTEST_SKIP() << why;
    environment_.emplace("server");
  }
  void TearDown() override {
    if (environment_) env().server()->ClearFaults();
  }
  MountEnvironment& env() { return *environment_; }

  /// PUTs are held; the store has lost its voice.
  void HoldStore() {
    testserver::Fault fault;
    fault.kind = testserver::FaultKind::kBlackHole;
    fault.method = "PUT";
    fault.count = -1;
    env().server()->AddFault(fault);
  }
  void WriteFiles() {
    for (int i = 0; i < kFiles; ++i) WriteFile(env().Path(fmt::format("f{}", i)), "0123456789");
  }
  static int WaitFor(pid_t pid) {
    int status = -1;
    EXPECT_EQ(::waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  nlohmann::json Status() {
    const ProgramResult result = RunQuayfs({"status", env().mount_point(), "--json"});
    EXPECT_EQ(result.status, 0) << result.err;
    return nlohmann::json::parse(result.out).at("mounts").at(0);
  }

  std::optional<MountEnvironment> environment_;
};

TEST_F(ProgressTest, SyncOnATerminalShowsHowFarItIs) {
  ASSERT_NO_FATAL_FAILURE(env().Mount());
  env().server()->SetDelay(std::chrono::milliseconds(700));
  WriteFiles();
  Terminal terminal;
  const pid_t pid = StartQuayfs({"sync", env().Path("f3")}, terminal.path());
  EXPECT_TRUE(terminal.Eventually("[....................]   0 %  0 of 5 files, 0 B of 50 B"));
  EXPECT_EQ(WaitFor(pid), 0);
  EXPECT_EQ(terminal.text().find('\n'), std::string::npos) << terminal.text();
}

TEST_F(ProgressTest, QuietAndNoTerminalSayNothing) {
  ASSERT_NO_FATAL_FAILURE(env().Mount());
  env().server()->SetDelay(std::chrono::milliseconds(400));
  WriteFiles();
  const ProgramResult synced = RunQuayfs({"sync", env().mount_point()});
  EXPECT_EQ(synced.status, 0);
  EXPECT_EQ(synced.out + synced.err, "");
  WriteFiles();
  Terminal terminal;
  const pid_t pid = StartQuayfs({"umount", "--quiet", env().mount_point()}, terminal.path());
  EXPECT_EQ(WaitFor(pid), 0);
  EXPECT_EQ(terminal.text(), "");
}

TEST_F(ProgressTest, UmountOnATerminalShowsHowFarItIs) {
  ASSERT_NO_FATAL_FAILURE(env().Mount());
  env().server()->SetDelay(std::chrono::milliseconds(700));
  WriteFiles();
  Terminal terminal;
  const pid_t pid = StartQuayfs({"umount", env().mount_point()}, terminal.path());
  EXPECT_EQ(WaitFor(pid), 0);
  // How many are left when it begins depends on the machine.
  EXPECT_TRUE(std::regex_search(terminal.text(), std::regex(" of [1-5] files?, ")))
      << terminal.text();
  EXPECT_EQ(terminal.text().find('\n'), std::string::npos) << terminal.text();
}

TEST_F(ProgressTest, ADaemonInTheForegroundShowsHowFarItsEndIs) {
  env().WriteConfig();
  Terminal terminal;
  const pid_t pid = StartQuayfs({"mount", env().config_path(), env().mount_point(), "--foreground",
                                 "--log-file", env().directory() + "/log"},
                                terminal.path());
  ASSERT_TRUE(Eventually([this] { return IsMounted(env().mount_point()); }));
  env().server()->SetDelay(std::chrono::milliseconds(700));
  WriteFiles();
  ASSERT_EQ(::kill(pid, SIGTERM), 0);
  EXPECT_EQ(WaitFor(pid), 0);
  // How many are left when it begins depends on the machine.
  EXPECT_TRUE(std::regex_search(terminal.text(), std::regex(" of [1-5] files?, ")))
      << terminal.text();
}

TEST_F(ProgressTest, StatusSaysWhatIsRetriedAndWhy) {
  env().SetTopLines("parameters = \"RetryMode=Standard;RetryInterval=100;RetryCount=0\"");
  ASSERT_NO_FATAL_FAILURE(env().Mount());
  testserver::Fault fault;
  fault.method = "PUT";
  fault.status = 403;
  fault.code = "AccessDenied";
  fault.count = -1;
  env().server()->AddFault(fault);
  WriteFiles();
  ASSERT_TRUE(Eventually([this] { return !Status().at("pending").at("retried").empty(); }));
  const nlohmann::json status = Status();
  const nlohmann::json& pending = status.at("pending");
  EXPECT_EQ(pending.at("files"), kFiles);
  EXPECT_EQ(pending.at("bytes"), kFiles * 10);
  EXPECT_EQ(pending.at("store_away"), false);
  const nlohmann::json& retried = pending.at("retried").at(0);
  EXPECT_NE(retried.at("path").get<std::string>().find("f"), std::string::npos);
  EXPECT_NE(retried.at("error").get<std::string>().find("AccessDenied"), std::string::npos)
      << retried;
  EXPECT_GE(retried.at("failures"), 1);
  const ProgramResult text = RunQuayfs({"status", env().mount_point()});
  EXPECT_NE(text.out.find("retried     "), std::string::npos) << text.out;
  env().server()->ClearFaults();
  ASSERT_NO_FATAL_FAILURE(env().Unmount());
}

TEST_F(ProgressTest, StatusIsShownAgainUntilTheMountIsGone) {
  ASSERT_NO_FATAL_FAILURE(env().Mount());
  Terminal terminal;
  const pid_t pid = StartQuayfs({"status", "--watch", env().mount_point()}, terminal.path());
  ASSERT_GT(pid, 0);
  // What it said first; standard output goes to the terminal too.
  EXPECT_TRUE(terminal.Eventually("everything is in the bucket"));
  ASSERT_NO_FATAL_FAILURE(env().Unmount());
  EXPECT_EQ(WaitFor(pid), 1);
}

TEST_F(ProgressTest, StatusShowsWhatWasSetAsideUntilItIsRemoved) {
  ASSERT_NO_FATAL_FAILURE(env().Mount());
  HoldStore();
  WriteFile(env().Path("lost"), "kept all the same");
  const pid_t pid = env().DaemonPid();
  ASSERT_EQ(::kill(pid, SIGKILL), 0);
  ASSERT_TRUE(Eventually([pid] { return IsGone(pid); }));
  env().server()->ClearFaults();
  // Somebody removes the database, and with it all names.
  for (const char* suffix : {"", "-wal"})
    ::unlink((env().directory() + "/cache/state.db" + suffix).c_str());
  const ProgramResult again = env().TryMount();
  ASSERT_EQ(again.status, 0) << again.err;
  const nlohmann::json status = Status();
  ASSERT_EQ(status.at("set_aside").size(), 1U);
  const std::string path = status["set_aside"][0].at("path");
  EXPECT_EQ(ReadFile(path), "kept all the same");
  EXPECT_GT(status["set_aside"][0].at("bytes"), 0);
  const ProgramResult text = RunQuayfs({"status"});
  EXPECT_NE(text.out.find(path), std::string::npos) << text.out;
  ASSERT_EQ(::unlink(path.c_str()), 0);
  EXPECT_TRUE(Status().at("set_aside").empty());
}

}  // namespace
}  // namespace quayfs::mounttest
