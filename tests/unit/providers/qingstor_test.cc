// SPDX-License-Identifier: Apache-2.0
//
// QingStor's own API: the signature against the known answers of protocol.md 7.3, requests as they
// go out, documents as they come in, and the parameters of its connection document.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/hash.h"
#include "base/text.h"
#include "providers/open.h"
#include "providers/qingstor/dialect.h"
#include "providers/qingstor/documents.h"
#include "providers/qingstor/sign.h"
#include "providers/resolve.h"
#include "providers/s3_store.h"
#include "s3/errors.h"
#include "s3/retry.h"
#include "tests/server/server.h"
#include "tests/unit/s3/fake_http.h"

namespace quayfs {
namespace {

using s3::FakeHttp;
using s3::HttpRequest;
using ::testing::HasSubstr;
using testserver::Server;
using testserver::ServerConfig;

// ---- The signature.

constexpr char kAk[] = "ENV_ACCESS_KEY_ID";
constexpr char kSk[] = "ENV_SECRET_ACCESS_KEY";
constexpr char kDate[] = "Mon, 01 Jan 0001 00:00:00 GMT";
constexpr char kUpload[] = "fde133b5f6d932cd9c79bac3c7318da1";

HttpRequest Request(const std::string& method, const std::string& path, const std::string& query,
                    bool tests_headers) {
  HttpRequest request;
  request.method = method;
  request.path = path;
  request.query = query;
  if (tests_headers) {
    request.headers.Add("X-QS-Test-2", "Test 2");
    request.headers.Add("X-QS-Test-1", " Test 1 ");
  }
  return request;
}

std::string HeaderForm(const HttpRequest& request, const std::string& host_bucket = "") {
  const bool own_date = request.headers.Has("x-qs-date");
  return qingstor::Signature(kSk,
                             qingstor::StringToSign(request, host_bucket, own_date ? "" : kDate));
}

std::string QueryForm(HttpRequest request) {
  qingstor::Presign(&request, {kAk, kSk, ""}, "", 3600);
  std::string signature;
  for (const s3::QueryParameter& parameter : s3::DecodeQuery(request.query)) {
    if (parameter.name == "signature") signature = parameter.value.value_or("");
    if (parameter.name == "access_key_id") {
      EXPECT_EQ(parameter.value, kAk);
    }
    if (parameter.name == "expires") {
      EXPECT_EQ(parameter.value, "3600");
    }
  }
  return signature;
}

TEST(QingStorSignature, KnownAnswers) {
  const std::string query = std::string("acl&upload_id=") + kUpload + "&part_number=0&other=abc";
  HttpRequest first = Request("GET", "/", query, true);
  EXPECT_EQ(HeaderForm(first), "bvglZF9iMOv1RaCTxPYWxexmt1UN2m5WKngYnhDEp2c=");
  EXPECT_EQ(QueryForm(first), "GRL3p3NOgHR9CQygASvyo344vdnO1hFke6ZvQ5mDVHM=");
  first.headers.Add("X-QS-Date", kDate);
  EXPECT_EQ(HeaderForm(first), "qkY+tOMdqfDAVv+ZBtlWeEBxlbyIKaQmj5lQlylENzo=");
  EXPECT_EQ(QueryForm(first), "plFxMFP1EzKVtdF+bApT8rhW9AUAIWfmZcOGH3m27t0=");
  const std::string chinese =
      "/bucket-name/" + qingstor::Dialect().EncodeKey("\xe4\xb8\xad\xe6\x96\x87");
  EXPECT_EQ(HeaderForm(Request("GET", chinese, "", false)),
            "XsTXX50kzqBf92zLG1aIUIJmZ0hqIHoaHgkumwnV3fs=");
  EXPECT_EQ(HeaderForm(Request("PUT", "/bucket-name", "cname", true)),
            "Kqc4/+6T7zfSrUPgkvswHbtL4ESch9vOVQP0nPwlkBs=");
  EXPECT_EQ(HeaderForm(Request("GET", "/", "acl", false), "bucket-name"),
            "y0rP8LnEGUiV/JcuCMHZC4OMRZNzKRw9w7AnqehJZW8=");
  const std::string disposition =
      "attachment; filename=\"%E4%B8%AD%E6%96%87.jpg\"; filename*=utf-8''%E4%B8%AD%E6%96%87.jpg";
  EXPECT_EQ(
      QueryForm(Request("GET", "/",
                        s3::EncodeQuery({{"response-content-disposition", disposition}}), false)),
      "XPMfomqMYu7ej62eqitVcPJyZMvfi72ZxXwGpPWv07I=");
}

TEST(QingStorSignature, TheDateHeaderIsSentUnlessThereIsOneOfItsOwn) {
  HttpRequest request = Request("GET", "/b/k", "", false);
  qingstor::Sign(&request, {kAk, kSk, ""}, "", ParseIso("2013-05-24T00:00:00Z").value());
  EXPECT_EQ(request.headers.Get("date"), "Fri, 24 May 2013 00:00:00 GMT");
  EXPECT_THAT(std::string(request.headers.Get("authorization")),
              ::testing::StartsWith(std::string("QS ") + kAk + ":"));
  HttpRequest dated = Request("GET", "/b/k", "", false);
  dated.headers.Set("X-QS-Date", kDate);
  qingstor::Sign(&dated, {kAk, kSk, ""}, "", WallTime{});
  EXPECT_FALSE(dated.headers.Has("date"));
}

TEST(QingStorKeys, KeepSlashAndEquals) {
  EXPECT_EQ(qingstor::Dialect().EncodeKey("a b/c=d+e~%"), "a%20b/c=d%2Be~%25");
}

std::string Said(const Status& status) { return status.ok() ? "ok" : status.error().ToString(); }

// ---- Where.

StoreConfig Config() {
  StoreConfig config;
  config.provider = "qingstor";
  config.bucket = "nightly";
  config.credentials = {"AK", "SK", ""};
  return config;
}

s3::ClientConfig Resolved(const StoreConfig& config) {
  auto resolved = ResolveStore(config);
  EXPECT_TRUE(resolved.ok()) << resolved.error().ToString();
  return resolved.ok() ? resolved->client : s3::ClientConfig{};
}

std::string Refusal(const StoreConfig& config) {
  const auto resolved = ResolveStore(config);
  return resolved.ok() ? "accepted" : resolved.error().message();
}

struct Place {
  std::string endpoint;
  std::string zone;
  std::string host;
  std::string service_host;
  uint16_t port;
};

TEST(QingStorPlaces, TheZoneGoesBeforeTheHostOfTheService) {
  const Place places[] = {
      {"", "", "pek3a.qingstor.com", "qingstor.com", 0},
      {"https://qingstor.com:443", "sh1a", "sh1a.qingstor.com", "qingstor.com", 0},
      {"https://qingstor.com", "Shanghai 1-A", "sh1a.qingstor.com", "qingstor.com", 0},
      {"https://qingstor.com", "new9z", "new9z.qingstor.com", "qingstor.com", 0},
      {"https://sh1a.qingstor.com", "sh1a", "sh1a.qingstor.com", "qingstor.com", 0},
      {"http://qs.example.org:8080", "z1", "z1.qs.example.org", "qs.example.org", 8080},
      {"http://qs.example.org:8080", "none", "qs.example.org", "", 8080},
      {"http://127.0.0.1:8080", "pek3a", "127.0.0.1", "", 8080},
  };
  for (const Place& place : places) {
    StoreConfig config = Config();
    config.endpoint = place.endpoint;
    config.zone = place.zone;
    const s3::ClientConfig client = Resolved(config);
    EXPECT_EQ(client.host, place.host) << place.endpoint;
    EXPECT_EQ(client.service_host, place.service_host) << place.endpoint;
    if (place.port != 0) {
      EXPECT_EQ(client.port, place.port) << place.endpoint;
    }
    EXPECT_EQ(client.follow_region, !place.service_host.empty());
    EXPECT_EQ(client.style, s3::AddressingStyle::kPath);
  }
}

TEST(QingStorPlaces, WhatCannotBeIsRefused) {
  StoreConfig config = Config();
  config.endpoint = "https://sh1a.qingstor.com";
  config.zone = "pek3a";
  EXPECT_THAT(Refusal(config), HasSubstr("zone: 'pek3a' is not the zone that the endpoint"));
  config.endpoint = "qingstor.com";
  EXPECT_THAT(Refusal(config), HasSubstr("endpoint"));
  config.endpoint = "https://qingstor.com";
  config.zone = "none";
  EXPECT_THAT(Refusal(config), HasSubstr("zone: 'none'"));
  config.zone = "pek3a/x";
  EXPECT_THAT(Refusal(config), HasSubstr("zone: 'pek3a/x' is neither"));
}

TEST(QingStorOptions, DefaultsAndRefusals) {
  const s3::ClientConfig client = Resolved(Config());
  EXPECT_EQ(client.retry.count, 3) << "connection retries";
  EXPECT_TRUE(client.retry.connection_layer_explicit);
  EXPECT_TRUE(client.content_md5);
  EXPECT_EQ(client.scheme, "https");
  StoreConfig config = Config();
  config.retry_count = 7;
  EXPECT_EQ(Resolved(config).retry.count, 7);
  config = Config();
  config.storage_class = "Infrequent Access";
  EXPECT_EQ(Resolved(config).storage_class, "STANDARD_IA");
  config.storage_class = "GLACIER";
  EXPECT_THAT(Refusal(config), HasSubstr("storage_class"));
  config = Config();
  config.acl = "private";
  EXPECT_THAT(Refusal(config), HasSubstr("acl"));
  config = Config();
  config.sse = "AES256";
  EXPECT_THAT(Refusal(config), HasSubstr("sse: qingstor encrypts with keys of your own"));
  config = Config();
  config.requester_pays = true;
  EXPECT_THAT(Refusal(config), HasSubstr("requester_pays"));
  config = Config();
  config.signature_version = s3::SignatureVersion::kV2;
  EXPECT_THAT(Refusal(config), HasSubstr("SignatureVersion"));
  config = Config();
  config.credentials = {};
  EXPECT_THAT(Refusal(config), HasSubstr("access_key_id"));
  config.anonymous = true;
  EXPECT_TRUE(Resolved(config).credentials.anonymous());
}

TEST(QingStorOptions, WhatTheServiceCanDo) {
  const Capabilities can = ResolveStore(Config()).value().capabilities;
  EXPECT_TRUE(can.move);
  EXPECT_TRUE(can.part_copy);
  EXPECT_FALSE(can.put_if_absent);
  EXPECT_FALSE(can.list_in_byte_order);
  EXPECT_EQ(can.part_size_min, 4ull << 20);
  EXPECT_EQ(can.batch_delete_max, 200);
  EXPECT_EQ(can.key_size_max, 1023);
}

// ---- Requests as they go out.

class Wire : public ::testing::Test {
 protected:
  Wire() : clock_(ParseIso("2013-05-24T00:00:00Z").value()) {
    auto http = std::make_unique<FakeHttp>();
    http_ = http.get();
    StoreConfig config = Config();
    config.storage_class = "STANDARD_IA";
    config.sse_customer_key = Base64Encode(std::string(32, 'k'));
    store_ = MakeS3Store(ResolveStore(config).value(), std::move(http), clock_);
  }

