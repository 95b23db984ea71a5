// SPDX-License-Identifier: Apache-2.0
//
// libfuse's callbacks, each translated into one call of FileSystem. Private to fs/fuse.

#pragma once

#define FUSE_USE_VERSION 312
#include <fuse_lowlevel.h>

#include <functional>
#include <memory>

#include "base/executor.h"
#include "fs/file_system.h"
#include "fs/fuse/interrupts.h"

namespace quayfs::fuse_operations {

/// The userdata of the session. Thread-safe.
class Service {
 public:
  Service(FileSystem& file_system, size_t waiters, Duration interrupt_grace, Duration timeout)
      : file_system_(file_system),
        timeout_(timeout),
        interrupts_(interrupt_grace),
        pool_(std::make_unique<ThreadPool>("quay-wait", waiters)) {}

  FileSystem& file_system() { return file_system_; }
  /// How long a call waits for a store that does not answer; 0: until it does.
  Duration timeout() const { return timeout_; }
  Interrupts& interrupts() { return interrupts_; }
  /// Runs what has to wait for the network.
  void Post(std::function<void()> task) { pool_->Post(std::move(task)); }
  /// Tells what is waiting to give up.
  void StopWaiting() { interrupts_.StopAll(); }
  /// Returns when nothing is under way any more; nothing may be posted afterwards.
  void Drain() { pool_.reset(); }

 private:
  FileSystem& file_system_;
  const Duration timeout_;
  Interrupts interrupts_;
  std::unique_ptr<ThreadPool> pool_;
};

/// All operations but init.
fuse_lowlevel_ops Table();

}  // namespace quayfs::fuse_operations
