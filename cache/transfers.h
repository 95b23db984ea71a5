// SPDX-License-Identifier: Apache-2.0
//
// Who may use the network next: a fixed number of transfers at a time, shared fairly.
//
// Tasks belong to a flow (a file). Flows take turns, so a small file waits for one turn, not for
// the thousand parts of a large one; and no flow may hold more than three quarters of the slots.
// Reads that somebody waits for go first, and an eighth of the slots is kept for them.
//
// A task must never wait for another task: it would wait for its own thread.

#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>

#include "base/executor.h"
#include "base/mutex.h"

namespace quayfs {

/// Thread-safe. The destructor runs what was posted, then joins.
class Transfers {
 public:
  enum class Lane { kUrgent, kBulk };
  using Flow = uint64_t;

  explicit Transfers(size_t slots);
  ~Transfers();
  Transfers(const Transfers&) = delete;
  Transfers& operator=(const Transfers&) = delete;

  /// May be called from a task.
  void Post(Flow flow, Lane lane, std::function<void()> task);

  /// Runs a bulk task in the calling thread, which may not be that of a task, if it need not wait
  /// for a slot; false if it would have to. Blocks as long as the task does.
  bool RunHere(Flow flow, const std::function<void()>& task);

  /// How many bulk tasks of one flow may run at once.
  size_t flow_slots() const { return flow_slots_; }

 private:
  using Queue = std::deque<std::function<void()>>;
  struct Job {
    std::function<void()> task;
    bool bulk = false;
    Flow flow = 0;
  };

  void Run();
  /// False if nothing may start now.
  bool Next(Job* job) QUAY_REQUIRES(mutex_);
  bool NextBulk(Job* job) QUAY_REQUIRES(mutex_);
  void StartRunner() QUAY_REQUIRES(mutex_);
  void Finished(const Job& job) QUAY_REQUIRES(mutex_);

  const size_t slots_;
  const size_t bulk_slots_;
  const size_t flow_slots_;
  Mutex mutex_{LockRank::kFetch};
  Queue urgent_ QUAY_GUARDED_BY(mutex_);
  std::map<Flow, Queue> bulk_ QUAY_GUARDED_BY(mutex_);  // no empty queues
  std::deque<Flow> turns_ QUAY_GUARDED_BY(mutex_);      // the keys of bulk_, next one first
  std::map<Flow, size_t> bulk_running_ QUAY_GUARDED_BY(mutex_);
  size_t bulk_running_total_ QUAY_GUARDED_BY(mutex_) = 0;
  size_t runners_ QUAY_GUARDED_BY(mutex_) = 0;
  ThreadPool pool_;  // last: its threads use the rest
};

}  // namespace quayfs
