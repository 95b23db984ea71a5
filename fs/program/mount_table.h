// SPDX-License-Identifier: Apache-2.0
//
// What is mounted where, by the kernel's own account (/proc/self/mountinfo, proc(5)). Reading it
// never touches a mount point, so a file system whose daemon hangs or is gone cannot hold it up.

#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace quayfs::program {

struct MountEntry {
  dev_t device = 0;
  std::string mount_point;  // unescaped
  std::string options;      // "rw,nosuid,nodev"
  std::string type;         // "fuse.quayfs"
  std::string source;
  std::string super_options;

  bool is_quayfs() const { return type == "fuse.quayfs"; }
  /// The user whose daemon serves it, from "user_id=".
  std::optional<uid_t> owner() const;
};

/// In the order in which they were mounted; lines that make no sense are left out.
std::vector<MountEntry> ParseMountTable(std::string_view text);
Result<std::vector<MountEntry>> ReadMountTable();

/// The topmost mount exactly at `path`, or null.
const MountEntry* FindMountAt(const std::vector<MountEntry>& table, std::string_view path);
/// The mount that an absolute path without symbolic links lies in, or null.
const MountEntry* FindMountContaining(const std::vector<MountEntry>& table, std::string_view path);

}  // namespace quayfs::program
