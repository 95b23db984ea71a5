// SPDX-License-Identifier: Apache-2.0

#include "cache/waiting.h"

#include <algorithm>
#include <chrono>

namespace quayfs {

Status WaitOnce(CondVar& wake, Mutex& mutex, const CallOptions& call) {
  if (call.cancel.stop_requested()) return Error(Code::kCancelled, "cancelled while waiting");
  const auto now = std::chrono::steady_clock::now();
  if (call.deadline && now >= *call.deadline) {
    return Error(Code::kTimedOut, "ran out of time while waiting");
  }
  if (!call.cancel.stop_possible() && !call.deadline) {
    wake.Wait(mutex);
    return {};
  }
  auto until = now + std::chrono::milliseconds(50);
  if (call.deadline) until = std::min(until, *call.deadline);
  wake.WaitUntil(mutex, until);
  return {};
}

}  // namespace quayfs
