// SPDX-License-Identifier: Apache-2.0

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "base/text.h"
#include "base/unique_fd.h"
#include "fs/program/commands.h"
#include "fs/program/control_client.h"
#include "fs/program/control_protocol.h"
#include "fs/program/dead_sockets.h"
#include "fs/program/exit_status.h"
#include "fs/program/launch.h"
#include "fs/program/messages.h"
#include "fs/program/mount_point.h"
#include "fs/program/mount_table.h"
#include "fs/program/other_daemon.h"
#include "fs/program/progress.h"

namespace quayfs::program {
namespace {

constexpr auto kForcePatience = std::chrono::seconds(5);

int Fail(const std::string& message) {
  PrintError(OneLine(message));
  return kExitFailed;
}

using Style = ProgressDisplay::Style;

ControlClient::OnProgress ShowOn(ProgressDisplay& display) {
  return [&display](const SyncProgress& progress) {
    display.Show(progress, std::chrono::steady_clock::now());
    return true;
  };
}

Status SyncThrough(ControlClient& client, Style style) {
  ProgressDisplay display(style);
  return client.AskSync(ShowOn(display));
}

/// As long as something moves: --force is for a store that does not answer, not for a slow one.
Status SyncWhileItMoves(ControlClient& client, Style style) {
  ProgressDisplay display(style);
  std::optional<SyncProgress> last;
  auto moved = std::chrono::steady_clock::now();
  return client.AskSync([&](const SyncProgress& progress) {
    const auto now = std::chrono::steady_clock::now();
    display.Show(progress, now);
    if (!last || *last != progress) {
      last = progress;
      moved = now;
    }
    return now - moved < kForcePatience;
  });
}

/// Returns when the process has ended.
Status WaitForExit(const UniqueFd& process) {
  pollfd polled{process.get(), POLLIN, 0};
  for (;;) {
    if (::poll(&polled, 1, -1) > 0) return {};
    if (errno != EINTR) return ErrnoError(errno, "wait for the daemon to end");
  }
}

UniqueFd OpenProcess(pid_t pid) {
  return UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
}

/// If a daemon that is gone has left one.
void RemoveControlSocket(const MountEntry& entry) {
  const auto path = PrepareControlDirectory(entry.owner().value_or(::geteuid()), false);
  if (!path) return;
  const UniqueFd directory(::open(path->c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
  if (directory.valid())
    RemoveDeadSocket(*path, directory.get(), ControlSocketName(entry.mount_point));
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

/// The daemon ends at once, and says what it leaves behind.
int EndDaemon(const std::string& mount_point, ControlClient client) {
  const UniqueFd process = OpenProcess(client.pid());
  const auto left = client.AskEnd();
  if (!left) return Fail(fmt::format("{}: {}", mount_point, left.error().message()));
  if (process.valid()) {
    const Status ended = WaitForExit(process);
    if (!ended) return Fail(ended.error().message());
  }
  if (left->files == 0) return kExitOk;
  return Fail(
      fmt::format("{} is unmounted, but {} file{}, {}, did not get into the bucket; its cache "
                  "directory has them",
                  mount_point, left->files, left->files == 1 ? "" : "s", FormatSize(left->bytes)));
}

/// What the daemon says; an empty object if it does not answer any more.
nlohmann::json StatusOf(const MountEntry& entry) {
  auto client = ControlClient::ConnectTo(entry);
  if (!client) return nlohmann::json::object();
  auto status = client->AskStatus();
  return status && status->is_object() ? *std::move(status) : nlohmann::json::object();
}

/// "3 files, 12.0 MiB, are"
std::string CountLeft(uint64_t files, uint64_t bytes) {
  return fmt::format("{} file{}, {}, {}", files, files == 1 ? "" : "s", FormatSize(bytes),
                     files == 1 ? "is" : "are");
}

/// Lazily: the daemon serves those who have files open, and then brings the rest to the bucket.
/// Else it ends at once, and the rest waits for the next mount.
int UnmountNow(const MountEntry& entry, bool lazy) {
  const nlohmann::json status = StatusOf(entry);
  const Status unmounted = Unmount(entry.mount_point, lazy);
  if (!unmounted) return Fail(unmounted.error().message());
  if (lazy) {
    const nlohmann::json pending = status.value("pending", nlohmann::json::object());
    const uint64_t files = pending.value("files", uint64_t{0});
    if (files > 0) {
      PrintError(fmt::format(
          "{} is unmounted; {} not in the bucket yet: its daemon (pid {}) goes on with them, and "
          "quayfs status shows how far it is",
          entry.mount_point, CountLeft(files, pending.value("bytes", uint64_t{0})),
          status.value("pid", 0)));
    }
    return kExitOk;
  }
  auto client = ControlClient::ConnectTo(entry);
  if (!client) return kExitOk;  // it has ended, because nothing was left
  const UniqueFd process = OpenProcess(client->pid());
  const auto left = client->AskEnd();
  if (process.valid()) {
    const Status ended = WaitForExit(process);
    if (!ended) return Fail(ended.error().message());
  }
  if (!left || left->files == 0) return kExitOk;
  const std::string directory =
      status.value("cache", nlohmann::json::object()).value("directory", "its cache directory");
  PrintError(
      fmt::format("{} is unmounted; {} not in the bucket yet, and kept in {} until the next mount "
                  "(or quayfs recover)",
                  entry.mount_point, CountLeft(left->files, left->bytes), directory));
  return kExitOk;
}

/// Unmounts, and returns when the daemon has ended: with success if everything is in the bucket.
int UnmountAndWait(const MountEntry& entry, Style style) {
  auto client = ControlClient::ConnectTo(entry);
  if (!client) return Fail(client.error().message());
  const UniqueFd process = OpenProcess(client->pid());
  Status unmounted;
  bool asked = false;
  ProgressDisplay display(style);
  const Status waited = client->AskWait(
      [&] {
        asked = true;
        return unmounted = Unmount(entry.mount_point, false);
      },
      ShowOn(display));
  display.Clear();
  // A daemon of an older version knows no wait.
  if (!asked && waited.Is(Code::kNotSupported)) unmounted = Unmount(entry.mount_point, false);
  if (!unmounted) return Fail(unmounted.error().message());
  if (process.valid()) {
    const Status ended = WaitForExit(process);
    if (!ended) return Fail(ended.error().message());
  }
  if (waited || waited.Is(Code::kNotSupported)) return kExitOk;
  return Fail(fmt::format("{} is unmounted: {}", entry.mount_point, waited.error().message()));
}

/// Nothing is mounted there, but a daemon may still be busy with what was.
int WaitForLeaving(const UnmountRequest& request, const Error& not_mounted) {
  const auto path = ResolveMountPoint(request.mount_point);
  const auto daemon = path ? FindDaemonOf(*path) : Error(Code::kNotFound, "");
  if (!daemon) return Fail(not_mounted.message());
  MountEntry entry;
  entry.mount_point = *path;
  auto client = ControlClient::ConnectTo(entry);
  if (!client) return Fail(not_mounted.message());
  if (request.force) return EndDaemon(*path, *std::move(client));
  const UniqueFd process = OpenProcess(daemon->pid);
  ProgressDisplay display(ProgressDisplay::StyleFor(request.quiet));
  const Status waited = client->AskWait([] { return Status(); }, ShowOn(display));
  display.Clear();
  if (!waited) return Fail(fmt::format("{}: {}", *path, waited.error().message()));
  const Status ended = process.valid() ? WaitForExit(process) : Status();
  return ended ? kExitOk : Fail(ended.error().message());
}

/// For the service, whose mount point may be free, or somebody else's by now.
int UnmountIfDead(const Result<MountEntry>& entry) {
  if (!entry || !IsDeadMount(entry->mount_point)) return kExitOk;
  const Status unmounted = Unmount(entry->mount_point, true);
  if (!unmounted) return Fail(unmounted.error().message());
  RemoveControlSocket(*entry);
  return kExitOk;
}

}  // namespace

int RunUnmount(const UnmountRequest& request) {
  const auto entry = FindQuayfs(request.mount_point);
  if (request.if_dead) return UnmountIfDead(entry);
  if (entry.Is(Code::kNotFound)) return WaitForLeaving(request, entry.error());
  if (!entry) return Fail(entry.error().message());
  auto client = ControlClient::ConnectTo(*entry);
  if (client.Is(Code::kPermissionDenied)) return Fail(client.error().message());
  if (client && (request.lazy || request.no_wait)) return UnmountNow(*entry, request.lazy);
  if (client) {
    const Style style = ProgressDisplay::StyleFor(request.quiet);
    const Status synced =
        request.force ? SyncWhileItMoves(*client, style) : SyncThrough(*client, style);
    if (synced && !request.force) return UnmountAndWait(*entry, style);
    if (!request.force) {
      return Fail(
          fmt::format("{} stays mounted, not everything is in the bucket: {}; try again, or give "
                      "it up with --force",
                      entry->mount_point, synced.error().message()));
    }
    auto again = ControlClient::ConnectTo(*entry);
    if (!again) return Fail(again.error().message());
    return EndDaemon(entry->mount_point, *std::move(again));
  }
  // A daemon that is gone answers nobody: nothing can be open in a way that matters.
  const bool dead = client.Is(Code::kNotFound) && IsDeadMount(entry->mount_point);
  const Status unmounted = Unmount(entry->mount_point, dead || request.force || request.lazy);
  if (!unmounted) return Fail(unmounted.error().message());
  if (dead) RemoveControlSocket(*entry);
  return kExitOk;
}

int RunSync(const std::string& path, bool quiet) {
  auto resolved = ResolveMountPoint(path);
  if (!resolved) return Fail(fmt::format("there is no {}", path));
  const auto table = ReadMountTable();
  if (!table) return Fail(table.error().message());
  const MountEntry* const entry = FindMountContaining(*table, *resolved);
  if (entry == nullptr || !entry->is_quayfs())
    return Fail(fmt::format("{} does not lie in a quayfs mount", *resolved));
  auto client = ControlClient::ConnectTo(*entry);
  if (!client) return Fail(fmt::format("{}: {}", entry->mount_point, client.error().message()));
  const Status synced = SyncThrough(*client, ProgressDisplay::StyleFor(quiet));
  if (!synced)
    return Fail(fmt::format("not everything is in the bucket: {}", synced.error().message()));
  return kExitOk;
}

}  // namespace quayfs::program
