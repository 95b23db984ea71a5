// SPDX-License-Identifier: Apache-2.0
//
// Where work runs, as a seam: a pool of threads in production, a queue that the test steps by hand
// otherwise.

#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <list>
#include <string>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "base/result.h"

namespace quayfs {

/// Thread-safe.
class Executor {
 public:
  virtual ~Executor() = default;
  /// Runs `task` some time later, never inside this call. Tasks do not throw. Tasks posted to a
  /// pool that is shutting down still run.
  virtual void Post(std::function<void()> task) = 0;
};

/// Starts threads as tasks arrive and none is idle, up to `max_threads`; further tasks queue first
/// in, first out. Threads that have been idle for ten seconds end. The destructor runs everything
/// that was posted, then joins; it must not run in a task of its own pool. Threads carry the pool's
/// name (its first 15 bytes) and leave asynchronous signals to others.
class ThreadPool final : public Executor {
 public:
  ThreadPool(std::string name, size_t max_threads);
  ~ThreadPool() override;
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  void Post(std::function<void()> task) override;

  size_t queued() const;
  size_t threads() const;

 private:
  void Run();
  bool TakeTask(std::function<void()>* task) QUAY_REQUIRES(mutex_);
  void StartThread() QUAY_REQUIRES(mutex_);

  const std::string name_;
  const size_t max_threads_;
  mutable Mutex mutex_{LockRank::kExecutor};
  CondVar wake_;
  CondVar ended_;
  std::deque<std::function<void()>> tasks_ QUAY_GUARDED_BY(mutex_);
  std::list<std::thread> threads_ QUAY_GUARDED_BY(mutex_);
  // Threads that have left, to be joined by the next one that leaves or by the destructor.
  std::list<std::thread> left_ QUAY_GUARDED_BY(mutex_);
  size_t idle_ QUAY_GUARDED_BY(mutex_) = 0;
  bool stopping_ QUAY_GUARDED_BY(mutex_) = false;
};

/// Runs nothing until told to.
class ManualExecutor final : public Executor {
 public:
  void Post(std::function<void()> task) override;
  /// Runs up to `count` queued tasks in the calling thread, and says how many it ran.
  size_t RunTasks(size_t count);
  /// Runs until the queue is empty.
  size_t RunAll();

 private:
  Mutex mutex_{LockRank::kExecutor};
  std::deque<std::function<void()>> tasks_ QUAY_GUARDED_BY(mutex_);
};

/// Calls `body(0) ... body(count - 1)` on `executor`, at most `parallel` at a time, and waits for
/// all of them. After the first failure no further index is started; that first failure is
/// returned. Must not be called from a task of the same bounded executor: it would wait for its own
/// thread.
Status ParallelFor(Executor& executor, size_t count, size_t parallel,
                   const std::function<Status(size_t)>& body);

}  // namespace quayfs
