// SPDX-License-Identifier: Apache-2.0

#include "s3/request_counters.h"

#include <gtest/gtest.h>

#include <string>

namespace quayfs::s3 {
namespace {

std::string KindName(const std::string& method, const std::string& query, bool copy = false) {
  HttpRequest request;
  request.method = method;
  request.query = query;
  if (copy) request.headers.Add("x-amz-copy-source", "/b/k");
  return std::string(RequestKindName(KindOf(request)));
}

TEST(RequestCounters, KindsAreToldFromTheRequest) {
  EXPECT_EQ(KindName("GET", ""), "get");
  EXPECT_EQ(KindName("GET", "list-type=2&prefix=a"), "list");
  EXPECT_EQ(KindName("GET", "prefix=a"), "list");
  EXPECT_EQ(KindName("GET", "uploads"), "list_uploads");
  EXPECT_EQ(KindName("GET", "uploadId=1"), "list_parts");
  EXPECT_EQ(KindName("HEAD", ""), "head");
  EXPECT_EQ(KindName("PUT", ""), "put");
  EXPECT_EQ(KindName("PUT", "", true), "copy");
  EXPECT_EQ(KindName("PUT", "partNumber=1&uploadId=x"), "upload_part");
  EXPECT_EQ(KindName("PUT", "partNumber=1&uploadId=x", true), "copy_part");
  EXPECT_EQ(KindName("POST", "uploads="), "create_upload");
  EXPECT_EQ(KindName("POST", "uploadId=x"), "complete_upload");
  EXPECT_EQ(KindName("POST", "delete"), "delete_many");
  EXPECT_EQ(KindName("DELETE", ""), "delete");
  EXPECT_EQ(KindName("DELETE", "uploadId=x"), "abort_upload");
  EXPECT_EQ(KindName("OPTIONS", ""), "other");
}

/// Answers every request alike.
class FixedClient final : public HttpClient {
 public:
  Result<HttpReply> Do(const HttpRequest& /*request*/, ResponseHandler& handler,
                       const CallOptions& /*call*/) override {
    if (fail) return Error(Code::kUnavailable, "reset");
    QUAY_TRY(handler.OnHeaders(503, {}));
    QUAY_TRY(handler.OnData(std::as_bytes(std::span(std::string_view("later")))));
    return HttpReply{};
  }
  bool fail = false;
};

TEST(RequestCounters, CountWhatGoesThrough) {
  RequestCounters counters;
  auto fixed = std::make_unique<FixedClient>();
  FixedClient* const inner = fixed.get();
  const auto client = CountRequests(std::move(fixed), counters);
  HttpRequest request;
  request.method = "HEAD";
  BodyCollector body;
  ASSERT_TRUE(client->Do(request, body, {}).ok());
  EXPECT_EQ(body.body(), "later");
  inner->fail = true;
  EXPECT_TRUE(client->Do(request, body, {}).Is(Code::kUnavailable));
  const auto& kind = counters.of(RequestKind::kHead);
  EXPECT_EQ(kind.replies[5], 1U);
  EXPECT_EQ(kind.replies[0], 1U);
  EXPECT_EQ(kind.received_bytes, 5U);
  EXPECT_EQ(counters.throttled(), 1U);
}

}  // namespace
}  // namespace quayfs::s3
