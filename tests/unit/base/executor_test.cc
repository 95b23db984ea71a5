// SPDX-License-Identifier: Apache-2.0

#include "base/executor.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>  // NOLINT(modernize-deprecated-headers): pthread_sigmask is not in <csignal>

#include <algorithm>
#include <array>
#include <atomic>
#include <latch>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace quayfs {
namespace {

TEST(ThreadPoolTest, RunsEverything) {
  std::atomic<int> ran = 0;
  {
    ThreadPool pool("test", 3);
    for (int i = 0; i < 2000; ++i) pool.Post([&ran] { ++ran; });
  }
  EXPECT_EQ(ran, 2000);
}

TEST(ThreadPoolTest, StartsNoThreadWithoutATask) {
  ThreadPool pool("test", 3);
  EXPECT_EQ(pool.threads(), 0U);
  EXPECT_EQ(pool.queued(), 0U);
}

TEST(ThreadPoolTest, NeverRunsInsideThePost) {
  std::thread::id where;
  std::latch done(1);
  ThreadPool pool("test", 1);
  pool.Post([&] {
    where = std::this_thread::get_id();
    done.count_down();
  });
  done.wait();
  EXPECT_NE(where, std::this_thread::get_id());
}

TEST(ThreadPoolTest, KeepsToTheMostThreadsAndQueuesTheRest) {
  constexpr int kMost = 3;
  std::latch started(kMost);
  std::latch release(1);
  std::atomic<int> together = 0;
  std::atomic<int> most = 0;
  std::atomic<int> ran = 0;
  {
    ThreadPool pool("test", kMost);
    for (int i = 0; i < 20; ++i) {
      pool.Post([&, i] {
        const int now = ++together;
        int seen = most.load();
        while (now > seen && !most.compare_exchange_weak(seen, now)) {
        }
        if (i < kMost) started.count_down();
        release.wait();
        --together;
        ++ran;
      });
    }
    // All of them really run at once: three tasks that block do not wait for one another.
    started.wait();
    EXPECT_EQ(pool.threads(), static_cast<size_t>(kMost));
    EXPECT_EQ(pool.queued(), 17U);
    release.count_down();
  }
  EXPECT_EQ(ran, 20);
  EXPECT_EQ(most, kMost);
}

TEST(ThreadPoolTest, AWokenThreadIsNotCountedForTwoTasks) {
  // Two tasks that need each other meet a pool with one idle thread. If the second were left to the
  // thread that the first has woken, they would wait for ever.
  for (int i = 0; i < 300; ++i) {
    std::latch one(1);
    std::latch meet(2);
    ThreadPool pool("test", 2);
    pool.Post([&one] { one.count_down(); });
    one.wait();
    for (int k = 0; k < 20; ++k) std::this_thread::yield();  // most rounds find the thread idle
    for (int k = 0; k < 2; ++k) {
      pool.Post([&meet] { meet.arrive_and_wait(); });
    }
    meet.wait();
  }
}

TEST(ThreadPoolTest, OneThreadRunsFirstInFirstOut) {
  std::vector<int> order;
  {
    ThreadPool pool("test", 1);
    for (int i = 0; i < 100; ++i) pool.Post([&order, i] { order.push_back(i); });
  }
  ASSERT_EQ(order.size(), 100U);
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
}

struct Chain {
  ThreadPool* pool;
  std::atomic<int>* ran;
  int left;
  void operator()() const {
    ++*ran;
    if (left > 0) pool->Post(Chain{pool, ran, left - 1});
  }
};

TEST(ThreadPoolTest, TheDestructorDrainsAChainThatIsStillGrowing) {
  std::atomic<int> ran = 0;
  for (int i = 0; i < 50; ++i) {
    ThreadPool pool("test", 2);
    pool.Post(Chain{&pool, &ran, 20});
  }
  EXPECT_EQ(ran, 50 * 21);
}

TEST(ThreadPoolTest, AnIdlePoolEndsAtOnce) {
  std::latch done(4);
  ThreadPool pool("test", 4);
  for (int i = 0; i < 4; ++i) pool.Post([&done] { done.arrive_and_wait(); });
  done.wait();
}

TEST(ThreadPoolTest, TheTaskIsGoneBeforeTheNextOneRuns) {
  std::latch done(1);
  long uses = 0;
  ThreadPool pool("test", 1);
  const auto held = std::make_shared<int>(1);
  pool.Post([held] {});
  pool.Post([&] {
    uses = held.use_count();
    done.count_down();
  });
  done.wait();
  EXPECT_EQ(uses, 1);
}

struct PostsWhenItGoes {
  PostsWhenItGoes(ThreadPool* p, std::latch* d) : pool(p), done(d) {}
  ~PostsWhenItGoes() {
    pool->Post([latch = done] { latch->count_down(); });
  }
  PostsWhenItGoes(const PostsWhenItGoes&) = delete;
  PostsWhenItGoes& operator=(const PostsWhenItGoes&) = delete;

