// SPDX-License-Identifier: Apache-2.0
//
// What each preset does to the requests: one row of expectations per vendor, written from
// protocol.md 1, 2.10, 3.8 and 5, against what the store really puts on the wire. A preset without
// a row fails.

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>

#include "base/hash.h"
#include "base/text.h"
#include "providers/resolve.h"
#include "providers/s3_store.h"
#include "s3/uri.h"
#include "tests/unit/s3/fake_http.h"

namespace quayfs {
namespace {

using s3::SentRequest;

constexpr char kSome[] = "\"e1\"";  // an ETag

/// Says yes to everything, in XML or in QingStor's JSON, and remembers what it was asked.
class YesHttp final : public s3::HttpClient {
 public:
  explicit YesHttp(bool json) : json_(json) {}

  bool wrong_etags = false;
  std::vector<SentRequest> Take() { return std::exchange(sent_, {}); }

  Result<s3::HttpReply> Do(const s3::HttpRequest& request, s3::ResponseHandler& handler,
                           const CallOptions& /*call*/) override {
    SentRequest sent{request, "", request.body != nullptr};
    if (sent.has_body) {
      sent.body.resize(static_cast<size_t>(request.body->size()));
      QUAY_TRY(request.body->Read(
          0, std::as_writable_bytes(std::span(sent.body.data(), sent.body.size()))));
    }
    sent.request.body = nullptr;
    sent_.push_back(sent);
    s3::HttpReply reply;
    const std::string body = Answer(sent, &reply);
    QUAY_TRY(handler.OnHeaders(reply.status, reply.headers));
    QUAY_TRY(handler.OnData(std::as_bytes(std::span(body.data(), body.size()))));
    reply.body_bytes = body.size();
    return reply;
  }

 private:
  std::string Answer(const SentRequest& sent, s3::HttpReply* reply) const {
    const std::string& method = sent.request.method;
    const bool part = sent.parameter("partNumber") != "(absent)";
    const bool copies = sent.has("x-amz-copy-source") || sent.has("x-qs-copy-source") ||
                        sent.has("x-qs-move-source");
    reply->status = json_ && (method == "PUT" || Completes(sent)) ? 201 : 200;
    if (method == "DELETE") reply->status = 204;
    if (method == "HEAD") {
      reply->headers.Add("ETag", kSome);
      reply->headers.Add("Content-Length", "4");
    }
    if (method == "PUT" && (!copies || json_)) {
      const std::string digest = HexEncode(Md5(sent.body));
      reply->headers.Add("ETag", "\"" + (wrong_etags ? std::string(32, '0') : digest) + "\"");
    }
    if (method == "GET") return json_ ? R"({"keys":[]})" : "<ListBucketResult/>";
    if (copies && !json_) {
      return fmt::format("<Copy{0}Result><ETag>{1}</ETag></Copy{0}Result>",
                         part ? "Part" : "Object", kSome);
    }
    return method == "POST" ? AnswerPost(sent) : "";
  }
  std::string AnswerPost(const SentRequest& sent) const {
    if (Completes(sent)) {
      const std::string etag = HexEncode(Md5(Md5(kPart))) + "-1";
      return json_ ? ""
                   : "<CompleteMultipartUploadResult><ETag>\"" + etag +
                         "\"</ETag></CompleteMultipartUploadResult>";
    }
    if (sent.request.query.starts_with("uploads")) {
      return json_ ? R"({"upload_id":"u"})"
                   : "<InitiateMultipartUploadResult><UploadId>u</UploadId>"
                     "</InitiateMultipartUploadResult>";
    }
    std::string keys;
    for (const std::string& key : DeletedKeys(sent))
      keys += json_ ? R"({"key":")" + key + R"("},)" : "<Deleted><Key>" + key + "</Key></Deleted>";
    if (json_) return R"({"deleted":[)" + keys.substr(0, keys.size() - 1) + "]}";
    return "<DeleteResult>" + keys + "</DeleteResult>";
  }
  static bool Completes(const SentRequest& sent) {
    return sent.request.method == "POST" &&
           (sent.parameter("uploadId") != "(absent)" || sent.parameter("upload_id") != "(absent)");
  }

