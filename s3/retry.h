// SPDX-License-Identifier: Apache-2.0
//
// Whether, when and at what cost to send a request again (protocol.md 3.12 and 4.3).
//
// DecideRetry is a pure function of what is known; RetryQuota and AdaptiveLimiter are the two
// pieces of state that requests of one client share; Retrier puts them together and runs a request
// until it succeeds or is given up:
//
//   Retrier retrier(config.retry, SystemClock());
//   return retrier.Run(RetryTraits{.repeatable = true}, call, [&](int attempt) ->
//   Result<ObjectHead> { ... });
//
// It judges a failure by its Error alone: the Code, and the ServiceDetail that the client fills in
// from a reply (http_status, service_code, and FillRetryAfter for what the server asked for). An
// Error without an http_status is one of the connection layer. Corrections that change the request
// (clock offset, region, credentials) are not retries and belong to the caller.

#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <random>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>

#include "base/call.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "base/result.h"
#include "s3/config.h"
#include "s3/http.h"

namespace quayfs::s3 {

// --- What a reply means for a retry ---

enum class ReplyClass {
  kFinal,      // the same request would get the same answer
  kTransient,  // worth trying again
  kThrottle,   // worth trying again, more slowly
};

/// One row of the table of replies that are worth a retry. Either `status` or `service_code` is
/// set.
struct RetryableReply {
  int status = 0;
  std::string_view service_code;
  ReplyClass meaning = ReplyClass::kTransient;
  /// The service says that it did not carry the request out, so that even one that is not
  /// repeatable may be sent again.
  bool refused = false;
};

/// All of them, the same for every mode. A service code that is listed counts more than the status
/// it came with.
std::span<const RetryableReply> RetryableReplies();

/// The row for a reply, or null if it is final. A 2xx that carries an error document counts as a
/// 500 (protocol.md 3.7).
const RetryableReply* FindRetryableReply(int http_status, std::string_view service_code);

ReplyClass ClassifyReply(int http_status, std::string_view service_code);

/// Fills in `retry_after_ms` and `retry_after_soft` from Retry-After (seconds or a date) or
/// x-amz-retry-after (milliseconds, preferred). Values that cannot be read are ignored.
void FillRetryAfter(const HttpHeaders& headers, WallTime now, ServiceDetail* detail);

// --- The decision ---

struct RetryTraits {
  /// Sending the request twice leaves the same state as sending it once: GET, HEAD, PUT, DELETE,
  /// parts, listings. Others (complete, append, move) are sent again only when the first one was
  /// certainly not carried out.
  bool repeatable = true;
};

/// What has happened to a request so far.
struct RetryProgress {
  int64_t connection_retries = 0;  // retries made because there was no reply
  int64_t request_retries = 0;     // retries made because of a reply
  /// Time left until the caller's deadline; absent: no deadline. A delay that does not fit is not
  /// begun.
  std::optional<Duration> remaining;
  double jitter = 0.5;  // a sample of [0, 1)
};

enum class RetryLayer { kConnection, kRequest };

struct RetryDecision {
  bool retry = false;
  bool worth_a_retry = false;  // what happened may pass, whether or not there is a retry
  Duration delay{0};
  int quota_cost = 0;  // to be taken from the quota before the retry; 0: the quota is not asked
  RetryLayer layer = RetryLayer::kRequest;
  bool throttled = false;  // the service asked for fewer requests, whether or not there is a retry
};

/// Constants of the modes, for tests and for documentation.
struct RetryConstants {
  static constexpr int kLegacyRetries = 4;
  static constexpr Duration kLegacyBase =
      std::chrono::milliseconds(100);  // x 4^n before retry n = 1, 2, ...
  static constexpr Duration kLegacyCap = std::chrono::seconds(30);
  static constexpr int kStandardAttempts = 3;
  static constexpr Duration kStandardBase = std::chrono::seconds(1);  // x 2^(n-1) x jitter
  static constexpr Duration kStandardCap = std::chrono::seconds(20);  // before jitter
  static constexpr int kQuotaCapacity = 500;
  static constexpr int kQuotaCost = 5;
  static constexpr int kQuotaTimeoutCost = 10;
  static constexpr int kQuotaFirstTrySuccess = 1;
  /// x-amz-retry-after r becomes max(t, min(r, t + this)) where t is the delay of the mode.
  static constexpr Duration kSoftRetryAfterSlack = std::chrono::seconds(5);
  /// Retry-After is honoured up to this.
  static constexpr Duration kRetryAfterCap = std::chrono::minutes(5);
};

/// Pure. Neither sleeps nor touches the quota.
RetryDecision DecideRetry(const RetryConfig& config, const RetryTraits& traits, const Error& error,
                          const RetryProgress& progress);

// --- State shared by the requests of one client ---

/// The retry quota of the standard mode: a bucket that empties while a service is failing, so that
/// retries do not add to its trouble. Thread-safe, never blocks.
class RetryQuota {
 public:
  explicit RetryQuota(int capacity = RetryConstants::kQuotaCapacity);

  /// False, and nothing taken, if less than `cost` is left.
  bool TryAcquire(int cost);
  /// Gives back after a success: what the last retry took, or kQuotaFirstTrySuccess if there was
  /// none. Never above capacity.
  void Release(int amount);
  int available() const;