  const s3::SentRequest& Sent(size_t index) { return sent_.at(index); }
  void Collect() {
    sent_ = http_->sent();
    EXPECT_EQ(http_->left(), 0u);
  }

  FakeHttp* http_ = nullptr;
  ManualClock clock_;
  std::unique_ptr<ObjectStore> store_;
  std::vector<s3::SentRequest> sent_;
};

TEST_F(Wire, APutHasTheNamesOfQingStor) {
  http_->Then(201, "", {{"ETag", "\"e\""}});
  ObjectProperties properties;
  properties.content_type = "text/plain";
  properties.metadata = {{"mode", "33188"}, {"name", "gr\xc3\xbc\xc3\x9f"}};
  ASSERT_TRUE(store_->Put("a b", MemorySource("hello"), properties, Condition::None(), {}).ok());
  Collect();
  const s3::SentRequest& put = Sent(0);
  EXPECT_EQ(put.line(), "PUT /nightly/a%20b");
  EXPECT_EQ(put.request.host, "pek3a.qingstor.com");
  EXPECT_EQ(put.header("x-qs-meta-mode"), "33188");
  EXPECT_EQ(put.header("x-qs-meta-name"), "gr%C3%BC%C3%9F");
  EXPECT_EQ(put.header("x-qs-storage-class"), "STANDARD_IA");
  EXPECT_EQ(put.header("x-qs-encryption-customer-algorithm"), "AES256");
  EXPECT_EQ(put.header("x-qs-encryption-customer-key"), Base64Encode(std::string(32, 'k')));
  EXPECT_EQ(put.header("x-qs-encryption-customer-key-MD5"),
            Base64Encode(Md5(std::string(32, 'k'))));
  EXPECT_EQ(put.header("content-md5"), Base64Encode(Md5("hello")));
  EXPECT_FALSE(put.has("x-amz-content-sha256"));
  for (const s3::HttpHeader& header : put.request.headers.all()) {
    EXPECT_FALSE(ToLower(header.name).starts_with("x-amz-")) << header.name;
  }
}

TEST_F(Wire, CopiesAndMoves) {
  http_->Then(201);                                                    // copy
  http_->Then(200, "", {{"ETag", "\"c\""}, {"Content-Length", "5"}});  // its ETag
  http_->Then(200, "", {{"ETag", "\"s\""}, {"Content-Length", "5"}, {"Content-Type", "x/y"}});
  http_->Then(201);  // move
  const auto copied =
      store_->Copy("d=1/a b", "\"s\"", "t", ObjectProperties{}, Condition::None(), {});
  ASSERT_TRUE(copied.ok()) << copied.error().ToString();
  EXPECT_EQ(copied->etag, "\"c\"");
  const auto moved = store_->Move("d=1/a b", "t", {});
  ASSERT_TRUE(moved.ok()) << moved.error().ToString();
  EXPECT_EQ(moved->etag, "\"s\"");
  Collect();
  EXPECT_EQ(Sent(0).header("x-qs-copy-source"), "/nightly/d=1/a%20b");
  EXPECT_EQ(Sent(0).header("x-qs-copy-source-if-match"), "\"s\"");
  EXPECT_EQ(Sent(0).header("x-qs-metadata-directive"), "replace");
  EXPECT_TRUE(Sent(0).has("x-qs-copy-source-encryption-customer-key"));
  EXPECT_EQ(Sent(3).header("x-qs-move-source"), "/nightly/d=1/a%20b");
  EXPECT_EQ(Sent(3).header("content-type"), "x/y") << "some moves forget it";
}

TEST_F(Wire, AMoveWhoseReplyWasLostIsRecognised) {
  const std::vector<s3::HttpHeader> there = {{"ETag", "\"s\""}, {"Content-Length", "5"}};
  http_->Then(200, "", there);
  http_->ThenBroken();
  http_->Then(404, R"({"code":"object_not_exists","message":"gone"})");
  http_->Then(200, "", there);  // the destination
  const auto moved = store_->Move("a", "b", {});
  ASSERT_TRUE(moved.ok()) << moved.error().ToString();
  EXPECT_EQ(moved->key, "b");
  Collect();
}

TEST_F(Wire, AnotherObjectAtTheDestinationIsNoMove) {
  http_->Then(200, "", {{"ETag", "\"s\""}, {"Content-Length", "5"}});
  http_->ThenBroken();
  http_->Then(404, R"({"code":"object_not_exists","message":"gone"})");
  http_->Then(200, "", {{"ETag", "\"other\""}, {"Content-Length", "5"}});
  EXPECT_TRUE(store_->Move("a", "b", {}).Is(Code::kNotFound));
  Collect();
}

TEST_F(Wire, AMultipartUpload) {
  http_->Then(200, R"({"bucket":"nightly","key":"k","upload_id":"u1"})");
  http_->Then(201, "", {{"ETag", "\"5d41402abc4b2a76b9719d911017c592\""}});
  http_->Then(201);  // complete, without ETag
  http_->Then(200, "", {{"ETag", "\"5d41402abc4b2a76b9719d911017c592\""}, {"Content-Length", "5"}});
  const auto upload = store_->CreateUpload("k", {}, {});
  ASSERT_TRUE(upload.ok()) << upload.error().ToString();
  const auto part = store_->UploadPart("k", *upload, 1, MemorySource("hello"), {});
  ASSERT_TRUE(part.ok());
  const auto done = store_->CompleteUpload("k", *upload, {*part}, Condition::None(), {});
  ASSERT_TRUE(done.ok()) << done.error().ToString();
  EXPECT_EQ(done->etag, "\"5d41402abc4b2a76b9719d911017c592\"");
  Collect();
  EXPECT_EQ(Sent(0).line(), "POST /nightly/k?uploads");
  EXPECT_EQ(Sent(1).line(), "PUT /nightly/k?part_number=1&upload_id=u1");
  EXPECT_EQ(Sent(2).line(), "POST /nightly/k?upload_id=u1");
  EXPECT_EQ(Sent(2).header("content-type"), "application/json");
  EXPECT_EQ(Sent(2).header("etag"), "\"5d41402abc4b2a76b9719d911017c592\"")
      << "one part: the digest of the whole is known";
  const auto document = nlohmann::json::parse(Sent(2).body);
  EXPECT_EQ(document["object_parts"][0]["part_number"], 1);
  EXPECT_EQ(document["object_parts"][0]["size"], 5);
}

TEST_F(Wire, AListingFollowsOpaqueMarkers) {
  http_->Then(200, R"({"keys":[{"key":"p/z","size":3,"etag":"\"e\"","modified":1400000000,
      "storage_class":"STANDARD"}],"common_prefixes":["p/d/"],"has_more":true,
      "next_marker":"m#1"})");
  http_->Then(200, R"({"keys":[],"common_prefixes":null,"has_more":false,"next_marker":""})");
  const auto first = store_->List({"p/", "/", "", 2000}, {});
  ASSERT_TRUE(first.ok()) << first.error().ToString();
  ASSERT_EQ(first->objects.size(), 1u);
  EXPECT_EQ(first->objects[0].etag, "\"e\"");
  EXPECT_EQ(first->objects[0].last_modified, WallTime(std::chrono::seconds(1400000000)));
  const auto second = store_->List({"p/", "/", first->next_token, 2000}, {});
  ASSERT_TRUE(second.ok()) << second.error().ToString();
  EXPECT_EQ(second->next_token, "");
  Collect();
  EXPECT_EQ(Sent(0).line(), "GET /nightly?delimiter=%2F&limit=1000&prefix=p%2F");
  EXPECT_EQ(Sent(1).parameter("marker"), "m#1");
}

