// SPDX-License-Identifier: Apache-2.0
//
// Moves that many threads want at the same time, in few requests: whoever finds nobody sending
// takes all that are waiting along in one batch; the others wait for its answer. Alone, nobody
// waits for anybody.

#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <utility>
#include <vector>

#include "base/call.h"
#include "base/mutex.h"
#include "base/result.h"
#include "providers/kodo/native_step.h"

namespace quayfs::kodo {

/// Thread-safe. Outlived by nobody who is in Move.
class MoveQueue {
 public:
  /// Sends the steps in their order in one request: an outcome for each, or why there is none.
  using Send = std::function<Result<std::vector<Status>>(const std::vector<NativeStep>& steps,
                                                         const CallOptions& call)>;

  explicit MoveQueue(Send send) : send_(std::move(send)) {}

  /// As NativeClient::Move, and sent once. Blocks until the answer is there; `call` may take it
  /// back until it is sent. One that went with somebody else's request, which that one has given
  /// up, is kUnavailable: it may have been carried out.
  Status Move(const NativeStep& step, const CallOptions& call);

  /// How many wait for somebody else to have been answered.
  size_t waiting() const;

 private:
  struct Waiter {
    const NativeStep* step = nullptr;
    bool sent = false;
    bool done = false;
    Status outcome;
  };

  /// Sends what waits, `own` among it.
  void SendAllLocked(const CallOptions& call, const Waiter& own) QUAY_REQUIRES(mutex_);
  bool TakeBackLocked(const Waiter& waiter, const CallOptions& call) QUAY_REQUIRES(mutex_);

  const Send send_;
  mutable Mutex mutex_{LockRank::kS3Client};
  CondVar changed_;
  bool sending_ QUAY_GUARDED_BY(mutex_) = false;
  std::deque<Waiter*> waiting_ QUAY_GUARDED_BY(mutex_);
};

}  // namespace quayfs::kodo
