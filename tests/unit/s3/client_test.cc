// SPDX-License-Identifier: Apache-2.0
//
// The S3 client: configuration, requests as sent, corrections, bucket operations.

#include "s3/client.h"

#include "s3/sign_v4.h"
#include "tests/unit/s3/client_fixture.h"

namespace quayfs::s3 {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

// ---- Configuration.

TEST_F(ClientTest, ConfigIsChecked) {
  EXPECT_TRUE(CheckClientConfig(config_).ok());
  const auto refused = [&](const std::function<void(ClientConfig&)>& change,
                           std::string_view field) {
    ClientConfig config = config_;
    change(config);
    const Status status = CheckClientConfig(config);
    ASSERT_TRUE(status.Is(Code::kInvalidArgument)) << field;
    EXPECT_THAT(status.error().message(), StartsWith(std::string(field)));
  };
  refused([](ClientConfig& c) { c.scheme = "ftp"; }, "scheme");
  refused([](ClientConfig& c) { c.host = ""; }, "host");
  refused([](ClientConfig& c) { c.bucket = ""; }, "bucket");
  refused([](ClientConfig& c) { c.bucket = "a/b"; }, "bucket");
  refused([](ClientConfig& c) { c.region = ""; }, "region");
  refused([](ClientConfig& c) { c.storage_class = "A\r\nX: y"; }, "storage class");
  refused([](ClientConfig& c) { c.credentials.secret_access_key = ""; }, "secret access key");
  refused([](ClientConfig& c) { c.credentials = {"", "", "token"}; }, "session token");
  refused([](ClientConfig& c) { c.sse_customer_key = "short"; }, "SSE-C key");
  refused([](ClientConfig& c) { c.sse_customer_key = std::string(32, 'k'), c.scheme = "http"; },
          "SSE-C key");
  refused([](ClientConfig& c) { c.sse_customer_key = std::string(32, 'k'), c.sse = "AES256"; },
          "SSE-C key");
  refused([](ClientConfig& c) { c.extra_headers = {{"Host", "evil"}}; }, "extra header");
  refused([](ClientConfig& c) { c.extra_headers = {{"X-A", "a\nb"}}; }, "extra header");
  refused([](ClientConfig& c) { c.extra_headers = {{"X A", "a"}}; }, "extra header");
  refused([](ClientConfig& c) { c.delete_batch_max = 0; }, "delete_batch_max");
}

// ---- What every request looks like.

TEST_F(ClientTest, RequestsAreAddressedAndSigned) {
  config_.port = 9000;
  config_.scheme = "http";
  http_.Then(200, "", {{"Content-Length", "5"}});
  ASSERT_TRUE(client().Head("dir/a b", call_).ok());
  const SentRequest sent = http_.sent(0);
  EXPECT_EQ(sent.line(), "HEAD /bkt/dir/a%20b");
  EXPECT_EQ(sent.request.scheme, "http");
  EXPECT_EQ(sent.request.host, "s3.example.org");
  EXPECT_EQ(sent.request.port, 9000);
  EXPECT_EQ(sent.header("host"), "s3.example.org:9000");
  EXPECT_EQ(sent.header("x-amz-date"), "20130524T000000Z");
  EXPECT_EQ(sent.header("x-amz-content-sha256"), kEmptyPayloadHash);
  EXPECT_THAT(
      sent.header("authorization"),
      StartsWith("AWS4-HMAC-SHA256 Credential=AK/20130524/us-east-1/s3/aws4_request,SignedHeaders="
                 "host;x-amz-content-sha256;x-amz-date,Signature="));
}

TEST_F(ClientTest, V2AndVirtualHost) {
  config_.signature = SignatureVersion::kV2;
  config_.style = AddressingStyle::kVirtualHost;
  http_.Then(200, "", {{"Content-Length", "5"}});
  ASSERT_TRUE(client().Head("k", call_).ok());
  const SentRequest sent = http_.sent(0);
  EXPECT_EQ(sent.request.host, "bkt.s3.example.org");
  EXPECT_EQ(sent.header("host"), "bkt.s3.example.org");
  EXPECT_EQ(sent.line(), "HEAD /k");
  EXPECT_THAT(sent.header("authorization"), StartsWith("AWS AK:"));
  EXPECT_FALSE(sent.has("x-amz-content-sha256"));
}

TEST_F(ClientTest, AnonymousSignsNothing) {
  config_.credentials = {};
  http_.Then(200, "", {{"Content-Length", "5"}});
  ASSERT_TRUE(client().Head("k", call_).ok());
  EXPECT_FALSE(http_.sent(0).has("authorization"));
  EXPECT_FALSE(http_.sent(0).has("x-amz-date"));
  EXPECT_TRUE(client().PresignGet("k", seconds(60)).Is(Code::kInvalidArgument));
}

TEST_F(ClientTest, ExtraHeadersAndRequesterPays) {
  config_.requester_pays = true;
  config_.extra_headers = {{"X-Gateway", "1"}, {"x-amz-custom", "2"}};
  http_.Then(200, "", {{"Content-Length", "5"}});
  ASSERT_TRUE(client().Head("k", call_).ok());
  const SentRequest sent = http_.sent(0);
  EXPECT_EQ(sent.header("x-gateway"), "1");
  EXPECT_EQ(sent.header("x-amz-request-payer"), "requester");
  EXPECT_THAT(
      sent.header("authorization"),
      HasSubstr(
          "SignedHeaders=host;x-amz-content-sha256;x-amz-custom;x-amz-date;x-amz-request-payer,"));
}

TEST_F(ClientTest, PresignedLinks) {
  const auto link = client().PresignGet("a b", seconds(3600));
  ASSERT_TRUE(link.ok());
  EXPECT_THAT(*link, StartsWith("https://s3.example.org/bkt/"
                                "a%20b?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AK%2F"));
  EXPECT_THAT(*link, HasSubstr("&X-Amz-Expires=3600&"));
  EXPECT_TRUE(client().PresignGet("k", seconds(0)).Is(Code::kInvalidArgument));
  EXPECT_TRUE(client().PresignGet("k", std::chrono::hours(169)).Is(Code::kInvalidArgument));
  ExpectScriptUsed(0);
}

TEST_F(ClientTest, PresignedLinksV2) {
  config_.signature = SignatureVersion::kV2;
  const auto link = client().PresignGet("k", seconds(60));
  ASSERT_TRUE(link.ok());
  EXPECT_THAT(
      *link,
      StartsWith("https://s3.example.org/bkt/k?AWSAccessKeyId=AK&Expires=1369353660&Signature="));
}

TEST_F(ClientTest, ThrottlingIsWaitedOutAndCounted) {
  http_.Then(503, ErrorBody("SlowDown")).Then(200, "", {{"Content-Length", "1"}});
  EXPECT_TRUE(client().Head("k", call_).ok());
  ExpectScriptUsed(2);
  EXPECT_EQ(client().retry_counters().throttled, 1u);
}

TEST_F(ClientTest, FinalErrorsAreNotRepeated) {
  http_.Then(403, ErrorBody("AccessDenied"));
  EXPECT_TRUE(client().List({}, call_).Is(Code::kPermissionDenied));
  ExpectScriptUsed(1);
}

TEST_F(ClientTest, OverlongErrorBodiesDoNotHideTheStatus) {
  http_.Then(404, std::string(3u << 20, 'x'));
  const auto head = client().List({}, call_);
  EXPECT_TRUE(head.Is(Code::kNotFound));
  ExpectScriptUsed(1);
}

TEST_F(ClientTest, CancellationIsNotRepeated) {
  std::stop_source stop;
  stop.request_stop();
  call_.cancel = stop.get_token();
  http_.Then(200);
  EXPECT_TRUE(client().Head("k", call_).Is(Code::kCancelled));
}

// ---- Clock.

TEST_F(ClientTest, ClockOffsetIsLearnedFromTheErrorOnce) {
  http_
      .Then(403, ErrorBody("RequestTimeTooSkewed", "<ServerTime>2013-05-24T02:00:00Z</ServerTime>"))
      .Then(200, "", {{"Content-Length", "1"}})
      .Then(200, "", {{"Content-Length", "1"}});
  EXPECT_TRUE(client().Head("k", call_).ok());
  EXPECT_EQ(http_.sent(0).header("x-amz-date"), "20130524T000000Z");
  EXPECT_EQ(http_.sent(1).header("x-amz-date"), "20130524T020000Z");
  EXPECT_EQ(client().clock_offset(), std::chrono::hours(2));
  EXPECT_TRUE(client().Head("k", call_).ok());
  EXPECT_EQ(http_.sent(2).header("x-amz-date"), "20130524T020000Z");
  ExpectScriptUsed(3);
}

TEST_F(ClientTest, ClockOffsetFromTheDateOfAHead) {
  http_.Then(403, "", {{"Date", Date(-7200)}}).Then(200, "", {{"Content-Length", "1"}});
  EXPECT_TRUE(client().Head("k", call_).ok());
  EXPECT_EQ(http_.sent(1).header("x-amz-date"), "20130523T220000Z");
}

TEST_F(ClientTest, AClockThatIsRightIsNotCorrected) {
  http_.Then(403, ErrorBody("SignatureDoesNotMatch"), {{"Date", Date(240)}});
  EXPECT_TRUE(client().List({}, call_).Is(Code::kUnauthenticated));
  ExpectScriptUsed(1);
  EXPECT_EQ(client().clock_offset(), Duration(0));
}

TEST_F(ClientTest, ClockIsCorrectedAtMostOncePerRequest) {
  http_.Then(403, ErrorBody("RequestTimeTooSkewed"), {{"Date", Date(7200)}})
      .Then(403, ErrorBody("RequestTimeTooSkewed"), {{"Date", Date(-7200)}});
  EXPECT_TRUE(client().Head("k", call_).Is(Code::kClockSkew));
  ExpectScriptUsed(2);
}

// ---- Region.

TEST_F(ClientTest, RegionIsLearnedFromTheHeader) {
  config_.host = "s3.us-east-1.amazonaws.com";
  config_.style = AddressingStyle::kVirtualHost;
  http_.Then(301, "", {{"x-amz-bucket-region", "eu-west-1"}})
      .Then(200, "", {{"Content-Length", "1"}})
      .Then(200, "", {{"Content-Length", "1"}});
  EXPECT_TRUE(client().Head("k", call_).ok());
  EXPECT_EQ(http_.sent(1).request.host, "bkt.s3.eu-west-1.amazonaws.com");
  EXPECT_THAT(http_.sent(1).header("authorization"), HasSubstr("/eu-west-1/s3/"));
  EXPECT_EQ(client().region(), "eu-west-1");
  EXPECT_TRUE(client().Head("k", call_).ok());
  EXPECT_EQ(http_.sent(2).request.host, "bkt.s3.eu-west-1.amazonaws.com");
  ExpectScriptUsed(3);
}

TEST_F(ClientTest, RegionIsLearnedFromTheBody) {
  http_.Then(400, ErrorBody("AuthorizationHeaderMalformed", "<Region>eu-west-1</Region>"))
      .Then(200, "<ListBucketResult/>");
  EXPECT_TRUE(client().List({}, call_).ok());
  EXPECT_THAT(http_.sent(1).header("authorization"), HasSubstr("/eu-west-1/s3/"));
  EXPECT_EQ(http_.sent(1).request.host, "s3.example.org") << "no other host gets the credentials";
}

TEST_F(ClientTest, RegionIsLookedUpWhenTheErrorDoesNotSay) {
  http_.Then(400, ErrorBody("IncorrectRegion"))
      .Then(403, "", {{"x-amz-bucket-region", "cn-north-1"}})
      .Then(200, "<ListBucketResult/>");
  EXPECT_TRUE(client().List({}, call_).ok());
  EXPECT_EQ(http_.sent(1).line(), "HEAD /bkt/");
  EXPECT_THAT(http_.sent(2).header("authorization"), HasSubstr("/cn-north-1/s3/"));
  ExpectScriptUsed(3);
}

TEST_F(ClientTest, RedirectsAreFollowedAtMostOnce) {
  http_.Then(301, "", {{"x-amz-bucket-region", "eu-west-1"}})
      .Then(301, "", {{"x-amz-bucket-region", "eu-west-2"}});
  const auto head = client().Head("k", call_);
  ASSERT_TRUE(head.Is(Code::kWrongRegion));
  EXPECT_EQ(head.error().detail().region, "eu-west-2");
  ExpectScriptUsed(2);
}

TEST_F(ClientTest, RedirectsToOtherHostsAreNotFollowed) {
  http_
      .Then(307, ErrorBody("TemporaryRedirect", "<Endpoint>evil.example.net</Endpoint>"),
            {{"Location", "https://evil.example.net/bkt/k"}})
      .Then(200);
  EXPECT_TRUE(client().List({}, call_).Is(Code::kWrongRegion));
  for (const SentRequest& sent : http_.sent()) EXPECT_EQ(sent.request.host, "s3.example.org");
}

TEST_F(ClientTest, ARegionThatCouldBreakAHeaderIsIgnored) {
  http_.Then(301, "", {{"x-amz-bucket-region", "evil.example.net/"}})
      .Then(200, "", {{"x-amz-bucket-region", "a b"}});
  EXPECT_TRUE(client().Head("k", call_).Is(Code::kWrongRegion));
  EXPECT_EQ(client().region(), "us-east-1");
}

TEST_F(ClientTest, RegionIsNotFollowedWhenSaidSo) {
  config_.follow_region = false;
  http_.Then(301, "", {{"x-amz-bucket-region", "eu-west-1"}});
  EXPECT_TRUE(client().Head("k", call_).Is(Code::kWrongRegion));
  ExpectScriptUsed(1);
}

// ---- The bucket.

TEST_F(ClientTest, HeadBucket) {
  http_.Then(200).Then(404).Then(403, "", {{"Date", Date(0)}});
  EXPECT_TRUE(client().HeadBucket(call_).ok());
  EXPECT_EQ(http_.sent(0).line(), "HEAD /bkt/");
  EXPECT_TRUE(client().HeadBucket(call_).Is(Code::kNotFound));
  EXPECT_TRUE(client().HeadBucket(call_).Is(Code::kPermissionDenied));
}

TEST_F(ClientTest, BucketRegion) {
  http_.Then(403, "", {{"x-amz-bucket-region", "eu-west-1"}}).Then(200).Then(503).Then(200);
  EXPECT_EQ(*client().BucketRegion(call_), "eu-west-1");
  EXPECT_EQ(*client().BucketRegion(call_), "");
  EXPECT_EQ(*client().BucketRegion(call_), "");
  ExpectScriptUsed(4);
}

TEST_F(ClientTest, CreateBucket) {
  config_.region = "eu-west-1";
  http_.Then(200)
      .Then(409, ErrorBody("BucketAlreadyOwnedByYou"))
      .Then(409, ErrorBody("BucketAlreadyExists"));
  EXPECT_TRUE(client().CreateBucket("private", call_).ok());
  EXPECT_EQ(http_.sent(0).line(), "PUT /bkt/");
  EXPECT_EQ(http_.sent(0).header("x-amz-acl"), "private");
  EXPECT_THAT(http_.sent(0).body, HasSubstr("<LocationConstraint>eu-west-1</LocationConstraint>"));
  EXPECT_TRUE(client().CreateBucket("", call_).ok());
  EXPECT_TRUE(client().CreateBucket("", call_).Is(Code::kAlreadyExists));
  EXPECT_TRUE(client().CreateBucket("a\nb", call_).Is(Code::kInvalidArgument));
}

TEST_F(ClientTest, ListBuckets) {
  http_.Then(200,
             "<ListAllMyBucketsResult><Buckets><Bucket><Name>a</Name></Bucket></Buckets></"
             "ListAllMyBucketsResult>");
  EXPECT_THAT(*client().ListBuckets(call_), ElementsAre("a"));
  EXPECT_EQ(http_.sent(0).line(), "GET /");
}

// ---- Listing.

std::string Page(std::string_view inside) {
  return "<ListBucketResult>" + std::string(inside) + "</ListBucketResult>";
}
std::string Key(std::string_view key) {
  return "<Contents><Key>" + std::string(key) + "</Key><Size>1</Size></Contents>";
}

TEST_F(ClientTest, ListV2) {
  http_
      .Then(200, Page("<KeyCount>1</KeyCount><IsTruncated>true</"
                      "IsTruncated><NextContinuationToken>t/=</NextContinuationToken>" +
                      Key("p/a")))
      .Then(200, Page("<KeyCount>1</KeyCount><IsTruncated>false</IsTruncated>" + Key("p/b")));
  const auto first = client().List({"p/", "/", "", 500}, call_);
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(http_.sent(0).line(),
            "GET /bkt/?delimiter=%2F&encoding-type=url&list-type=2&max-keys=500&prefix=p%2F");
  EXPECT_EQ(first->objects[0].key, "p/a");
  const auto second = client().List({"p/", "/", first->next_token, 500}, call_);
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(http_.sent(1).parameter("continuation-token"), "t/=");
  EXPECT_EQ(second->next_token, "");
}

TEST_F(ClientTest, ListV1) {
  config_.list_version = ListVersion::kV1;
  config_.list_url_encode = false;
  http_.Then(200, Page("<Marker/><IsTruncated>true</IsTruncated>" + Key("a")))
      .Then(200, Page("<Marker>a</Marker>"));
  const auto first = client().List({}, call_);
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(http_.sent(0).line(), "GET /bkt/?max-keys=1000&prefix=");
  ASSERT_TRUE(client().List({"", "", first->next_token, 1000}, call_).ok());
  EXPECT_EQ(http_.sent(1).line(), "GET /bkt/?marker=a&max-keys=1000&prefix=");
}

TEST_F(ClientTest, AServiceWithoutV2IsRemembered) {
  http_.Then(200, Page("<Marker/><IsTruncated>true</IsTruncated>" + Key("a")))
      .Then(200, Page("<Marker>a</Marker><IsTruncated>false</IsTruncated>" + Key("b")))
      .Then(200, Page("<Marker/>"));
  const auto first = client().List({}, call_);
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(client().list_version(), ListVersion::kV1);
  ASSERT_TRUE(client().List({"", "", first->next_token, 1000}, call_).ok());
  EXPECT_EQ(http_.sent(1).parameter("marker"), "a");
  EXPECT_EQ(http_.sent(1).parameter("list-type"), "(absent)");
  ASSERT_TRUE(client().List({}, call_).ok());
  EXPECT_EQ(http_.sent(2).parameter("list-type"), "(absent)");
}

TEST_F(ClientTest, AListingThatDoesNotGetOnIsCorrupt) {
  const std::string page =
      Page("<IsTruncated>true</IsTruncated><NextMarker>m</NextMarker>" + Key("a"));
  config_.list_version = ListVersion::kV1;
  http_.Then(200, page).Then(200, page);
  const auto first = client().List({}, call_);
  ASSERT_TRUE(first.ok());
  EXPECT_TRUE(client().List({"", "", first->next_token, 1000}, call_).Is(Code::kCorrupt));
}

TEST_F(ClientTest, ListingsThatAreNone) {
  http_.Then(200, Page(Key("other")));
  EXPECT_TRUE(client().List({"p/", "", "", 1000}, call_).Is(Code::kCorrupt));
  http_.Then(200, "<html/>");
  EXPECT_TRUE(client().List({}, call_).Is(Code::kCorrupt));
  http_.Then(200, ErrorBody("InternalError")).Then(200, Page(""));
  EXPECT_TRUE(client().List({}, call_).ok()) << "an error inside a success is tried again";
  EXPECT_TRUE(client().List({"", "", "bogus", 1000}, call_).Is(Code::kInvalidArgument));
  ExpectScriptUsed(4);
}

TEST_F(ClientTest, AMissingBucketIsNotAMissingObject) {
  // It may also be one that was made a moment ago: asked again.
  http_.Then(404, ErrorBody("NoSuchBucket"))
      .Then(404, ErrorBody("NoSuchBucket"))
      .Then(404, ErrorBody("NoSuchBucket"));
  TextSink sink;
  EXPECT_TRUE(client().Get({"k", {}, ""}, sink, call_).Is(Code::kUnavailable));
  ExpectScriptUsed(3);
}

// ---- Deleting many.

TEST_F(ClientTest, DeleteManyInOneRequest) {
  http_.Then(200,
             "<DeleteResult><Deleted><Key>a</Key></Deleted><Error><Key>b</Key><Code>AccessDenied</"
             "Code></Error>"
             "<Error><Key>c</Key><Code>NoSuchKey</Code></Error></DeleteResult>");
  const auto outcomes = client().DeleteMany({"a", "b", "c", "a"}, call_);
  ASSERT_TRUE(outcomes.ok());
  ASSERT_EQ(outcomes->size(), 4u);
  EXPECT_TRUE((*outcomes)[0].status.ok());
  EXPECT_TRUE((*outcomes)[1].status.Is(Code::kPermissionDenied));
  EXPECT_TRUE((*outcomes)[2].status.ok());
  EXPECT_TRUE((*outcomes)[3].status.ok());
  const SentRequest sent = http_.sent(0);
  EXPECT_EQ(sent.line(), "POST /bkt/?delete");
  EXPECT_EQ(sent.header("content-type"), "application/xml");
  EXPECT_EQ(sent.header("content-md5"), Base64Encode(Md5(sent.body)));
  EXPECT_EQ(sent.header("x-amz-content-sha256"), HexEncode(Sha256(sent.body)));
  EXPECT_THAT(sent.body, HasSubstr("<Object><Key>a</Key></Object><Object><Key>b</Key></Object>"));
  ExpectScriptUsed(1);
}

TEST_F(ClientTest, DeleteManyIsSplit) {
  config_.delete_batch_max = 2;
  const std::string quiet = "<DeleteResult/>";
  http_.Then(200, quiet).Then(200, quiet).Then(200, quiet);
  const auto outcomes = client().DeleteMany({"1", "2", "3", "4", "5"}, call_);
  ASSERT_TRUE(outcomes.ok());
  for (const DeleteOutcome& outcome : *outcomes) EXPECT_TRUE(outcome.status.ok()) << outcome.key;
  ExpectScriptUsed(3);
}

TEST_F(ClientTest, KeysThatXmlCannotCarryAreDeletedOneByOne) {
  http_.Then(200, "<DeleteResult/>").Then(204);
  const auto outcomes = client().DeleteMany({"a\x01", "b"}, call_);
  ASSERT_TRUE(outcomes.ok());
  EXPECT_EQ((*outcomes)[0].key, "a\x01");
  EXPECT_THAT(http_.lines(), ElementsAre("POST /bkt/?delete", "DELETE /bkt/a%01"));
}

TEST_F(ClientTest, AServiceWithoutBatchDeleteIsRemembered) {
  http_.Then(501, ErrorBody("NotImplemented"))
      .Then(204)
      .Then(404, ErrorBody("NoSuchKey"))
      .Then(204);
  const auto outcomes = client().DeleteMany({"a", "b"}, call_);
  ASSERT_TRUE(outcomes.ok());
  EXPECT_TRUE((*outcomes)[0].status.ok());
  EXPECT_TRUE((*outcomes)[1].status.ok());
  EXPECT_FALSE(client().batch_delete_supported());
  ASSERT_TRUE(client().DeleteMany({"c"}, call_).ok());
  EXPECT_THAT(http_.lines(),
              ElementsAre("POST /bkt/?delete", "DELETE /bkt/a", "DELETE /bkt/b", "DELETE /bkt/c"));
}

TEST_F(ClientTest, KeysThatFailForNowAreSentAgain) {
  http_
      .Then(200,
            "<DeleteResult><Deleted><Key>a</Key></Deleted><Error><Key>b</Key><Code>InternalError</"
            "Code></Error>"
            "</DeleteResult>")
      .Then(200, "<DeleteResult><Deleted><Key>b</Key></Deleted></DeleteResult>");
  const auto outcomes = client().DeleteMany({"a", "b"}, call_);
  ASSERT_TRUE(outcomes.ok());
  EXPECT_TRUE((*outcomes)[1].status.ok());
  EXPECT_THAT(http_.sent(1).body, Not(HasSubstr("<Key>a</Key>")));
  ExpectScriptUsed(2);
}

TEST_F(ClientTest, KeysThatTheReplyLeavesOutAreNotDeleted) {
  const std::string only_a = "<DeleteResult><Deleted><Key>a</Key></Deleted></DeleteResult>";
  const std::string other = "<DeleteResult><Deleted><Key>zzz</Key></Deleted></DeleteResult>";
  config_.retry.mode = RetryMode::kStandard;
  http_.Then(200, only_a).Then(200, other).Then(200, other);
  const auto outcomes = client().DeleteMany({"a", "b"}, call_);
  ASSERT_TRUE(outcomes.ok());
  EXPECT_TRUE((*outcomes)[0].status.ok());
  EXPECT_TRUE((*outcomes)[1].status.Is(Code::kUnavailable));
}

TEST_F(ClientTest, DeleteManyThatCannotBeSent) {
  http_.Then(403, ErrorBody("InvalidAccessKeyId"));
  EXPECT_TRUE(client().DeleteMany({"a", "b"}, call_).Is(Code::kUnauthenticated));
  EXPECT_TRUE(client().DeleteMany({}, call_)->empty());
  ExpectScriptUsed(1);
}

}  // namespace
}  // namespace quayfs::s3
