// SPDX-License-Identifier: Apache-2.0
//
// The daemon as a service: what it tells its service manager, and that a killed one comes back with
// everything.

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <string>

#include "tests/mount/mount_fixture.h"

namespace quayfs::mounttest {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

/// What systemd is to a service of Type=notify.
class Manager {
 public:
  explicit Manager(const std::string& path)
      : socket_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    EXPECT_LT(path.size(), sizeof(address.sun_path));
    std::copy(path.begin(), path.end(), address.sun_path);
    const auto* const generic =
        reinterpret_cast<const sockaddr*>(&address);  // NOLINT: how the socket API takes addresses
    EXPECT_EQ(::bind(socket_.get(), generic, sizeof(address)), 0) << std::strerror(errno);
    ::setenv("NOTIFY_SOCKET", path.c_str(), 1);
  }
  ~Manager() {
    ::unsetenv("NOTIFY_SOCKET");
    ::unsetenv("WATCHDOG_USEC");
  }
  Manager(const Manager&) = delete;
  Manager& operator=(const Manager&) = delete;

  /// Waits until something with these words has been told.
  bool Hears(const std::string& words) {
    return Eventually([&] {
      Listen();
      return told_.find(words) != std::string::npos;
    });
  }
  void Forget() {
    Listen();
    told_.clear();
  }
  const std::string& told() const { return told_; }

 private:
  void Listen() {
    std::array<char, 4096> buffer;
    for (;;) {
      const ssize_t got = ::recv(socket_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
      if (got < 0) return;
      told_.append(buffer.data(), static_cast<size_t>(got)) += '\n';
    }
  }

  UniqueFd socket_;
  std::string told_;
};

class ServiceTest : public ServerTest {
 protected:
  void SetUp() override {
    ServerTest::SetUp();
    if (environment_) env().WriteConfig();
  }
  pid_t Start() {
    return StartQuayfs({"mount", env().config_path(), env().mount_point(), "--foreground"},
                       env().directory() + "/log");
  }
  static int StatusOf(pid_t pid) {
    int status = -1;
    EXPECT_EQ(::waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  void RefusePuts() {
    testserver::Fault fault;
    fault.kind = testserver::FaultKind::kStatus;
    fault.method = "PUT";
    fault.count = -1;
    server().AddFault(fault);
  }
};

TEST_F(ServiceTest, TellsItsManagerHowItIs) {
  Manager manager(env().directory() + "/notify");
  ::setenv("WATCHDOG_USEC", "300000", 1);
  const pid_t pid = Start();
  ASSERT_TRUE(manager.Hears("READY=1")) << env().LogText();
  EXPECT_TRUE(IsMounted(env().mount_point()));
  EXPECT_TRUE(manager.Hears("WATCHDOG=1"));
  EXPECT_TRUE(manager.Hears(
      fmt::format("STATUS=serving {}; everything is in the bucket", env().mount_point())));
  manager.Forget();
  EXPECT_TRUE(manager.Hears("WATCHDOG=1")) << "it goes on";

  RefusePuts();
  WriteFile(Path("f"), "0123456789");
  EXPECT_TRUE(manager.Hears("1 file, 10 B, not in the bucket yet"));
  EXPECT_THAT(manager.told(), Not(HasSubstr("STOPPING")));
  ASSERT_EQ(::kill(pid, SIGTERM), 0);
  EXPECT_TRUE(manager.Hears("STOPPING=1"));
  EXPECT_TRUE(manager.Hears("EXTEND_TIMEOUT_USEC="));
  EXPECT_TRUE(manager.Hears("STATUS=leaving"));
  server().ClearFaults();
  EXPECT_EQ(StatusOf(pid), 0) << env().LogText();
  EXPECT_FALSE(IsMounted(env().mount_point()));
  EXPECT_EQ(env().ObjectBody("f"), "0123456789");
}

TEST_F(ServiceTest, AKilledOneComesBackWithEverything) {
  Manager manager(env().directory() + "/notify");
  pid_t pid = Start();
  ASSERT_TRUE(manager.Hears("READY=1")) << env().LogText();
  RefusePuts();
  WriteFile(Path("f"), "not in the bucket");
  ASSERT_EQ(::kill(pid, SIGKILL), 0);
  EXPECT_EQ(StatusOf(pid), 128 + SIGKILL);
  manager.Forget();
  pid = Start();
  ASSERT_TRUE(manager.Hears("READY=1")) << env().LogText();
  EXPECT_EQ(ReadFile(Path("f")), "not in the bucket");
  server().ClearFaults();
  ASSERT_EQ(::kill(pid, SIGTERM), 0);
  EXPECT_EQ(StatusOf(pid), 0) << env().LogText();
  EXPECT_EQ(env().ObjectBody("f"), "not in the bucket");
}

TEST_F(ServiceTest, WhatCannotBeMountedNeverSaysReady) {
  Manager manager(env().directory() + "/notify");
  env().SetValue("bucket", "\"missing\"");
  env().WriteConfig();
  const pid_t pid = Start();
  EXPECT_EQ(StatusOf(pid), 1);
  manager.Forget();
  EXPECT_EQ(manager.told(), "");
  EXPECT_THAT(env().LogText(), HasSubstr("missing"));
}

TEST_F(ServiceTest, OnlyWhatADeadDaemonLeftIsClearedAfterTheService) {
  const auto if_dead = [this] {
    return RunQuayfs({"umount", "--if-dead", env().mount_point()}).status;
  };
  EXPECT_EQ(if_dead(), 0) << "nothing is mounted";
  const pid_t pid = Start();
  ASSERT_TRUE(Eventually([this] { return IsMounted(env().mount_point()); }));
  EXPECT_EQ(if_dead(), 0);
  EXPECT_TRUE(IsMounted(env().mount_point())) << "a daemon that is well keeps its mount";
  ASSERT_EQ(::kill(pid, SIGKILL), 0);
  EXPECT_EQ(StatusOf(pid), 128 + SIGKILL);
  EXPECT_EQ(if_dead(), 0);
  EXPECT_FALSE(IsMounted(env().mount_point()));
}

}  // namespace
}  // namespace quayfs::mounttest
