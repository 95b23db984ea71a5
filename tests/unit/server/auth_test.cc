// SPDX-License-Identifier: Apache-2.0
//
// The verifier against the known answers of protocol.md 7.1 and 7.2, and what it refuses.

#include "tests/server/auth.h"

#include <gtest/gtest.h>

#include "base/hash.h"
#include "base/text.h"
#include "tests/server/auth_v2.h"
#include "tests/server/auth_v4.h"
#include "tests/server/http_parser.h"

namespace quayfs::testserver {
namespace {

constexpr char kAk[] = "AKIAIOSFODNN7EXAMPLE";
constexpr char kSk[] = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
constexpr char kEmpty[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

std::string Hex(const std::string& text) { return HexEncode(Sha256(text)); }

/// A request and who should be able to send it.
struct V4Case {
  std::string name;
  std::string request_line;
  std::string headers;  // "name: value\r\n" lines
  std::string signed_headers;
  std::string canonical_sha256;  // "" = not published
  std::string signature;
  std::string region = "us-east-1";
  std::string token;
};

class AuthTest : public testing::Test {
 protected:
  static WallTime At(const std::string& iso) { return *ParseIso(iso); }

  Outcome<Identity> Check(const std::string& request, WallTime now, const std::string& region,
                          const std::string& host_bucket = "", const std::string& token = "") {
    const Outcome<RequestHead> head = ParseRequestHead(request);
    EXPECT_TRUE(head.ok()) << request;
    const std::vector<Account> accounts = {{kAk, kSk, token}};
    const Query query(head->raw_query);
    return Authenticate({*head, query, host_bucket}, {accounts, region, false, now});
  }

  static std::string V4Text(const V4Case& test) {
    return test.request_line + " HTTP/1.1\r\n" + test.headers +
           "x-amz-date: 20130524T000000Z\r\nAuthorization: AWS4-HMAC-SHA256 Credential=" + kAk +
           "/20130524/" + test.region + "/s3/aws4_request,SignedHeaders=" + test.signed_headers +
           ",Signature=" + test.signature + "\r\n\r\n";
  }
};

const std::string kHost = "host: examplebucket.s3.amazonaws.com\r\n";
const std::string kEmptyHash = std::string("x-amz-content-sha256: ") + kEmpty + "\r\n";
constexpr char kThree[] = "host;x-amz-content-sha256;x-amz-date";

std::vector<V4Case> V4Cases() {
  return {
      {"range", "GET /test.txt", kHost + "range: bytes=0-9\r\n" + kEmptyHash,
       "host;range;x-amz-content-sha256;x-amz-date",
       "7344ae5b7ee6c3e7e6b0fe0640412a37625d1fbfff95c48bbb2dc43964946972",
       "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"},
      {"put", "PUT /test%24file.text",
       kHost + "date: Fri, 24 May 2013 00:00:00 GMT\r\nx-amz-content-sha256: " +
           Hex("Welcome to Amazon S3.") + "\r\nx-amz-storage-class: REDUCED_REDUNDANCY\r\n",
       "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
       "9e0e90d9c76de8fa5b200d8c849cd5b8dc7a3be3951ddb7f6a76b4158342019d",
       "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"},
      {"sub-resource", "GET /?lifecycle", kHost + kEmptyHash, kThree,
       "9766c798316ff2757b517bc739a67f6213b4ab36dd5da2f94eaebf79c77395ca",
       "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"},
      {"query", "GET /?max-keys=2&prefix=J", kHost + kEmptyHash, kThree,
       "df57d21db20da04d7fa30298dd4488ba3a2b47ca3a489c74750e0f1e7df1b9b7",
       "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"},
      {"special key",
       "GET /examplebucket/dir/"
       "a%20b%2Bc%3D%C3%A9~%21%2A%27%28%29%26%24%40%2C%3B%3A%25.txt",
       "host: s3.us-west-2.amazonaws.com\r\n" + kEmptyHash, kThree, "",
       "a0ddbde91f0ccf92fb32f6fcc5940bb2f2d877fe332f845a0bc5c069face97f5", "us-west-2"},
      {"dot segments", "GET /a/./b/../c//d", kHost + kEmptyHash, kThree, "",
       "03c7574c4700f4013eb5c6121a9adf50c2ff3d6cd6bfdf8124f9addcf28e0a3a"},
      {"token", "GET /test.txt", kHost + kEmptyHash + "x-amz-security-token: TOKEN/abc+def==\r\n",
       "host;x-amz-content-sha256;x-amz-date;x-amz-security-token", "",
       "22f9c03577f04f41eea26f62c6006a38fcff1f0ccb0f2860fb41862651eb6287", "us-east-1",
       "TOKEN/abc+def=="},
      {"port", "GET /examplebucket/test.txt", "host: 127.0.0.1:9000\r\n" + kEmptyHash, kThree, "",
       "ce4d526ef7af0aee7f6fe48a13ee5b628224b658d2833a36130ad362d6d3a9fa"},
      {"list v2",
       "GET /?continuation-token=1%2FAbc%3D%3D&delimiter=%2F&encoding-type=url&list-type=2&"
       "max-keys=1000&prefix=a%20b%2F%C3%A9%2B",
       kHost + kEmptyHash, kThree, "",
       "330fed58d444b3efed26af6f97346dad0b8313abf138799b4577ce4873d7eea9"},
      {"unsigned payload", "PUT /test.txt", kHost + "x-amz-content-sha256: UNSIGNED-PAYLOAD\r\n",
       kThree, "", "e5cba710bd56728f6e6842f3f79fa900e5f47e04debe3dd607877436ccd9b25a"},
      {"blanks", "PUT /test.txt",
       kHost + "content-type: text/plain\r\nx-amz-content-sha256: " + Hex("hello") +
           "\r\nx-amz-meta-two-words:   a   b  \r\n",
       "content-type;host;x-amz-content-sha256;x-amz-date;x-amz-meta-two-words", "",
       "453b16b1fc11fc197f6715b20056908a9f6591ddfd561fa614fa39f99e01de0e"},
      {"default port dropped", "GET /test.txt", kHost + kEmptyHash, kThree, "",
       "df548e2ce037944d03f3e68682813b093763996d597cf890ca3d9037fd231eb4"},
  };
}

TEST_F(AuthTest, AcceptsTheKnownAnswersOfV4) {
  for (const V4Case& test : V4Cases()) {
    SCOPED_TRACE(test.name);
    const Outcome<Identity> identity =
        Check(V4Text(test), At("2013-05-24T00:10:00Z"), test.region, "", test.token);
    ASSERT_TRUE(identity.ok()) << identity.error().code;
    EXPECT_EQ(kAk, identity->access_key_id);
  }
}

TEST_F(AuthTest, CanonicalRequestsHaveThePublishedDigests) {
  for (const V4Case& test : V4Cases()) {
    if (test.canonical_sha256.empty()) continue;
    SCOPED_TRACE(test.name);
    const Outcome<RequestHead> head = ParseRequestHead(V4Text(test));
    ASSERT_TRUE(head.ok());
    std::vector<std::string> names;
    for (const std::string_view name : Split(test.signed_headers, ';')) names.emplace_back(name);
    const std::string canonical = V4CanonicalRequest(*head, Query(head->raw_query), names,
                                                     head->headers.Get("x-amz-content-sha256"));
    EXPECT_EQ(test.canonical_sha256, Hex(canonical)) << canonical;
  }
}

TEST_F(AuthTest, EveryChangeOfACoveredPartIsNoticed) {
  for (const V4Case& test : V4Cases()) {
    SCOPED_TRACE(test.name);
    V4Case changed = test;
    changed.request_line.insert(changed.request_line.find('/') + 1, "x");
    const Outcome<Identity> identity =
        Check(V4Text(changed), At("2013-05-24T00:00:00Z"), test.region, "", test.token);
    ASSERT_FALSE(identity.ok());
    EXPECT_EQ("SignatureDoesNotMatch", identity.error().code);
  }
  V4Case changed = V4Cases()[10];
  changed.headers.replace(changed.headers.find("a   b"), 5, "a   c");
  const Outcome<Identity> identity =
      Check(V4Text(changed), At("2013-05-24T00:00:00Z"), "us-east-1");
  ASSERT_FALSE(identity.ok());
  EXPECT_EQ("SignatureDoesNotMatch", identity.error().code);
}

TEST_F(AuthTest, SigningKeyIsThePublishedOne) {
  EXPECT_EQ("dbb893acc010964918f1fd433add87c70e8b0db6be30c1fbeafefa5ec6ba8378",
            HexEncode(V4SigningKey(kSk, "20130524", "us-east-1")));
}

TEST_F(AuthTest, PresignedKnownAnswer) {
  const std::string request =
      "GET /test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE"
      "%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&"
      "X-Amz-SignedHeaders=host&X-Amz-Signature="
      "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404 HTTP/1.1\r\n" +
      kHost + "\r\n";
  EXPECT_TRUE(Check(request, At("2013-05-24T23:59:59Z"), "us-east-1").ok());
  const Outcome<Identity> late = Check(request, At("2013-05-25T00:00:01Z"), "us-east-1");
  ASSERT_FALSE(late.ok());
  EXPECT_EQ("AccessDenied", late.error().code);
  const Outcome<Identity> early = Check(request, At("2013-05-23T23:44:59Z"), "us-east-1");
  ASSERT_FALSE(early.ok());
  EXPECT_EQ("AccessDenied", early.error().code);
}

TEST_F(AuthTest, ClockMayBeOffByFifteenMinutes) {
  const std::string request = V4Text(V4Cases()[0]);
  EXPECT_TRUE(Check(request, At("2013-05-24T00:15:00Z"), "us-east-1").ok());
  EXPECT_TRUE(Check(request, At("2013-05-23T23:45:00Z"), "us-east-1").ok());
  for (const char* now : {"2013-05-24T00:15:01Z", "2013-05-23T23:44:59Z"}) {
    const Outcome<Identity> identity = Check(request, At(now), "us-east-1");
    ASSERT_FALSE(identity.ok());
    EXPECT_EQ("RequestTimeTooSkewed", identity.error().code);
    EXPECT_EQ(403, identity.error().status);
    bool has_server_time = false;
    for (const auto& [name, value] : identity.error().details) {
      if (name == "ServerTime") has_server_time = value == now;
    }
    EXPECT_TRUE(has_server_time);
  }
}

TEST_F(AuthTest, WrongRegionNamesTheRightOne) {
  const Outcome<Identity> identity =
      Check(V4Text(V4Cases()[0]), At("2013-05-24T00:00:00Z"), "eu-west-1");
  ASSERT_FALSE(identity.ok());
  EXPECT_EQ(400, identity.error().status);
  EXPECT_EQ("AuthorizationHeaderMalformed", identity.error().code);
  ASSERT_FALSE(identity.error().details.empty());
  EXPECT_EQ("Region", identity.error().details[0].first);
  EXPECT_EQ("eu-west-1", identity.error().details[0].second);
}

TEST_F(AuthTest, AmzHeadersAndHostMustBeSigned) {
  V4Case test = V4Cases()[0];
  test.headers += "x-amz-meta-a: b\r\n";
  const Outcome<Identity> unsigned_header =
      Check(V4Text(test), At("2013-05-24T00:00:00Z"), "us-east-1");
  ASSERT_FALSE(unsigned_header.ok());
  EXPECT_EQ("AccessDenied", unsigned_header.error().code);
  test = V4Cases()[0];
  test.signed_headers = "range;x-amz-content-sha256;x-amz-date";
  const Outcome<Identity> unsigned_host =
      Check(V4Text(test), At("2013-05-24T00:00:00Z"), "us-east-1");
  ASSERT_FALSE(unsigned_host.ok());
  EXPECT_EQ("AccessDenied", unsigned_host.error().code);
}

TEST_F(AuthTest, TokenIsNeededAndCompared) {
  V4Case test = V4Cases()[0];
  const Outcome<Identity> missing =
      Check(V4Text(test), At("2013-05-24T00:00:00Z"), "us-east-1", "", "the-token");
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ("InvalidAccessKeyId", missing.error().code);
  test = V4Cases()[6];
  const Outcome<Identity> other =
      Check(V4Text(test), At("2013-05-24T00:00:00Z"), "us-east-1", "", "another");
  ASSERT_FALSE(other.ok());
  EXPECT_EQ("InvalidToken", other.error().code);
}

TEST_F(AuthTest, PayloadHashIsRequired) {
  V4Case test = V4Cases()[0];
  test.headers = kHost + "range: bytes=0-9\r\n";
  const Outcome<Identity> identity = Check(V4Text(test), At("2013-05-24T00:00:00Z"), "us-east-1");
  ASSERT_FALSE(identity.ok());
  EXPECT_EQ(400, identity.error().status);
}

struct V2Case {
  std::string request_line;
  std::string headers;
  std::string date;  // of the Date slot
  std::string host_bucket;
  std::string signature;
};

std::vector<V2Case> V2Cases() {
  const std::string bucket = "awsexamplebucket1";
  const std::string host = "host: awsexamplebucket1.us-west-1.s3.amazonaws.com\r\n";
  return {
      {"GET /photos/puppy.jpg", host + "date: Tue, 27 Mar 2007 19:36:42 +0000\r\n",
       "Tue, 27 Mar 2007 19:36:42 +0000", bucket, "qgk2+6Sv9/oM7G3qLEjTH1a1l1g="},
      {"PUT /photos/puppy.jpg",
       host + "content-type: image/jpeg\r\ncontent-length: 94328\r\n"
              "date: Tue, 27 Mar 2007 21:15:45 +0000\r\n",
       "Tue, 27 Mar 2007 21:15:45 +0000", bucket, "iqRzw+ileNPu1fhspnRs8nOjjIA="},
      {"GET /?prefix=photos&max-keys=50&marker=puppy",
       host + "date: Tue, 27 Mar 2007 19:42:41 +0000\r\n", "Tue, 27 Mar 2007 19:42:41 +0000",
       bucket, "m0WP8eCtspQl5Ahe6L1SozdX9YA="},
      {"GET /?acl", host + "date: Tue, 27 Mar 2007 19:44:46 +0000\r\n",
       "Tue, 27 Mar 2007 19:44:46 +0000", bucket, "82ZHiFIjc+WbcwFKGUVEQspPn+0="},
      {"PUT /db-backup.dat.gz",
       "host: static.awsexamplebucket1.net:8080\r\ndate: Tue, 27 Mar 2007 21:06:08 +0000\r\n"
       "x-amz-acl: public-read\r\ncontent-type: application/x-download\r\n"
       "content-md5: 4gJE4saaMU4BqNR0kLY+lw==\r\nX-Amz-Meta-ReviewedBy: "
       "joe@awsexamplebucket1.net\r\n"
       "X-Amz-Meta-ReviewedBy: jane@awsexamplebucket1.net\r\n"
       "X-Amz-Meta-FileChecksum: 0x02661779\r\nX-Amz-Meta-ChecksumAlgorithm: crc32\r\n",
       "Tue, 27 Mar 2007 21:06:08 +0000", "static.awsexamplebucket1.net",
       "dKZcB+bz2EPXgSdXZp9ozGeOM4I="},
      {"GET /", "host: s3.us-west-1.amazonaws.com\r\ndate: Wed, 28 Mar 2007 01:29:59 +0000\r\n",
       "Wed, 28 Mar 2007 01:29:59 +0000", "", "qGdzdERIC03wnaRNKh6OqZehG9s="},
      {"GET /dictionary/fran%C3%A7ais/pr%c3%a9f%c3%a8re",
       "host: s3.us-west-1.amazonaws.com\r\ndate: Wed, 28 Mar 2007 01:49:49 +0000\r\n",
       "Wed, 28 Mar 2007 01:49:49 +0000", "", "DNEZGsoieTZ92F3bUfSPQcbGmlM="},
      {"DELETE /awsexamplebucket1/photos/puppy.jpg",
       "host: s3.us-west-1.amazonaws.com\r\ndate: Tue, 27 Mar 2007 21:20:27 +0000\r\n"
       "x-amz-date: Tue, 27 Mar 2007 21:20:26 +0000\r\n",
       "", "", "Ri1hpB1zpS9pGqR7y8kuNFCl4sE="},
  };
}

TEST_F(AuthTest, AcceptsTheKnownAnswersOfV2) {
  for (const V2Case& test : V2Cases()) {
    SCOPED_TRACE(test.request_line);
    const std::string text = test.request_line + " HTTP/1.1\r\n" + test.headers +
                             "Authorization: AWS " + kAk + ":" + test.signature + "\r\n\r\n";
    const Outcome<RequestHead> head = ParseRequestHead(text);
    ASSERT_TRUE(head.ok());
    const Query query(head->raw_query);
    EXPECT_EQ(test.signature,
              V2Sign(kSk, V2StringToSign({*head, query, test.host_bucket}, test.date)));
    const std::string sent = test.date.empty() ? head->headers.Get("x-amz-date") : test.date;
    const WallTime now = *ParseHttpDate(sent.substr(0, 26) + "GMT");
    EXPECT_TRUE(Check(text, now, "us-east-1", test.host_bucket).ok());
    const Outcome<Identity> late =
        Check(text, now + std::chrono::minutes(16), "us-east-1", test.host_bucket);
    ASSERT_FALSE(late.ok());
    EXPECT_EQ("RequestTimeTooSkewed", late.error().code);
    std::string other = text;
    other.replace(other.find(test.signature), 1, "Z");
    const Outcome<Identity> wrong = Check(other, now, "us-east-1", test.host_bucket);
    ASSERT_FALSE(wrong.ok());
    EXPECT_EQ("SignatureDoesNotMatch", wrong.error().code);
  }
}

TEST_F(AuthTest, V2QueryKnownAnswer) {
  const std::string text =
      "GET /photos/puppy.jpg?AWSAccessKeyId=AKIAIOSFODNN7EXAMPLE&Expires=1175139620&"
      "Signature=NpgCjnDzrM%2BWFzoENXmpNDUsSn8%3D HTTP/1.1\r\nhost: "
      "johnsmith.s3.amazonaws.com\r\n\r\n";
  EXPECT_TRUE(
      Check(text, WallTime(std::chrono::seconds(1175139620)), "us-east-1", "johnsmith").ok());
  const Outcome<Identity> late =
      Check(text, WallTime(std::chrono::seconds(1175139621)), "us-east-1", "johnsmith");
  ASSERT_FALSE(late.ok());
  EXPECT_EQ("AccessDenied", late.error().code);
}

TEST_F(AuthTest, UnsignedRequestsAreRefused) {
  const Outcome<Identity> identity =
      Check("GET / HTTP/1.1\r\nhost: h\r\n\r\n", At("2013-05-24T00:00:00Z"), "us-east-1");
  ASSERT_FALSE(identity.ok());
  EXPECT_EQ("AccessDenied", identity.error().code);
}

}  // namespace
}  // namespace quayfs::testserver
