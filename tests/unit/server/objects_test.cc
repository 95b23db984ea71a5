// SPDX-License-Identifier: Apache-2.0
//
// Objects and buckets over the wire.

#include <gtest/gtest.h>

#include "base/clock.h"
#include "base/hash.h"
#include "tests/unit/server/test_client.h"

namespace quayfs::testserver {
namespace {

class ObjectsTest : public testing::Test {
 protected:
  void Start(const ServerConfig& config) {
    server_ = StartServer(config);
    client_ = std::make_unique<TestClient>(server_->port());
  }
  void SetUp() override { Start({}); }

  static std::string Md5Etag(const std::string& body) { return "\"" + HexEncode(Md5(body)) + "\""; }

  std::unique_ptr<Server> server_;
  std::unique_ptr<TestClient> client_;
};

TEST_F(ObjectsTest, PutGetHeadDelete) {
  const Response put = client_->Put("/test/a/b%20c", "hello",
                                    {{"content-type", "text/plain"},
                                     {"cache-control", "no-store"},
                                     {"x-amz-meta-Mode", "33188"}});
  ASSERT_EQ(200, put.status) << put.body;
  EXPECT_EQ(Md5Etag("hello"), put.Header("etag"));
  EXPECT_FALSE(put.Header("x-amz-request-id").empty());
  EXPECT_EQ(std::vector<std::string>{"a/b c"}, server_->Keys("test"));

  const Response get = client_->Get("/test/a/b%20c");
  EXPECT_EQ(200, get.status);
  EXPECT_EQ("hello", get.body);
  EXPECT_EQ("text/plain", get.Header("content-type"));
  EXPECT_EQ("no-store", get.Header("cache-control"));
  EXPECT_EQ("33188", get.Header("x-amz-meta-mode"));
  EXPECT_EQ(Md5Etag("hello"), get.Header("etag"));
  EXPECT_TRUE(ParseHttpDate(get.Header("last-modified")).ok());

  const Response head = client_->Head("/test/a/b%20c");
  EXPECT_EQ(200, head.status);
  EXPECT_EQ("5", head.Header("content-length"));
  EXPECT_EQ("", head.body);

  EXPECT_EQ(204, client_->Delete("/test/a/b%20c").status);
  EXPECT_EQ(204, client_->Delete("/test/a/b%20c").status);
  const Response gone = client_->Get("/test/a/b%20c");
  EXPECT_EQ(404, gone.status);
  EXPECT_EQ("NoSuchKey", gone.ErrorCode());
  EXPECT_EQ(404, client_->Head("/test/a/b%20c").status);
}

TEST_F(ObjectsTest, EmptyAndLargeBodies) {
  EXPECT_EQ(200, client_->Put("/test/empty", "").status);
  EXPECT_EQ("", client_->Get("/test/empty").body);
  std::string large(20 << 20, '\0');
  for (size_t i = 0; i < large.size(); ++i) large[i] = static_cast<char>(i * 7 / 3);
  EXPECT_EQ(Md5Etag(large), client_->Put("/test/large", large).Header("etag"));
  EXPECT_TRUE(client_->Get("/test/large").body == large);
  EXPECT_TRUE(client_->Get("/test/large", "", {{"range", "bytes=8388607-8388610"}}).body ==
              large.substr(8388607, 4));
}

TEST_F(ObjectsTest, DigestsAreChecked) {
  const std::string md5 = Base64Encode(Md5("hello"));
  EXPECT_EQ(200, client_->Put("/test/a", "hello", {{"content-md5", md5}}).status);
  const Response bad = client_->Put("/test/a", "jello", {{"content-md5", md5}});
  EXPECT_EQ(400, bad.status);
  EXPECT_EQ("BadDigest", bad.ErrorCode());
  EXPECT_EQ("InvalidDigest", client_->Put("/test/a", "x", {{"content-md5", "zzz"}}).ErrorCode());
  EXPECT_EQ(
      "XAmzContentSHA256Mismatch",
      client_->Put("/test/a", "x", {{"x-amz-content-sha256", HexEncode(Sha256("y"))}}).ErrorCode());
  EXPECT_EQ("BadDigest",
            client_->Put("/test/a", "x", {{"x-amz-checksum-crc32", "AAAAAA=="}}).ErrorCode());
  for (const auto& [name, value] :
       std::map<std::string, std::string>{{"crc32", "NhCmhg=="},
                                          {"crc32c", "mnG7TA=="},
                                          {"crc64nvme", "M3eFcAZSQlc="},
                                          {"sha1", Base64Encode(Sha1("hello"))},
                                          {"sha256", Base64Encode(Sha256("hello"))}}) {
    EXPECT_EQ(200, client_->Put("/test/a", "hello", {{"x-amz-checksum-" + name, value}}).status)
        << name;
  }
  EXPECT_EQ("hello", server_->Body("test", "a"));
}

TEST_F(ObjectsTest, Ranges) {
  server_->PutDirect("test", "a", "0123456789", {});
  const auto range = [&](const std::string& value) {
    return client_->Get("/test/a", "", {{"range", value}});
  };
  const Response middle = range("bytes=2-4");
  EXPECT_EQ(206, middle.status);
  EXPECT_EQ("234", middle.body);
  EXPECT_EQ("bytes 2-4/10", middle.Header("content-range"));
  EXPECT_EQ("789", range("bytes=-3").body);
  EXPECT_EQ("789", range("bytes=7-").body);
  EXPECT_EQ("89", range("bytes=8-100").body);
  EXPECT_EQ("0123456789", range("bytes=-100").body);
  EXPECT_EQ(200, range("bytes=1-2,4-5").status);
  EXPECT_EQ(200, range("bytes=5-4").status);
  EXPECT_EQ(200, range("lines=1-2").status);
  const Response behind = range("bytes=10-");
  EXPECT_EQ(416, behind.status);
  EXPECT_EQ("InvalidRange", behind.ErrorCode());
  EXPECT_EQ("bytes */10", behind.Header("content-range"));
  EXPECT_EQ(416, range("bytes=-0").status);
  server_->PutDirect("test", "a", "", {});
  EXPECT_EQ(416, range("bytes=0-").status);
}

TEST_F(ObjectsTest, ConditionalReads) {
  server_->PutDirect("test", "a", "x", {});
  const std::string etag = server_->Headers("test", "a").at("etag");
  const auto get = [&](const std::string& name, const std::string& value) {
    return client_->Get("/test/a", "", {{name, value}}).status;
  };
  EXPECT_EQ(200, get("if-match", etag));
  EXPECT_EQ(412, get("if-match", "\"other\""));
  EXPECT_EQ(304, get("if-none-match", etag));
  EXPECT_EQ(200, get("if-none-match", "\"other\""));
  EXPECT_EQ(200, get("if-none-match", "\"other\""));
  EXPECT_EQ(304, get("if-modified-since", "Fri, 01 Jan 2100 00:00:00 GMT"));
  EXPECT_EQ(200, get("if-modified-since", "Thu, 01 Jan 2015 00:00:00 GMT"));
  EXPECT_EQ(412, get("if-unmodified-since", "Thu, 01 Jan 2015 00:00:00 GMT"));
  EXPECT_EQ(412, client_->Head("/test/a", {{"if-match", "\"other\""}}).status);
}

TEST_F(ObjectsTest, ConditionalWrites) {
  EXPECT_EQ(200, client_->Put("/test/a", "1", {{"if-none-match", "*"}}).status);
  const Response exists = client_->Put("/test/a", "2", {{"if-none-match", "*"}});
  EXPECT_EQ(412, exists.status);
  EXPECT_EQ("PreconditionFailed", exists.ErrorCode());
  EXPECT_EQ(412, client_->Put("/test/a", "2", {{"if-none-match", Md5Etag("1")}}).status);
  EXPECT_EQ(412, client_->Put("/test/a", "2", {{"if-match", "\"other\""}}).status);
  EXPECT_EQ("1", server_->Body("test", "a"));
  EXPECT_EQ(200, client_->Put("/test/a", "2", {{"if-match", Md5Etag("1")}}).status);
  const Response missing = client_->Put("/test/none", "2", {{"if-match", Md5Etag("1")}});
  EXPECT_EQ(404, missing.status);
  EXPECT_EQ(412, client_->Delete("/test/a", "", {{"if-match", Md5Etag("1")}}).status);
  EXPECT_EQ(204, client_->Delete("/test/a", "", {{"if-match", Md5Etag("2")}}).status);
  EXPECT_EQ(404, client_->Delete("/test/a", "", {{"if-match", "*"}}).status);
}

TEST_F(ObjectsTest, ConditionsOfWritesCanBeIgnored) {
  Start({.conditional_writes = false});
  EXPECT_EQ(200, client_->Put("/test/a", "1").status);
  EXPECT_EQ(200, client_->Put("/test/a", "2", {{"if-none-match", "*"}}).status);
  EXPECT_EQ("2", server_->Body("test", "a"));
}

TEST_F(ObjectsTest, LimitsAndValidation) {
  EXPECT_EQ(200, client_->Put("/test/m", "", {{"x-amz-meta-a", std::string(2047, 'x')}}).status);
  EXPECT_EQ("MetadataTooLarge",
            client_->Put("/test/m", "", {{"x-amz-meta-a", std::string(2048, 'x')}}).ErrorCode());
  EXPECT_EQ(200, client_->Put("/test/" + std::string(1024, 'k'), "").status);
  EXPECT_EQ("KeyTooLongError", client_->Put("/test/" + std::string(1025, 'k'), "").ErrorCode());
  EXPECT_EQ("InvalidStorageClass",
            client_->Put("/test/m", "", {{"x-amz-storage-class", "LINE"}}).ErrorCode());
  EXPECT_EQ("InvalidArgument",
            client_->Put("/test/m", "", {{"x-amz-acl", "everybody"}}).ErrorCode());
  EXPECT_EQ(200, client_->Put("/test/m", "", {{"x-amz-acl", "public-read"}}).status);
  EXPECT_EQ("InvalidURI", client_->Put("/test/%FF", "").ErrorCode());
  EXPECT_EQ("NoSuchBucket", client_->Put("/other/m", "").ErrorCode());
  EXPECT_EQ(501, client_->Get("/test/m", "tagging").status);
  Start({.put_size_max = 10});
  EXPECT_EQ("EntityTooLarge", client_->Put("/test/m", "01234567890").ErrorCode());
}

TEST_F(ObjectsTest, ArchivedObjectsMustBeRestored) {
  EXPECT_EQ(200, client_->Put("/test/a", "x", {{"x-amz-storage-class", "GLACIER"}}).status);
  EXPECT_EQ("InvalidObjectState", client_->Get("/test/a").ErrorCode());
  EXPECT_EQ("GLACIER", client_->Head("/test/a").Header("x-amz-storage-class"));
  EXPECT_EQ(202,
            client_->Post("/test/a", "restore", "<RestoreRequest><Days>1</Days></RestoreRequest>")
                .status);
  EXPECT_EQ("x", client_->Get("/test/a").body);
}

TEST_F(ObjectsTest, ResponseOverrides) {
  server_->PutDirect("test", "a", "x", {});
  const Response response = client_->Get("/test/a", "response-content-type=text%2Fhtml");
  EXPECT_EQ("text/html", response.Header("content-type"));
}

TEST_F(ObjectsTest, Copies) {
  server_->PutDirect("test", "a b+", "body",
                     {{"x-amz-meta-m", "1"}, {"content-type", "text/plain"}});
  const std::string source = "/test/a%20b%2B";
  Response copy = client_->Put("/test/c", "", {{"x-amz-copy-source", source}});
  ASSERT_EQ(200, copy.status) << copy.body;
  EXPECT_EQ("CopyObject", server_->Log().back().operation);
  EXPECT_EQ("&quot;" + HexEncode(Md5("body")) + "&quot;", copy.Xml("ETag"));
  EXPECT_EQ("body", server_->Body("test", "c"));
  EXPECT_EQ("1", server_->Headers("test", "c").at("x-amz-meta-m"));

  copy = client_->Put("/test/c", "",
                      {{"x-amz-copy-source", "test/c"},
                       {"x-amz-metadata-directive", "REPLACE"},
                       {"x-amz-meta-n", "2"}});
  EXPECT_EQ(200, copy.status);
  EXPECT_EQ(0u, server_->Headers("test", "c").count("x-amz-meta-m"));
  EXPECT_EQ("2", server_->Headers("test", "c").at("x-amz-meta-n"));
  EXPECT_EQ("binary/octet-stream", server_->Headers("test", "c").at("content-type"));

  EXPECT_EQ("InvalidRequest",
            client_->Put("/test/c", "", {{"x-amz-copy-source", "test/c"}}).ErrorCode());
  EXPECT_EQ("NoSuchKey",
            client_->Put("/test/c", "", {{"x-amz-copy-source", "test/no"}}).ErrorCode());
  EXPECT_EQ("NoSuchKey",
            client_->Put("/test/c", "", {{"x-amz-copy-source", "test/a%20b+"}}).ErrorCode());
  EXPECT_EQ("InvalidArgument",
            client_->Put("/test/c", "", {{"x-amz-copy-source", "test"}}).ErrorCode());
  const auto with_condition = [&](const std::string& name, const std::string& value) {
    return client_->Put("/test/d", "", {{"x-amz-copy-source", source}, {name, value}}).status;
  };
  EXPECT_EQ(412, with_condition("x-amz-copy-source-if-match", "\"other\""));
  EXPECT_EQ(412, with_condition("x-amz-copy-source-if-none-match", Md5Etag("body")));
  EXPECT_EQ(200, with_condition("x-amz-copy-source-if-match", Md5Etag("body")));
  EXPECT_EQ(412, with_condition("if-none-match", "*"));
}

TEST_F(ObjectsTest, BatchDelete) {
  for (const char* key : {"a", "b", "c&d"}) server_->PutDirect("test", key, "x", {});
  const auto post = [&](const std::string& body) {
    return client_->Post("/test", "delete", body, {{"content-md5", Base64Encode(Md5(body))}});
  };
  const std::string body =
      "<Delete><Object><Key>a</Key></Object><Object><Key>c&amp;d</Key></Object>"
      "<Object><Key>none</Key></Object><Object><Key>b</Key><ETag>\"x\"</ETag></Object></Delete>";
  const Response response = post(body);
  ASSERT_EQ(200, response.status) << response.body;
  EXPECT_EQ((std::vector<std::string>{"a", "c&amp;d", "none", "b"}), response.XmlAll("Key"));
  EXPECT_EQ("PreconditionFailed", response.Xml("Code"));
  EXPECT_EQ(std::vector<std::string>{"b"}, server_->Keys("test"));
  const Response quiet = post("<Delete><Quiet>true</Quiet><Object><Key>b</Key></Object></Delete>");
  EXPECT_EQ(std::vector<std::string>{}, quiet.XmlAll("Key"));
  EXPECT_TRUE(server_->Keys("test").empty());
  EXPECT_EQ("MalformedXML", post("<Delete></Delete>").ErrorCode());
  EXPECT_EQ("MalformedXML", post("<Delete><Object>").ErrorCode());
  EXPECT_EQ("InvalidRequest", client_->Post("/test", "delete", body).ErrorCode());
  std::string many = "<Delete>";
  for (int i = 0; i < 1001; ++i) many += "<Object><Key>k</Key></Object>";
  EXPECT_EQ("MalformedXML", post(many + "</Delete>").ErrorCode());
  Start({.batch_delete = false});
  EXPECT_EQ(501, post(body).status);
}

TEST_F(ObjectsTest, Buckets) {
  EXPECT_EQ(200, client_->Put("/bucket-two", "").status);
  EXPECT_EQ("BucketAlreadyOwnedByYou", client_->Put("/bucket-two", "").ErrorCode());
  EXPECT_EQ("InvalidBucketName", client_->Put("/Bucket", "").ErrorCode());
  EXPECT_EQ((std::vector<std::string>{"bucket-two", "test"}), client_->Get("/").XmlAll("Name"));
  EXPECT_EQ("us-east-1", client_->Head("/bucket-two").Header("x-amz-bucket-region"));
  EXPECT_EQ(404, client_->Head("/none").status);
  server_->PutDirect("bucket-two", "k", "", {});
  EXPECT_EQ("BucketNotEmpty", client_->Delete("/bucket-two").ErrorCode());
  server_->DeleteDirect("bucket-two", "k");
  EXPECT_EQ(204, client_->Delete("/bucket-two/").status);
  EXPECT_EQ("NoSuchBucket", client_->Get("/bucket-two").ErrorCode());
  const Response location = client_->Get("/test", "location");
  EXPECT_NE(std::string::npos, location.body.find("<LocationConstraint"));
}

TEST_F(ObjectsTest, AccessIsRefusedWithReasons) {
  EXPECT_EQ("SignatureDoesNotMatch",
            client_->Do({.path = "/test/a", .secret = "wrong"}).ErrorCode());
  EXPECT_EQ("InvalidAccessKeyId",
            client_->Do({.path = "/test/a", .access_key = "nobody"}).ErrorCode());
  EXPECT_EQ("AccessDenied", client_->Do({.path = "/test/a", .sign = false}).ErrorCode());
  const Response region = client_->Do({.path = "/test/a", .region = "eu-central-1"});
  EXPECT_EQ(400, region.status);
  EXPECT_EQ("AuthorizationHeaderMalformed", region.ErrorCode());
  EXPECT_EQ("us-east-1", region.Xml("Region"));
  EXPECT_EQ("us-east-1", region.Header("x-amz-bucket-region"));
  const Response skew = client_->Do({.path = "/test/a", .clock_offset = 1000});
  EXPECT_EQ("RequestTimeTooSkewed", skew.ErrorCode());
  EXPECT_TRUE(ParseIso(skew.Xml("ServerTime")).ok());
  EXPECT_EQ(404, client_->Do({.path = "/test/a", .clock_offset = 800}).status);
}

TEST_F(ObjectsTest, ServerClockCanBeWrong) {
  Start({.clock_offset = std::chrono::hours(2)});
  const Response skew = client_->Get("/test/a");
  EXPECT_EQ("RequestTimeTooSkewed", skew.ErrorCode());
  const Result<WallTime> date = ParseHttpDate(skew.Header("date"));
  ASSERT_TRUE(date.ok());
  EXPECT_GT(*date, SystemClock().Now() + std::chrono::minutes(110));
  EXPECT_EQ(404, client_->Do({.path = "/test/a", .clock_offset = 7200}).status);
}

TEST_F(ObjectsTest, AnonymousAndTokens) {
  Start({.accounts = {{"test-key", "test-secret", "tok"}}, .allow_anonymous = true});
  EXPECT_EQ(404, client_->Do({.path = "/test/a", .sign = false}).status);
  EXPECT_EQ("InvalidAccessKeyId", client_->Get("/test/a").ErrorCode());
  EXPECT_EQ(404, client_->Do({.path = "/test/a", .token = "tok"}).status);
  EXPECT_EQ("InvalidToken", client_->Do({.path = "/test/a", .token = "bad"}).ErrorCode());
}

TEST_F(ObjectsTest, FastEtagsDiffer) {
  Start({.fast_etag = true});
  const std::string first = client_->Put("/test/a", "x").Header("etag");
  const std::string second = client_->Put("/test/a", "x").Header("etag");
  EXPECT_EQ(34u, first.size());
  EXPECT_NE(first, second);
  EXPECT_EQ(second, client_->Head("/test/a").Header("etag"));
}

}  // namespace
}  // namespace quayfs::testserver
