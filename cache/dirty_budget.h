// SPDX-License-Identifier: Apache-2.0
//
// How many bytes wait for the bucket, and what becomes of writers when they are too many.
//
//   waiting bytes        writers                                                the owner
//   below half           go on                                                  takes its time
//   half to the limit    are held back, the more the closer to the limit:       is told to hurry
//                        at the limit to the rate at which bytes are sent
//   at the limit         wait until there is less, however long the store       is told to hurry
//                        is away
//   below a quarter      go on                                                  takes its time
//   again
//
// A write is let in while there are fewer bytes than the limit, whatever its own size. A file that
// is alone larger than the limit stops its writer, too: the owner, told to hurry, publishes it as
// it is, open or not (a state that it really had), and the writer goes on with what it adds.
//
// Running out of disk is another matter: then whoever writes waits as long as bytes leave for the
// bucket, and is told that the disk is full when nothing has left for `patience`.

#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <utility>

#include "base/call.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/mutex.h"
#include "base/result.h"

namespace quayfs {

/// Thread-safe. What waits, waits by the real clock, and can be called off.
class DirtyBudget {
 public:
  /// `limit` 0: there is none.
  DirtyBudget(uint64_t limit, Duration patience) : limit_(limit), patience_(patience) {}

  /// The share of one file has changed. Never blocks.
  void Changed(uint64_t before, uint64_t after);
  /// So many bytes have been taken by the store: a part, an object.
  void Sent(uint64_t bytes);

  uint64_t bytes() const { return bytes_; }
  uint64_t limit() const { return limit_; }

  /// `hurry` is called with true when what waits should leave soon, with false when that is over;
  /// by writers, without locks. Set while nobody writes.
  void OnPressure(std::function<void(bool)> hurry) { hurry_ = std::move(hurry); }

  /// Before a write of so many bytes. REQUIRES: no locks held. With `may_block` false kWouldBlock
  /// instead of waiting. kCancelled, kTimedOut.
  Status Admit(uint64_t bytes, bool may_block, const CallOptions& call);
  /// The disk is full, as `full` says: returns when something has left, `full` if nothing does.
  Status AwaitDrain(const Error& full, bool may_block, const CallOptions& call);

  /// How long a write of `size` bytes is held back; `rate` is in bytes per second, 0: not known.
  static Duration PauseFor(uint64_t size, uint64_t waiting, uint64_t limit, double rate);

 private:
  void Press(uint64_t waiting);
  double RateLocked(SteadyTime now) const QUAY_REQUIRES(mutex_);

  const uint64_t limit_;
  const Duration patience_;
  std::function<void(bool)> hurry_;
  std::atomic<uint64_t> bytes_{0};
  std::atomic<bool> pressed_{false};

  Mutex mutex_{LockRank::kCacheBudget};
  CondVar changed_;
  uint64_t drained_ QUAY_GUARDED_BY(mutex_) = 0;  // how often something has left
  Duration owed_ QUAY_GUARDED_BY(mutex_){0};      // by the next writer: pauses too short to make
  double rate_ QUAY_GUARDED_BY(mutex_) = 0;
  uint64_t window_bytes_ QUAY_GUARDED_BY(mutex_) = 0;
  std::optional<SteadyTime> window_ QUAY_GUARDED_BY(mutex_);  // since when they are counted
};

}  // namespace quayfs
