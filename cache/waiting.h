// SPDX-License-Identifier: Apache-2.0
//
// Waiting under a mutex that a caller can call off.

#pragma once

#include "base/call.h"
#include "base/mutex.h"
#include "base/result.h"

namespace quayfs {

/// Waits on `wake` once; the caller tests its condition in a loop around it. kCancelled and
/// kTimedOut as CallOptions says; a cancellation is noticed within a twentieth of a second, without
/// the canceller taking part in our locks.
Status WaitOnce(CondVar& wake, Mutex& mutex, const CallOptions& call) QUAY_REQUIRES(mutex);

}  // namespace quayfs
