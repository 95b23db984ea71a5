// SPDX-License-Identifier: Apache-2.0

#include "s3/errors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "s3/retry.h"

namespace quayfs::s3 {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

WallTime Now() { return ParseIso("2013-05-24T00:00:00Z").value(); }

Error Make(int status, std::string_view body = "", const std::vector<HttpHeader>& fields = {}) {
  HttpHeaders headers;
  for (const HttpHeader& field : fields) headers.Add(field.name, field.value);
  return MakeServiceError({status, &headers, body, Now()}, "read object 'a/b'");
}

std::string Body(std::string_view code, std::string_view more = "") {
  return "<Error><Code>" + std::string(code) + "</Code>" + std::string(more) + "</Error>";
}

TEST(S3Errors, Table) {
  struct Row {
    int status;
    std::string_view code;
    Code expected;
  };
  for (const Row& row : std::vector<Row>{
           {404, "NoSuchKey", Code::kNotFound},
           {404, "", Code::kNotFound},
           {404, "NoSuchBucket", Code::kUnavailable},
           {404, "NoSuchUpload", Code::kNotFound},
           {403, "AccessDenied", Code::kPermissionDenied},
           {403, "", Code::kPermissionDenied},
           {403, "InvalidAccessKeyId", Code::kUnauthenticated},
           {403, "SignatureDoesNotMatch", Code::kUnauthenticated},
           {400, "ExpiredToken", Code::kUnauthenticated},
           {401, "", Code::kUnauthenticated},
           {403, "RequestTimeTooSkewed", Code::kClockSkew},
           {403, "InvalidObjectState", Code::kArchived},
           {400, "EntityTooLarge", Code::kTooLarge},
           {400, "MetadataTooLarge", Code::kTooLarge},
           {400, "KeyTooLongError", Code::kNameTooLong},
           {409, "ConditionalRequestConflict", Code::kUnavailable},
           {409, "OperationAborted", Code::kUnavailable},
           {412, "PreconditionFailed", Code::kChanged},
           {412, "", Code::kChanged},
           {416, "InvalidRange", Code::kInvalidArgument},
           {416, "", Code::kInvalidArgument},
           {501, "NotImplemented", Code::kNotSupported},
           {405, "MethodNotAllowed", Code::kNotSupported},
           {503, "SlowDown", Code::kThrottled},
           {429, "", Code::kThrottled},
           {503, "", Code::kUnavailable},
           {500, "InternalError", Code::kUnavailable},
           {507, "", Code::kNoSpace},
           {403, "QuotaExceeded", Code::kQuota},
           {400, "IncorrectRegion", Code::kWrongRegion},
           {301, "PermanentRedirect", Code::kWrongRegion},
           {307, "", Code::kWrongRegion},
           {400, "InvalidStorageClass", Code::kInvalidArgument},
           {400, "AuthorizationHeaderMalformed", Code::kUnauthenticated},
           {400, "SomethingNew", Code::kInvalidArgument},
           {599, "SomethingNew", Code::kUnavailable},
           {200, "InternalError", Code::kUnavailable},
           {200, "SlowDown", Code::kThrottled},
           {200, "", Code::kUnavailable},
       }) {
    const Error error = Make(row.status, row.code.empty() ? "" : Body(row.code));
    EXPECT_EQ(error.code(), row.expected)
        << row.status << " " << row.code << ": " << error.ToString();
    EXPECT_EQ(error.detail().service_code, row.code);
  }
}

TEST(S3Errors, TheCodeBeatsTheStatus) {
  EXPECT_EQ(Make(400, Body("SlowDown")).code(), Code::kThrottled);
  EXPECT_EQ(Make(500, Body("NoSuchKey")).code(), Code::kNotFound);
}

TEST(S3Errors, ErrorInSuccessCountsAs500) {
  EXPECT_EQ(Make(200, Body("InternalError")).detail().http_status, 500);
}

TEST(S3Errors, Detail) {
  const Error error =
      Make(301,
           Body("PermanentRedirect",
                "<Message>Use "
                "another.</Message><RequestId>body</RequestId><Region>eu-central-1</Region>"),
           {{"x-amz-request-id", "R1"},
            {"x-amz-bucket-region", "eu-west-1"},
            {"Date", "Fri, 24 May 2013 00:00:05 GMT"}});
  EXPECT_EQ(error.detail().http_status, 301);
  EXPECT_EQ(error.detail().request_id, "R1");
  EXPECT_EQ(error.detail().region, "eu-west-1");
  EXPECT_EQ(error.detail().server_time, 1369353605);
  EXPECT_EQ(error.message(), "cannot read object 'a/b': Use another");
}

TEST(S3Errors, RegionFromBodyAndEndpoint) {
  const Error malformed =
      Make(400, Body("AuthorizationHeaderMalformed", "<Region>eu-west-1</Region>"));
  EXPECT_EQ(malformed.code(), Code::kWrongRegion);
  EXPECT_EQ(malformed.detail().region, "eu-west-1");
  EXPECT_TRUE(MayBeWrongRegion(malformed));
  EXPECT_EQ(
      Make(301, Body("PermanentRedirect", "<Endpoint>b.s3.eu-west-1.amazonaws.com</Endpoint>"))
          .detail()
          .region,
      "eu-west-1");
  EXPECT_EQ(
      Make(301, Body("PermanentRedirect", "<Endpoint>b.s3-eu-west-1.amazonaws.com</Endpoint>"))
          .detail()
          .region,
      "eu-west-1");
  EXPECT_EQ(
      Make(301, Body("PermanentRedirect", "<Endpoint>evil.example.org</Endpoint>")).detail().region,
      "");
}

TEST(S3Errors, HeadHasOnlyTheStatus) {
  const Error region = Make(400, "", {{"x-amz-bucket-region", "eu-west-1"}});
  EXPECT_TRUE(MayBeWrongRegion(region));
  EXPECT_FALSE(MayBeWrongRegion(Make(400)));
  EXPECT_THAT(Make(400).message(), HasSubstr("region"));
  EXPECT_TRUE(MayBeClockSkew(Make(403).detail()));
  EXPECT_FALSE(MayBeClockSkew(Make(404).detail()));
  EXPECT_FALSE(MayBeClockSkew(Make(403, Body("AccessDenied")).detail()));
  EXPECT_TRUE(MayBeClockSkew(Make(403, Body("SignatureDoesNotMatch")).detail()));
}

TEST(S3Errors, ServerTimePrefersTheBody) {
  HttpHeaders headers;
  EXPECT_FALSE(ServerTime(headers, "").has_value());
  headers.Set("Date", "Fri, 24 May 2013 00:00:05 GMT");
  EXPECT_EQ(FormatIsoBasic(*ServerTime(headers, "")), "20130524T000005Z");
  EXPECT_EQ(FormatIsoBasic(
                *ServerTime(headers, Body("X", "<ServerTime>2013-05-24T01:00:00Z</ServerTime>"))),
            "20130524T010000Z");
  EXPECT_EQ(FormatIsoBasic(*ServerTime(headers, Body("X", "<ServerTime>soon</ServerTime>"))),
            "20130524T000005Z");
}

TEST(S3Errors, RetryAfter) {
  EXPECT_EQ(Make(503, Body("SlowDown"), {{"Retry-After", "7"}}).detail().retry_after_ms, 7000);
}

TEST(S3Errors, MessagesAreOneCleanLine) {
  const std::string nasty = "a\nb\x01" + std::string(2000, 'x');
  const Error error = Make(500, "<Error><Code>C</Code><Message>" + nasty + "</Message></Error>");
  EXPECT_LT(error.message().size(), 400u);
  EXPECT_THAT(error.message(), Not(HasSubstr("\n")));
  EXPECT_EQ(Make(500, "<html>oops</html>").detail().service_code, "");
  EXPECT_THAT(Make(404).message(), HasSubstr("cannot read object 'a/b'"));
}

TEST(S3Errors, WhatTheRetryLayerMakesOfThem) {
  EXPECT_EQ(ClassifyReply(Make(200, Body("Odd")).detail().http_status, "Odd"),
            ReplyClass::kTransient);
  EXPECT_EQ(ClassifyReply(404, "NoSuchBucket"), ReplyClass::kFinal);
}

}  // namespace
}  // namespace quayfs::s3