TEST_F(Wire, AnInitiateThatAnswersNonsenseIsNoSuccess) {
  for (int i = 0; i < 8; ++i) http_->Then(200, "<html>");
  EXPECT_FALSE(store_->CreateUpload("k", {}, {}).ok());
}

// ---- Errors.

TEST(QingStorErrors, EachCodeIsWhatTheTableSays) {
  struct Row {
    int status;
    std::string code;
    Code expected;
  };
  const Row rows[] = {
      {404, "object_not_exists", Code::kNotFound},
      {404, "bucket_not_exists", Code::kUnavailable},
      {400, "upload_not_exists", Code::kNotFound},
      {401, "invalid_access_key_id", Code::kUnauthenticated},
      {401, "signature_not_matched", Code::kUnauthenticated},
      {402, "delinquent_account", Code::kPermissionDenied},
      {403, "permission_denied", Code::kPermissionDenied},
      {403, "request_expired", Code::kClockSkew},
      {405, "method_not_allowed", Code::kNotSupported},
      {412, "precondition_failed", Code::kChanged},
      {416, "invalid_range", Code::kInvalidArgument},
      {400, "invalid_object_state", Code::kArchived},
      {400, "metadata_too_large", Code::kTooLarge},
      {400, "max_requests_exceeded", Code::kThrottled},
      {429, "fetch_throttled", Code::kThrottled},
      {500, "internal_error", Code::kUnavailable},
      {503, "", Code::kUnavailable},
      {403, "", Code::kPermissionDenied},
  };
  for (const Row& row : rows) {
    s3::HttpHeaders headers;
    headers.Add("X-QS-Request-ID", "r1");
    const std::string body =
        row.code.empty() ? "" : R"({"code":")" + row.code + R"(","message":"no","request_id":"x"})";
    const Error error =
        s3::MakeServiceError({row.status, &headers, body, {}, qingstor::Dialect()}, "read");
    EXPECT_EQ(error.code(), row.expected) << row.code << " " << row.status;
    EXPECT_EQ(error.detail().service_code, row.code);
    EXPECT_EQ(error.detail().request_id, "r1");
  }
  EXPECT_EQ(s3::ClassifyReply(400, "max_requests_exceeded"), s3::ReplyClass::kThrottle);
  EXPECT_EQ(s3::ClassifyReply(403, "lease_not_ready"), s3::ReplyClass::kTransient);
  EXPECT_EQ(s3::ClassifyReply(403, "permission_denied"), s3::ReplyClass::kFinal);
}

