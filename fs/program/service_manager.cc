// SPDX-License-Identifier: Apache-2.0

#include "fs/program/service_manager.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdlib>

#include "base/log.h"
#include "base/text.h"
#include "base/unique_fd.h"
#include "fs/program/messages.h"

namespace quayfs::program {
namespace {

std::string TakeVariable(const char* name) {
  const char* const value = std::getenv(name);
  std::string text = value == nullptr ? "" : value;
  ::unsetenv(name);
  return text;
}

}  // namespace

ServiceManager ServiceManager::FromEnvironment() {
  std::string address = TakeVariable("NOTIFY_SOCKET");
  const auto period = ParseUint(TakeVariable("WATCHDOG_USEC"));
  const std::string pid = TakeVariable("WATCHDOG_PID");
  Duration watchdog{0};
  if (period && (pid.empty() || pid == std::to_string(::getpid())))
    watchdog = std::chrono::microseconds(*period);
  return {std::move(address), watchdog};
}

void ServiceManager::Tell(std::string_view message) const {
  if (!present()) return;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (address_.size() >= sizeof(address.sun_path)) return;
  std::copy(address_.begin(), address_.end(), address.sun_path);
  size_t length = offsetof(sockaddr_un, sun_path) + address_.size();
  if (address_[0] == '@') {
    address.sun_path[0] = '\0';
  } else {
    ++length;  // with its zero
  }
  const UniqueFd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const auto* const generic =
      reinterpret_cast<const sockaddr*>(&address);  // NOLINT: how the socket API takes addresses
  if (!fd.valid() || ::sendto(fd.get(), message.data(), message.size(), MSG_NOSIGNAL, generic,
                              static_cast<socklen_t>(length)) < 0) {
    Log(LogLevel::kDebug, "service.not_told", {{"message", message}});
  }
}

std::string ServiceStatus(const std::string& mount_point, bool leaving,
                          const SyncProgress& progress) {
  std::string text = fmt::format("{} {}", leaving ? "leaving" : "serving", mount_point);
  if (progress.files == 0 && progress.removals == 0) {
    text += "; everything is in the bucket";
  } else {
    text += fmt::format("; {} file{}, {}, not in the bucket yet", progress.files,
                        progress.files == 1 ? "" : "s", FormatSize(progress.bytes));
  }
  if (progress.away) text += "; the store does not answer";
  return OneLine(text);
}

}  // namespace quayfs::program
