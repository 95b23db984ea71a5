// SPDX-License-Identifier: Apache-2.0

#include "fs/program/service_manager.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdlib>

#include "base/unique_fd.h"

namespace quayfs::program {
namespace {

TEST(ServiceManager, TakesTheEnvironmentForItself) {
  ::setenv("NOTIFY_SOCKET", "/nowhere", 1);
  ::setenv("WATCHDOG_USEC", "2500000", 1);
  ::setenv("WATCHDOG_PID", std::to_string(::getpid()).c_str(), 1);
  const ServiceManager manager = ServiceManager::FromEnvironment();
  EXPECT_TRUE(manager.present());
  EXPECT_EQ(manager.watchdog(), std::chrono::milliseconds(2500));
  manager.Tell("READY=1");  // nobody is there: lost
  for (const char* name : {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"})
    EXPECT_EQ(std::getenv(name), nullptr) << name;
  EXPECT_FALSE(ServiceManager::FromEnvironment().present());
}

TEST(ServiceManager, IgnoresAWatchdogThatIsForAnother) {
  ::setenv("WATCHDOG_USEC", "2500000", 1);
  ::setenv("WATCHDOG_PID", "1", 1);
  EXPECT_EQ(ServiceManager::FromEnvironment().watchdog(), Duration(0));
}

TEST(ServiceManager, TellsByTheAbstractNamespaceToo) {
  const UniqueFd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const std::string name = "quayfs-test-" + std::to_string(::getpid());
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::copy(name.begin(), name.end(), address.sun_path + 1);
  ASSERT_EQ(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address),
                   static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size())),
            0);
  ServiceManager("@" + name, Duration(0)).Tell("READY=1");
  std::array<char, 64> buffer;
  const ssize_t got = ::recv(fd.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
  ASSERT_GT(got, 0);
  EXPECT_EQ(std::string(buffer.data(), static_cast<size_t>(got)), "READY=1");
}

TEST(ServiceManager, StatusIsOneLine) {
  SyncProgress progress;
  EXPECT_EQ(ServiceStatus("/mnt/a", false, progress),
            "serving /mnt/a; everything is in the bucket");
  progress.files = 1;
  progress.bytes = 2048;
  progress.away = true;
  EXPECT_EQ(ServiceStatus("/mnt/a\nREADY=1", true, progress).find('\n'), std::string::npos);
  EXPECT_EQ(ServiceStatus("/m", true, progress),
            "leaving /m; 1 file, 2 KiB, not in the bucket yet; the store does not answer");
}

}  // namespace
}  // namespace quayfs::program
