// SPDX-License-Identifier: Apache-2.0
//
// Requests whose process got a signal: they go on for a while, then are told to stop.

#pragma once

#include <cstdint>
#include <map>
#include <stop_token>
#include <thread>

#include "base/clock.h"
#include "base/mutex.h"

namespace quayfs {

/// Thread-safe. Owns one thread, which sleeps unless something has been interrupted.
class Interrupts {
 public:
  explicit Interrupts(Duration grace);
  ~Interrupts();
  Interrupts(const Interrupts&) = delete;
  Interrupts& operator=(const Interrupts&) = delete;

  /// A request that may be interrupted; Remove it before its reply.
  uint64_t Add(const std::stop_source& stop);
  void Interrupt(uint64_t id);
  void Remove(uint64_t id);
  /// Stops everything at once, and whatever is added later.
  void StopAll();

 private:
  struct Waiting {
    std::stop_source stop;
    SteadyTime deadline = SteadyTime::max();
  };
  void Run();

  const Duration grace_;
  Mutex mutex_{LockRank::kLeaf};
  CondVar wake_;
  std::map<uint64_t, Waiting> waiting_ QUAY_GUARDED_BY(mutex_);
  uint64_t next_ QUAY_GUARDED_BY(mutex_) = 1;
  bool ending_ QUAY_GUARDED_BY(mutex_) = false;
  bool stopped_ QUAY_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace quayfs