  ThreadPool* pool;
  std::latch* done;
};

TEST(ThreadPoolTest, WhatATaskHoldsGoesOutsideTheLock) {
  std::latch done(1);
  std::latch queued(1);
  ThreadPool pool("test", 1);
  auto held = std::make_shared<PostsWhenItGoes>(&pool, &done);
  pool.Post([held, &queued] { queued.wait(); });
  pool.Post([] {});
  held.reset();
  queued.count_down();
  done.wait();
}

TEST(ThreadPoolTest, ThreadsHaveANameAndLeaveSignalsAlone) {
  std::array<char, 32> name{};
  sigset_t mask;
  std::latch done(1);
  ThreadPool pool("a-very-long-pool-name", 1);
  sigemptyset(&mask);
  pool.Post([&] {
    pthread_getname_np(pthread_self(), name.data(), name.size());
    pthread_sigmask(SIG_SETMASK, nullptr, &mask);
    done.count_down();
  });
  done.wait();
  EXPECT_STREQ(name.data(), "a-very-long-poo");
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGCHLD, SIGPIPE}) {
    EXPECT_EQ(sigismember(&mask, signal), 1) << signal;
  }
  EXPECT_EQ(sigismember(&mask, SIGSEGV), 0);
  sigset_t ours;
  pthread_sigmask(SIG_SETMASK, nullptr, &ours);
  EXPECT_EQ(sigismember(&ours, SIGTERM), 0);
}

TEST(ThreadPoolTest, ManyPostersAtOnce) {
  std::atomic<int> ran = 0;
  {
    ThreadPool pool("test", 4);
    std::vector<std::thread> posters;
    posters.reserve(4);
    for (int p = 0; p < 4; ++p) {
      posters.emplace_back([&] {
        for (int i = 0; i < 500; ++i) pool.Post([&ran] { ++ran; });
      });
    }
    for (std::thread& poster : posters) poster.join();
  }
  EXPECT_EQ(ran, 2000);
}

TEST(ManualExecutorTest, RunsNothingUntilToldTo) {
  ManualExecutor executor;
  std::vector<int> order;
  for (int i = 0; i < 4; ++i) executor.Post([&order, i] { order.push_back(i); });
  EXPECT_TRUE(order.empty());
  EXPECT_EQ(executor.RunTasks(2), 2U);
  EXPECT_EQ(order, (std::vector<int>{0, 1}));
  executor.Post([&] { executor.Post([&order] { order.push_back(9); }); });
  EXPECT_EQ(executor.RunAll(), 4U);
  EXPECT_EQ(order, (std::vector<int>{0, 1, 2, 3, 9}));
  EXPECT_EQ(executor.RunTasks(5), 0U);
}

TEST(ParallelForTest, CallsEveryIndexOnce) {
  ThreadPool pool("test", 4);
  std::vector<std::atomic<int>> calls(500);
  const Status status = ParallelFor(pool, calls.size(), 8, [&calls](size_t i) -> Status {
    ++calls[i];
    return {};
  });
  EXPECT_TRUE(status.ok());
  for (const auto& count : calls) EXPECT_EQ(count, 1);
}

TEST(ParallelForTest, NothingToDo) {
  ManualExecutor executor;
  EXPECT_TRUE(ParallelFor(executor, 0, 4, [](size_t) -> Status {
                return {Code::kInternal, "called"};
              }).ok());
  EXPECT_EQ(executor.RunAll(), 0U);
}

TEST(ParallelForTest, NoMoreAtATimeThanAllowed) {
  ThreadPool pool("test", 8);
  std::atomic<int> together = 0;
  std::atomic<bool> too_many = false;
  const auto body = [&](size_t) -> Status {
    if (++together > 3) too_many = true;
    std::this_thread::yield();
    --together;
    return {};
  };
  EXPECT_TRUE(ParallelFor(pool, 300, 3, body).ok());
  EXPECT_FALSE(too_many);
}

