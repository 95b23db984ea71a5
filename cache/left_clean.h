// SPDX-License-Identifier: Apache-2.0
//
// Files whose clean bytes an earlier mount has left (C5), and that nobody has opened yet. They take
// room, so they count, and go first when room is needed: as whole files.

#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "base/disk.h"
#include "base/mutex.h"
#include "cache/clean_budget.h"
#include "cache/clean_sums.h"
#include "cache/file_data.h"
#include "cache/state/state_db.h"

namespace quayfs {

/// Thread-safe. Held by a shared_ptr.
class LeftClean final : public Evictable, public std::enable_shared_from_this<LeftClean> {
 public:
  LeftClean(std::string directory, Disk& disk, StateDb& state, CleanBudget& budget, CleanSums& sums)
      : directory_(std::move(directory)),
        disk_(disk),
        state_(state),
        budget_(budget),
        sums_(sums) {}

  /// A file with so many clean bytes, and a row.
  void Add(uint64_t inode, uint64_t bytes);
  /// What is there of `base`, from now on for the caller to count. What is there of another version
  /// is dropped.
  std::optional<CleanRow> Take(uint64_t inode, const BaseVersion& base);
  void Drop(uint64_t inode);

  void Evict(ByteRange range) override;

 private:
  bool Forget(uint64_t inode);
  void RemoveFile(uint64_t inode);

  const std::string directory_;
  Disk& disk_;
  StateDb& state_;
  CleanBudget& budget_;
  CleanSums& sums_;
  Mutex mutex_{LockRank::kFetch};
  /// The budget counts ranges: each file has one of its own, in segments of its own.
  std::map<uint64_t, ByteRange> ranges_ QUAY_GUARDED_BY(mutex_);  // by inode
  std::map<uint64_t, uint64_t> inodes_ QUAY_GUARDED_BY(mutex_);   // by where the range begins
  uint64_t end_ QUAY_GUARDED_BY(mutex_) = 0;
};

}  // namespace quayfs
