// SPDX-License-Identifier: Apache-2.0

#include "fs/work_queue.h"

#include <gtest/gtest.h>

#include <random>

namespace quayfs {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Duration kQuiet = milliseconds(200);
constexpr Duration kCap = seconds(2);

class WorkQueueTest : public ::testing::Test {
 protected:
  void Note(Ino ino) { queue_.Note(ino, now_, kQuiet, kCap); }
  void Check() { EXPECT_TRUE(queue_.InvariantsHold()); }
  static Error Down() { return Error(Code::kUnavailable, "down"); }
  static Error Refused(const char* text = "no") { return Error(Code::kPermissionDenied, text); }

  WorkQueue queue_{4};
  SteadyTime now_{std::chrono::hours(1)};
};

TEST_F(WorkQueueTest, AnItemIsDueAQuietTimeAfterItsLastChangeButNotForEver) {
  Note(1);
  EXPECT_FALSE(queue_.Take(now_));
  now_ += milliseconds(150);
  Note(1);
  now_ += milliseconds(150);
  EXPECT_FALSE(queue_.Take(now_)) << "it was changed 150 ms ago";
  const SteadyTime first = now_ - milliseconds(300);
  while (now_ < first + kCap) {
    Note(1);
    EXPECT_FALSE(queue_.Take(now_));
    now_ += milliseconds(100);
  }
  EXPECT_EQ(queue_.Take(now_), Ino{1});
  Check();
}

TEST_F(WorkQueueTest, WhatIsHeldWaitsForItsLimitOrUntilItIsLetGo) {
  const SteadyTime first = now_;
  queue_.Hold(1, now_, kQuiet, kCap);
  now_ += milliseconds(100);
  queue_.Hold(2, now_, kQuiet, kCap);
  now_ += milliseconds(150);
  EXPECT_FALSE(queue_.Take(now_)) << "the first would be due";
  Check();
  queue_.LetGo();
  EXPECT_FALSE(queue_.holds());
  EXPECT_EQ(queue_.Take(now_), Ino{1});
  EXPECT_FALSE(queue_.Take(now_)) << "the second was changed 150 ms ago";
  queue_.Succeed(1, now_, false);
  queue_.Hold(2, now_, kQuiet, kCap);
  EXPECT_EQ(queue_.Find(2)->due, first + milliseconds(100) + kCap);
  Check();
  now_ = queue_.Find(2)->due;
  EXPECT_EQ(queue_.Take(now_), Ino{2});
  EXPECT_FALSE(queue_.holds());
  Check();
}

TEST_F(WorkQueueTest, HoldingSomethingDelaysNoRetryAndNobodyWhoWaits) {
  ASSERT_TRUE(queue_.TakeThis(1, now_));
  queue_.Fail(1, Refused(), now_);
  const SteadyTime due = queue_.Find(1)->due;
  queue_.Hold(1, now_, kQuiet, kCap);
  EXPECT_EQ(queue_.Find(1)->due, due);
  EXPECT_FALSE(queue_.holds());
  queue_.Hold(2, now_, kQuiet, kCap);
  queue_.Hold(3, now_, kQuiet, kCap);
  queue_.Urge(2, now_);
  Check();
  EXPECT_EQ(queue_.Take(now_), Ino{2});
  queue_.HastenAll(now_);
  EXPECT_EQ(queue_.Take(now_), Ino{3});
  queue_.Hold(3, now_, kQuiet, kCap);
  EXPECT_TRUE(queue_.Find(3)->again);
  queue_.Hold(4, now_, kQuiet, kCap);
  queue_.Drop(4);
  EXPECT_FALSE(queue_.holds());
  Check();
}

TEST_F(WorkQueueTest, WhatIsNotedWhileItRunsStaysQueued) {
  Note(1);
  now_ += kQuiet;
  ASSERT_EQ(queue_.Take(now_), Ino{1});
  Note(1);
  EXPECT_FALSE(queue_.Take(now_)) << "never twice at once";
  EXPECT_FALSE(queue_.TakeThis(1, now_));
  queue_.Succeed(1, now_, /*needs_more=*/true);
  EXPECT_EQ(queue_.Take(now_), Ino{1});
  queue_.Succeed(1, now_, /*needs_more=*/false);
  EXPECT_EQ(queue_.size(), 0u);
  Check();
}

TEST_F(WorkQueueTest, FailuresPauseLongerAndLongerAndTheFirstErrorStays) {
  Duration last{0};
  for (int i = 0; i < 12; ++i) {
    ASSERT_TRUE(queue_.TakeThis(1, now_));
    queue_.Fail(1, Refused(i == 0 ? "first" : "later"), now_);
    Note(1);  // a change does not shorten the pause
    const Duration pause = queue_.Find(1)->due - now_;
    EXPECT_GE(pause, last);
    EXPECT_LE(pause, std::chrono::minutes(1));
    last = pause;
  }
  EXPECT_EQ(last, std::chrono::minutes(1));
  EXPECT_EQ(queue_.Find(1)->error->message(), "first");
  EXPECT_FALSE(queue_.Take(now_));
  queue_.Urge(1, now_);
  EXPECT_EQ(queue_.Take(now_), Ino{1});
  queue_.Succeed(1, now_, false);
  Check();
}

TEST_F(WorkQueueTest, WhileTheStoreIsAwayOneItemIsTriedAndItsSuccessWakesAll) {
  for (Ino ino = 1; ino <= 3; ++ino) {
    ASSERT_TRUE(queue_.TakeThis(ino, now_));
  }
  for (Ino ino = 1; ino <= 3; ++ino) queue_.Fail(ino, Down(), now_);
  EXPECT_TRUE(queue_.outage());
  now_ += seconds(1);
  const auto one = queue_.Take(now_);
  ASSERT_TRUE(one);
  EXPECT_FALSE(queue_.Take(now_)) << "one is enough to find out";
  queue_.Fail(*one, Down(), now_);
  now_ += seconds(1);
  const auto next = queue_.Take(now_);
  ASSERT_TRUE(next);
  queue_.Succeed(*next, now_, false);
  EXPECT_FALSE(queue_.outage());
  EXPECT_TRUE(queue_.Take(now_));
  EXPECT_TRUE(queue_.Take(now_)) << "the others do not wait for their pauses to end";
  Check();
}

TEST_F(WorkQueueTest, ThrottlingHalvesWhatRunsAndSuccessBringsItBack) {
  ASSERT_TRUE(queue_.TakeThis(1, now_));
  queue_.Fail(1, Error(Code::kThrottled, "slow down"), now_);
  EXPECT_EQ(queue_.limit(), 2u);
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(queue_.TakeThis(2, now_));
    queue_.Succeed(2, now_, false);
  }
  EXPECT_EQ(queue_.limit(), 4u);
  Check();
}