TEST(QingStorDocuments, BrokenOnesAreCorrupt) {
  const s3::ListRequest request{"p/", "/", "", 10};
  for (const char* body :
       {"", "[]", "{}", "{\"keys\":5}", "{\"keys\":[{}]}", "{\"keys\":[{\"key\":\"p/a\"}]}",
        "{\"keys\":[{\"key\":\"q\",\"size\":1}]}", "{\"keys\":[],\"has_more\":true}",
        "{\"keys\":[],\"common_prefixes\":[\"x/\"]}", "{\"keys\":[],\"common_prefixes\":[1]}"}) {
    EXPECT_TRUE(qingstor::ParseList(body, request).Is(Code::kCorrupt)) << body;
  }
  EXPECT_TRUE(qingstor::ParseInitiate("{\"key\":\"k\"}").Is(Code::kCorrupt));
  EXPECT_TRUE(qingstor::ParseParts("{\"object_parts\":[{\"size\":1}]}").Is(Code::kCorrupt));
  EXPECT_TRUE(qingstor::ParseUploads("{\"uploads\":[{\"key\":\"k\"}]}", "").Is(Code::kCorrupt));
  EXPECT_FALSE(qingstor::ParseError("{\"keys\":[]}").has_value());
  EXPECT_FALSE(qingstor::JsonCarriesKey("\xff"));
  EXPECT_TRUE(qingstor::JsonCarriesKey("a\x01\"\xc3\xbc"));
}

