// SPDX-License-Identifier: Apache-2.0

#include "fs/gates.h"

#include <algorithm>
#include <functional>
#include <utility>

namespace quayfs {
namespace {

// Waits on `changed` until `free()`; the stop request wakes the waiter through the same condition.
Status WaitUntilFree(Mutex& mutex, CondVar& changed, bool may_block, const CallOptions& call,
                     const std::function<bool()>& free) QUAY_REQUIRES(mutex) {
  while (!free()) {
    if (!may_block) return Error(Code::kWouldBlock, "another operation is at work here");
    if (call.cancel.stop_requested())
      return Error(Code::kCancelled, "cancelled while waiting for another operation");
    const SteadyTime now = std::chrono::steady_clock::now();
    if (call.deadline && now >= *call.deadline) {
      return Error(Code::kTimedOut, "another operation took too long");
    }
    // The bound only limits how late a cancellation is seen; every release notifies.
    SteadyTime until = now + std::chrono::milliseconds(100);
    if (call.deadline) until = std::min(until, *call.deadline);
    changed.WaitUntil(mutex, until);
  }
  return {};
}

}  // namespace

Status Gates::Take(const std::vector<uint64_t>& ids, bool may_block, const CallOptions& call) {
  MutexLock lock(mutex_);
  const auto free = [&]() QUAY_NO_THREAD_SAFETY_ANALYSIS {
    // A loop: an algorithm's lambda in here would be analysed for itself.
    for (const uint64_t id : ids) {
      if (taken_.contains(id)) return false;
    }
    return true;
  };
  QUAY_TRY(WaitUntilFree(mutex_, changed_, may_block, call, free));
  taken_.insert(ids.begin(), ids.end());
  return {};
}

void Gates::Give(const std::vector<uint64_t>& ids) {
  MutexLock lock(mutex_);
  for (const uint64_t id : ids) taken_.erase(id);
  changed_.NotifyAll();
}

Status GateHold::Take(Gates& gates, std::vector<uint64_t> ids, bool may_block,
                      const CallOptions& call) {
  QUAY_CHECK(gates_ == nullptr);
  QUAY_TRY(gates.Take(ids, may_block, call));
  gates_ = &gates;
  ids_ = std::move(ids);
  return {};
}

void GateHold::Release() {
  if (gates_ != nullptr) std::exchange(gates_, nullptr)->Give(ids_);
}

}  // namespace quayfs
