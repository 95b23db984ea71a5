// SPDX-License-Identifier: Apache-2.0
//
// C5: clean bytes that outlive the mount. Their checksums are computed in the background, some time
// after the bytes have come in, and told to the database in batches; what is not there when the
// process ends is not used by the next mount.
//
//   a block of a data file   its sum            becomes
//   clean, not summed        none               summed by this thread, at the latest when the mount
//                                               ends in order
//   clean, summed            in memory, soon    not summed, by a write, an eviction, another base
//                            in the database
//   left by another mount    in the database,   clean and summed at its first read if it fits, else
//                            not checked        missing: a row may be out of date, bytes never are
//                                               wrong

#pragma once

#include <chrono>
#include <deque>
#include <memory>
#include <set>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "cache/state/state_db.h"

namespace quayfs {

/// Has clean bytes.
class Summable {
 public:
  virtual ~Summable() = default;
  /// Sums up what is not yet, and adds what the database does not know to `batch`; false if there
  /// is nothing. Called without locks; reads the local disk.
  virtual bool SumInto(StateBatch* batch) = 0;
};

/// Thread-safe. One thread, from the first Note on.
class CleanSums {
 public:
  CleanSums(StateDb& state, Duration gather) : state_(state), gather_(gather) {}
  ~CleanSums() { Stop(); }
  CleanSums(const CleanSums&) = delete;
  CleanSums& operator=(const CleanSums&) = delete;

  /// Its sums are out of date. Never blocks.
  void Note(std::weak_ptr<Summable> file);
  /// The row of that inode goes with the next batch. Never blocks.
  void Drop(uint64_t inode);

  /// The table is bounded: false if no more rows fit. Each row that goes is given back.
  bool TakeRow();
  void GiveRow();
  /// That the table holds at the beginning.
  void CountRows(size_t rows);

  /// Ends the thread. What was noted and is not done is dropped.
  void Stop();
  /// The last round, after Stop(): ends at `until`, whatever is left.
  void Finish(const std::vector<std::shared_ptr<Summable>>& files,
              std::chrono::steady_clock::time_point until);

 private:
  void Run();
  void Sum(const std::vector<std::shared_ptr<Summable>>& files, const std::set<uint64_t>& drops,
           std::chrono::steady_clock::time_point until);

  StateDb& state_;
  const Duration gather_;  // what comes in within it is told together
  Mutex mutex_{LockRank::kCacheBudget};
  CondVar changed_;
  std::deque<std::weak_ptr<Summable>> noted_ QUAY_GUARDED_BY(mutex_);
  std::set<uint64_t> drops_ QUAY_GUARDED_BY(mutex_);
  size_t rows_ QUAY_GUARDED_BY(mutex_) = 0;
  bool stopped_ QUAY_GUARDED_BY(mutex_) = false;
  std::thread thread_ QUAY_GUARDED_BY(mutex_);
};

}  // namespace quayfs