// ---- Over HTTP.

class QingStorServer : public ::testing::Test {
 protected:
  void Start(ServerConfig config = {}) {
    config.protocol = testserver::Protocol::kQingStor;
    config.region = "pek3a";
    config.part_size_min = 1;
    server_ = Server::Start(config).value();
  }
  StoreConfig Named() const {
    StoreConfig config;
    config.provider = "qingstor";
    config.bucket = "test";
    config.endpoint = "http://localhost:" + std::to_string(server_->port());
    config.ipv6 = false;
    config.credentials = {"test-key", "test-secret", ""};
    return config;
  }
  std::unique_ptr<Server> server_;
};

TEST_F(QingStorServer, TheZoneIsFoundByRedirectAndRemembered) {
  Start();
  StoreConfig config = Named();
  config.zone = "sh1a";
  const auto store = OpenStore(config).value();
  const Status there = store->CheckBucket({});
  ASSERT_TRUE(there.ok()) << there.error().ToString();
  EXPECT_EQ(server_->Count("LocateBucket"), 1u);
  for (const testserver::RequestRecord& record : server_->Log()) {
    if (record.operation != "LocateBucket") continue;
    EXPECT_FALSE(record.headers.contains("authorization"));
    EXPECT_FALSE(record.headers.contains("date")) << "it is not signed";
  }
  ASSERT_TRUE(store->Put("k", MemorySource("x"), {}, Condition::None(), {}).ok());
  EXPECT_EQ(server_->Count("LocateBucket"), 1u);
}

