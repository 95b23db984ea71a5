// SPDX-License-Identifier: Apache-2.0
//
// The file system's vocabulary: inodes, attributes, who is asking.

#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>

#include "base/call.h"
#include "base/clock.h"

namespace quayfs {

/// Never reused during a mount. 0 is no inode.
using Ino = uint64_t;
inline constexpr Ino kRootIno = 1;
inline constexpr size_t kNameMax = 255;      // bytes of one path component
inline constexpr size_t kSymlinkMax = 4095;  // bytes of a symbolic link's target

/// As stat(2) reports them. `mode` has the type bits.
struct Attributes {
  Ino ino = 0;
  mode_t mode = 0;
  uid_t uid = 0;
  gid_t gid = 0;
  uint32_t nlink = 1;
  dev_t rdev = 0;
  uint64_t size = 0;
  uint64_t blocks = 0;  // of 512 bytes
  WallTime atime{};
  WallTime mtime{};
  WallTime ctime{};
};

/// What setattr changes; absent fields stay as they are. `mode` without type bits.
struct AttributeChange {
  std::optional<mode_t> mode;
  std::optional<uid_t> uid;
  std::optional<gid_t> gid;
  std::optional<uint64_t> size;
  std::optional<WallTime> atime;
  std::optional<WallTime> mtime;
  bool atime_now = false;
  bool mtime_now = false;
};

/// Who asks, and how long the answer may take.
struct OpContext {
  uid_t uid = 0;
  gid_t gid = 0;
  pid_t pid = 0;
  mode_t umask = 0;  // for new entries, where no default list takes its place
  /// False: answer from memory and local disk, or fail with kWouldBlock having changed nothing, so
  /// that the caller can run the same operation again on a thread that may wait.
  bool may_block = true;
  /// Of a write: the kernel writes back a page of a mapping, by any handle that it finds. It goes
  /// to its place, O_APPEND or not, and says nothing about who wrote.
  bool page_writeback = false;
  CallOptions call;
};

/// An inode as the kernel gets to know it. The caller owes one Forget(ino, 1) for each Entry it
/// takes, unless ino is 0.
struct Entry {
  Ino ino = 0;  // 0: no such name (a negative entry), worth remembering for entry_valid
  Attributes attributes;
  Duration entry_valid{0};
  Duration attributes_valid{0};
};

struct DirectoryEntry {
  std::string name;
  Ino ino = 0;
  mode_t type = 0;  // S_IFMT bits, 0 if nobody has looked yet
  std::optional<Entry>
      full;  // for readdirplus, where everything is known; counts as one lookup if taken
};

struct FileSystemStats {
  uint64_t total_bytes = 0;
  uint64_t free_bytes = 0;
  uint64_t files = 0;
  uint64_t free_files = 0;
};

}  // namespace quayfs
