// SPDX-License-Identifier: Apache-2.0

#include "fs/program/dead_sockets.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdio>  // renameat2
#include <optional>
#include <vector>

#include "base/disk.h"
#include "fs/program/control_client.h"
#include "fs/program/control_protocol.h"

namespace quayfs::program {
namespace {

std::optional<struct stat> Look(int directory, const std::string& name) {
  struct stat info {};
  if (::fstatat(directory, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) return std::nullopt;
  return info;
}

bool Same(const std::optional<struct stat>& a, const std::optional<struct stat>& b) {
  return a && b && a->st_ino == b->st_ino && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
         a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

}  // namespace

void RemoveDeadSocket(const std::string& path, int directory, const std::string& name) {
  const auto before = Look(directory, name);
  if (!ControlClient::Connect(path + "/" + name).Is(Code::kNotFound)) return;
  // Whatever has the name is taken aside; only then it cannot be exchanged any more.
  static std::atomic<uint64_t> count = 0;
  const std::string aside = ".dead-" + std::to_string(::getpid()) + "-" + std::to_string(++count);
  if (!Same(before, Look(directory, name)) ||
      ::renameat(directory, name.c_str(), directory, aside.c_str()) != 0) {
    return;
  }
  const bool dead = Same(before, Look(directory, aside));
  if (!dead &&
      ::renameat2(directory, aside.c_str(), directory, name.c_str(), RENAME_NOREPLACE) == 0)
    return;
  ::unlinkat(directory, aside.c_str(), 0);
}

void RemoveDeadSockets(const std::string& path, int directory) {
  const Result<std::vector<DiskEntry>> entries = SystemDisk().List(path);
  if (!entries) return;
  for (const DiskEntry& entry : *entries) {
    if (entry.name.ends_with(kControlSocketSuffix)) RemoveDeadSocket(path, directory, entry.name);
  }
}

}  // namespace quayfs::program