 public:
  static constexpr std::string_view kPart = "part";
  static std::vector<std::string> DeletedKeys(const SentRequest& sent) {
    std::vector<std::string> keys;
    for (size_t at = sent.body.find("key-"); at != std::string::npos;
         at = sent.body.find("key-", at + 1))
      keys.push_back(sent.body.substr(at, 8));  // key-0000
    return keys;
  }

 private:
  const bool json_;
  std::vector<SentRequest> sent_;
};

/// Of a size, with nothing in it: what is refused for its size is refused before it is read.
class HugeSource final : public DataSource {
 public:
  explicit HugeSource(uint64_t size) : size_(size) {}
  uint64_t size() const override { return size_; }
  Status Read(uint64_t /*offset*/, std::span<std::byte> /*out*/) const override {
    return Error(Code::kIo, "it was read");
  }

 private:
  const uint64_t size_;
};

/// What a vendor's preset comes to. The defaults are what most do.
struct Expected {
  std::string_view id;
  std::string_view endpoint = "";  // which the user has to say
  std::string_view region = "";
  std::string_view url;         // of object "k" in bucket "bkt"
  std::string_view signed_for;  // the region in the signature
  std::string_view listing = "list-type=2 encoding-type=url";
  std::string_view conditions = "";  // that are sent; all others are refused before
  std::string_view etag = kSome;     // as If-Match says it
  std::string_view source = "HEAD";  // what makes sure of the version that is copied
  std::string_view body = "sha256";  // what guards a body on its way
  bool etag_is_checked = true;
  std::string_view deletes = "1000 keys, MD5";
  bool part_copy = true;
  bool move = false;
  std::string_view parts = "5 MiB to 5120 MiB, 10000";
  int key_size = 1024;
  std::string_view refused = "";  // of kOptions, further down
};

void PrintTo(const Expected& row, std::ostream* out) { *out << row.id; }

constexpr std::string_view kWritesAndCompletes =
    "put-absent put-match complete-absent complete-match";
constexpr std::string_view kAllButCopies =
    "put-absent put-match complete-absent complete-match delete-match";

constexpr Expected kExpected[] = {
    // protocol.md 1: path style, no url-encoding, no condition is trusted, parts up to 1 GiB,
    // unsigned requests are refused.
    {.id = "kodo",
     .region = "North China-Hebei",
     .url = "https://s3.cn-north-1.qiniucs.com/bkt/k",
     .signed_for = "cn-north-1",
     .listing = "list-type=2",
     .etag_is_checked = false,
     .parts = "1 MiB to 1024 MiB, 10000",
     .refused = "other-class anonymous"},
    // protocol.md 2: the zone before the service's host, its own signature, 201, moves.
    {.id = "qingstor",
     .region = "sh1a",
     .url = "https://sh1a.qingstor.com/bkt/k",
     .signed_for = "QS",
     .listing = "",
     .source = "x-qs-copy-source-if-match",
     .body = "md5",
     .etag_is_checked = false,
     .deletes = "200 keys, MD5",
     .move = true,
     .parts = "4 MiB to 1024 MiB, 10000",
     .key_size = 1023,
     .refused = "other-class acl sse payer v2"},
    // protocol.md 2.10: V1 listings, no url-encoding, none of the optional headers; the payload's
    // hash is not verified, so Content-MD5 goes along.
    {.id = "qingstor-s3",
     .url = "https://s3.pek3a.qingstor.com/bkt/k",
     .signed_for = "pek3a",
     .listing = "",
     .body = "sha256 md5",
     .etag_is_checked = false,
     .parts = "4 MiB to 1024 MiB, 10000",
     .key_size = 1023,
     .refused = "class other-class acl sse sse-c"},
    {.id = "s3",
     .endpoint = "https://s3.example.org:9000",
     .url = "https://s3.example.org:9000/bkt/k",
     .signed_for = "us-east-1",
     .listing = "list-type=2",
     .etag_is_checked = false},
    {.id = "aws",
     .region = "eu-west-1",
     .url = "https://bkt.s3.eu-west-1.amazonaws.com/k",
     .signed_for = "eu-west-1",
     .conditions = kAllButCopies,
     .source = "x-amz-copy-source-if-match",
     .refused = "other-class"},
    {.id = "minio",
     .endpoint = "http://127.0.0.1:9000",
     .url = "http://127.0.0.1:9000/bkt/k",
     .signed_for = "us-east-1",
     .conditions = kWritesAndCompletes,
     .source = "x-amz-copy-source-if-match"},
    {.id = "ceph",
     .endpoint = "http://rgw.example.org:7480",
     .url = "http://rgw.example.org:7480/bkt/k",
     .signed_for = "us-east-1",
     .listing = "",
     .conditions = "put-absent put-match",
     .etag = "e1"},
    {.id = "r2",
     .endpoint = "https://0123abcd.r2.cloudflarestorage.com",
     .url = "https://0123abcd.r2.cloudflarestorage.com/bkt/k",
     .signed_for = "auto",
     .conditions = kWritesAndCompletes,
     .source = "x-amz-copy-source-if-match",
     .etag_is_checked = false,
     .deletes = "700 keys, MD5",
     .parts = "5 MiB to 5120 MiB, 10000, equal",
     .refused = "acl v2"},
    {.id = "oss",
     .region = "cn-hangzhou",
     .url = "https://bkt.oss-cn-hangzhou.aliyuncs.com/k",
     .signed_for = "cn-hangzhou",
     .etag_is_checked = false,
     .refused = "other-class path"},
    {.id = "cos",
     .region = "ap-beijing",
     .url = "https://bkt.cos.ap-beijing.myqcloud.com/k",
     .signed_for = "ap-beijing",
     .listing = "encoding-type=url",
     .etag_is_checked = false,
     .parts = "1 MiB to 5120 MiB, 10000",
     .key_size = 850,
     .refused = "other-class"},
    {.id = "obs",
     .region = "cn-north-4",
     .url = "https://bkt.obs.cn-north-4.myhuaweicloud.com/k",
     .signed_for = "cn-north-4",
     .listing = ""},
    {.id = "wasabi",
     .region = "eu-central-1",
     .url = "https://bkt.s3.eu-central-1.wasabisys.com/k",
     .signed_for = "eu-central-1"},
    // Conditional writes are answered with 501; version 4 over https only.
    {.id = "b2",
     .region = "us-west-004",
     .url = "https://s3.us-west-004.backblazeb2.com/bkt/k",
     .signed_for = "us-west-004",
     .refused = "v2 http"},
    {.id = "digitalocean",
     .region = "fra1",
     .url = "https://bkt.fra1.digitaloceanspaces.com/k",
     .signed_for = "fra1",
     .listing = "list-type=2"},
    {.id = "scaleway",
     .region = "nl-ams",
     .url = "https://bkt.s3.nl-ams.scw.cloud/k",
     .signed_for = "nl-ams",
     .conditions = "put-absent put-match copy-absent",
     .parts = "5 MiB to 5120 MiB, 1000",
     .refused = "other-class"},
    {.id = "ovh",
     .region = "gra",
     .url = "https://bkt.s3.gra.io.cloud.ovh.net/k",
     .signed_for = "gra",
     .conditions = kAllButCopies},
    {.id = "gcs",
     .url = "https://storage.googleapis.com/bkt/k",
     .signed_for = "auto",
     .deletes = "one by one",
     .part_copy = false},
    {.id = "storj",
     .url = "https://gateway.storjshare.io/bkt/k",
     .signed_for = "us-east-1",
     .part_copy = false,
     .parts = "64 MiB to 5120 MiB, 10000"},
    {.id = "idrive",
     .endpoint = "https://e9k4.fra.idrivee2-12.com",
     .url = "https://e9k4.fra.idrivee2-12.com/bkt/k",
     .signed_for = "us-east-1"},
    {.id = "garage",
     .endpoint = "http://garage.example.org:3900",
     .url = "http://garage.example.org:3900/bkt/k",
     .signed_for = "garage",
     .source = "x-amz-copy-source-if-match",
     .refused = "class other-class acl v2"},
    {.id = "seaweedfs",
     .endpoint = "http://weed.example.org:8333",
     .url = "http://weed.example.org:8333/bkt/k",
     .signed_for = "us-east-1",
     .listing = "",
     .conditions = "put-absent put-match complete-absent complete-match delete-match copy-absent",
     .etag_is_checked = false},
    {.id = "tigris",
     .url = "https://bkt.fly.storage.tigris.dev/k",
     .signed_for = "auto",
     .conditions = "put-absent put-match"},
};

class PresetTest : public ::testing::TestWithParam<Expected> {
 protected:
  PresetTest() : expected_(GetParam()), clock_(ParseIso("2013-05-24T00:00:00Z").value()) {
    config_.provider = expected_.id;
    config_.bucket = "bkt";
    config_.endpoint = expected_.endpoint;
    config_.region = expected_.region;
    config_.credentials = {"AK", "SK", ""};
  }
  void Open() {
    auto resolved = ResolveStore(config_);
    ASSERT_TRUE(resolved.ok()) << resolved.error().ToString();
    auto http = std::make_unique<YesHttp>(is_qingstor());
    http_ = http.get();
    store_ = MakeS3Store(*std::move(resolved), std::move(http), clock_);
  }
  void UseHttps() {
    if (config_.endpoint.starts_with("http:")) config_.endpoint.insert(4, "s");
  }
  bool is_qingstor() const { return expected_.id == "qingstor"; }
  Status Put(const Condition& condition = Condition::None()) {
    QUAY_TRY(store_->Put("k", MemorySource("text"), {}, condition, {}));
    return {};
  }
  /// The only request since the last look.
  SentRequest TakeOne() {
    const auto sent = http_->Take();
    EXPECT_EQ(sent.size(), 1U);
    return sent.empty() ? SentRequest{} : sent[0];
  }
  /// Whether the condition went out with the request, as it was said. Else it was refused unsent.
  bool IsSent(const Status& done, const Condition& condition) {
    const auto sent = http_->Take();
    if (done.Is(Code::kNotSupported)) {
      EXPECT_TRUE(sent.empty());
      return false;
    }
    EXPECT_TRUE(done.ok()) << done.error().ToString();
    const bool absent = condition.kind == Condition::Kind::kIfAbsent;
    const std::string said = absent ? "*" : std::string(expected_.etag);
    for (const SentRequest& one : sent)
      if (one.header(absent ? "If-None-Match" : "If-Match") == said) return true;
    ADD_FAILURE() << "it was dropped in silence";
    return false;
  }
  std::string ConditionsSent();
  static std::string Mebibytes(uint64_t bytes) {
    return fmt::format("{} MiB", bytes / static_cast<double>(1 << 20));
  }

