// SPDX-License-Identifier: Apache-2.0
//
// Turns at things that take as long as the network takes. A mutex may not be held across a request;
// a gate is a note, kept under a mutex for a moment, that somebody is busy with something, which
// others wait for. Whoever needs several takes them in one call. Thread-safe.

#pragma once

#include <cstdint>
#include <set>
#include <vector>

#include "base/call.h"
#include "base/mutex.h"
#include "base/result.h"

namespace quayfs {

class Gates {
 public:
  /// Waits until nobody holds any of `ids`, then takes all. kWouldBlock if `may_block` is false and
  /// one is taken; kCancelled, kTimedOut as the call says.
  Status Take(const std::vector<uint64_t>& ids, bool may_block, const CallOptions& call);
  void Give(const std::vector<uint64_t>& ids);

 private:
  Mutex mutex_{LockRank::kHandles};
  CondVar changed_;
  std::set<uint64_t> taken_ QUAY_GUARDED_BY(mutex_);
};

/// Gives back what it holds when it goes. Take() returns the failure and holds nothing then.
class GateHold {
 public:
  GateHold() = default;
  ~GateHold() { Release(); }
  GateHold(const GateHold&) = delete;
  GateHold& operator=(const GateHold&) = delete;

  Status Take(Gates& gates, std::vector<uint64_t> ids, bool may_block, const CallOptions& call);
  void Release();

 private:
  Gates* gates_ = nullptr;
  std::vector<uint64_t> ids_;
};

}  // namespace quayfs
