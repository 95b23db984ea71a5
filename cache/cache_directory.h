// SPDX-License-Identifier: Apache-2.0
//
// The cache directory itself: who may use it, that only one daemon does, and where what lies in it.
//
//   lock             whose it is
//   state.db         what must not be forgotten (cache/state)
//   data/XX/INODE    the bytes of a file, sparse; XX are the low eight bits in hex
//   data/XX/INODE.sealed   what some of them were when the file was last sealed (kept_bytes.h)
//   set-aside/       bytes that could not be trusted after a power cut, for people to look at

#pragma once

#include <cstdint>
#include <string>

#include "base/disk.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace quayfs {

/// Holds the lock on a cache directory for as long as it lives. Movable.
class CacheDirectory {
 public:
  /// Makes DIRECTORY and what belongs into it.
  /// kBusy: another process uses it. kNotPermitted: not a directory, a symbolic link, somebody
  /// else's, or writable for others.
  static Result<CacheDirectory> Open(const std::string& directory, Disk& disk);

 private:
  explicit CacheDirectory(UniqueFd lock) : lock_(std::move(lock)) {}
  UniqueFd lock_;
};

/// Nothing, if DIRECTORY is not there. kNoSpace: changes could not be recorded in it (64 KiB are
/// not free). Whoever wants to read only what is there need not ask. Leaves nothing behind.
Status CheckRoom(const std::string& directory);

std::string DataRoot(const std::string& directory);
std::string DataFolder(const std::string& directory, uint64_t inode);
std::string DataFile(const std::string& directory, uint64_t inode);
std::string SetAsideFolder(const std::string& directory);

}  // namespace quayfs
