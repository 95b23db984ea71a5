// SPDX-License-Identifier: Apache-2.0

#include "s3/retry.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "base/log.h"
#include "s3/request_counters.h"

namespace quayfs::s3 {
namespace {

using Constants = RetryConstants;

}  // namespace

// --- RetryQuota ---

RetryQuota::RetryQuota(int capacity) : capacity_(capacity), available_(capacity) {}

bool RetryQuota::TryAcquire(int cost) {
  MutexLock lock(mutex_);
  if (available_ < cost) return false;
  available_ -= cost;
  return true;
}

void RetryQuota::Release(int amount) {
  MutexLock lock(mutex_);
  available_ = std::min(capacity_, available_ + amount);
}

int RetryQuota::available() const {
  MutexLock lock(mutex_);
  return available_;
}

// --- AdaptiveLimiter ---

namespace {

constexpr double kMinFillRate = 0.5;
constexpr double kInitialRate = 1;
constexpr double kCubicScale = 0.4;
constexpr double kBeta = 0.7;
constexpr double kMeasureBucket = 0.5;  // seconds
constexpr double kSmoothing = 0.8;

}  // namespace

AdaptiveLimiter::AdaptiveLimiter(Clock& clock) : clock_(clock), origin_(clock.Steady()) {
  state_.fill_rate = kInitialRate;
  state_.capacity = std::max(kInitialRate, 1.0);
}

double AdaptiveLimiter::Now() const {
  return std::chrono::duration<double>(clock_.Steady() - origin_).count();
}

void AdaptiveLimiter::Refill(double now) {
  const double elapsed = std::max(0.0, now - last_refill_);
  state_.tokens = std::min(state_.capacity, state_.tokens + elapsed * state_.fill_rate);
  last_refill_ = now;
}

void AdaptiveLimiter::Measure(double now) {
  ++measure_count_;
  const double bucket = std::floor(now / kMeasureBucket) * kMeasureBucket;
  if (bucket <= measure_bucket_) return;
  const double current = static_cast<double>(measure_count_) / (bucket - measure_bucket_);
  state_.measured_rate = kSmoothing * current + (1 - kSmoothing) * state_.measured_rate;
  measure_count_ = 0;
  measure_bucket_ = bucket;
}

void AdaptiveLimiter::SetRate(double rate, double now) {
  Refill(now);  // what was earned so far was earned at the old rate
  state_.fill_rate = std::max(rate, kMinFillRate);
  state_.capacity = std::max(rate, 1.0);
  state_.tokens = std::min(state_.tokens, state_.capacity);
}

Status AdaptiveLimiter::Acquire(const CallOptions& call) {
  for (;;) {
    Duration wait{0};
    {
      MutexLock lock(mutex_);
      if (!state_.enabled) return {};
      Refill(Now());
      // The tolerance keeps a sleep that was rounded to whole nanoseconds from being followed by
      // another one of zero length.
      constexpr double kTolerance = 1e-6;
      if (state_.tokens >= 1 - kTolerance) {
        state_.tokens = std::max(0.0, state_.tokens - 1);
        return {};
      }
      const double seconds = (1 - state_.tokens) / state_.fill_rate;
      wait = Duration(static_cast<int64_t>(seconds * 1e9) + 1);
    }
    if (call.deadline && clock_.Steady() + wait >= *call.deadline) {
      return Error(Code::kTimedOut, "the rate limit leaves no room before the deadline");
    }
    if (!clock_.Sleep(wait, call.cancel)) {
      return Error(Code::kCancelled, "cancelled while waiting for the rate limit");
    }
  }
}

void AdaptiveLimiter::OnReply(bool throttled) {
  MutexLock lock(mutex_);
  const double now = Now();
  Measure(now);
  double rate = 0;
  if (throttled) {
    state_.w_max =
        state_.enabled ? std::min(state_.measured_rate, state_.fill_rate) : state_.measured_rate;
    state_.k = std::cbrt(state_.w_max * (1 - kBeta) / kCubicScale);
    last_throttle_ = now;
    state_.enabled = true;
    rate = kBeta * state_.w_max;
  } else {
    const double dt = now - last_throttle_;
    rate = kCubicScale * std::pow(dt - state_.k, 3) + state_.w_max;
  }
  SetRate(std::min(rate, 2 * state_.measured_rate), now);
}

AdaptiveLimiter::State AdaptiveLimiter::state() const {
  MutexLock lock(mutex_);
  return state_;
}

// --- Retrier ---

Retrier::Retrier(const RetryConfig& config, Clock& clock, Jitter jitter, ThrottleObserver observer)
    : config_(config),
      clock_(clock),
      jitter_(std::move(jitter)),
      observer_(std::move(observer)),
      limiter_(clock),
      random_(std::random_device()()) {}

double Retrier::Sample() {
  if (jitter_) return jitter_();
  MutexLock lock(random_mutex_);
  return std::uniform_real_distribution<double>(0, 1)(random_);
}

RetryCounters Retrier::counters() const {
  return {.attempts = attempts_.load(std::memory_order_relaxed),
          .retries = retries_.load(std::memory_order_relaxed),
          .throttled = throttled_.load(std::memory_order_relaxed),
          .given_up = given_up_.load(std::memory_order_relaxed)};
}

Retrier::Attempts::Attempts(Retrier& retrier, const RetryTraits& traits, const CallOptions& call)
    : retrier_(retrier), traits_(traits), call_(call), started_(retrier.clock_.Steady()) {}

std::optional<Duration> Retrier::Attempts::Remaining() const {
  if (!call_.deadline) return std::nullopt;
  return *call_.deadline - retrier_.clock_.Steady();
}

Status Retrier::Attempts::Begin() {
  if (retrier_.config_.mode == RetryMode::kAdaptive) {
    Status admitted = retrier_.limiter_.Acquire(call_);
    if (!admitted) {
      // What the service last said tells the caller more than that there was no time left.
      if (admitted.Is(Code::kTimedOut) && last_error_) return GiveUp(*last_error_);
      return admitted;
    }
  }
  ++number_;
  if (number_ > 1) RequestCounters::CountRetry();
  retrier_.attempts_.fetch_add(1, std::memory_order_relaxed);
  return {};
}

void Retrier::Attempts::Succeed() {
  if (retrier_.config_.mode == RetryMode::kLegacy) return;
  if (number_ == 1) {
    retrier_.quota_.Release(Constants::kQuotaFirstTrySuccess);
  } else if (last_cost_ > 0) {
    retrier_.quota_.Release(last_cost_);
  }
  if (retrier_.config_.mode == RetryMode::kAdaptive) retrier_.limiter_.OnReply(false);
}

Error Retrier::Attempts::GiveUp(const Error& error) const {
  if (number_ <= 1) return error;
  const double seconds = std::chrono::duration<double>(retrier_.clock_.Steady() - started_).count();
  return error.WithContext(fmt::format("after {} attempts in {:.1f} s", number_, seconds));
}

std::optional<Error> Retrier::Attempts::Fail(const Error& error) {
  progress_.remaining = Remaining();
  progress_.jitter = retrier_.Sample();
  const RetryDecision decision = DecideRetry(retrier_.config_, traits_, error, progress_);
  if (retrier_.config_.mode == RetryMode::kAdaptive && error.code() != Code::kCancelled) {
    retrier_.limiter_.OnReply(decision.throttled);
  }
  if (decision.throttled) {
    retrier_.throttled_.fetch_add(1, std::memory_order_relaxed);
    if (retrier_.observer_) retrier_.observer_(error);
  }
  if (!decision.retry || !retrier_.quota_.TryAcquire(decision.quota_cost)) {
    if (decision.worth_a_retry) retrier_.given_up_.fetch_add(1, std::memory_order_relaxed);
    return GiveUp(error);
  }
  last_cost_ = decision.quota_cost;
  last_error_ = error;
  ++(decision.layer == RetryLayer::kConnection ? progress_.connection_retries
                                               : progress_.request_retries);
  if (LogEnabled(LogLevel::kDebug)) {
    Log(LogLevel::kDebug, "s3.retry",
        {{"attempt", number_},
         {"delay_ms", decision.delay.count() / 1000000},
         {"error", error.ToString()}});
  }
  if (!retrier_.clock_.Sleep(decision.delay, call_.cancel)) {
    return Error(Code::kCancelled,
                 "cancelled while waiting to try again after: " + error.message());
  }
  retrier_.retries_.fetch_add(1, std::memory_order_relaxed);
  return std::nullopt;
}

}  // namespace quayfs::s3