TEST(ParallelForTest, ReallyRunsInParallel) {
  ThreadPool pool("test", 3);
  std::latch meet(3);
  EXPECT_TRUE(ParallelFor(pool, 3, 3, [&meet](size_t) -> Status {
                meet.arrive_and_wait();
                return {};
              }).ok());
}

TEST(ParallelForTest, ZeroParallelMeansOne) {
  ThreadPool pool("test", 3);
  int calls = 0;
  EXPECT_TRUE(ParallelFor(pool, 5, 0, [&calls](size_t) -> Status {
                ++calls;
                return {};
              }).ok());
  EXPECT_EQ(calls, 5);
}

TEST(ParallelForTest, StartsNothingAfterAFailure) {
  ThreadPool pool("test", 4);
  std::vector<size_t> called;
  const Status status = ParallelFor(pool, 100, 1, [&called](size_t i) -> Status {
    called.push_back(i);
    if (i == 3) return {Code::kBusy, "three"};
    return {};
  });
  EXPECT_TRUE(status.Is(Code::kBusy));
  EXPECT_EQ(called, (std::vector<size_t>{0, 1, 2, 3}));
}

TEST(ParallelForTest, WaitsForWhatWasStartedBeforeTheFailure) {
  ThreadPool pool("test", 2);
  std::latch both(2);
  std::atomic<int> ended = 0;
  const Status status = ParallelFor(pool, 2, 2, [&](size_t i) -> Status {
    both.arrive_and_wait();
    if (i == 1) return {Code::kBusy, "one"};
    for (int k = 0; k < 1000; ++k) std::this_thread::yield();
    ++ended;
    return {};
  });
  EXPECT_EQ(ended, 1);
  EXPECT_EQ(status.error().message(), "one");
}

TEST(ParallelForTest, NoIndexIsStartedByTasksThatCameAfterTheFailure) {
  ManualExecutor executor;
  std::vector<size_t> called;
  Status status;
  std::thread caller([&] {
    status = ParallelFor(executor, 10, 2, [&called](size_t i) -> Status {
      called.push_back(i);
      return {Code::kBusy, "index " + std::to_string(i)};
    });
  });
  size_t ran = 0;
  while (ran < 2) ran += executor.RunAll();
  caller.join();
  EXPECT_EQ(status.error().message(), "index 0");
  EXPECT_EQ(called, (std::vector<size_t>{0}));
}

TEST(ParallelForTest, TheEarlierOfTwoFailuresIsReturned) {
  // Two threads step the queue. Index 0 fails only after the thread that ran index 1 has come back
  // from its task, which is when that failure is on record.
  ManualExecutor executor;
  std::latch both(2);
  std::latch one_recorded(1);
  std::atomic<bool> recorded = false;
  Status status;
  std::thread caller([&] {
    status = ParallelFor(executor, 2, 2, [&](size_t i) -> Status {
      both.arrive_and_wait();
      if (i == 1) return {Code::kIo, "one"};
      one_recorded.wait();
      return {Code::kBusy, "zero"};
    });
  });
  const auto step = [&] {
    while (executor.RunTasks(1) == 0) std::this_thread::yield();
    if (!recorded.exchange(true)) one_recorded.count_down();
  };
  std::thread stepper(step);
  step();
  stepper.join();
  caller.join();
  EXPECT_EQ(status.error().message(), "one");
}

TEST(ParallelForTest, TakesTurnsWithOtherTasks) {
  ThreadPool pool("test", 1);
  std::vector<int> order;
  std::latch first_running(1);
  std::latch posted(1);
  std::thread poster([&] {
    first_running.wait();
    pool.Post([&order] { order.push_back(-1); });
    posted.count_down();
  });
  EXPECT_TRUE(ParallelFor(pool, 3, 1, [&](size_t i) -> Status {
                order.push_back(static_cast<int>(i));
                if (i == 0) {
                  first_running.count_down();
                  posted.wait();
                }
                return {};
              }).ok());
  poster.join();
  EXPECT_EQ(order, (std::vector<int>{0, -1, 1, 2}));
}

}  // namespace
}  // namespace quayfs
