// SPDX-License-Identifier: Apache-2.0
//
// Keeps the last bit of the cache's disk for the database: without it nothing could be published,
// and so nothing could make room.

#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <utility>

#include "base/disk.h"
#include "base/result.h"

namespace quayfs {

/// Thread-safe.
class DiskRoom {
 public:
  DiskRoom(Disk& disk, std::string directory) : disk_(disk), directory_(std::move(directory)) {}

  /// Before so many bytes are added to data files. kNoSpace if only the reserve is left: a
  /// sixteenth of the disk, and not more than 32 MiB. The disk is not asked every time.
  Status Take(uint64_t bytes);

 private:
  Disk& disk_;
  const std::string directory_;
  std::atomic<int64_t> credit_{0};
};

}  // namespace quayfs