  const Expected expected_;
  ManualClock clock_;
  StoreConfig config_;
  YesHttp* http_ = nullptr;
  std::unique_ptr<ObjectStore> store_;
};

TEST_P(PresetTest, RequestsGoWhereTheyShouldAndAreSignedForIt) {
  ASSERT_NO_FATAL_FAILURE(Open());
  ASSERT_TRUE(Put().ok());
  const SentRequest sent = TakeOne();
  const std::string port = sent.request.port == 0 ? "" : ":" + std::to_string(sent.request.port);
  EXPECT_EQ(sent.request.scheme + "://" + sent.request.host + port + sent.request.path,
            expected_.url);
  const std::string scope = is_qingstor()
                                ? "QS AK:"
                                : "AWS4-HMAC-SHA256 Credential=AK/20130524/" +
                                      std::string(expected_.signed_for) + "/s3/aws4_request";
  EXPECT_TRUE(sent.header("Authorization").starts_with(scope)) << sent.header("Authorization");
}

TEST_P(PresetTest, BodiesAreGuarded) {
  ASSERT_NO_FATAL_FAILURE(Open());
  ASSERT_TRUE(Put().ok());
  const SentRequest put = TakeOne();
  std::vector<std::string> guards;
  if (put.header("x-amz-content-sha256") == HexEncode(Sha256("text"))) guards.push_back("sha256");
  if (put.header("Content-MD5") == Base64Encode(Md5("text"))) guards.push_back("md5");
  EXPECT_EQ(fmt::format("{}", fmt::join(guards, " ")), expected_.body);
  // Nothing that other clients send unasked and that breaks such services (protocol.md 3.10).
  for (const s3::HttpHeader& header : put.request.headers.all()) {
    const std::string name = ToLower(header.name);
    EXPECT_FALSE(name.starts_with("x-amz-checksum") || name.starts_with("x-amz-sdk") ||
                 name == "x-amz-trailer" || name == "content-encoding" ||
                 name == "accept-encoding" || name == "x-amz-acl" || name == "x-amz-storage-class")
        << name;
  }
}

// One proof is enough; without the hash in the signature it is the ETag, where that is a digest.
TEST_P(PresetTest, EtagsAreCheckedWhereTheyAreDigests) {
  config_.unsigned_payload = true;
  UseHttps();
  ASSERT_NO_FATAL_FAILURE(Open());
  ASSERT_TRUE(Put().ok());
  if (!is_qingstor()) {
    EXPECT_EQ(TakeOne().header("x-amz-content-sha256"), "UNSIGNED-PAYLOAD");
  }
  http_->wrong_etags = true;
  EXPECT_EQ(Put().Is(Code::kCorrupt), expected_.etag_is_checked);
}

TEST_P(PresetTest, ListingsAreAskedForInItsWay) {
  ASSERT_NO_FATAL_FAILURE(Open());
  ASSERT_TRUE(store_->List({"p/", "/", "", 1000}, {}).ok());
  const SentRequest sent = TakeOne();
  std::vector<std::string> special;
  for (const char* name : {"list-type", "encoding-type"}) {
    if (const std::string value = sent.parameter(name); value != "(absent)")
      special.push_back(std::string(name) + "=" + value);
  }
  EXPECT_EQ(fmt::format("{}", fmt::join(special, " ")), expected_.listing);
  EXPECT_EQ(sent.parameter(is_qingstor() ? "limit" : "max-keys"), "1000");
}

std::string PresetTest::ConditionsSent() {
  const Condition absent = Condition::IfAbsent();
  const Condition match = Condition::IfEtag(kSome);
  const std::string part_etag = "\"" + HexEncode(Md5(YesHttp::kPart)) + "\"";
  const auto complete = [&](const Condition& condition) -> Status {
    QUAY_TRY(store_->CompleteUpload("k", "u", {{1, part_etag, 4}}, condition, {}));
    return {};
  };
  const auto copy = [&](const Condition& condition) -> Status {
    QUAY_TRY(store_->Copy("from", "", "k", std::nullopt, condition, {}));
    return {};
  };
  std::vector<std::string> sent;
  if (IsSent(Put(absent), absent)) sent.push_back("put-absent");
  if (IsSent(Put(match), match)) sent.push_back("put-match");
  if (IsSent(complete(absent), absent)) sent.push_back("complete-absent");
  if (IsSent(complete(match), match)) sent.push_back("complete-match");
  if (IsSent(store_->Delete("k", match, {}), match)) sent.push_back("delete-match");
  if (IsSent(copy(absent), absent)) sent.push_back("copy-absent");
  return fmt::format("{}", fmt::join(sent, " "));
}

TEST_P(PresetTest, OnlyConditionsThatItHonoursAreSent) {
  ASSERT_NO_FATAL_FAILURE(Open());
  EXPECT_EQ(ConditionsSent(), expected_.conditions);
}

TEST_P(PresetTest, CopiesMakeSureOfTheirSource) {
  ASSERT_NO_FATAL_FAILURE(Open());
  const auto copied = store_->Copy("from", kSome, "to", std::nullopt, Condition::None(), {});
  ASSERT_TRUE(copied.ok()) << copied.error().ToString();
  auto sent = http_->Take();
  ASSERT_FALSE(sent.empty());
  if (expected_.source == "HEAD") {
    EXPECT_EQ(sent.front().request.method, "HEAD");
  } else {
    EXPECT_EQ(sent.size(), 1U);
    EXPECT_EQ(sent[0].header(expected_.source), kSome);
  }
  const auto part = store_->CopyPart("to", "u", 1, "from", kSome, {0, 5 << 20}, {});
  sent = http_->Take();
  EXPECT_EQ(part.ok(), expected_.part_copy);
  EXPECT_EQ(sent.empty(), part.Is(Code::kNotSupported)) << "what it has not is not asked for";
  const auto moved = store_->Move("from", "to", {});
  sent = http_->Take();
  EXPECT_EQ(moved.ok(), expected_.move) << (moved.ok() ? "" : moved.error().ToString());
  EXPECT_EQ(sent.empty(), moved.Is(Code::kNotSupported));
  if (expected_.move) {
    EXPECT_EQ(sent.back().header("x-qs-move-source"), "/bkt/from");
  }
}

TEST_P(PresetTest, DeletionsGoTogetherAsFarAsItTakesThem) {
  ASSERT_NO_FATAL_FAILURE(Open());
  std::vector<std::string> keys;
  for (int i = 0; i < 1001; ++i) keys.push_back(fmt::format("key-{:04}", i));
  const auto outcomes = store_->DeleteMany(keys, {});
  ASSERT_TRUE(outcomes.ok()) << outcomes.error().ToString();
  for (const DeleteOutcome& outcome : *outcomes) ASSERT_TRUE(outcome.status.ok());
  const auto sent = http_->Take();
  if (expected_.deletes == "one by one") {
    EXPECT_EQ(sent.size(), keys.size());
    EXPECT_EQ(sent[0].request.method, "DELETE");
    return;
  }
  const std::string md5 = Base64Encode(Md5(sent[0].body));
  EXPECT_EQ(fmt::format("{} keys{}", YesHttp::DeletedKeys(sent[0]).size(),
                        sent[0].header("Content-MD5") == md5 ? ", MD5" : ""),
            expected_.deletes);
}

TEST_P(PresetTest, WhatIsTooLargeIsRefusedUnsent) {
  ASSERT_NO_FATAL_FAILURE(Open());
  const Capabilities caps = store_->capabilities();
  EXPECT_EQ(
      fmt::format("{} to {}, {}{}", Mebibytes(caps.part_size_min), Mebibytes(caps.part_size_max),
                  caps.parts_max, caps.equal_parts ? ", equal" : ""),
      expected_.parts);
  const HugeSource too_large(caps.part_size_max + 1);
  EXPECT_TRUE(store_->UploadPart("k", "u", 1, too_large, {}).Is(Code::kTooLarge));
  const auto size = static_cast<size_t>(expected_.key_size);
  EXPECT_TRUE(store_->Head(std::string(size + 1, 'k'), {}).Is(Code::kNameTooLong));
  EXPECT_TRUE(http_->Take().empty());
  EXPECT_TRUE(store_->Head(std::string(size, 'k'), {}).ok());
}

struct Option {
  std::string_view name;
  void (*set)(StoreConfig&);
  std::string_view header;  // that shows it, "" for none
  std::string_view field;   // that its refusal begins with
};
const Option kOptions[] = {
    {"class", [](StoreConfig& c) { c.storage_class = "STANDARD"; }, "storage-class",
     "storage_class: "},
    {"other-class", [](StoreConfig& c) { c.storage_class = "MADE_UP"; }, "storage-class",
     "storage_class: "},
    {"acl", [](StoreConfig& c) { c.acl = "public-read"; }, "acl", "acl: "},
    {"sse", [](StoreConfig& c) { c.sse = "AES256"; }, "server-side-encryption", "sse: "},
    {"sse-c", [](StoreConfig& c) { c.sse_customer_key = Base64Encode(std::string(32, 'k')); },
     "customer-key", "sse: "},
    {"payer", [](StoreConfig& c) { c.requester_pays = true; }, "request-payer", "requester_pays: "},
    {"anonymous",
     [](StoreConfig& c) {
       c.credentials = {};
       c.anonymous = true;
     },
     "", "anonymous: "},
    {"v2", [](StoreConfig& c) { c.signature_version = s3::SignatureVersion::kV2; }, "",
     "SignatureVersion: "},
    {"path", [](StoreConfig& c) { c.path_style = true; }, "", "Use_PathStyle: "},
    {"http", [](StoreConfig& c) { c.endpoint = "http://plain.example.org"; }, "", "endpoint: "},
};

TEST_P(PresetTest, OptionsThatItHasAreSentAndOthersRefusedByName) {
  std::vector<std::string> refused;
  for (const Option& option : kOptions) {
    SCOPED_TRACE(option.name);
    config_ = {};
    config_.provider = expected_.id;
    config_.bucket = "bkt";
    config_.endpoint = expected_.endpoint;
    config_.region = expected_.region;
    config_.credentials = {"AK", "SK", ""};
    UseHttps();
    option.set(config_);
    const auto resolved = ResolveStore(config_);
    if (!resolved) {
      EXPECT_THAT(resolved.error().message(), ::testing::StartsWith(std::string(option.field)));
      refused.emplace_back(option.name);
      continue;
    }
    ASSERT_NO_FATAL_FAILURE(Open());
    ASSERT_TRUE(Put().ok());
    const SentRequest put = TakeOne();
    const auto& headers = put.request.headers.all();
    const auto shows = [&](const s3::HttpHeader& header) {
      return ToLower(header.name).ends_with(option.header);
    };
    EXPECT_TRUE(option.header.empty() || std::any_of(headers.begin(), headers.end(), shows));
    if (option.name == "anonymous") {
      EXPECT_FALSE(put.has("Authorization"));
    }
    if (option.name == "v2") {
      EXPECT_TRUE(put.header("Authorization").starts_with("AWS AK:"));
    }
    if (option.name == "path") {
      EXPECT_EQ(put.request.path, "/bkt/k");
    }
  }
  EXPECT_EQ(fmt::format("{}", fmt::join(refused, " ")), expected_.refused);
}

TEST(Presets, EachHasExpectations) {
  for (const Profile& profile : Profiles()) {
    const auto rows = std::count_if(std::begin(kExpected), std::end(kExpected),
                                    [&](const Expected& row) { return row.id == profile.id; });
    EXPECT_EQ(rows, profile.protocol == Protocol::kLocal ? 0 : 1) << profile.id;
  }
}

std::string VendorName(const ::testing::TestParamInfo<Expected>& vendor) {
  std::string name(vendor.param.id);
  std::erase(name, '-');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Vendors, PresetTest, ::testing::ValuesIn(kExpected), VendorName);

}  // namespace
}  // namespace quayfs
