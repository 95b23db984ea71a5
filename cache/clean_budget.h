// SPDX-License-Identifier: Apache-2.0
//
// How many clean bytes all files hold, and which were used longest ago. Whole segments of a file
// age together.

#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "base/byte_range.h"
#include "base/mutex.h"

namespace quayfs {

/// Holds clean bytes.
class Evictable {
 public:
  virtual ~Evictable() = default;
  /// Drops the clean bytes of `range` that nobody needs right now, and tells the budget. Called
  /// without locks.
  virtual void Evict(ByteRange range) = 0;
};

/// Thread-safe. Counts; the owners do the dropping.
class CleanBudget {
 public:
  static constexpr uint64_t kSegment = 8ull << 20;

  explicit CleanBudget(uint64_t limit) : limit_(limit) {}

  /// `range` of `owner` became clean / is clean no more. Adding counts as use.
  void Add(const std::shared_ptr<Evictable>& owner, ByteRange range);
  void Subtract(const Evictable* owner, ByteRange range);
  void Touch(const Evictable* owner, ByteRange range);
  /// Everything of `owner`, which is going away or has dropped it.
  void Forget(const Evictable* owner);

  uint64_t bytes() const;

  /// Evicts what was used longest ago until the limit is kept or nothing more can go. REQUIRES: no
  /// locks held.
  void Enforce() { Shrink(limit_); }
  /// The same for a lower limit, when the disk is fuller than expected.
  void Shrink(uint64_t limit);

 private:
  using Key = std::pair<const Evictable*, uint64_t>;
  struct Segment {
    Key key;
    std::weak_ptr<Evictable> owner;
    uint64_t bytes = 0;
  };
  using List = std::list<Segment>;  // most recently used first

  void Remove(std::map<Key, List::iterator>::iterator it) QUAY_REQUIRES(mutex_);
  /// The oldest segment; it becomes the newest, so that the next call tries another. Null when
  /// within the limit.
  std::shared_ptr<Evictable> TakeVictim(uint64_t limit, ByteRange* range);

  const uint64_t limit_;
  mutable Mutex mutex_{LockRank::kCacheBudget};
  List segments_ QUAY_GUARDED_BY(mutex_);
  std::map<Key, List::iterator> index_ QUAY_GUARDED_BY(mutex_);
  uint64_t bytes_ QUAY_GUARDED_BY(mutex_) = 0;
};

}  // namespace quayfs
