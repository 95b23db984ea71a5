// SPDX-License-Identifier: Apache-2.0
//
// Kodo's native API: the signatures against known answers of the vendor's own library (protocol.md
// 7.4), and the store with it on the test server's Kodo dialect.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

#include "providers/kodo/native.h"
#include "providers/kodo/sign.h"
#include "providers/open.h"
#include "providers/probe_memory.h"
#include "providers/resolve.h"
#include "tests/server/server.h"

namespace quayfs {
namespace {

using ::testing::HasSubstr;

s3::HttpRequest Request(const std::string& method, const std::string& host, const std::string& path,
                        const std::string& query, const std::vector<s3::HttpHeader>& headers = {}) {
  s3::HttpRequest request;
  request.method = method;
  request.host = host;
  request.path = path;
  request.query = query;
  request.headers.Add("Host", host);
  for (const s3::HttpHeader& header : headers) request.headers.Add(header.name, header.value);
  return request;
}

const s3::Credentials kKeys{"ak", "sk", ""};
constexpr char kJson[] = "{\"name\": \"test\"}";
constexpr char kForm[] = "name=test&language=go";

TEST(KodoSign, TextsHaveKnownSignatures) {
  EXPECT_EQ(kodo::SignText(kKeys, "hello"), "ak:NDN8cM0rwosxhHJ6QAcI7ialr0g=");
  EXPECT_EQ(kodo::SignText(kKeys, "world"), "ak:wZ-sw41ayh3PFDmQA-D3o7eBJIY=");
  EXPECT_EQ(kodo::SignText(kKeys, "-test"), "ak:oJ59sZasiWSqL1o7ugZs5OInEK4=");
  EXPECT_EQ(kodo::SignText(kKeys, "ba#a-"), "ak:tqHL8V2BbNI0dVDXsvueZp_2QnI=");
}

TEST(KodoSign, TheOlderForm) {
  const auto signed_text = [](const s3::HttpRequest& request, const char* body) {
    return kodo::SignText(kKeys, kodo::QboxText(request, body));
  };
  const s3::HttpHeader json{"Content-Type", "application/json"};
  const s3::HttpHeader form{"Content-Type", "application/x-www-form-urlencoded"};
  EXPECT_EQ(signed_text(Request("POST", "", "", "", {json}), kJson),
            "ak:qfWnqF1E_vfzjZnReCVkcSMl29M=");
  EXPECT_EQ(signed_text(Request("GET", "upload.qiniup.com", "", "", {form}), kForm),
            "ak:h8gBb1Adb2Jgoys1N8sRVAnNvpw=");
  EXPECT_EQ(kodo::QboxText(Request("GET", "h", "/find/sdk", "v=2", {form}), kForm),
            "/find/sdk?v=2\nname=test&language=go");
}

TEST(KodoSign, TheNewerForm) {
  const auto signed_text = [](const s3::HttpRequest& request, const char* body) {
    return kodo::SignText(kKeys, kodo::QiniuText(request, body));
  };
  const s3::HttpHeader json{"Content-Type", "application/json"};
  const s3::HttpHeader form{"Content-Type", "application/x-www-form-urlencoded"};
  const std::vector<s3::HttpHeader> own = {{"X-Qiniu-BBB", "BBB"}, {"x-qiniu-aaa", "DDD"}};
  EXPECT_EQ(signed_text(Request("GET", "", "", ""), kJson), "ak:0i1vKClRDWFyNkcTFzwcE7PzX74=");
  EXPECT_EQ(signed_text(Request("GET", "", "", "", {json}), kJson),
            "ak:K1DI0goT05yhGizDFE5FiPJxAj4=");
  EXPECT_EQ(signed_text(Request("POST", "", "", "", {json}), kJson),
            "ak:0ujEjW_vLRZxebsveBgqa3JyQ-w=");
  EXPECT_EQ(signed_text(Request("GET", "upload.qiniup.com", "", ""), kJson),
            "ak:GShw5NitGmd5TLoo38nDkGUofRw=");
  EXPECT_EQ(kodo::QiniuText(Request("GET", "upload.qiniup.com", "/find/sdk", "v=2",
                                    {form, own[0], own[1], {"X-Qiniu-", "a"}, {"X-Qiniu", "b"}}),
                            kForm),
            "GET /find/sdk?v=2\nHost: upload.qiniup.com\n"
            "Content-Type: application/x-www-form-urlencoded\nX-Qiniu-Aaa: DDD\nX-Qiniu-Bbb: BBB\n"
            "\nname=test&language=go");
}

TEST(KodoSign, EntriesAreSafeInPaths) {
  EXPECT_EQ(kodo::EncodedEntry("b", "\xff\xfe?>"), "Yjr__j8-");
  EXPECT_EQ(kodo::EncodedEntry("bucket", "k"), "YnVja2V0Oms=");
}

TEST(KodoNative, HostsOfRegions) {
  EXPECT_EQ(kodo::ResourceHost("cn-east-1"), "rs-z0.qiniuapi.com");
  EXPECT_EQ(kodo::ResourceHost("cn-east-2"), "rs-cn-east-2.qiniuapi.com");
  EXPECT_EQ(kodo::ResourceHost("ap-southeast-1"), "rs-as0.qiniuapi.com");
}

TEST(KodoNative, StatusesHaveAMeaning) {
  const auto code = [](int status) { return kodo::NativeError(status, "why", "do it").code(); };
  EXPECT_EQ(code(401), Code::kUnauthenticated);
  EXPECT_EQ(code(403), Code::kPermissionDenied);
  EXPECT_EQ(code(612), Code::kNotFound);
  EXPECT_EQ(code(614), Code::kAlreadyExists);
  EXPECT_EQ(code(573), Code::kThrottled);
  EXPECT_EQ(code(599), Code::kUnavailable);
  EXPECT_EQ(code(502), Code::kUnavailable);
  EXPECT_EQ(code(400), Code::kInvalidArgument);
  EXPECT_FALSE(kodo::MayHaveBeenMoved(kodo::NativeError(614, "", "")));
  EXPECT_TRUE(kodo::MayHaveBeenMoved(kodo::NativeError(504, "", "")));
}

class KodoStoreTest : public ::testing::Test {
 protected:
  void Start(const std::function<void(testserver::ServerConfig&)>& change = {}) {
    testserver::ServerConfig server_config;
    server_config.protocol = testserver::Protocol::kKodo;
    server_config.region = "cn-east-1";
    if (change) change(server_config);
    server_ = testserver::Server::Start(server_config).value();
    config_.provider = "kodo";
    config_.bucket = "test";
    config_.region = "East China-Zhejiang";
    config_.endpoint = server_->endpoint();
    config_.credentials = {"test-key", "test-secret", ""};
    config_.native = true;
    config_.native_endpoint = server_->endpoint();
    config_.scratch_prefix = "host-a/";
    config_.retry_interval_ms = 1;
    auto store = OpenStore(config_);
    ASSERT_TRUE(store.ok()) << store.error().ToString();
    store_ = *std::move(store);
  }
  ObjectProperties Properties() const {
    ObjectProperties properties;
    properties.content_type = "text/plain";
    properties.metadata = {{"mode", "33188"}, {"mtime", "1700000000.000000001"}};
    return properties;
  }
  Result<ObjectInfo> Put(const std::string& key, std::string_view text,
                         const Condition& condition = Condition::None()) {
    return store_->Put(key, MemorySource(text), Properties(), condition, {});
  }
  std::vector<std::string> Keys() const { return server_->Keys("test"); }

