// SPDX-License-Identifier: Apache-2.0
//
// The known answers of protocol.md 7.1.

#include "s3/sign_v4.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "base/hash.h"
#include "base/text.h"
#include "s3/uri.h"

namespace quayfs::s3 {
namespace {

using std::chrono::seconds;
using ::testing::HasSubstr;
using ::testing::Not;

const Credentials kKeys{"AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", ""};
constexpr std::string_view kRegion = "us-east-1";

WallTime Time() { return ParseIso("20130524T000000Z").value(); }

HttpRequest Request(std::string method, std::string path, std::string query = "") {
  HttpRequest request;
  request.method = std::move(method);
  request.scheme = "https";
  request.host = "examplebucket.s3.amazonaws.com";
  request.path = std::move(path);
  request.query = std::move(query);
  request.headers.Set("Host", HostHeaderValue(request.scheme, request.host, request.port));
  return request;
}

std::string SignatureOf(const HttpRequest& request) {
  const std::string_view value = request.headers.Get("authorization");
  return std::string(value.substr(value.rfind('=') + 1));
}

std::string SignedNamesOf(const HttpRequest& request) {
  const std::string value(request.headers.Get("authorization"));
  const size_t begin = value.find("SignedHeaders=") + 14;
  return value.substr(begin, value.find(',', begin) - begin);
}

// Hash of the canonical request of a request that has been signed.
std::string CanonicalHash(const HttpRequest& request) {
  const std::string names = SignedNamesOf(request);
  std::vector<std::string> list;
  for (const std::string_view name : Split(names, ';')) list.emplace_back(name);
  return HexEncode(
      Sha256(CanonicalRequestV4(request, list, request.headers.Get("x-amz-content-sha256"))));
}

struct Known {
  HttpRequest request;
  std::string_view payload_hash = kEmptyPayloadHash;
  std::string_view canonical_hash;
  std::string_view signature;
  std::vector<std::string> also = {};
};

void Check(Known known, const Credentials& keys = kKeys, std::string_view region = kRegion) {
  SignerV4(keys).Sign(&known.request, region, Time(), known.payload_hash, known.also);
  if (!known.canonical_hash.empty()) {
    EXPECT_EQ(CanonicalHash(known.request), known.canonical_hash);
  }
  EXPECT_EQ(SignatureOf(known.request), known.signature);
}

TEST(SignV4, SigningKey) {
  EXPECT_EQ(HexEncode(SigningKeyV4(kKeys.secret_access_key, Time(), kRegion)),
            "dbb893acc010964918f1fd433add87c70e8b0db6be30c1fbeafefa5ec6ba8378");
  EXPECT_EQ(ScopeV4(Time(), kRegion), "20130524/us-east-1/s3/aws4_request");
}

TEST(SignV4, PublishedRangedGet) {
  Known known{Request("GET", "/test.txt"), kEmptyPayloadHash,
              "7344ae5b7ee6c3e7e6b0fe0640412a37625d1fbfff95c48bbb2dc43964946972",
              "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"};
  known.request.headers.Set("Range", "bytes=0-9");
  Check(std::move(known));
}

TEST(SignV4, PublishedPut) {
  Known known{Request("PUT", "/" + PercentEncode("test$file.text", true)),
              "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
              "9e0e90d9c76de8fa5b200d8c849cd5b8dc7a3be3951ddb7f6a76b4158342019d",
              "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
              {"date"}};
  EXPECT_EQ(known.request.path, "/test%24file.text");
  EXPECT_EQ(HexEncode(Sha256("Welcome to Amazon S3.")), known.payload_hash);
  known.request.headers.Set("Date", "Fri, 24 May 2013 00:00:00 GMT");
  known.request.headers.Set("x-amz-storage-class", "REDUCED_REDUNDANCY");
  Check(std::move(known));
}

TEST(SignV4, PublishedSubResource) {
  Check({Request("GET", "/", "lifecycle"), kEmptyPayloadHash,
         "9766c798316ff2757b517bc739a67f6213b4ab36dd5da2f94eaebf79c77395ca",
         "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"});
  Check({Request("GET", "/", "lifecycle="), kEmptyPayloadHash,
         "9766c798316ff2757b517bc739a67f6213b4ab36dd5da2f94eaebf79c77395ca",
         "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"});
}

TEST(SignV4, PublishedList) {
  Check({Request("GET", "/", "prefix=J&max-keys=2"), kEmptyPayloadHash,
         "df57d21db20da04d7fa30298dd4488ba3a2b47ca3a489c74750e0f1e7df1b9b7",
         "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"});
}

TEST(SignV4, PublishedPresigned) {
  HttpRequest request = Request("GET", "/test.txt");
  SignerV4(kKeys).Presign(&request, kRegion, Time(), seconds(86400));
  const size_t cut = request.query.find("&X-Amz-Signature=");
  ASSERT_NE(cut, std::string::npos);
  EXPECT_EQ(request.query.substr(cut + 17),
            "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404");
  HttpRequest unsigned_request = request;
  unsigned_request.query.resize(cut);
  EXPECT_EQ(HexEncode(Sha256(CanonicalRequestV4(unsigned_request, {"host"}, kUnsignedPayload))),
            "3bfa292879f6447bbcda7001decf97f4a54dc650c8942174ae0a9121cf58ad04");
  EXPECT_THAT(
      request.query,
      HasSubstr(
          "X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"));
}

TEST(SignV4, PresignedTokenIsPartOfTheQuery) {
  Credentials keys = kKeys;
  HttpRequest plain = Request("GET", "/test.txt");
  SignerV4(keys).Presign(&plain, kRegion, Time(), seconds(60));
  keys.session_token = "TOKEN/abc+def==";
  HttpRequest request = Request("GET", "/test.txt");
  SignerV4(keys).Presign(&request, kRegion, Time(), seconds(60));
  EXPECT_THAT(request.query, HasSubstr("X-Amz-Security-Token=TOKEN%2Fabc%2Bdef%3D%3D&"));
  EXPECT_NE(request.query.substr(request.query.size() - 64),
            plain.query.substr(plain.query.size() - 64));
}

HttpRequest ChunkedRequest(bool with_length) {
  HttpRequest request = Request("PUT", "/examplebucket/chunkObject.txt");
  request.headers.Set("Host", "s3.amazonaws.com");
  request.headers.Set("content-encoding", "aws-chunked");
  if (with_length) request.headers.Set("content-length", "66824");
  request.headers.Set("x-amz-decoded-content-length", "66560");
  request.headers.Set("x-amz-storage-class", "REDUCED_REDUNDANCY");
  return request;
}

TEST(SignV4, PublishedChunked) {
  HttpRequest request = ChunkedRequest(true);
  const std::string seed = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9";
  Check({request,
         "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
         "cee3fed04b70f867d036f722359b0b1f2f0e5dc0efadbc082b76c4c60e316455",
         seed,
         {"content-encoding", "content-length"}});
  ChunkChainV4 chain(SignerV4(kKeys).SigningKey(Time(), kRegion), Time(), kRegion, seed);
  EXPECT_EQ(chain.NextChunk(std::string(65536, 'a')),
            "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648");
  EXPECT_EQ(chain.NextChunk(std::string(1024, 'a')),
            "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497");
  EXPECT_EQ(chain.NextChunk(""),
            "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9");
}

TEST(SignV4, PublishedChunkedWithTrailer) {
  HttpRequest request = ChunkedRequest(false);
  request.headers.Set("x-amz-trailer", "x-amz-checksum-crc32c");
  const std::string seed = "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e";
  Check({request,
         "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
         "44d48b8c2f70eae815a0198cc73d7a546a73a93359c070abbaa5e6c7de112559",
         seed,
         {"content-encoding"}});
  ChunkChainV4 chain(SignerV4(kKeys).SigningKey(Time(), kRegion), Time(), kRegion, seed);
  EXPECT_EQ(chain.NextChunk(std::string(65536, 'a')),
            "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2");
  EXPECT_EQ(chain.NextChunk(std::string(1024, 'a')),
            "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7");
  EXPECT_EQ(chain.NextChunk(""),
            "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992");
  EXPECT_EQ(chain.Trailer("x-amz-checksum-crc32c:sOO8/Q==\n"),
            "d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435");
}

// ---- Edge cases (7.1 b).

TEST(SignV4, SpecialKeyPathStyle) {
  ClientConfig config;
  config.host = "s3.us-west-2.amazonaws.com";
  config.bucket = "examplebucket";
  const Address address = ObjectAddress(config, config.host, "dir/a b+c=é~!*'()&$@,;:%.txt");
  EXPECT_EQ(address.path,
            "/examplebucket/dir/a%20b%2Bc%3D%C3%A9~%21%2A%27%28%29%26%24%40%2C%3B%3A%25.txt");
  HttpRequest request = Request("GET", address.path);
  request.headers.Set("Host", address.host);
  Check({request, kEmptyPayloadHash, "",
         "a0ddbde91f0ccf92fb32f6fcc5940bb2f2d877fe332f845a0bc5c069face97f5"},
        kKeys, "us-west-2");
}

TEST(SignV4, DotSegmentsAndDoubleSlashesAreKept) {
  Check({Request("GET", "/a/./b/../c//d"), kEmptyPayloadHash, "",
         "03c7574c4700f4013eb5c6121a9adf50c2ff3d6cd6bfdf8124f9addcf28e0a3a"});
}

TEST(SignV4, SessionToken) {
  Credentials keys = kKeys;
  keys.session_token = "TOKEN/abc+def==";
  Check({Request("GET", "/test.txt"), kEmptyPayloadHash, "",
         "22f9c03577f04f41eea26f62c6006a38fcff1f0ccb0f2860fb41862651eb6287"},
        keys);
}

TEST(SignV4, PortIsPartOfTheHost) {
  HttpRequest request = Request("GET", "/examplebucket/test.txt");
  request.headers.Set("Host", HostHeaderValue("http", "127.0.0.1", 9000));
  Check({request, kEmptyPayloadHash, "",
         "ce4d526ef7af0aee7f6fe48a13ee5b628224b658d2833a36130ad362d6d3a9fa"});
}

TEST(SignV4, DefaultPortIsNot) {
  HttpRequest request = Request("GET", "/test.txt");
  request.headers.Set("Host", HostHeaderValue("https", request.host, 443));
  Check({request, kEmptyPayloadHash, "",
         "df548e2ce037944d03f3e68682813b093763996d597cf890ca3d9037fd231eb4"});
}

TEST(SignV4, ListV2Query) {
  const std::string query = EncodeQuery({{"prefix", "a b/é+"},
                                         {"list-type", "2"},
                                         {"delimiter", "/"},
                                         {"max-keys", "1000"},
                                         {"encoding-type", "url"},
                                         {"continuation-token", "1/Abc=="}});
  EXPECT_EQ(query,
            "continuation-token=1%2FAbc%3D%3D&delimiter=%2F&encoding-type=url&list-type=2&max-keys="
            "1000&prefix=a%20b%2F%"
            "C3%A9%2B");
  EXPECT_EQ(CanonicalQuery(query), query);
  Check({Request("GET", "/", query), kEmptyPayloadHash, "",
         "330fed58d444b3efed26af6f97346dad0b8313abf138799b4577ce4873d7eea9"});
}

TEST(SignV4, UnsignedPayload) {
  Check({Request("PUT", "/test.txt"), kUnsignedPayload, "",
         "e5cba710bd56728f6e6842f3f79fa900e5f47e04debe3dd607877436ccd9b25a"});
}

TEST(SignV4, BlanksInHeadersAreFolded) {
  HttpRequest request = Request("PUT", "/test.txt");
  request.headers.Set("Content-Type", "text/plain");
  request.headers.Set("x-amz-meta-Two-Words", "  a   b  ");
  const std::string hash = HexEncode(Sha256("hello"));
  EXPECT_EQ(hash, "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
  Check({request, hash, "", "453b16b1fc11fc197f6715b20056908a9f6591ddfd561fa614fa39f99e01de0e"});
}

// ---- What is signed, and the key cache.

TEST(SignV4, HeadersThatMayChangeOnTheWayAreNotSigned) {
  HttpRequest request = Request("GET", "/test.txt");
  request.headers.Set("User-Agent", "quayfs");
  request.headers.Set("Accept-Encoding", "identity");
  request.headers.Set("If-Match", "\"x\"");
  request.headers.Set("Content-MD5", "abc");
  SignerV4(kKeys).Sign(&request, kRegion, Time(), kEmptyPayloadHash);
  EXPECT_EQ(SignedNamesOf(request), "content-md5;host;x-amz-content-sha256;x-amz-date");
}

TEST(SignV4, RepeatedHeadersAreJoined) {
  HttpRequest request = Request("GET", "/test.txt");
  request.headers.Add("x-amz-meta-a", "1");
  request.headers.Add("X-Amz-Meta-A", "2");
  EXPECT_THAT(CanonicalRequestV4(request, HeadersToSign(request.headers), kEmptyPayloadHash),
              HasSubstr("\nx-amz-meta-a:1,2\n"));
}

TEST(SignV4, KeyCacheFollowsDayAndRegion) {
  const SignerV4 signer(kKeys);
  for (const auto& [day, region] :
       std::vector<std::pair<std::string, std::string>>{{"20130524T000000Z", "us-east-1"},
                                                        {"20130525T000000Z", "us-east-1"},
                                                        {"20130525T000000Z", "eu-west-1"},
                                                        {"20130524T235959Z", "us-east-1"}}) {
    const WallTime time = ParseIso(day).value();
    EXPECT_EQ(signer.SigningKey(time, region), SigningKeyV4(kKeys.secret_access_key, time, region))
        << day << region;
    EXPECT_EQ(signer.SigningKey(time, region), SigningKeyV4(kKeys.secret_access_key, time, region))
        << day << region;
  }
}

TEST(SignV4, KeyCacheIsThreadSafe) {
  const SignerV4 signer(kKeys);
  std::vector<std::thread> threads;
  std::vector<int> wrong(4, 0);
  for (size_t t = 0; t < wrong.size(); ++t) {
    threads.emplace_back([&, t] {
      const std::string region = t % 2 == 0 ? "us-east-1" : "eu-west-1";
      const std::string expected = SigningKeyV4(kKeys.secret_access_key, Time(), region);
      for (int i = 0; i < 500; ++i)
        wrong[t] += signer.SigningKey(Time(), region) == expected ? 0 : 1;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(wrong, ::testing::Each(0));
}

TEST(SignV4, SecretNeverAppears) {
  HttpRequest request = Request("GET", "/test.txt");
  SignerV4(kKeys).Sign(&request, kRegion, Time(), kEmptyPayloadHash);
  for (const HttpHeader& header : request.headers.all())
    EXPECT_THAT(header.value, Not(HasSubstr("wJalr")));
}

}  // namespace
}  // namespace quayfs::s3
