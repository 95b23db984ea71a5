// SPDX-License-Identifier: Apache-2.0
//
// What a test wants to happen at some place of a fake, changed while others may be running there.

#pragma once

#include <functional>
#include <utility>

#include "base/mutex.h"
#include "base/result.h"

namespace quayfs {

/// Thread-safe. Does nothing until a function is assigned.
template <typename... Arguments>
class Hook {
 public:
  using Function = std::function<Status(Arguments...)>;

  Hook& operator=(Function function) {
    MutexLock lock(mutex_);
    function_ = std::move(function);
    return *this;
  }
  /// Calls what is assigned now, without a lock.
  Status operator()(Arguments... arguments) const {
    Function function;
    {
      MutexLock lock(mutex_);
      function = function_;
    }
    return function ? function(arguments...) : Status();
  }

 private:
  mutable Mutex mutex_{LockRank::kLeaf};
  Function function_ QUAY_GUARDED_BY(mutex_);
};

}  // namespace quayfs