  std::unique_ptr<testserver::Server> server_;
  StoreConfig config_;
  std::unique_ptr<ObjectStore> store_;
};

TEST_F(KodoStoreTest, MovesInOneRequestOnceMovesAreKnownToLoseNothing) {
  ASSERT_NO_FATAL_FAILURE(Start());
  EXPECT_TRUE(store_->capabilities().move);
  const auto put = Put("a", "text");
  ASSERT_TRUE(put.ok()) << put.error().ToString();
  const auto moved = store_->Move("a", "b", {});
  ASSERT_TRUE(moved.ok()) << moved.error().ToString();
  EXPECT_TRUE(SameEtag(moved->etag, put->etag));
  EXPECT_EQ(Keys(), std::vector<std::string>{"b"});
  EXPECT_EQ(store_->Head("b", {})->properties.metadata, Properties().metadata);
  server_->ResetLog();
  ASSERT_TRUE(Put("target", "old").ok());
  ASSERT_TRUE(store_->Move("b", "target", {}).ok()) << "what is there is replaced";
  EXPECT_EQ(server_->Body("test", "target"), "text");
  EXPECT_EQ(server_->Count("NativeMove"), 1u);
  EXPECT_EQ(server_->Count("HeadObject"), 1u) << "of the source";
  EXPECT_EQ(server_->Count("CopyObject"), 0u);
  EXPECT_TRUE(store_->Move("nothing", "x", {}).Is(Code::kNotFound));
}

TEST_F(KodoStoreTest, AMoveThatLosesAttributesIsRepairedAndTheLast) {
  ASSERT_NO_FATAL_FAILURE(Start([](testserver::ServerConfig& server_config) {
    server_config.kodo_move_keeps_metadata = false;
  }));
  ASSERT_TRUE(Put("a", "text").ok());
  const auto moved = store_->Move("a", "b", {});
  ASSERT_TRUE(moved.ok()) << moved.error().ToString();
  EXPECT_EQ(store_->Head("b", {})->properties.metadata, Properties().metadata);
  EXPECT_FALSE(store_->capabilities().move);
  EXPECT_FALSE(store_->capabilities().put_if_absent);
  EXPECT_TRUE(store_->Move("b", "c", {}).Is(Code::kNotSupported));
}

TEST_F(KodoStoreTest, AMoveWhoseReplyIsLostIsFoundOut) {
  for (const bool carried_out : {true, false}) {
    SCOPED_TRACE(carried_out);
    ASSERT_NO_FATAL_FAILURE(Start());
    ASSERT_TRUE(Put("a", "text").ok());
    testserver::Fault fault;
    fault.operation = "NativeMove";
    fault.kind =
        carried_out ? testserver::FaultKind::kLostReply : testserver::FaultKind::kResetInRequest;
    server_->AddFault(fault);
    const auto moved = store_->Move("a", "b", {});
    EXPECT_TRUE(moved.ok()) << moved.error().ToString();
    EXPECT_EQ(Keys(), std::vector<std::string>{"b"});
  }
}

TEST_F(KodoStoreTest, CreationIsExclusive) {
  ASSERT_NO_FATAL_FAILURE(Start());
  ASSERT_TRUE(store_->capabilities().put_if_absent);
  const auto made = Put("a", "first", Condition::IfAbsent());
  ASSERT_TRUE(made.ok()) << made.error().ToString();
  EXPECT_EQ(store_->Head("a", {})->properties.metadata, Properties().metadata);
  EXPECT_TRUE(Put("a", "second", Condition::IfAbsent()).Is(Code::kAlreadyExists));
  EXPECT_EQ(server_->Body("test", "a"), "first");
  EXPECT_EQ(Keys(), std::vector<std::string>{"a"}) << "nothing is left aside";
  server_->ResetLog();
  ASSERT_TRUE(Put("b", "other", Condition::IfAbsent()).ok());
  EXPECT_EQ(server_->Count("PutObject"), 1u);
  EXPECT_EQ(server_->Count("NativeMove"), 1u);
  EXPECT_EQ(server_->Log().size(), 2u);
}

TEST_F(KodoStoreTest, DeletionsGoTogether) {
  ASSERT_NO_FATAL_FAILURE(Start());
  std::vector<std::string> keys;
  for (int i = 0; i < 5; ++i) {
    keys.push_back("k&=+/" + std::to_string(i));
    ASSERT_TRUE(Put(keys.back(), "x").ok());
  }
  keys.push_back("never there");
  server_->ResetLog();
  const auto outcomes = store_->DeleteMany(keys, {});
  ASSERT_TRUE(outcomes.ok()) << outcomes.error().ToString();
  for (const DeleteOutcome& outcome : *outcomes) EXPECT_TRUE(outcome.status.ok()) << outcome.key;
  EXPECT_TRUE(Keys().empty());
  EXPECT_EQ(server_->Count("NativeBatch"), 1u);
  EXPECT_EQ(server_->Log().size(), 1u);
}

TEST_F(KodoStoreTest, ABatchTellsWhichStepsFailed) {
  ASSERT_NO_FATAL_FAILURE(Start());
  ASSERT_TRUE(Put("a", "x").ok());
  ASSERT_TRUE(Put("b", "x").ok());
  const auto resolved = ResolveStore(config_);
  ASSERT_TRUE(resolved.ok());
  const auto http = s3::MakeHttpClient({}).value();
  kodo::NativeClient native(*resolved->native, *http, SystemClock());
  using Kind = kodo::NativeStep::Kind;
  const auto done = native.Batch({{Kind::kMove, "a", "c", false},
                                  {Kind::kMove, "b", "c", false},
                                  {Kind::kMove, "gone", "d", true},
                                  {Kind::kDelete, "b", "", false}},
                                 {});
  ASSERT_TRUE(done.ok()) << done.error().ToString();
  EXPECT_TRUE((*done)[0].ok());
  EXPECT_TRUE((*done)[1].Is(Code::kAlreadyExists));
  EXPECT_TRUE((*done)[2].Is(Code::kNotFound));
  EXPECT_TRUE((*done)[3].ok());
  EXPECT_EQ(Keys(), std::vector<std::string>{"c"});
}

TEST_F(KodoStoreTest, ABucketWithAnotherNativeName) {
  ASSERT_NO_FATAL_FAILURE(
      Start([](testserver::ServerConfig& server_config) { server_config.kodo_bucket = "own"; }));
  ASSERT_TRUE(Put("a", "x").ok());
  const auto moved = store_->Move("a", "b", {});
  EXPECT_TRUE(moved.Is(Code::kNotSupported));
  EXPECT_THAT(moved.error().message(), HasSubstr("set native_bucket"));
  EXPECT_FALSE(store_->capabilities().move) << "it would be refused the next time, too";
  EXPECT_TRUE(store_->DeleteMany({"nothing"}, {}).ok());
  config_.native_bucket = "own";
  store_ = OpenStore(config_).value();
  EXPECT_TRUE(store_->Move("a", "b", {}).ok());
}

TEST_F(KodoStoreTest, AWrongSecretIsToldAsThat) {
  ASSERT_NO_FATAL_FAILURE(Start());
  const auto resolved = ResolveStore(config_);
  kodo::NativeConfig native = *resolved->native;
  native.credentials.secret_access_key = "wr0ng";
  const auto http = s3::MakeHttpClient({}).value();
  kodo::NativeClient client(native, *http, SystemClock());
  const Status moved = client.Move("a", "b", true, {});
  EXPECT_TRUE(moved.Is(Code::kUnauthenticated));
  EXPECT_EQ(moved.error().ToString().find("wr0ng"), std::string::npos);
}

TEST_F(KodoStoreTest, WithoutItNothingNativeIsSent) {
  ASSERT_NO_FATAL_FAILURE(Start());
  config_.native = false;
  config_.native_endpoint.clear();
  store_ = OpenStore(config_).value();
  EXPECT_FALSE(store_->capabilities().move);
  EXPECT_FALSE(store_->capabilities().put_if_absent);
  ASSERT_TRUE(Put("a", "x").ok());
  EXPECT_TRUE(store_->DeleteMany({"a"}, {}).ok());
  EXPECT_EQ(server_->Count("NativeBatch"), 0u);
}

TEST_F(KodoStoreTest, WhatIsWrongInTheConfigIsNamed) {
  ASSERT_NO_FATAL_FAILURE(Start());
  config_.native_endpoint.clear();
  EXPECT_THAT(ResolveStore(config_).error().message(), HasSubstr("native_endpoint: missing"));
  config_.native = false;
  config_.native_bucket = "x";
  EXPECT_THAT(ResolveStore(config_).error().message(), HasSubstr("native: is needed"));
  config_.native = true;
  config_.provider = "minio";
  config_.region = "cn-east-1";
  EXPECT_THAT(ResolveStore(config_).error().message(), HasSubstr("native: minio has no such API"));
  StoreConfig public_kodo;
  public_kodo.provider = "kodo";
  public_kodo.bucket = "test";
  public_kodo.region = "cn-east-1";
  public_kodo.credentials = {"k", "s", ""};
  const auto without = ProbeSubject(public_kodo);
  public_kodo.native = true;
  EXPECT_EQ(ResolveStore(public_kodo)->native->host, "rs-z0.qiniuapi.com");
  EXPECT_NE(ProbeSubject(public_kodo), without)
      << "what was found out with it does not hold without";
}

// ---- The gateway's own habits.

TEST_F(KodoStoreTest, AnotherRegionIsRefusedAndTold) {
  ASSERT_NO_FATAL_FAILURE(Start());
  config_.region = "cn-south-1";
  const Status reached = OpenStore(config_).value()->CheckBucket({});
  EXPECT_FALSE(reached.ok());
  const auto listed = OpenStore(config_).value()->List({"", "", "", 1}, {});
  EXPECT_TRUE(listed.Is(Code::kWrongRegion)) << listed.error().ToString();
}

TEST_F(KodoStoreTest, AClassByTheNameOfOthersIsRefused) {
  ASSERT_NO_FATAL_FAILURE(Start());
  config_.storage_class = "Infrequent Access";
  store_ = OpenStore(config_).value();
  ASSERT_TRUE(Put("a", "x").ok());
  EXPECT_EQ(server_->Headers("test", "a").at("x-amz-storage-class"), "LINE");
  config_.provider = "s3";
  config_.native = false;
  config_.native_endpoint.clear();
  config_.storage_class = "STANDARD_IA";
  config_.region = "cn-east-1";
  store_ = OpenStore(config_).value();
  const auto refused = Put("b", "x");
  EXPECT_TRUE(refused.Is(Code::kInvalidArgument));
  EXPECT_EQ(refused.error().detail().service_code, "InvalidStorageClass");
}

TEST_F(KodoStoreTest, AnArchivedObjectSaysWhatToDo) {
  ASSERT_NO_FATAL_FAILURE(Start());
  server_->PutDirect("test", "old", "x", {{"x-amz-storage-class", "GLACIER"}});
  StringSink sink;
  const auto read = store_->Get({"old", {}, {}}, sink, {});
  EXPECT_TRUE(read.Is(Code::kArchived)) << read.error().ToString();
  EXPECT_TRUE(sink.text().empty());
}

}  // namespace
}  // namespace quayfs