TEST_F(QingStorServer, ABucketThatIsNowhereIsNotFoundAndOthersAreNamed) {
  Start();
  StoreConfig config = Named();
  config.bucket = "nowhere";
  const Status status = OpenStore(config).value()->CheckBucket({});
  ASSERT_TRUE(status.Is(Code::kNotFound)) << Said(status);
  EXPECT_THAT(status.error().message(), HasSubstr("test"));
}

TEST_F(QingStorServer, WrongKeysAreTold) {
  Start();
  StoreConfig config = Named();
  config.credentials.secret_access_key = "wrong";
  const Status status = OpenStore(config).value()->CheckBucket({});
  EXPECT_TRUE(status.Is(Code::kUnauthenticated)) << Said(status);
  EXPECT_EQ(status.error().message().find("wrong"), std::string::npos);
}

TEST_F(QingStorServer, AnonymousRequestsCarryNoSignature) {
  ServerConfig server;
  server.allow_anonymous = true;
  Start(server);
  server_->PutDirect("test", "k", "body", {});
  StoreConfig config = Named();
  config.credentials = {};
  config.anonymous = true;
  const auto store = OpenStore(config).value();
  StringSink sink;
  const auto got = store->Get({"k", {}, ""}, sink, {});
  ASSERT_TRUE(got.ok()) << got.error().ToString();
  EXPECT_EQ(sink.text(), "body");
}

