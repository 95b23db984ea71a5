// SPDX-License-Identifier: Apache-2.0
//
// The server's QingStor dialect: its verifier against the known answers of protocol.md 7.3.

#include <gtest/gtest.h>

#include "base/text.h"
#include "tests/server/auth_qs.h"
#include "tests/server/http_parser.h"

namespace quayfs::testserver {
namespace {

constexpr char kSk[] = "ENV_SECRET_ACCESS_KEY";
const std::string kTests = "X-QS-Test-2: Test 2\r\nX-QS-Test-1:   Test 1  \r\n";
const std::string kDate = "Mon, 01 Jan 0001 00:00:00 GMT";
const std::string kQuery =
    "?acl&upload_id=fde133b5f6d932cd9c79bac3c7318da1&part_number=0&other=abc";

std::string Signed(const std::string& request_line, const std::string& headers,
                   const std::string& date, const std::string& host_bucket = "") {
  const auto head =
      ParseRequestHead(request_line + " HTTP/1.1\r\nHost: localhost\r\n" + headers + "\r\n");
  EXPECT_TRUE(head.ok());
  const Query query(head->raw_query);
  return QsSign(kSk, QsStringToSign({*head, query, host_bucket}, date));
}

TEST(QsAuth, KnownAnswers) {
  const std::string own_date = kTests + "X-QS-Date: " + kDate + "\r\n";
  EXPECT_EQ(Signed("GET /" + kQuery, kTests, kDate),
            "bvglZF9iMOv1RaCTxPYWxexmt1UN2m5WKngYnhDEp2c=");
  EXPECT_EQ(Signed("GET /" + kQuery, own_date, ""), "qkY+tOMdqfDAVv+ZBtlWeEBxlbyIKaQmj5lQlylENzo=");
  EXPECT_EQ(Signed("GET /bucket-name/%E4%B8%AD%E6%96%87", "", kDate),
            "XsTXX50kzqBf92zLG1aIUIJmZ0hqIHoaHgkumwnV3fs=");
  EXPECT_EQ(Signed("GET /" + kQuery, kTests, "3600"),
            "GRL3p3NOgHR9CQygASvyo344vdnO1hFke6ZvQ5mDVHM=");
  EXPECT_EQ(Signed("GET /" + kQuery, own_date, "3600"),
            "plFxMFP1EzKVtdF+bApT8rhW9AUAIWfmZcOGH3m27t0=");
  EXPECT_EQ(Signed("PUT /bucket-name?cname", kTests, kDate),
            "Kqc4/+6T7zfSrUPgkvswHbtL4ESch9vOVQP0nPwlkBs=");
  EXPECT_EQ(Signed("GET /?acl", "", kDate, "bucket-name"),
            "y0rP8LnEGUiV/JcuCMHZC4OMRZNzKRw9w7AnqehJZW8=");
  const std::string disposition =
      "attachment; filename=\"%E4%B8%AD%E6%96%87.jpg\"; filename*=utf-8''%E4%B8%AD%E6%96%87.jpg";
  EXPECT_EQ(
      Signed("GET /?response-content-disposition=" + PercentEncode(disposition, false), "", "3600"),
      "XPMfomqMYu7ej62eqitVcPJyZMvfi72ZxXwGpPWv07I=");
}

Outcome<Identity> Check(const std::string& text, const std::string& now) {
  const auto head = ParseRequestHead(text);
  EXPECT_TRUE(head.ok());
  const Query query(head->raw_query);
  const std::vector<Account> accounts = {{"AK", "SK", ""}};
  return AuthenticateQs({*head, query, ""}, {accounts, "pek3a", false, *ParseIso(now)});
}

TEST(QsAuth, WhatIsRefused) {
  const std::string date = "Date: Fri, 24 May 2013 00:00:00 GMT\r\n";
  const std::string signature = QsSign("SK", "GET\n\n\nFri, 24 May 2013 00:00:00 GMT\n/test/k");
  const auto text = [&](const std::string& path) {
    return "GET " + path + " HTTP/1.1\r\nHost: localhost\r\n" + date +
           "Authorization: QS AK:" + signature + "\r\n\r\n";
  };
  EXPECT_TRUE(Check(text("/test/k"), "2013-05-24T00:14:59Z").ok());
  EXPECT_EQ(Check(text("/test/k"), "2013-05-24T00:15:01Z").error().code, "RequestTimeTooSkewed");
  EXPECT_EQ(Check(text("/test/other"), "2013-05-24T00:00:00Z").error().code,
            "SignatureDoesNotMatch");
  const std::string bare = "GET /test/k HTTP/1.1\r\nHost: localhost\r\n\r\n";
  EXPECT_EQ(Check(bare, "2013-05-24T00:00:00Z").error().code, "AccessDenied");
}

}  // namespace
}  // namespace quayfs::testserver
