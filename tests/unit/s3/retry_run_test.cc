// SPDX-License-Identifier: Apache-2.0
//
// The state that requests share, and the loop that runs one.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <string>
#include <thread>
#include <vector>

#include "s3/retry.h"

namespace quayfs::s3 {
namespace {

using ::testing::HasSubstr;

using std::chrono::milliseconds;
using std::chrono::seconds;

Error Reply(int status, std::string service_code = "") {
  ServiceDetail detail;
  detail.http_status = status;
  detail.service_code = std::move(service_code);
  return Error(Code::kUnavailable, "reply", std::move(detail));
}

RetryConfig Mode(RetryMode mode) {
  RetryConfig config;
  config.mode = mode;
  return config;
}

// --- RetryQuota ---

TEST(RetryQuotaTest, EmptiesAndRefills) {
  RetryQuota quota;
  EXPECT_EQ(quota.available(), 500);
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(quota.TryAcquire(5));
  EXPECT_FALSE(quota.TryAcquire(5));
  EXPECT_EQ(quota.available(), 0);
  EXPECT_TRUE(quota.TryAcquire(0));
  quota.Release(4);
  EXPECT_FALSE(quota.TryAcquire(5));
  EXPECT_EQ(quota.available(), 4) << "a refusal takes nothing";
  quota.Release(1);
  EXPECT_TRUE(quota.TryAcquire(5));
  quota.Release(10000);
  EXPECT_EQ(quota.available(), 500);
}

TEST(RetryQuotaTest, ThreadsNeverTakeMoreThanThereIs) {
  RetryQuota quota(1000);
  std::atomic<int> taken{0};
  std::vector<std::thread> threads;
  threads.reserve(4);
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int n = 0; n < 1000; ++n) taken += quota.TryAcquire(1) ? 1 : 0;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(taken, 1000);
  EXPECT_EQ(quota.available(), 0);
}

// --- AdaptiveLimiter ---

TEST(AdaptiveLimiterTest, DoesNothingUntilTheFirstThrottling) {
  ManualClock clock;
  AdaptiveLimiter limiter(clock);
  for (int i = 0; i < 1000; ++i) {
    EXPECT_TRUE(limiter.Acquire({}).ok());
    limiter.OnReply(false);
  }
  EXPECT_EQ(clock.slept(), Duration(0));
  EXPECT_FALSE(limiter.state().enabled);
}

TEST(AdaptiveLimiterTest, MeasuresInHalfSeconds) {
  ManualClock clock;
  AdaptiveLimiter limiter(clock);
  // 100 requests per second, evenly: 50 per bucket, the first one of a new bucket closes the old
  // one.
  for (int i = 0; i < 50; ++i) {
    clock.Advance(milliseconds(10));
    limiter.OnReply(false);
  }
  EXPECT_DOUBLE_EQ(limiter.state().measured_rate, 0.8 * 100);
  for (int i = 0; i < 50; ++i) {
    clock.Advance(milliseconds(10));
    limiter.OnReply(false);
  }
  EXPECT_DOUBLE_EQ(limiter.state().measured_rate, 0.8 * 100 + 0.2 * 80);
}

TEST(AdaptiveLimiterTest, TraceOfAThrottlingAndTheRecovery) {
  ManualClock clock;
  AdaptiveLimiter limiter(clock);
  for (int i = 0; i < 50; ++i) {
    clock.Advance(milliseconds(10));
    limiter.OnReply(false);
  }
  limiter.OnReply(true);
  AdaptiveLimiter::State state = limiter.state();
  EXPECT_TRUE(state.enabled);
  EXPECT_DOUBLE_EQ(state.w_max, 80);
  EXPECT_DOUBLE_EQ(state.k, std::cbrt(80 * 0.3 / 0.4));
  EXPECT_DOUBLE_EQ(state.fill_rate, 0.7 * 80);
  EXPECT_DOUBLE_EQ(state.capacity, 0.7 * 80);

  // Second by second along the curve; the measured rate is fed so that it does not bind.
  for (int second = 1; second <= 6; ++second) {
    for (int i = 0; i < 100; ++i) {
      clock.Advance(milliseconds(10));
      limiter.OnReply(false);
    }
    state = limiter.state();
    const double dt = second;
    EXPECT_NEAR(state.fill_rate, 0.4 * std::pow(dt - state.k, 3) + 80, 1e-6) << second;
  }
  EXPECT_GT(state.fill_rate, 80);

  // Throttled again: from the smaller of the measured and the allowed rate.
  const double measured = state.measured_rate;
  const double allowed = state.fill_rate;
  limiter.OnReply(true);
  state = limiter.state();
  EXPECT_DOUBLE_EQ(state.w_max, std::min(measured, allowed));
  EXPECT_DOUBLE_EQ(state.fill_rate, 0.7 * state.w_max);
}

TEST(AdaptiveLimiterTest, TheRateStaysBelowTwiceWhatIsMeasuredAndAboveTheMinimum) {
  ManualClock clock;
  AdaptiveLimiter limiter(clock);
  limiter.OnReply(true);  // nothing measured yet
  EXPECT_DOUBLE_EQ(limiter.state().fill_rate, 0.5);
  EXPECT_DOUBLE_EQ(limiter.state().capacity, 1);
  clock.Advance(std::chrono::hours(1));  // the curve is far up by now
  limiter.OnReply(false);
  const AdaptiveLimiter::State state = limiter.state();
  EXPECT_DOUBLE_EQ(state.fill_rate, std::max(0.5, 2 * state.measured_rate));
}

TEST(AdaptiveLimiterTest, AcquireWaitsForTokens) {
  ManualClock clock;
  AdaptiveLimiter limiter(clock);
  limiter.OnReply(true);  // 0.5 per second from now on, nothing in the bucket
  const Duration before = clock.slept();
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(limiter.Acquire({}).ok());
  const double slept = std::chrono::duration<double>(clock.slept() - before).count();
  EXPECT_NEAR(slept, 10, 0.01);
}

TEST(AdaptiveLimiterTest, AcquireMindsDeadlineAndCancel) {
  ManualClock clock;
  AdaptiveLimiter limiter(clock);
  limiter.OnReply(true);
  CallOptions hurried;
  hurried.deadline = clock.Steady() + seconds(1);
  EXPECT_TRUE(limiter.Acquire(hurried).Is(Code::kTimedOut));
  EXPECT_EQ(clock.slept(), Duration(0)) << "a wait in vain is not begun";
  std::stop_source stop;
  stop.request_stop();
  CallOptions cancelled;
  cancelled.cancel = stop.get_token();
  EXPECT_TRUE(limiter.Acquire(cancelled).Is(Code::kCancelled));
}

// --- Retrier ---

class RetrierTest : public ::testing::Test {
 protected:
  /// Runs a request whose first attempts fail with `failures`, in order; it succeeds when they are
  /// used up.
  Result<int> Run(Retrier& retrier, std::vector<Error> failures, const CallOptions& call = {},
                  RetryTraits traits = {}) {
    calls_ = 0;
    return retrier.Run(traits, call, [&](int attempt) -> Result<int> {
      EXPECT_EQ(attempt, ++calls_);
      if (static_cast<size_t>(attempt) <= failures.size())
        return failures[static_cast<size_t>(attempt) - 1];
      return 42;
    });
  }
  static Retrier::Jitter Half() {
    return [] { return 0.5; };
  }

