// SPDX-License-Identifier: Apache-2.0
//
// A daemon in the background logs to syslog(3), and never a secret, whatever goes wrong.

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstring>
#include <string>
#include <vector>

#include "tests/mount/mount_fixture.h"

namespace quayfs::mounttest {
namespace {

/// What stands at /dev/log: takes datagrams and keeps them.
class LogSocket {
 public:
  explicit LogSocket(const std::string& path)
      : socket_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    EXPECT_LT(path.size(), sizeof(address.sun_path));
    std::copy(path.begin(), path.end(), address.sun_path);
    const auto* const generic = reinterpret_cast<const sockaddr*>(&address);
    EXPECT_EQ(::bind(socket_.get(), generic, sizeof(address)), 0) << std::strerror(errno);
  }
  const std::vector<std::string>& Messages() {
    std::array<char, 65536> buffer{};
    for (;;) {
      const ssize_t got = ::recv(socket_.get(), buffer.data(), buffer.size(), 0);
      if (got < 0) return messages_;
      messages_.emplace_back(buffer.data(), static_cast<size_t>(got));
    }
  }
  bool Has(const std::string& word) {
    const auto& all = Messages();
    return std::any_of(all.begin(), all.end(), [&](const std::string& message) {
      return message.find(word) != std::string::npos;
    });
  }

 private:
  UniqueFd socket_;
  std::vector<std::string> messages_;
};

// In a mount namespace of its own, with a /dev that has what is needed and our socket. It lets go
// of the mounts of other tests, which would not end before it does.
constexpr const char* kScript = R"(
set -e
mount --make-rprivate /
umount --all --internal-only --lazy --types fuse.quayfs || true
mount -t tmpfs none "$1"
for name in fuse null urandom; do
  : >"$1/$name"
  mount --bind "/dev/$name" "$1/$name"
done
: >"$1/log"
mount --bind "$2" "$1/log"
mount --rbind "$1" /dev
exec "$3" mount "$4" "$5" -o "$6"
)";

TEST(SyslogTest, TheBackgroundDaemonLogsThereAndNoSecret) {
  if (const std::string why = WhyNoFuse(); !why.empty()) GTEST_SKIP() << why;
  if (::geteuid() != 0) GTEST_SKIP() << "needs root for a mount namespace";
  MountEnvironment env("server");
  env.SetTopLines("parameters = \"RetryMode=Standard;RetryInterval=100;RetryCount=1\"");
  env.WriteConfig();
  const std::string dev = env.directory() + "/dev";
  ASSERT_EQ(::mkdir(dev.c_str(), 0755), 0);
  LogSocket log(env.directory() + "/log.sock");
  const ProgramResult mounted = RunCommand(
      {"unshare", "-m", "sh", "-c", kScript, "sh", dev, env.directory() + "/log.sock",
       QUAYFS_PROGRAM, env.config_path(), env.mount_point(), "log.level=debug,stall_timeout=1s"});
  ASSERT_EQ(mounted.status, 0) << mounted.err;
  EXPECT_EQ(mounted.out + mounted.err, "");
  const pid_t pid = env.DaemonPid();
  EXPECT_TRUE(Eventually([&] { return log.Has("mount.ready"); }));

  // The mount lies in the daemon's namespace.
  const std::string inside = fmt::format("/proc/{}/root{}/", pid, env.mount_point());
  WriteFile(inside + "f", "contents");
  testserver::Fault fault;
  fault.status = 403;
  fault.code = "AccessDenied";
  fault.method = "PUT";
  fault.count = 1;
  env.server()->AddFault(fault);
  {
    const UniqueFd file(::open((inside + "g").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
    ASSERT_TRUE(file.valid());
    EXPECT_EQ(::write(file.get(), "more", 4), 4);
  }
  EXPECT_TRUE(Eventually([&] { return log.Has("publish.failed"); }));
  ASSERT_EQ(::kill(pid, SIGTERM), 0);
  EXPECT_TRUE(Eventually([pid] { return IsGone(pid); }));
  EXPECT_TRUE(Eventually([&] { return log.Has("mount.ended"); }));

  EXPECT_TRUE(log.Has("s3.request")) << "the log is as talkative as it can be";
  for (const std::string& message : log.Messages()) {
    // facility daemon (3), and who says it
    EXPECT_EQ(message.find('<'), 0U) << message;
    EXPECT_EQ(std::stoi(message.substr(1)) / 8, 3) << message;
    EXPECT_NE(message.find("quayfs["), std::string::npos) << message;
    for (const char* secret : {"test-secret", "Signature=", "Authorization", "AWS4-HMAC"})
      EXPECT_EQ(message.find(secret), std::string::npos) << message;
  }
}

}  // namespace
}  // namespace quayfs::mounttest
