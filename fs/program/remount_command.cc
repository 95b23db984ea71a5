// SPDX-License-Identifier: Apache-2.0

#include <fmt/format.h>
#include <sys/mount.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/text.h"
#include "fs/program/commands.h"
#include "fs/program/control_client.h"
#include "fs/program/exit_status.h"
#include "fs/program/launch.h"
#include "fs/program/messages.h"
#include "fs/program/mount_point.h"
#include "fs/program/mount_table.h"

namespace quayfs::program {
namespace {

struct KernelFlag {
  std::string_view name;
  unsigned long bits;
  bool set;
};

// Options of mount(2). Everything else that a line of fstab may hold is for the daemon, which takes
// it when it starts: mount(8) hands over the whole line even where only "ro" is to change.
constexpr std::array kKernelFlags = {
    KernelFlag{"ro", MS_RDONLY, true},
    KernelFlag{"rw", MS_RDONLY, false},
    KernelFlag{"nosuid", MS_NOSUID, true},
    KernelFlag{"suid", MS_NOSUID, false},
    KernelFlag{"nodev", MS_NODEV, true},
    KernelFlag{"dev", MS_NODEV, false},
    KernelFlag{"noexec", MS_NOEXEC, true},
    KernelFlag{"exec", MS_NOEXEC, false},
    KernelFlag{"noatime", MS_NOATIME, true},
    KernelFlag{"atime", MS_NOATIME, false},
    KernelFlag{"nodiratime", MS_NODIRATIME, true},
    KernelFlag{"diratime", MS_NODIRATIME, false},
    KernelFlag{"relatime", MS_RELATIME, true},
    KernelFlag{"norelatime", MS_RELATIME, false},
};

void Apply(std::string_view option, unsigned long* flags) {
  for (const KernelFlag& flag : kKernelFlags) {
    if (flag.name != option) continue;
    *flags = flag.set ? *flags | flag.bits : *flags & ~flag.bits;
  }
}

int Fail(const std::string& message) {
  PrintError(OneLine(message));
  return kExitFailed;
}

/// The daemon itself refuses changes, whatever the kernel lets through.
bool DaemonIsReadOnly(const MountEntry& entry) {
  auto client = ControlClient::ConnectTo(entry);
  if (!client) return false;
  const auto status = client->AskStatus();
  return status && status->is_object() &&
         status->value("read_only", nlohmann::json(false)) == nlohmann::json(true);
}

}  // namespace

int RunRemount(const std::string& mount_point, const std::vector<std::string>& options) {
  const auto path = ResolveMountPoint(mount_point);
  if (!path) return Fail(path.error().message());
  const auto table = ReadMountTable();
  if (!table) return Fail(table.error().message());
  const MountEntry* const entry = FindMountAt(*table, *path);
  if (entry == nullptr || !entry->is_quayfs())
    return Fail(fmt::format("no quayfs is mounted at {}", *path));
  if (::geteuid() != 0)
    return Fail("only root may remount; unmount, and mount again with other options");

  unsigned long flags = 0;
  for (const std::string_view now : Split(entry->options, ',')) Apply(now, &flags);
  for (const std::string& option : options) Apply(option, &flags);
  if ((flags & MS_RDONLY) == 0 && DaemonIsReadOnly(*entry)) {
    return Fail(fmt::format(
        "{} was mounted read-only, and cannot become writable: unmount it and mount it again",
        *path));
  }
  if (::mount("none", path->c_str(), nullptr, MS_REMOUNT | flags, nullptr) == 0) return kExitOk;
  const int error = errno;
  if (error == EBUSY) {
    return Fail(fmt::format(
        "{} is busy: a program has a file open for writing; fuser -vm {} names it", *path, *path));
  }
  return Fail(ErrnoError(error, "remount " + *path).message());
}

}  // namespace quayfs::program
