// SPDX-License-Identifier: Apache-2.0
//
// A limit on the bytes of file contents that are held in memory while they are being sent.

#pragma once

#include <cstdint>
#include <deque>

#include "base/call.h"
#include "base/mutex.h"
#include "base/result.h"

namespace quayfs {

/// Thread-safe. First come, first served: a large request is not overtaken for ever by small ones.
class SnapshotMemory {
 public:
  explicit SnapshotMemory(uint64_t limit) : limit_(limit) {}

  /// Gives the bytes back when it goes.
  class Grant {
   public:
    Grant(SnapshotMemory* owner, uint64_t bytes) : owner_(owner), bytes_(bytes) {}
    Grant(Grant&& other) noexcept : owner_(other.owner_), bytes_(other.bytes_) {
      other.owner_ = nullptr;
    }
    Grant& operator=(Grant&&) = delete;
    Grant(const Grant&) = delete;
    Grant& operator=(const Grant&) = delete;
    ~Grant() {
      if (owner_ != nullptr) owner_->Release(bytes_);
    }

   private:
    SnapshotMemory* owner_;
    uint64_t bytes_;
  };

  /// Waits for room. More than the limit is granted when nothing else is held. kCancelled,
  /// kTimedOut.
  Result<Grant> Acquire(uint64_t bytes, const CallOptions& call);

 private:
  void Release(uint64_t bytes);

  const uint64_t limit_;
  Mutex mutex_{LockRank::kCacheBudget};
  CondVar changed_;
  uint64_t held_ QUAY_GUARDED_BY(mutex_) = 0;
  uint64_t next_ticket_ QUAY_GUARDED_BY(mutex_) = 0;
  std::deque<uint64_t> waiting_ QUAY_GUARDED_BY(mutex_);  // tickets
};

}  // namespace quayfs
