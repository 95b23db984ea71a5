// SPDX-License-Identifier: Apache-2.0
//
// The cache directory itself: who may use it, and that only one daemon does.

#pragma once

#include <string>

#include "base/disk.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace quayfs {

/// Holds the lock on a cache directory for as long as it lives. Movable.
class CacheDirectory {
 public:
  /// Makes DIRECTORY and what belongs into it, and clears data files of an earlier mount.
  /// kBusy: another process uses it. kNotPermitted: not a directory, a symbolic link, somebody
  /// else's, or writable for others.
  static Result<CacheDirectory> Open(const std::string& directory, Disk& disk);

 private:
  explicit CacheDirectory(UniqueFd lock) : lock_(std::move(lock)) {}
  UniqueFd lock_;
};

}  // namespace quayfs
