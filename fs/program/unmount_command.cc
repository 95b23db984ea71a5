// SPDX-License-Identifier: Apache-2.0

#include <fmt/format.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <string>
#include <string_view>

#include "base/text.h"
#include "base/unique_fd.h"
#include "fs/program/commands.h"
#include "fs/program/control_client.h"
#include "fs/program/control_protocol.h"
#include "fs/program/exit_status.h"
#include "fs/program/launch.h"
#include "fs/program/messages.h"
#include "fs/program/mount_point.h"
#include "fs/program/mount_table.h"

namespace quayfs::program {
namespace {

/// One line on a terminal that is written over; nothing anywhere else.
class ProgressLine {
 public:
  ~ProgressLine() { Clear(); }
  void Show(std::string_view text) {
    if (!terminal_) return;
    fmt::print(stderr, "\r\x1b[K{}", text);
    std::fflush(stderr);
    shown_ = true;
  }
  void Clear() {
    if (shown_) fmt::print(stderr, "\r\x1b[K");
    shown_ = false;
  }

 private:
  const bool terminal_ = ::isatty(STDERR_FILENO) == 1;
  bool shown_ = false;
};

int Fail(const std::string& message) {
  PrintError(OneLine(message));
  return kExitFailed;
}

std::string Describe(const SyncProgress& progress) {
  return fmt::format("uploading: {} file{}, {} to go", progress.files,
                     progress.files == 1 ? "" : "s", FormatSize(progress.bytes));
}

Status SyncThrough(ControlClient& client) {
  ProgressLine line;
  return client.AskSync([&line](const SyncProgress& progress) { line.Show(Describe(progress)); });
}

/// Returns when the process has ended; everything is in the bucket by then, or its log says what is
/// not.
Status WaitForExit(const UniqueFd& process) {
  pollfd polled{process.get(), POLLIN, 0};
  ProgressLine line;
  for (int waited = 0;; ++waited) {
    constexpr int kIntervalMs = 500;
    const int ready = ::poll(&polled, 1, kIntervalMs);
    if (ready > 0) return {};
    if (ready < 0 && errno != EINTR) return ErrnoError(errno, "wait for the daemon to end");
    if (waited > 0) line.Show("waiting for the last uploads");
  }
}

UniqueFd OpenProcess(pid_t pid) {
  return UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
}

/// Of a daemon that is gone.
void RemoveControlSocket(const MountEntry& entry) {
  const auto directory = PrepareControlDirectory(entry.owner().value_or(::geteuid()), false);
  if (directory) ::unlink((*directory + "/" + ControlSocketName(entry.mount_point)).c_str());
}

/// Of the mount at exactly this path.
Result<MountEntry> FindQuayfs(const std::string& path) {
  QUAY_ASSIGN(const std::string resolved, ResolveMountPoint(path));
  QUAY_ASSIGN(const std::vector<MountEntry> table, ReadMountTable());
  const MountEntry* const entry = FindMountAt(table, resolved);
  if (entry == nullptr)
    return Error(Code::kNotFound, fmt::format("nothing is mounted at {}", resolved));
  if (!entry->is_quayfs()) {
    return Error(Code::kInvalidArgument,
                 fmt::format("what is mounted at {} is not quayfs but {}; use umount", resolved,
                             entry->type));
  }
  return *entry;
}

}  // namespace

int RunUnmount(const UnmountRequest& request) {
  const auto entry = FindQuayfs(request.mount_point);
  if (!entry) return Fail(entry.error().message());
  auto client = ControlClient::ConnectTo(*entry);
  if (client.Is(Code::kPermissionDenied)) return Fail(client.error().message());
  UniqueFd process;
  if (client) {
    process = OpenProcess(client->pid());
    const Status synced = SyncThrough(*client);
    if (!synced && !request.force) {
      return Fail(
          fmt::format("{} stays mounted, not everything is in the bucket: {}; try again, or give "
                      "it up with --force",
                      entry->mount_point, synced.error().message()));
    }
  }
  // A daemon that is gone answers nobody: nothing can be open in a way that matters.
  const bool dead = client.Is(Code::kNotFound) && IsDeadMount(entry->mount_point);
  const Status unmounted = Unmount(entry->mount_point, dead);
  if (!unmounted) return Fail(unmounted.error().message());
  if (dead) RemoveControlSocket(*entry);
  if (!process.valid()) return kExitOk;
  const Status ended = WaitForExit(process);
  return ended ? kExitOk : Fail(ended.error().message());
}

int RunSync(const std::string& path) {
  auto resolved = ResolveMountPoint(path);
  if (!resolved) return Fail(fmt::format("there is no {}", path));
  const auto table = ReadMountTable();
  if (!table) return Fail(table.error().message());
  const MountEntry* const entry = FindMountContaining(*table, *resolved);
  if (entry == nullptr || !entry->is_quayfs())
    return Fail(fmt::format("{} does not lie in a quayfs mount", *resolved));
  auto client = ControlClient::ConnectTo(*entry);
  if (!client) return Fail(fmt::format("{}: {}", entry->mount_point, client.error().message()));
  const Status synced = SyncThrough(*client);
  if (!synced)
    return Fail(fmt::format("not everything is in the bucket: {}", synced.error().message()));
  return kExitOk;
}

}  // namespace quayfs::program