 private:
  const int capacity_;
  mutable Mutex mutex_{LockRank::kRetry};
  int available_ QUAY_GUARDED_BY(mutex_);
};

/// The client-side rate limit of the adaptive mode: nothing until the first throttling reply, then
/// a token bucket whose rate follows the CUBIC curve (protocol.md 3.12). Thread-safe; Acquire
/// blocks.
class AdaptiveLimiter {
 public:
  struct State {
    bool enabled = false;
    double fill_rate = 0;  // tokens per second
    double capacity = 0;   // tokens
    double tokens = 0;
    double measured_rate = 0;  // requests per second
    double w_max = 0;
    double k = 0;  // seconds
  };

  /// `clock` must outlive the limiter.
  explicit AdaptiveLimiter(Clock& clock);

  /// Waits for a token. kCancelled; kTimedOut at once if the token would come after the deadline.
  Status Acquire(const CallOptions& call);
  /// After each attempt that reached the service.
  void OnReply(bool throttled);
  State state() const;

 private:
  double Now() const;
  void Refill(double now) QUAY_REQUIRES(mutex_);
  void Measure(double now) QUAY_REQUIRES(mutex_);
  void SetRate(double rate, double now) QUAY_REQUIRES(mutex_);

  Clock& clock_;
  const SteadyTime origin_;
  mutable Mutex mutex_{LockRank::kRetry};
  State state_ QUAY_GUARDED_BY(mutex_);
  double last_refill_ QUAY_GUARDED_BY(mutex_) = 0;
  double last_throttle_ QUAY_GUARDED_BY(mutex_) = 0;
  double measure_bucket_ QUAY_GUARDED_BY(mutex_) = 0;
  uint64_t measure_count_ QUAY_GUARDED_BY(mutex_) = 0;
};

// --- Running a request ---

/// Since the client was made. A layer above adapts its concurrency by `throttled`.
struct RetryCounters {
  uint64_t attempts = 0;
  uint64_t retries = 0;
  uint64_t throttled = 0;  // replies that asked for fewer requests
  uint64_t given_up = 0;   // retryable failures that were returned to the caller
};

/// One per client. Thread-safe; `clock` must outlive it.
class Retrier {
 public:
  /// A sample of [0, 1); called from any thread.
  using Jitter = std::function<double()>;
  /// Called after each throttling reply, without locks held, on the thread that made the request.
  /// Must be thread-safe.
  using ThrottleObserver = std::function<void(const Error&)>;

  Retrier(const RetryConfig& config, Clock& clock, Jitter jitter = {},
          ThrottleObserver observer = {});

  /// Calls `fn(attempt)`, attempt = 1, 2, ..., which returns a Result<T>, until it succeeds or its
  /// error is final. Blocks for the delays between attempts. Returns the last error, with the
  /// number of attempts in front when there were several; kCancelled when `call.cancel` is
  /// requested in a delay. A delay that would outlast `call.deadline` is not begun.
  template <typename Fn>
  auto Run(const RetryTraits& traits, const CallOptions& call, Fn&& fn)
      -> std::invoke_result_t<Fn&, int> {
    Attempts attempts(*this, traits, call);
    for (;;) {
      if (Status ready = attempts.Begin(); !ready) return ready.error();
      std::invoke_result_t<Fn&, int> result = fn(attempts.number());
      if (result.ok()) {
        attempts.Succeed();
        return result;
      }
      if (std::optional<Error> final_error = attempts.Fail(result.error()))
        return *std::move(final_error);
    }
  }

  RetryCounters counters() const;
  const RetryConfig& config() const { return config_; }
  RetryQuota& quota() { return quota_; }
  AdaptiveLimiter& limiter() { return limiter_; }

 private:
  /// The course of one request. Belongs to one thread.
  class Attempts {
   public:
    Attempts(Retrier& retrier, const RetryTraits& traits, const CallOptions& call);
    /// Counts an attempt; in adaptive mode waits for the limiter.
    Status Begin();
    void Succeed();
    /// Sleeps and returns nothing if the request should be tried again, else the error for the
    /// caller.
    std::optional<Error> Fail(const Error& error);
    int number() const { return number_; }

   private:
    Error GiveUp(const Error& error) const;
    std::optional<Duration> Remaining() const;

    Retrier& retrier_;
    const RetryTraits traits_;
    const CallOptions& call_;
    const SteadyTime started_;
    RetryProgress progress_;
    std::optional<Error> last_error_;
    int number_ = 0;
    int last_cost_ = 0;
  };

  double Sample();

  const RetryConfig config_;
  Clock& clock_;
  const Jitter jitter_;
  const ThrottleObserver observer_;
  RetryQuota quota_;
  AdaptiveLimiter limiter_;
  Mutex random_mutex_{LockRank::kRetry};
  std::mt19937_64 random_ QUAY_GUARDED_BY(random_mutex_);
  std::atomic<uint64_t> attempts_{0};
  std::atomic<uint64_t> retries_{0};
  std::atomic<uint64_t> throttled_{0};
  std::atomic<uint64_t> given_up_{0};
};

}  // namespace quayfs::s3