TEST_F(WorkQueueTest, RandomHistoriesKeepTheInvariants) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  std::vector<Ino> running;
  for (int step = 0; step < 20'000; ++step) {
    now_ += milliseconds(random() % 50);
    const Ino ino = random() % 10 + 1;
    switch (random() % 8) {
      case 0:
        Note(ino);
        break;
      case 6:
        queue_.Hold(ino, now_, kQuiet, kCap);
        break;
      case 7:
        if (random() % 8 == 0) queue_.LetGo();
        break;
      case 1:
        queue_.Urge(ino, now_);
        break;
      case 2:
        if (const auto taken = queue_.Take(now_)) running.push_back(*taken);
        break;
      case 3:
        if (queue_.TakeThis(ino, now_)) running.push_back(ino);
        break;
      default:
        if (running.empty()) break;
        const Ino done = running.back();
        running.pop_back();
        switch (random() % 4) {
          case 0:
            queue_.Succeed(done, now_, random() % 2 == 0);
            break;
          case 1:
            queue_.Fail(done, Down(), now_);
            break;
          case 2:
            queue_.Fail(done, Refused(), now_);
            break;
          default:
            queue_.Defer(done, now_ + milliseconds(10));
        }
    }
    ASSERT_TRUE(queue_.InvariantsHold()) << "step " << step;
    ASSERT_EQ(queue_.running(), running.size());
  }
}

}  // namespace
}  // namespace quayfs
