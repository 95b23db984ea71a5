// SPDX-License-Identifier: Apache-2.0

#include "providers/kodo/move_queue.h"

#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <thread>

#include "providers/kodo/native.h"

namespace quayfs::kodo {
namespace {

using Kind = NativeStep::Kind;

NativeStep Step(int number) { return {Kind::kMove, "a" + std::to_string(number), "b", true}; }

class MoveQueueTest : public ::testing::Test {
 protected:
  /// The first request is answered when `others` more moves have gathered; `answer` makes the
  /// answers.
  void Run(int others, const MoveQueue::Send& answer) {
    MoveQueue queue([&](const std::vector<NativeStep>& steps, const CallOptions& call) {
      if (sizes_.empty()) {
        first_is_sent_.count_down();
        while (queue_->waiting() < static_cast<size_t>(others)) std::this_thread::yield();
      }
      sizes_.push_back(steps.size());
      return answer(steps, call);
    });
    queue_ = &queue;
    outcomes_.resize(static_cast<size_t>(others) + 1);
    std::vector<std::thread> threads;
    threads.emplace_back([&] { outcomes_[0] = queue.Move(Step(0), first_call_); });
    first_is_sent_.wait();
    for (int i = 1; i <= others; ++i) {
      threads.emplace_back(
          [&, i] { outcomes_[static_cast<size_t>(i)] = queue.Move(Step(i), other_call_); });
    }
    for (std::thread& thread : threads) thread.join();
  }
  static Result<std::vector<Status>> Fine(const std::vector<NativeStep>& steps,
                                          const CallOptions& /*call*/) {
    return std::vector<Status>(steps.size());
  }

  std::latch first_is_sent_{1};
  MoveQueue* queue_ = nullptr;
  std::vector<size_t> sizes_;  // of the requests, which come one by one
  CallOptions first_call_;
  CallOptions other_call_;
  std::vector<Status> outcomes_;
};

TEST_F(MoveQueueTest, AloneNobodyWaits) {
  ASSERT_NO_FATAL_FAILURE(Run(0, Fine));
  EXPECT_EQ(sizes_, std::vector<size_t>{1});
  EXPECT_TRUE(outcomes_[0].ok());
}

TEST_F(MoveQueueTest, WhatMeetsGoesTogether) {
  ASSERT_NO_FATAL_FAILURE(Run(15, Fine));
  EXPECT_EQ(sizes_, (std::vector<size_t>{1, 15}));
  for (const Status& outcome : outcomes_) EXPECT_TRUE(outcome.ok());
}

TEST_F(MoveQueueTest, EachHasItsOwnOutcome) {
  ASSERT_NO_FATAL_FAILURE(Run(7, [](const std::vector<NativeStep>& steps, const CallOptions&) {
    std::vector<Status> outcomes;
    for (const NativeStep& step : steps) {
      outcomes.push_back(step.key == "a3" ? Status(Error(Code::kNotFound, "gone")) : Status());
    }
    return Result<std::vector<Status>>(std::move(outcomes));
  }));
  for (size_t i = 0; i < outcomes_.size(); ++i) EXPECT_EQ(outcomes_[i].ok(), i != 3) << i;
  EXPECT_TRUE(outcomes_[3].Is(Code::kNotFound));
}

TEST_F(MoveQueueTest, ARequestThatIsGivenUpLeavesTheOthersInDoubt) {
  ASSERT_NO_FATAL_FAILURE(Run(3, [](const std::vector<NativeStep>& steps, const CallOptions&) {
    if (steps.size() == 1) return Result<std::vector<Status>>(std::vector<Status>(1));
    return Result<std::vector<Status>>(Error(Code::kCancelled, "no more"));
  }));
  int cancelled = 0;
  int doubtful = 0;
  for (const Status& outcome : outcomes_) {
    cancelled += outcome.Is(Code::kCancelled) ? 1 : 0;
    doubtful += outcome.Is(Code::kUnavailable) && MayHaveBeenMoved(outcome.error()) ? 1 : 0;
  }
  EXPECT_EQ(cancelled, 1) << "whoever sent it";
  EXPECT_EQ(doubtful, 2);
}

TEST_F(MoveQueueTest, WhatIsNotSentYetIsTakenBack) {
  std::stop_source stop;
  other_call_.cancel = stop.get_token();
  stop.request_stop();
  MoveQueue queue(Fine);
  EXPECT_TRUE(queue.Move(Step(1), other_call_).Is(Code::kCancelled));
  EXPECT_EQ(queue.waiting(), 0U);
  EXPECT_TRUE(queue.Move(Step(2), {}).ok());
}

}  // namespace
}  // namespace quayfs::kodo
