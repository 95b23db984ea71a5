// SPDX-License-Identifier: Apache-2.0
//
// One thread that waits for SIGTERM, SIGINT and SIGHUP; everywhere else they are blocked
// (BlockSignals).

#pragma once

#include <functional>
#include <memory>

#include "base/result.h"

namespace quayfs::program {

class SignalWatcher {
 public:
  virtual ~SignalWatcher() = default;  // stops watching; waits for a handler that is running

  /// Calls `on_signal(number, count)` on its thread for each SIGTERM and SIGINT; `count` is 1 for
  /// the first of them. For SIGHUP it is 0. REQUIRES: BlockSignals() before any thread was
  /// started.
  static Result<std::unique_ptr<SignalWatcher>> Start(
      std::function<void(int signal, int count)> on_signal);
};

}  // namespace quayfs::program