TEST_F(QingStorServer, AClockThatIsOffIsCorrected) {
  ServerConfig server;
  server.clock_offset = std::chrono::hours(3);
  Start(server);
  const auto store = OpenStore(Named()).value();
  const auto put = store->Put("k", MemorySource("x"), {}, Condition::None(), {});
  EXPECT_TRUE(put.ok()) << put.error().ToString();
}

TEST_F(QingStorServer, CustomerKeysAreNeededToRead) {
  ServerConfig server;
  server.tls = true;
  Start(server);
  StoreConfig config = Named();
  config.endpoint = "https://localhost:" + std::to_string(server_->port());
  config.certificate_thumbprint = server_->certificate_sha256();
  config.sse_customer_key = Base64Encode(std::string(32, 'k'));
  const auto store = OpenStore(config).value();
  ASSERT_TRUE(store->Put("k", MemorySource("secret"), {}, Condition::None(), {}).ok());
  StringSink sink;
  EXPECT_TRUE(store->Get({"k", {}, ""}, sink, {}).ok());
  EXPECT_EQ(sink.text(), "secret");
  config.sse_customer_key = "";
  StringSink other;
  EXPECT_FALSE(OpenStore(config).value()->Get({"k", {}, ""}, other, {}).ok());
  EXPECT_EQ(other.text(), "");
}

TEST_F(QingStorServer, ManyAreDeletedTwoHundredAtATime) {
  Start();
  std::vector<std::string> keys;
  for (int i = 0; i < 450; ++i) {
    keys.push_back("k" + std::to_string(i));
    server_->PutDirect("test", keys.back(), "", {});
  }
  const auto store = OpenStore(Named()).value();
  const auto outcomes = store->DeleteMany(keys, {});
  ASSERT_TRUE(outcomes.ok()) << outcomes.error().ToString();
  for (const DeleteOutcome& outcome : *outcomes) EXPECT_TRUE(outcome.status.ok());
  EXPECT_EQ(server_->Count("DeleteObjects"), 3u);
  EXPECT_TRUE(server_->Keys("test").empty());
}

}  // namespace
}  // namespace quayfs
