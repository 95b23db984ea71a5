// SPDX-License-Identifier: Apache-2.0
//
// Every mode and constant of the retry decision (protocol.md 3.12 and 4.3).

#include <gtest/gtest.h>

#include <limits>
#include <set>
#include <string>

#include "s3/retry.h"

namespace quayfs::s3 {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

Error Reply(int status, std::string service_code = "", Code code = Code::kInternal) {
  ServiceDetail detail;
  detail.http_status = status;
  detail.service_code = std::move(service_code);
  return Error(code, "reply", std::move(detail));
}

Error NoReply(Code code = Code::kUnavailable, bool not_sent = false) {
  ServiceDetail detail;
  detail.request_not_sent = not_sent;
  return Error(code, "no reply", std::move(detail));
}

RetryConfig Mode(RetryMode mode, bool connection_layer_explicit = false) {
  RetryConfig config;
  config.mode = mode;
  config.connection_layer_explicit = connection_layer_explicit;
  return config;
}

constexpr RetryMode kModes[] = {RetryMode::kLegacy, RetryMode::kStandard, RetryMode::kAdaptive};
constexpr RetryTraits kRepeatable{.repeatable = true};
constexpr RetryTraits kOnce{.repeatable = false};

// --- Which replies ---

TEST(RetryReplies, StatusesOfEveryMode) {
  const std::set<int> retryable = {408, 429, 500, 502, 503, 504, 509, 520};
  for (const RetryMode mode : kModes) {
    for (int status = 300; status < 600; ++status) {
      const RetryDecision decision = DecideRetry(Mode(mode), kRepeatable, Reply(status), {});
      EXPECT_EQ(decision.retry, retryable.count(status) != 0) << status;
      EXPECT_EQ(decision.worth_a_retry, decision.retry) << status;
    }
  }
}

TEST(RetryReplies, ThrottleCodes) {
  for (const char* code :
       {"Throttling", "ThrottlingException", "ThrottledException", "RequestThrottledException",
        "TooManyRequestsException", "ProvisionedThroughputExceededException",
        "TransactionInProgressException", "RequestLimitExceeded", "BandwidthLimitExceeded",
        "LimitExceededException", "RequestThrottled", "SlowDown", "PriorRequestNotComplete",
        "EC2ThrottledException", "ProvisionedThroughputExceeded", "SlowDownRead",
        "SlowDownWrite"}) {
    EXPECT_EQ(ClassifyReply(400, code), ReplyClass::kThrottle) << code;
    EXPECT_EQ(ClassifyReply(503, code), ReplyClass::kThrottle) << code;
    for (const RetryMode mode : kModes) {
      const RetryDecision decision = DecideRetry(Mode(mode), kOnce, Reply(400, code), {});
      EXPECT_TRUE(decision.retry) << code << ": refused, so it may be sent again in any case";
      EXPECT_TRUE(decision.throttled) << code;
    }
  }
}

TEST(RetryReplies, TransientCodes) {
  for (const char* code :
       {"RequestTimeout", "RequestTimeoutException", "InternalError", "ServiceUnavailable",
        "BadDigest", "OperationAborted", "ConditionalRequestConflict"}) {
    EXPECT_EQ(ClassifyReply(400, code), ReplyClass::kTransient) << code;
    EXPECT_FALSE(
        DecideRetry(Mode(RetryMode::kStandard), kRepeatable, Reply(400, code), {}).throttled);
  }
}

TEST(RetryReplies, FinalOnes) {
  for (const char* code :
       {"NoSuchKey", "AccessDenied", "SignatureDoesNotMatch", "PreconditionFailed",
        "InvalidArgument", "EntityTooLarge", "NotImplemented", "ExpiredToken", "slowdown", ""}) {
    EXPECT_EQ(ClassifyReply(400, code), ReplyClass::kFinal) << code;
  }
  EXPECT_EQ(ClassifyReply(200, ""), ReplyClass::kFinal);
  EXPECT_EQ(ClassifyReply(0, ""), ReplyClass::kFinal);
  EXPECT_EQ(ClassifyReply(501, "NotImplemented"), ReplyClass::kFinal);
}

TEST(RetryReplies, AnErrorWithin200CountsAs500) {
  EXPECT_EQ(ClassifyReply(200, "SomethingOdd"), ReplyClass::kTransient);
  EXPECT_EQ(ClassifyReply(200, "SlowDown"), ReplyClass::kThrottle);
  EXPECT_TRUE(
      DecideRetry(Mode(RetryMode::kStandard), kRepeatable, Reply(200, "InternalError"), {}).retry);
  EXPECT_FALSE(
      DecideRetry(Mode(RetryMode::kStandard), kOnce, Reply(200, "InternalError"), {}).retry);
}

TEST(RetryReplies, ABare503IsThrottling) {
  EXPECT_TRUE(DecideRetry(Mode(RetryMode::kStandard), kRepeatable, Reply(503), {}).throttled);
  EXPECT_FALSE(
      DecideRetry(Mode(RetryMode::kStandard), kRepeatable, Reply(503, "ServiceUnavailable"), {})
          .throttled);
  EXPECT_FALSE(DecideRetry(Mode(RetryMode::kStandard), kRepeatable, Reply(500), {}).throttled);
}

TEST(RetryReplies, TheClientsCodeCountsWhereTheTableIsSilent) {
  EXPECT_TRUE(
      DecideRetry(Mode(RetryMode::kStandard), kRepeatable, Reply(573, "", Code::kThrottled), {})
          .throttled);
  EXPECT_TRUE(
      DecideRetry(Mode(RetryMode::kStandard), kRepeatable, Reply(599, "", Code::kUnavailable), {})
          .retry);
  EXPECT_FALSE(
      DecideRetry(Mode(RetryMode::kStandard), kRepeatable, Reply(503, "", Code::kCancelled), {})
          .retry);
}

TEST(RetryReplies, TheTableNamesEveryRowOnce) {
  std::set<std::string> codes;
  std::set<int> statuses;
  for (const RetryableReply& row : RetryableReplies()) {
    EXPECT_NE(row.status != 0, !row.service_code.empty());
    EXPECT_NE(row.meaning, ReplyClass::kFinal);
    const bool fresh = row.status != 0 ? statuses.insert(row.status).second
                                       : codes.insert(std::string(row.service_code)).second;
    EXPECT_TRUE(fresh) << row.status << row.service_code;
  }
}

// --- Repeatable or not ---

TEST(RetryTraitsTest, WhatMayHaveHappenedIsNotRepeatedBlindly) {
  for (const RetryMode mode : kModes) {
    const RetryConfig config = Mode(mode);
    for (const int status : {500, 502, 503, 504}) {
      EXPECT_TRUE(DecideRetry(config, kRepeatable, Reply(status), {}).retry);
      EXPECT_FALSE(DecideRetry(config, kOnce, Reply(status), {}).retry) << status;
      EXPECT_TRUE(DecideRetry(config, kOnce, Reply(status), {}).worth_a_retry) << status;
    }
    for (const Code code : {Code::kUnavailable, Code::kTimedOut}) {
      EXPECT_TRUE(DecideRetry(config, kRepeatable, NoReply(code), {}).retry);
      EXPECT_FALSE(DecideRetry(config, kOnce, NoReply(code), {}).retry);
      EXPECT_TRUE(DecideRetry(config, kOnce, NoReply(code, true), {}).retry) << "never sent";
    }
    for (const int status : {408, 429, 509}) {
      EXPECT_TRUE(DecideRetry(config, kOnce, Reply(status), {}).retry) << status;
    }
  }
}

TEST(RetryTraitsTest, WhatIsNeverWorthARetry) {
  for (const RetryMode mode : kModes) {
    for (const Code code :
         {Code::kCancelled, Code::kUntrusted, Code::kInvalidArgument, Code::kIo, Code::kNoSpace,
          Code::kCorrupt, Code::kInternal, Code::kNotFound, Code::kChanged}) {
      EXPECT_FALSE(DecideRetry(Mode(mode), kRepeatable, NoReply(code), {}).retry) << CodeName(code);
    }
  }
}

// --- Legacy ---

TEST(RetryLegacy, FourRetriesOfTheRequestLayer) {
  const Duration expected[] = {milliseconds(400), milliseconds(1600), milliseconds(6400),
                               milliseconds(25600)};
  for (int made = 0; made < 4; ++made) {
    for (const double jitter : {0.0, 0.5, 0.999}) {
      const RetryDecision decision = DecideRetry(Mode(RetryMode::kLegacy), kRepeatable, Reply(500),
                                                 {.request_retries = made, .jitter = jitter});
      EXPECT_TRUE(decision.retry);
      EXPECT_EQ(decision.delay, expected[made]) << "retry " << made + 1 << ", without jitter";
      EXPECT_EQ(decision.quota_cost, 0);
      EXPECT_EQ(decision.layer, RetryLayer::kRequest);
    }
  }
  EXPECT_FALSE(
      DecideRetry(Mode(RetryMode::kLegacy), kRepeatable, Reply(500), {.request_retries = 4}).retry);
}

TEST(RetryLegacy, TheConnectionLayerCountsForItself) {
  const RetryConfig config = Mode(RetryMode::kLegacy);
  for (int made = 0; made < 6; ++made) {
    const RetryDecision decision = DecideRetry(config, kRepeatable, NoReply(),
                                               {.connection_retries = made, .request_retries = 4});
    EXPECT_TRUE(decision.retry);
    EXPECT_EQ(decision.delay, seconds(30));
    EXPECT_EQ(decision.layer, RetryLayer::kConnection);
    EXPECT_EQ(decision.quota_cost, 0);
  }
  EXPECT_FALSE(DecideRetry(config, kRepeatable, NoReply(), {.connection_retries = 6}).retry);
  EXPECT_TRUE(DecideRetry(config, kRepeatable, Reply(500), {.connection_retries = 6}).retry);
}

TEST(RetryLegacy, BoundsOfIntervalAndCount) {
  RetryConfig config = Mode(RetryMode::kLegacy);
  config.count = 0;
  EXPECT_FALSE(DecideRetry(config, kRepeatable, NoReply(), {}).retry);
  config.count = 2147483646;
  config.interval = milliseconds(0);
  RetryDecision decision =
      DecideRetry(config, kRepeatable, NoReply(), {.connection_retries = 2147483645});
  EXPECT_TRUE(decision.retry);
  EXPECT_EQ(decision.delay, Duration(0));
  EXPECT_FALSE(
      DecideRetry(config, kRepeatable, NoReply(), {.connection_retries = 2147483646}).retry);
  config.interval = milliseconds(2147483646);
  decision = DecideRetry(config, kRepeatable, NoReply(), {});
  EXPECT_EQ(decision.delay, milliseconds(2147483646)) << "24.8 days, in 64 bits";
}

// --- Standard and adaptive ---

TEST(RetryStandard, ThreeAttemptsWithFullJitter) {
  for (const RetryMode mode : {RetryMode::kStandard, RetryMode::kAdaptive}) {
    for (const double jitter : {0.0, 0.25, 0.5, 0.999}) {
      for (int made = 0; made < 2; ++made) {
        const RetryDecision decision = DecideRetry(Mode(mode), kRepeatable, Reply(500),
                                                   {.request_retries = made, .jitter = jitter});
        EXPECT_TRUE(decision.retry);
        EXPECT_NEAR(static_cast<double>(decision.delay.count()), jitter * (made == 0 ? 1e9 : 2e9),
                    1);
        EXPECT_EQ(decision.quota_cost, 5);
      }
    }
    EXPECT_FALSE(DecideRetry(Mode(mode), kRepeatable, Reply(500), {.request_retries = 2}).retry);
  }
}

TEST(RetryStandard, TheModeGovernsBothLayersUnlessTheUserSaidOtherwise) {
  for (const RetryMode mode : {RetryMode::kStandard, RetryMode::kAdaptive}) {
    const RetryConfig config = Mode(mode);
    const RetryDecision decision = DecideRetry(config, kRepeatable, NoReply(), {.jitter = 0.5});
    EXPECT_TRUE(decision.retry);
    EXPECT_EQ(decision.delay, milliseconds(500));
    EXPECT_EQ(decision.quota_cost, 5);
    EXPECT_FALSE(
        DecideRetry(config, kRepeatable, NoReply(), {.connection_retries = 1, .request_retries = 1})
            .retry)
        << "three attempts in all";

    const RetryConfig explicit_config = Mode(mode, true);
    for (int made = 0; made < 6; ++made) {
      const RetryDecision written = DecideRetry(explicit_config, kRepeatable, NoReply(),
                                                {.connection_retries = made, .request_retries = 2});
      EXPECT_TRUE(written.retry);
      EXPECT_EQ(written.delay, seconds(30));
      EXPECT_EQ(written.quota_cost, 0);
    }
    EXPECT_FALSE(
        DecideRetry(explicit_config, kRepeatable, NoReply(), {.connection_retries = 6}).retry);
    EXPECT_TRUE(
        DecideRetry(explicit_config, kRepeatable, Reply(500), {.connection_retries = 6}).retry);
  }
}

TEST(RetryStandard, TimeoutsCostTwice) {
  EXPECT_EQ(
      DecideRetry(Mode(RetryMode::kStandard), kRepeatable, NoReply(Code::kTimedOut), {}).quota_cost,
      10);
  EXPECT_EQ(DecideRetry(Mode(RetryMode::kStandard), kRepeatable, NoReply(), {}).quota_cost, 5);
  EXPECT_EQ(DecideRetry(Mode(RetryMode::kStandard), kRepeatable, Reply(404), {}).quota_cost, 0);
}

// --- What the server asks for ---

Error WithRetryAfter(long long ms, bool soft) {
  ServiceDetail detail;
  detail.http_status = 503;
  detail.service_code = "SlowDown";
  detail.retry_after_ms = ms;
  detail.retry_after_soft = soft;
  return Error(Code::kThrottled, "slow down", std::move(detail));
}

Duration DelayFor(long long ms, bool soft, double jitter) {
  return DecideRetry(Mode(RetryMode::kStandard), kRepeatable, WithRetryAfter(ms, soft),
                     {.jitter = jitter})
      .delay;
}

TEST(RetryAfter, ADemandIsFollowedUpToFiveMinutes) {
  EXPECT_EQ(DelayFor(7000, false, 0.5), seconds(7));
  EXPECT_EQ(DelayFor(100, false, 0.5), milliseconds(500)) << "never less than the mode's own delay";
  EXPECT_EQ(DelayFor(86400000, false, 0.5), std::chrono::minutes(5));
  EXPECT_EQ(DelayFor(std::numeric_limits<long long>::max(), false, 0.5), std::chrono::minutes(5));
  EXPECT_EQ(DelayFor(-5, false, 0.5), milliseconds(500));
}

TEST(RetryAfter, AHintIsBoundedByTheBackoff) {
  EXPECT_EQ(DelayFor(3000, true, 0.5), seconds(3));
  EXPECT_EQ(DelayFor(100, true, 0.5), milliseconds(500));
  EXPECT_EQ(DelayFor(60000, true, 0.5), milliseconds(5500));
  EXPECT_EQ(DelayFor(60000, true, 0.0), seconds(5));
}

TEST(RetryAfter, Headers) {
  const WallTime now = ParseHttpDate("Fri, 24 May 2013 00:00:00 GMT").value();
  const auto read = [&](std::string_view name, std::string_view value) {
    HttpHeaders headers;
    headers.Add(name, value);
    ServiceDetail detail;
    FillRetryAfter(headers, now, &detail);
    return detail;
  };
  EXPECT_EQ(read("Retry-After", "120").retry_after_ms, 120000);
  EXPECT_FALSE(read("Retry-After", "120").retry_after_soft);
  EXPECT_EQ(read("retry-after", " 1 ").retry_after_ms, 1000);
  EXPECT_EQ(read("Retry-After", "Fri, 24 May 2013 00:00:30 GMT").retry_after_ms, 30000);
  EXPECT_EQ(read("Retry-After", "Fri, 24 May 2013 00:00:00 GMT").retry_after_ms, 0);
  EXPECT_EQ(read("Retry-After", "Thu, 23 May 2013 00:00:00 GMT").retry_after_ms, 0);
  EXPECT_EQ(read("x-amz-retry-after", "1500").retry_after_ms, 1500);
  EXPECT_TRUE(read("x-amz-retry-after", "1500").retry_after_soft);
  for (const char* bad : {"", "-1", "1.5", "soon", "99999999999999999999"}) {
    EXPECT_EQ(read("Retry-After", bad).retry_after_ms, 0) << bad;
    EXPECT_EQ(read("x-amz-retry-after", bad).retry_after_ms, 0) << bad;
  }
  EXPECT_GT(read("Retry-After", "9999999999").retry_after_ms, 0) << "clamped, not wrapped";
  HttpHeaders both;
  both.Add("Retry-After", "9");
  both.Add("x-amz-retry-after", "250");
  ServiceDetail detail;
  FillRetryAfter(both, now, &detail);
  EXPECT_EQ(detail.retry_after_ms, 250);
}

// --- Deadlines ---

TEST(RetryDeadline, ADelayThatDoesNotFitIsNotBegun) {
  const RetryConfig config = Mode(RetryMode::kLegacy);
  const auto decide = [&](Duration remaining) {
    return DecideRetry(config, kRepeatable, Reply(500), {.remaining = remaining});
  };
  EXPECT_TRUE(decide(milliseconds(401)).retry);
  EXPECT_FALSE(decide(milliseconds(400)).retry);
  EXPECT_FALSE(decide(milliseconds(-1)).retry);
  EXPECT_TRUE(decide(milliseconds(0)).worth_a_retry);
  EXPECT_EQ(decide(milliseconds(0)).delay, Duration(0));
}

}  // namespace
}  // namespace quayfs::s3
