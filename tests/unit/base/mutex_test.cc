// SPDX-License-Identifier: Apache-2.0

#include "base/mutex.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

namespace quayfs {
namespace {

class Counter {
 public:
  void Add() {
    MutexLock lock(mutex_);
    ++value_;
  }
  int value() {
    MutexLock lock(mutex_);
    return value_;
  }

 private:
  Mutex mutex_{LockRank::kInode};
  int value_ QUAY_GUARDED_BY(mutex_) = 0;
};

TEST(MutexTest, KeepsOthersOut) {
  Counter counter;
  std::vector<std::thread> threads;
  threads.reserve(4);
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&counter] {
      for (int i = 0; i < 2000; ++i) counter.Add();
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(counter.value(), 8000);
}

TEST(MutexTest, AscendingRanksMayNestAndBeReleasedInAnyOrder) {
  Mutex low(LockRank::kNamespace);
  Mutex middle(LockRank::kInode);
  Mutex high(LockRank::kLeaf);
  low.lock();
  middle.lock();
  low.unlock();
  high.lock();
  middle.unlock();
  high.unlock();
  MutexLock again(low);
}

TEST(MutexTest, AGapInALockLetsLowerRanksIn) {
  Mutex low(LockRank::kNamespace);
  Mutex high(LockRank::kLeaf);
  MutexLock lock(high);
  lock.Unlock();
  { MutexLock other(low); }
  lock.Lock();
  lock.Unlock();
  MutexLock other(low);
}

TEST(MutexTest, SharedMutexLetsReadersInTogether) {
  SharedMutex mutex(LockRank::kNamespace);
  std::atomic<bool> other_read = false;
  {
    ReaderLock lock(mutex);
    std::thread([&] {
      ReaderLock same(mutex);
      other_read = true;
    }).join();
  }
  EXPECT_TRUE(other_read);
  int value = 0;
  std::vector<std::thread> threads;
  threads.reserve(4);
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 500; ++i) {
        {
          WriterLock lock(mutex);
          ++value;
        }
        ReaderLock lock(mutex);
        EXPECT_GT(value, 0);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(value, 2000);
}

struct Gate {
  Mutex mutex{LockRank::kLeaf};
  CondVar changed;
  int state QUAY_GUARDED_BY(mutex) = 0;
};

TEST(CondVarTest, HandsOverBetweenThreads) {
  Gate gate;
  std::thread other([&gate] {
    MutexLock lock(gate.mutex);
    while (gate.state != 1) gate.changed.Wait(gate.mutex);
    gate.state = 2;
    gate.changed.NotifyAll();
  });
  {
    MutexLock lock(gate.mutex);
    gate.state = 1;
    gate.changed.NotifyOne();
    while (gate.state != 2) gate.changed.Wait(gate.mutex);
  }
  other.join();
}

TEST(CondVarTest, WaitUntilSaysWhenTheDeadlinePassedAndHoldsTheLock) {
  Gate gate;
  Mutex lower(LockRank::kInode);
  MutexLock lock(gate.mutex);
  const auto past = std::chrono::steady_clock::now() - std::chrono::seconds(1);
  EXPECT_FALSE(gate.changed.WaitUntil(gate.mutex, past));
  gate.state = 7;
  std::thread other([&gate] {
    MutexLock inner(gate.mutex);
    gate.state = 8;
    gate.changed.NotifyAll();
  });
  const auto far = std::chrono::steady_clock::now() + std::chrono::minutes(5);
  bool in_time = true;
  while (gate.state != 8 && in_time) in_time = gate.changed.WaitUntil(gate.mutex, far);
  EXPECT_TRUE(in_time);
  lock.Unlock();
  other.join();
  // The ranks are in balance again: a lower one may be taken.
  MutexLock balanced(lower);
}

#ifndef NDEBUG

void TakeInWrongOrder() QUAY_NO_THREAD_SAFETY_ANALYSIS {
  Mutex low(LockRank::kNamespace);
  Mutex high(LockRank::kLeaf);
  MutexLock first(high);
  MutexLock second(low);
}

void TakeSameRankTwice() QUAY_NO_THREAD_SAFETY_ANALYSIS {
  Mutex a(LockRank::kInode);
  Mutex b(LockRank::kInode);
  MutexLock first(a);
  MutexLock second(b);
}

void ReadInWrongOrder() QUAY_NO_THREAD_SAFETY_ANALYSIS {
  Mutex high(LockRank::kLeaf);
  SharedMutex low(LockRank::kNamespace);
  MutexLock first(high);
  ReaderLock second(low);
}

void TakeOutOfOrderAfterWait() QUAY_NO_THREAD_SAFETY_ANALYSIS {
  Gate gate;
  Mutex low(LockRank::kNamespace);
  MutexLock first(gate.mutex);
  gate.changed.WaitUntil(gate.mutex, std::chrono::steady_clock::now());
  MutexLock second(low);
}

TEST(LockRankDeathTest, TheWrongOrderEndsTheProcess) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(TakeInWrongOrder(), "lock order: taking rank 30 while holding 110");
  EXPECT_DEATH(TakeSameRankTwice(), "lock order: taking rank 40 while holding 40");
  EXPECT_DEATH(ReadInWrongOrder(), "lock order: taking rank 30 while holding 110");
  EXPECT_DEATH(TakeOutOfOrderAfterWait(), "lock order: taking rank 30 while holding 110");
}

TEST(LockRankDeathTest, ReleasingWhatIsNotHeldEndsTheProcess) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(internal::PopRank(LockRank::kInode),
               "lock order: releasing rank 40 while holding nothing");
}

#endif

}  // namespace
}  // namespace quayfs
