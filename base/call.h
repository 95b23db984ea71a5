// SPDX-License-Identifier: Apache-2.0
//
// How long a caller is willing to wait, and how it changes its mind.

#pragma once

#include <cstdint>
#include <optional>
#include <stop_token>

#include "base/clock.h"

namespace quayfs {

/// Passed by const reference into everything that can block on the network. A blocking call returns
/// kCancelled soon after `cancel` is requested, and kTimedOut soon after `deadline` (by the steady
/// clock) has passed.
struct CallOptions {
  std::stop_token cancel;
  std::optional<SteadyTime> deadline;
  /// What the service itself has to move for the request (a copy), in bytes: the longer it may be
  /// silent. Absent: not known.
  std::optional<uint64_t> work_bytes;
};

/// `call`, for a request that moves `bytes` within the service.
inline CallOptions WithWork(CallOptions call, uint64_t bytes) {
  call.work_bytes = bytes;
  return call;
}

}  // namespace quayfs
