// SPDX-License-Identifier: Apache-2.0

#include "fs/program/other_daemon.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "base/disk.h"
#include "base/text.h"
#include "base/unique_fd.h"
#include "fs/program/control_client.h"
#include "fs/program/control_protocol.h"
#include "fs/program/json_fields.h"
#include "fs/program/messages.h"

namespace quayfs::program {
namespace {

using nlohmann::json;

uint64_t Number(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number_unsigned() ? found->get<uint64_t>() : 0;
}

Result<OtherDaemon> Ask(const std::string& socket) {
  QUAY_ASSIGN(ControlClient client, ControlClient::Connect(socket));
  OtherDaemon daemon;
  daemon.pid = client.pid();
  QUAY_ASSIGN(daemon.status, client.AskStatus());
  if (!daemon.status.is_object()) daemon.status = json::object();
  return daemon;
}

}  // namespace

std::string OtherDaemon::mount_point() const { return Text(status, "mount_point"); }
bool OtherDaemon::leaving() const { return Text(status, "state") == "leaving"; }

Result<OtherDaemon> FindDaemonOf(const std::string& mount_point) {
  const auto directory = PrepareControlDirectory(::geteuid(), false);
  if (!directory) return Error(Code::kNotFound, "no quayfs of this user is running");
  return Ask(*directory + "/" + ControlSocketName(mount_point));
}

std::vector<OtherDaemon> ListDaemons() {
  std::vector<OtherDaemon> daemons;
  const auto directory = PrepareControlDirectory(::geteuid(), false);
  if (!directory) return daemons;
  const auto entries = SystemDisk().List(*directory);
  if (!entries) return daemons;
  for (const DiskEntry& entry : *entries) {
    if (!entry.name.ends_with(kControlSocketSuffix)) continue;
    auto daemon = Ask(*directory + "/" + entry.name);
    if (daemon) daemons.push_back(*std::move(daemon));
  }
  return daemons;
}

std::string WhyStillThere(const OtherDaemon& daemon) {
  const json leaving = Object(daemon.status, "leaving");
  const json pending = Object(daemon.status, "pending");
  const std::string place = daemon.mount_point();
  const uint64_t files = Number(pending, "files");
  std::string text = fmt::format("{} has been unmounted", place);
  if (const std::string since = Text(leaving, "since"); !since.empty()) text += " at " + since;
  text += fmt::format(", but its quayfs (pid {}) has not ended: ", daemon.pid);
  if (!daemon.leaving()) {
    text += "programs still have files open there";
  } else if (files == 0) {
    text += "it is finishing";
  } else {
    text += fmt::format("{} file{}, {}, still {} to get into {}", files, files == 1 ? "" : "s",
                        FormatSize(Number(pending, "bytes")), files == 1 ? "has" : "have",
                        Text(daemon.status, "store"));
    if (const std::string error = Text(daemon.status, "last_error"); !error.empty())
      text += fmt::format(" (last error: {})", error);
  }
  if (const std::string until = Text(leaving, "until"); !until.empty())
    text += fmt::format("; it goes on trying until {}", until);
  return text + fmt::format(
                    "; wait for it with: quayfs umount {}, or end it with: quayfs umount --force "
                    "{} (what is not in the bucket then stays in its cache directory)",
                    place, place);
}

bool WaitForEnd(pid_t pid, int milliseconds) {
  const UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!process.valid()) return errno == ESRCH;
  pollfd polled{process.get(), POLLIN, 0};
  for (;;) {
    const int ready = ::poll(&polled, 1, milliseconds);
    if (ready < 0 && errno == EINTR) continue;
    return ready > 0;
  }
}

}  // namespace quayfs::program