  ManualClock clock_;
  int calls_ = 0;
  const Error no_reply_{Code::kUnavailable, "no reply"};
};

TEST_F(RetrierTest, SuccessAtOnce) {
  Retrier retrier(Mode(RetryMode::kStandard), clock_);
  EXPECT_EQ(Run(retrier, {}).value(), 42);
  EXPECT_EQ(clock_.slept(), Duration(0));
  const RetryCounters counters = retrier.counters();
  EXPECT_EQ(counters.attempts, 1u);
  EXPECT_EQ(counters.retries, 0u);
}

TEST_F(RetrierTest, LegacyWaitsAsWritten) {
  Retrier retrier(Mode(RetryMode::kLegacy), clock_);
  EXPECT_TRUE(Run(retrier, {no_reply_, no_reply_, Reply(500), Reply(500)}).ok());
  EXPECT_EQ(clock_.slept(), seconds(60) + milliseconds(2000));
  EXPECT_EQ(calls_, 5);
}

TEST_F(RetrierTest, LegacyGivesUpAfterBothLayersAreUsedUp) {
  Retrier retrier(Mode(RetryMode::kLegacy), clock_);
  std::vector<Error> failures(6, no_reply_);
  failures.insert(failures.end(), 5, Reply(503, "SlowDown"));
  const auto done = Run(retrier, failures);
  ASSERT_FALSE(done.ok());
  EXPECT_EQ(calls_, 11);
  EXPECT_EQ(done.error().detail().http_status, 503) << "the last error, with its detail";
  EXPECT_THAT(done.error().message(), HasSubstr("after 11 attempts in 214.0 s: reply"));
  EXPECT_EQ(retrier.counters().throttled, 5u);
  EXPECT_EQ(retrier.counters().given_up, 1u);
  EXPECT_EQ(retrier.counters().retries, 10u);
}

TEST_F(RetrierTest, StandardGivesUpAfterThreeAttempts) {
  Retrier retrier(Mode(RetryMode::kStandard), clock_, Half());
  const auto done = Run(retrier, {Reply(500), Reply(500), Reply(500)});
  ASSERT_FALSE(done.ok());
  EXPECT_EQ(calls_, 3);
  EXPECT_EQ(clock_.slept(), milliseconds(1500));
  EXPECT_EQ(retrier.quota().available(), 490) << "what failed retries took is gone";
}

TEST_F(RetrierTest, FinalErrorsComeBackUntouched) {
  Retrier retrier(Mode(RetryMode::kStandard), clock_);
  const auto done = Run(retrier, {Error(Code::kNotFound, "no object 'k'")});
  ASSERT_TRUE(done.Is(Code::kNotFound));
  EXPECT_EQ(done.error().message(), "no object 'k'");
  EXPECT_EQ(calls_, 1);
  EXPECT_EQ(retrier.counters().given_up, 0u);
}

TEST_F(RetrierTest, NotRepeatableIsTriedOnce) {
  Retrier retrier(Mode(RetryMode::kLegacy), clock_);
  EXPECT_FALSE(Run(retrier, {Reply(500)}, {}, {.repeatable = false}).ok());
  EXPECT_EQ(calls_, 1);
  EXPECT_TRUE(Run(retrier, {Reply(503, "SlowDown")}, {}, {.repeatable = false}).ok());
  EXPECT_EQ(calls_, 2);
}

TEST_F(RetrierTest, TheQuotaGivesBackOnSuccess) {
  Retrier retrier(Mode(RetryMode::kStandard), clock_, Half());
  ASSERT_TRUE(retrier.quota().TryAcquire(100));
  EXPECT_TRUE(Run(retrier, {}).ok());
  EXPECT_EQ(retrier.quota().available(), 401) << "one for a success at the first try";
  EXPECT_TRUE(Run(retrier, {Reply(500)}).ok());
  EXPECT_EQ(retrier.quota().available(), 401) << "what the last retry took comes back";
  EXPECT_TRUE(Run(retrier, {Reply(500), Error(Code::kTimedOut, "slow")}).ok());
  EXPECT_EQ(retrier.quota().available(), 396) << "5 + 10 taken, 10 given back";
}

TEST_F(RetrierTest, AnEmptyQuotaMeansNoRetry) {
  Retrier retrier(Mode(RetryMode::kStandard), clock_, Half());
  int attempts = 0;
  for (int i = 0; i < 50; ++i) {
    EXPECT_FALSE(Run(retrier, {Reply(500), Reply(500), Reply(500)}).ok());
    attempts += calls_;
  }
  EXPECT_EQ(attempts, 150);
  EXPECT_EQ(retrier.quota().available(), 0);
  const Duration slept = clock_.slept();
  EXPECT_FALSE(Run(retrier, {Reply(500)}).ok());
  EXPECT_EQ(calls_, 1);
  EXPECT_EQ(clock_.slept(), slept);
  // Five successes pay for one retry.
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(Run(retrier, {}).ok());
  EXPECT_TRUE(Run(retrier, {Reply(500)}).ok());
}

TEST_F(RetrierTest, LegacyHasNoQuota) {
  Retrier retrier(Mode(RetryMode::kLegacy), clock_);
  ASSERT_TRUE(retrier.quota().TryAcquire(500));
  EXPECT_TRUE(Run(retrier, {Reply(500), Reply(500)}).ok());
  EXPECT_EQ(retrier.quota().available(), 0);
}

TEST_F(RetrierTest, AdaptiveSlowsTheClientDown) {
  Retrier retrier(Mode(RetryMode::kAdaptive), clock_, [] { return 0.0; });
  EXPECT_TRUE(Run(retrier, {Reply(503, "SlowDown")}).ok());
  EXPECT_TRUE(retrier.limiter().state().enabled);
  EXPECT_GE(clock_.slept(), seconds(1)) << "the second attempt waited for a token";
  Retrier standard(Mode(RetryMode::kStandard), clock_, [] { return 0.0; });
  EXPECT_TRUE(Run(standard, {Reply(503, "SlowDown")}).ok());
  EXPECT_FALSE(standard.limiter().state().enabled);
}

TEST_F(RetrierTest, ThrottlingIsReported) {
  std::vector<std::string> seen;
  Retrier retrier(Mode(RetryMode::kStandard), clock_, Half(),
                  [&](const Error& error) { seen.push_back(error.detail().service_code); });
  EXPECT_TRUE(Run(retrier, {Reply(503, "SlowDown"), Reply(500)}).ok());
  EXPECT_EQ(seen, std::vector<std::string>{"SlowDown"});
  EXPECT_EQ(retrier.counters().throttled, 1u);
}

TEST_F(RetrierTest, TheDeadlineEndsTheAttempts) {
  Retrier retrier(Mode(RetryMode::kLegacy), clock_);
  CallOptions call;
  call.deadline = clock_.Steady() + seconds(65);
  const auto done = Run(retrier, std::vector<Error>(7, no_reply_), call);
  ASSERT_TRUE(done.Is(Code::kUnavailable)) << "what went wrong, not that the time is over";
  EXPECT_EQ(calls_, 3);
  EXPECT_EQ(clock_.slept(), seconds(60));
}

TEST_F(RetrierTest, CancelledBetweenAttempts) {
  Retrier retrier(Mode(RetryMode::kLegacy), clock_);
  std::stop_source stop;
  CallOptions call;
  call.cancel = stop.get_token();
  int calls = 0;
  const auto done = retrier.Run({}, call, [&](int) -> Result<int> {
    ++calls;
    stop.request_stop();
    return no_reply_;
  });
  ASSERT_TRUE(done.Is(Code::kCancelled));
  EXPECT_THAT(done.error().message(), HasSubstr("no reply")) << "why there was a delay at all";
  EXPECT_EQ(calls, 1);
}

TEST(RetrierReal, ALongSleepEndsWhenCancelled) {
  RetryConfig config = Mode(RetryMode::kLegacy);
  config.interval = milliseconds(2147483646);
  Retrier retrier(config, SystemClock());
  std::stop_source stop;
  CallOptions call;
  call.cancel = stop.get_token();
  std::thread canceller;
  const auto done = retrier.Run({}, call, [&](int) -> Result<int> {
    canceller = std::thread([&] { stop.request_stop(); });
    return Error(Code::kUnavailable, "no reply");
  });
  canceller.join();
  EXPECT_TRUE(done.Is(Code::kCancelled));
}

TEST_F(RetrierTest, WorksForStatusToo) {
  Retrier retrier(Mode(RetryMode::kStandard), clock_, Half());
  int calls = 0;
  const Status done = retrier.Run({}, {}, [&](int) -> Status {
    if (++calls == 1) return Reply(500);
    return {};
  });
  EXPECT_TRUE(done.ok());
  EXPECT_EQ(calls, 2);
}

TEST(RetrierThreads, ShareOneRetrier) {
  ManualClock clock;
  Retrier retrier(Mode(RetryMode::kAdaptive), clock);
  std::vector<std::thread> threads;
  threads.reserve(4);
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int n = 0; n < 200; ++n) {
        Ignore(retrier.Run({}, {},
                           [&](int attempt) -> Result<int> {  // the outcome depends on the quota
                             if (attempt == 1 && n % 3 == 0) return Reply(503, "SlowDown");
                             return n;
                           }));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_GE(retrier.counters().attempts, 800u);
}

}  // namespace
}  // namespace quayfs::s3
