// SPDX-License-Identifier: Apache-2.0

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "base/text.h"
#include "s3/retry.h"

namespace quayfs::s3 {
namespace {

using Constants = RetryConstants;

constexpr RetryableReply Transient(int status) { return {.status = status}; }
constexpr RetryableReply Transient(std::string_view code) { return {.service_code = code}; }
constexpr RetryableReply Refused(int status) { return {.status = status, .refused = true}; }
constexpr RetryableReply Refused(std::string_view code) {
  return {.service_code = code, .refused = true};
}
constexpr RetryableReply Throttle(int status) {
  return {.status = status, .meaning = ReplyClass::kThrottle, .refused = true};
}
constexpr RetryableReply Throttle(std::string_view code) {
  return {.service_code = code, .meaning = ReplyClass::kThrottle, .refused = true};
}

// The union of what the official SDKs and other clients repeat. One set for all modes: a mode
// chooses how often and how slowly, not which replies are passing trouble.
constexpr std::array kRetryableReplies = {
    // By status, when the service code is not listed.
    Refused(408),
    Throttle(429),
    Transient(500),
    Transient(502),
    Transient(503),
    Transient(504),
    Throttle(509),
    Transient(520),
    // Transient, by code.
    Transient("InternalError"),
    Transient("ServiceUnavailable"),
    Refused("RequestTimeout"),
    Refused("RequestTimeoutException"),
    Refused("BadDigest"),  // damaged on the way
    Refused("OperationAborted"),
    Refused("ConditionalRequestConflict"),
    // Throttling, by code.
    Throttle("SlowDown"),
    Throttle("SlowDownRead"),
    Throttle("SlowDownWrite"),
    Throttle("Throttling"),
    Throttle("ThrottlingException"),
    Throttle("ThrottledException"),
    Throttle("RequestThrottled"),
    Throttle("RequestThrottledException"),
    Throttle("EC2ThrottledException"),
    Throttle("TooManyRequestsException"),
    Throttle("ProvisionedThroughputExceeded"),
    Throttle("ProvisionedThroughputExceededException"),
    Throttle("TransactionInProgressException"),
    Throttle("RequestLimitExceeded"),
    Throttle("BandwidthLimitExceeded"),
    Throttle("LimitExceededException"),
    Throttle("PriorRequestNotComplete"),
    // QingStor's own API (protocol.md 2.7).
    Transient("internal_error"),
    Transient("service_unavailable"),
    Refused("lease_not_ready"),
    Refused("bad_digest"),
    Refused("incomplete_body"),
    Throttle("max_requests_exceeded"),
    Throttle("fetch_throttled"),
};

bool IsSuccessStatus(int status) { return status >= 200 && status < 300; }

/// What kind of failure this is, before any counting.
struct Verdict {
  bool worth_a_retry = false;
  bool throttled = false;
  bool refused = false;  // certainly not carried out
  RetryLayer layer = RetryLayer::kRequest;
};

Verdict JudgeWithoutReply(const Error& error) {
  Verdict verdict;
  verdict.layer = RetryLayer::kConnection;
  verdict.worth_a_retry = error.code() == Code::kUnavailable || error.code() == Code::kTimedOut;
  verdict.refused = error.detail().request_not_sent;
  // A client that hides the status still says what it means.
  if (error.code() == Code::kThrottled) {
    verdict = {.worth_a_retry = true, .throttled = true, .refused = true};
  }
  return verdict;
}

Verdict JudgeReply(const Error& error) {
  const ServiceDetail& detail = error.detail();
  Verdict verdict;
  // Final whatever the status: the client has understood the reply and knows better.
  switch (error.code()) {
    case Code::kCancelled:
    case Code::kUntrusted:
      return verdict;
    default:
      break;
  }
  const RetryableReply* row = FindRetryableReply(detail.http_status, detail.service_code);
  if (row != nullptr) {
    verdict.worth_a_retry = true;
    verdict.throttled = row->meaning == ReplyClass::kThrottle;
    verdict.refused = row->refused;
    // A bare 503 (such as the reply to a HEAD, which has no body) is how S3 says SlowDown there.
    if (row->status == 503 && detail.service_code.empty()) verdict.throttled = true;
  } else if (error.code() == Code::kUnavailable || error.code() == Code::kTimedOut) {
    verdict.worth_a_retry = true;
  }
  if (error.code() == Code::kThrottled) {
    verdict.worth_a_retry = true;
    verdict.throttled = true;
  }
  return verdict;
}

Verdict Judge(const Error& error) {
  return error.detail().http_status == 0 && error.detail().service_code.empty()
             ? JudgeWithoutReply(error)
             : JudgeReply(error);
}

Duration Scale(Duration base, double factor, Duration cap) {
  const double nanoseconds = static_cast<double>(base.count()) * factor;
  if (nanoseconds >= static_cast<double>(cap.count())) return cap;
  return Duration(static_cast<int64_t>(nanoseconds));
}

/// base^(n), n small and not negative; saturates far above any cap.
double Power(double base, int64_t n) {
  return std::pow(base, static_cast<double>(std::min<int64_t>(n, 60)));
}

/// The delay of the mode before its retry `n` = 1, 2, ...
Duration ModeDelay(RetryMode mode, int64_t n, double jitter) {
  if (mode == RetryMode::kLegacy) {
    return Scale(Constants::kLegacyBase, Power(4, n), Constants::kLegacyCap);
  }
  const Duration full = Scale(Constants::kStandardBase, Power(2, n - 1), Constants::kStandardCap);
  return Scale(full, jitter, full);
}

/// The server may ask for more than the mode's own delay, never for less.
Duration WithServerWish(Duration delay, const ServiceDetail& detail) {
  if (detail.retry_after_ms <= 0) return delay;
  const Duration limit =
      detail.retry_after_soft ? delay + Constants::kSoftRetryAfterSlack : Constants::kRetryAfterCap;
  const long long limit_ms = std::chrono::duration_cast<std::chrono::milliseconds>(limit).count();
  const Duration wish = detail.retry_after_ms >= limit_ms
                            ? limit
                            : Duration(std::chrono::milliseconds(detail.retry_after_ms));
  return std::max(delay, wish);
}

/// The connection layer as the user wrote it: a fixed interval, a fixed count.
void DecideByInterval(const RetryConfig& config, const RetryProgress& progress,
                      RetryDecision* decision) {
  decision->retry = progress.connection_retries < config.count;
  decision->delay = config.interval;
}

void DecideByMode(const RetryConfig& config, const Error& error, const RetryProgress& progress,
                  bool counts_connections, RetryDecision* decision) {
  const int64_t made =
      progress.request_retries + (counts_connections ? progress.connection_retries : 0);
  const bool legacy = config.mode == RetryMode::kLegacy;
  decision->retry = made < (legacy ? Constants::kLegacyRetries : Constants::kStandardAttempts - 1);
  decision->delay =
      WithServerWish(ModeDelay(config.mode, made + 1, progress.jitter), error.detail());
  if (!legacy) {
    decision->quota_cost =
        error.code() == Code::kTimedOut ? Constants::kQuotaTimeoutCost : Constants::kQuotaCost;
  }
}

}  // namespace

std::span<const RetryableReply> RetryableReplies() { return kRetryableReplies; }

const RetryableReply* FindRetryableReply(int http_status, std::string_view service_code) {
  const int status = IsSuccessStatus(http_status) && !service_code.empty() ? 500 : http_status;
  const RetryableReply* by_status = nullptr;
  for (const RetryableReply& row : kRetryableReplies) {
    if (!row.service_code.empty() && row.service_code == service_code) return &row;
    if (row.status != 0 && row.status == status) by_status = &row;
  }
  return by_status;
}

ReplyClass ClassifyReply(int http_status, std::string_view service_code) {
  const RetryableReply* row = FindRetryableReply(http_status, service_code);
  return row == nullptr ? ReplyClass::kFinal : row->meaning;
}

void FillRetryAfter(const HttpHeaders& headers, WallTime now, ServiceDetail* detail) {
  constexpr uint64_t kMost = std::numeric_limits<int32_t>::max();
  if (auto soft = ParseUint(TrimBlanks(headers.Get("x-amz-retry-after"))); soft.ok()) {
    detail->retry_after_ms = static_cast<long long>(std::min(*soft, kMost));
    detail->retry_after_soft = true;
    return;
  }
  const std::string_view text = TrimBlanks(headers.Get("Retry-After"));
  if (auto seconds = ParseUint(text); seconds.ok()) {
    detail->retry_after_ms = static_cast<long long>(std::min(*seconds, kMost)) * 1000;
    detail->retry_after_soft = false;
  } else if (auto date = ParseHttpDate(text); date.ok() && *date > now) {
    detail->retry_after_ms =
        std::chrono::duration_cast<std::chrono::milliseconds>(*date - now).count();
    detail->retry_after_soft = false;
  }
}

RetryDecision DecideRetry(const RetryConfig& config, const RetryTraits& traits, const Error& error,
                          const RetryProgress& progress) {
  const Verdict verdict = Judge(error);
  RetryDecision decision;
  decision.layer = verdict.layer;
  decision.throttled = verdict.throttled;
  decision.worth_a_retry = verdict.worth_a_retry;
  if (!verdict.worth_a_retry || (!traits.repeatable && !verdict.refused)) return decision;

  const bool two_layers = config.mode == RetryMode::kLegacy || config.connection_layer_explicit;
  if (verdict.layer == RetryLayer::kConnection && two_layers) {
    DecideByInterval(config, progress, &decision);
  } else {
    DecideByMode(config, error, progress, !two_layers, &decision);
  }
  if (progress.remaining && decision.delay >= *progress.remaining) decision.retry = false;
  if (!decision.retry) {
    decision.delay = Duration(0);
    decision.quota_cost = 0;
  }
  return decision;
}

}  // namespace quayfs::s3
