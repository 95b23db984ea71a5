// SPDX-License-Identifier: Apache-2.0
//
// libfuse's callbacks, each translated into one call of FileSystem. Private to fs/fuse.

#pragma once

#define FUSE_USE_VERSION 312
#include <fuse_lowlevel.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>

#include "base/executor.h"
#include "fs/file_system.h"
#include "fs/fuse/interrupts.h"

namespace quayfs::fuse_operations {

/// What the kernel can ask, by name; the order is that of Service's counts.
inline constexpr std::array<std::string_view, 33> kOperationNames = {
    "lookup",      "forget",  "forget_multi",   "getattr",     "setattr",    "readlink",
    "mknod",       "mkdir",   "unlink",         "rmdir",       "symlink",    "rename",
    "link",        "open",    "create",         "read",        "write",      "flush",
    "fsync",       "release", "fallocate",      "getxattr",    "listxattr",  "setxattr",
    "removexattr", "opendir", "readdir",        "readdirplus", "releasedir", "fsyncdir",
    "statfs",      "lseek",   "copy_file_range"};

constexpr size_t OperationIndex(std::string_view name) {
  size_t index = 0;
  while (kOperationNames.at(index) != name) ++index;  // a name that is not there does not compile
  return index;
}

/// The userdata of the session. Thread-safe.
class Service {
 public:
  Service(FileSystem& file_system, size_t waiters, Duration interrupt_grace, Duration timeout)
      : file_system_(file_system),
        timeout_(timeout),
        interrupts_(interrupt_grace),
        pool_(std::make_unique<ThreadPool>("quay-wait", waiters)) {}

  FileSystem& file_system() { return file_system_; }
  void Count(size_t operation) { counts_[operation].fetch_add(1, std::memory_order_relaxed); }
  /// It has to wait for the network.
  void CountWait(std::string_view operation) {
    for (size_t i = 0; i < kOperationNames.size(); ++i) {
      if (kOperationNames[i] == operation) waits_[i].fetch_add(1, std::memory_order_relaxed);
    }
  }
  uint64_t waits(size_t operation) const { return waits_[operation]; }
  uint64_t count(size_t operation) const { return counts_[operation]; }
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
  std::array<std::atomic<uint64_t>, kOperationNames.size()> counts_{};
  std::array<std::atomic<uint64_t>, kOperationNames.size()> waits_{};
  const Duration timeout_;
  Interrupts interrupts_;
  std::unique_ptr<ThreadPool> pool_;
};

/// All operations but init.
fuse_lowlevel_ops Table();

}  // namespace quayfs::fuse_operations
