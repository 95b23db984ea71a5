// SPDX-License-Identifier: Apache-2.0
//
// Annotated locks that know their place in the order. A thread may take a lock only if every lock
// it holds has a smaller rank (two locks of the same rank may not be held together); debug builds
// end the process when one does not. The ranks, with what they protect, are listed in LockRank;
// ARCHITECTURE.md gives the reasons.
//
// No lock is held across a network request, a kernel notification or a reply to the kernel.

#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <shared_mutex>

#include "base/thread_annotations.h"

namespace quayfs {

/// Taken in ascending order.
enum class LockRank : int {
  kProgram = 10,      // daemon life cycle, control socket
  kRename = 20,       // one rename of a directory at a time
  kNamespace = 30,    // inode table, directory entries
  kInode = 40,        // attributes of one inode
  kHandles = 45,      // open file and directory handles
  kUpload = 50,       // one upload's parts
  kFileData = 60,     // extents of one staging file
  kFetch = 65,        // fetches in flight of one file
  kCacheBudget = 70,  // sizes, least-recently-used list
  kState = 75,        // the state database
  kProvider = 80,     // an object store's own state
  kS3Client = 85,     // region, clock offset
  kRetry = 86,        // retry quota, rate limiter
  kHttp = 90,         // HTTP loop queues
  kTestServer = 95,   // everything in the test server
  kExecutor = 100,    // task queues
  kLeaf = 110,        // nothing is taken below this one, except to log
  kLog = 120,
};

namespace internal {
// Bookkeeping of held ranks in debug builds; no-ops otherwise.
void PushRank(LockRank rank);
void PopRank(LockRank rank);
}  // namespace internal

/// unlock() forgets the rank before it opens the lock and touches nothing afterwards: whoever takes
/// the lock next may destroy it.
class QUAY_CAPABILITY("mutex") Mutex {
 public:
  explicit Mutex(LockRank rank) : rank_(rank) {}
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  void lock() QUAY_ACQUIRE() {
    internal::PushRank(rank_);
    mutex_.lock();
  }
  void unlock() QUAY_RELEASE() {
    internal::PopRank(rank_);
    mutex_.unlock();
  }

 private:
  friend class CondVar;
  const LockRank rank_;
  std::mutex mutex_;
};

class QUAY_CAPABILITY("mutex") SharedMutex {
 public:
  explicit SharedMutex(LockRank rank) : rank_(rank) {}
  SharedMutex(const SharedMutex&) = delete;
  SharedMutex& operator=(const SharedMutex&) = delete;

  void lock() QUAY_ACQUIRE() {
    internal::PushRank(rank_);
    mutex_.lock();
  }
  void unlock() QUAY_RELEASE() {
    internal::PopRank(rank_);
    mutex_.unlock();
  }
  void lock_shared() QUAY_ACQUIRE_SHARED() {
    internal::PushRank(rank_);
    mutex_.lock_shared();
  }
  void unlock_shared() QUAY_RELEASE_SHARED() {
    internal::PopRank(rank_);
    mutex_.unlock_shared();
  }

 private:
  const LockRank rank_;
  std::shared_mutex mutex_;
};

/// Holds a Mutex for a scope; Unlock/Lock allow a gap in it.
class QUAY_SCOPED_CAPABILITY MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) QUAY_ACQUIRE(mutex) : mutex_(mutex) { mutex_.lock(); }
  ~MutexLock() QUAY_RELEASE() {
    if (held_) mutex_.unlock();
  }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

  void Unlock() QUAY_RELEASE() {
    held_ = false;
    mutex_.unlock();
  }
  void Lock() QUAY_ACQUIRE() {
    mutex_.lock();
    held_ = true;
  }

 private:
  Mutex& mutex_;
  bool held_ = true;
};

class QUAY_SCOPED_CAPABILITY WriterLock {
 public:
  explicit WriterLock(SharedMutex& mutex) QUAY_ACQUIRE(mutex) : mutex_(mutex) { mutex_.lock(); }
  ~WriterLock() QUAY_RELEASE() { mutex_.unlock(); }
  WriterLock(const WriterLock&) = delete;
  WriterLock& operator=(const WriterLock&) = delete;

 private:
  SharedMutex& mutex_;
};

class QUAY_SCOPED_CAPABILITY ReaderLock {
 public:
  explicit ReaderLock(SharedMutex& mutex) QUAY_ACQUIRE_SHARED(mutex) : mutex_(mutex) {
    mutex_.lock_shared();
  }
  ~ReaderLock() QUAY_RELEASE_GENERIC() { mutex_.unlock_shared(); }
  ReaderLock(const ReaderLock&) = delete;
  ReaderLock& operator=(const ReaderLock&) = delete;

 private:
  SharedMutex& mutex_;
};

/// Waits release and retake the mutex; write the condition as a loop around Wait so that the
/// analysis sees the lock.
class CondVar {
 public:
  void Wait(Mutex& mutex) QUAY_REQUIRES(mutex) {
    std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
    internal::PopRank(mutex.rank_);
    condition_.wait(lock);
    internal::PushRank(mutex.rank_);
    lock.release();
  }

  /// False when `deadline` passed first.
  bool WaitUntil(Mutex& mutex, std::chrono::steady_clock::time_point deadline)
      QUAY_REQUIRES(mutex) {
    std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
    internal::PopRank(mutex.rank_);
    const bool in_time = condition_.wait_until(lock, deadline) == std::cv_status::no_timeout;
    internal::PushRank(mutex.rank_);
    lock.release();
    return in_time;
  }

  void NotifyOne() { condition_.notify_one(); }
  void NotifyAll() { condition_.notify_all(); }

 private:
  std::condition_variable condition_;
};

}  // namespace quayfs
