// SPDX-License-Identifier: Apache-2.0
//
// Moves the state database's write-ahead log into the database (a passive checkpoint) in a thread
// of its own, so that no commit waits for the disk's flushes meanwhile. Commits go on beside it;
// what they add stays in the log for the next time.
//
// It is not what bounds the log: while commits come without a pause the log never begins anew by
// this alone. That is up to whoever commits.
//
// Thread-safe. The destructor waits for a move that has begun.

#pragma once

#include <atomic>
#include <functional>
#include <string>

#include "base/executor.h"
#include "base/result.h"
#include "cache/state/sqlite.h"

namespace quayfs {

/// Moves what lies in the log of `connection`. A disk without room, and a move that is under way
/// elsewhere, are no failure: the log only grows. Blocks on the disk.
Status MoveLog(SqlConnection& connection);

class LogMover {
 public:
  /// `failed` is called in its thread; it may take the locks of whoever calls Begin.
  LogMover(std::string path, std::function<void(const Error&)> failed)
      : path_(std::move(path)), failed_(std::move(failed)) {}

  /// Nothing happens if a move is under way. Never blocks.
  void Begin();
  bool under_way() const { return under_way_; }

 private:
  Status Move();

  const std::string path_;
  const std::function<void(const Error&)> failed_;
  std::atomic<bool> under_way_ = false;
  SqlConnection connection_;  // of the pool's one thread, which opens it
  ThreadPool pool_{"state-log", 1};
};

}  // namespace quayfs
