// SPDX-License-Identifier: Apache-2.0
//
// Tells the kernel which names and attributes it should ask for again. From a thread of its own and
// without locks: the kernel may take its time, since it waits for calls in the same directory,
// which wait for us. Private to fs/fuse.

#pragma once

#include <deque>
#include <mutex>
#include <thread>

#include "base/mutex.h"
#include "fs/file_system.h"
#include "fs/fuse/operations.h"

namespace quayfs {

/// Thread-safe.
class Notifier {
 public:
  /// Listens to `file_system`. Both outlive it.
  Notifier(FileSystem& file_system, fuse_session* session);
  ~Notifier() { Stop(); }
  Notifier(const Notifier&) = delete;
  Notifier& operator=(const Notifier&) = delete;

  /// Tells no more, and returns when the kernel has taken what it is being told: while that waits
  /// for a call, somebody has to answer calls. Any number of times.
  void Stop();

 private:
  void Run();
  void Tell(const Outdated& outdated) const;

  FileSystem& file_system_;
  fuse_session* const session_;
  Mutex mutex_{LockRank::kLeaf};
  CondVar noted_;
  std::deque<Outdated> queue_ QUAY_GUARDED_BY(mutex_);
  bool stopping_ QUAY_GUARDED_BY(mutex_) = false;
  std::once_flag joined_;
  std::thread thread_;
};

}  // namespace quayfs
