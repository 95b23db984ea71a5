// SPDX-License-Identifier: Apache-2.0
//
// What each field of StoreConfig does to the requests, as a server sees them. The fields and the
// options of a mount config are the same thing (mount-configs/option_rows.cc).

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "base/hash.h"
#include "base/unique_fd.h"
#include "providers/open.h"
#include "tests/server/server.h"
#include "tests/unit/s3/raw_server.h"

namespace quayfs {
namespace {

using s3::testing::CertificateOptions;
using s3::testing::MakeCertificate;
using s3::testing::RawRequest;
using s3::testing::RawServer;
using s3::testing::TestCertificate;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Pair;
using Headers = std::map<std::string, std::string>;

class WireTest : public ::testing::Test {
 protected:
  WireTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "quayfs-wire-XXXXXX").string();
    QUAY_CHECK(::mkdtemp(pattern.data()) != nullptr);
    folder_ = pattern;
  }
  ~WireTest() override {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }

  void Start(testserver::ServerConfig server_config = {}) {
    auto server = testserver::Server::Start(server_config);
    ASSERT_TRUE(server.ok()) << server.error().ToString();
    server_ = *std::move(server);
    config_ = {};
    config_.bucket = "test";
    config_.endpoint = server_->endpoint();
    config_.credentials = {"test-key", "test-secret", ""};
    config_.retry_count = 0;
  }
  std::unique_ptr<ObjectStore> Open() const {
    auto store = OpenStore(config_);
    QUAY_CHECK(store.ok());
    return *std::move(store);
  }
  static Status Put(ObjectStore& store, const std::string& key, std::string_view text = "text") {
    QUAY_TRY(store.Put(key, MemorySource(text), {}, Condition::None(), {}));
    return {};
  }
  /// Every kind of request about objects.
  void UseEverything() {
    const auto store = Open();
    ASSERT_TRUE(Put(*store, "a").ok());
    ASSERT_TRUE(store->Copy("a", "", "b", std::nullopt, Condition::None(), {}).ok());
    const auto upload = store->CreateUpload("c", {}, {});
    ASSERT_TRUE(upload.ok());
    const auto part = store->UploadPart("c", *upload, 1, MemorySource("part"), {});
    ASSERT_TRUE(part.ok());
    ASSERT_TRUE(store->CompleteUpload("c", *upload, {*part}, Condition::None(), {}).ok());
    ASSERT_TRUE(store->Head("a", {}).ok());
    StringSink sink;
    ASSERT_TRUE(store->Get({"a", {}, {}}, sink, {}).ok());
    ASSERT_TRUE(store->List({"", "", "", 10}, {}).ok());
    ASSERT_TRUE(store->Delete("b", Condition::None(), {}).ok());
  }
  /// The headers of the requests of a kind.
  std::vector<Headers> Sent(const std::string& operation) const {
    std::vector<Headers> sent;
    for (const testserver::RequestRecord& record : server_->Log()) {
      if (record.operation == operation) sent.push_back(record.headers);
    }
    return sent;
  }
  /// `header` goes with these kinds of requests, and with no other.
  void ExpectHeader(const std::string& name, const std::string& value,
                    const std::vector<std::string>& operations) const {
    for (const testserver::RequestRecord& record : server_->Log()) {
      SCOPED_TRACE(record.operation);
      const bool wanted =
          std::find(operations.begin(), operations.end(), record.operation) != operations.end();
      if (wanted) {
        EXPECT_THAT(record.headers, Contains(Pair(name, value)));
      } else {
        EXPECT_FALSE(record.headers.contains(name));
      }
    }
    for (const std::string& operation : operations) EXPECT_FALSE(Sent(operation).empty());
  }
  std::string WriteFile(const std::string& name, const std::string& text) const {
    std::string path = folder_ + "/" + name;
    std::ofstream(path) << text;
    return path;
  }

  const std::vector<std::string> makers_ = {"PutObject", "CopyObject", "CreateMultipartUpload"};
  std::string folder_;
  std::unique_ptr<testserver::Server> server_;
  StoreConfig config_;
};

TEST_F(WireTest, ClassAclAndEncryptionGoWithWhatMakesAnObject) {
  ASSERT_NO_FATAL_FAILURE(Start());
  config_.storage_class = "STANDARD_IA";
  config_.acl = "Public Read";
  config_.sse = "aws:kms";
  config_.sse_kms_key_id = "key-1";
  ASSERT_NO_FATAL_FAILURE(UseEverything());
  ExpectHeader("x-amz-storage-class", "STANDARD_IA", makers_);
  ExpectHeader("x-amz-acl", "public-read", makers_);
  ExpectHeader("x-amz-server-side-encryption", "aws:kms", makers_);
  ExpectHeader("x-amz-server-side-encryption-aws-kms-key-id", "key-1", makers_);
}

TEST_F(WireTest, EncryptionByTheService) {
  ASSERT_NO_FATAL_FAILURE(Start());
  config_.sse = "AES256";
  ASSERT_NO_FATAL_FAILURE(UseEverything());
  ExpectHeader("x-amz-server-side-encryption", "AES256", makers_);
}

TEST_F(WireTest, NothingIsSentThatWasNotAskedFor) {
  ASSERT_NO_FATAL_FAILURE(Start());
  ASSERT_NO_FATAL_FAILURE(UseEverything());
  for (const char* name : {"x-amz-storage-class", "x-amz-acl", "x-amz-server-side-encryption",
                           "x-amz-request-payer", "x-department"})
    ExpectHeader(name, "", {});
}

TEST_F(WireTest, AKeyOfOnesOwnGoesWithWhatTouchesTheBytes) {
  testserver::ServerConfig tls;
  tls.tls = true;
  ASSERT_NO_FATAL_FAILURE(Start(tls));
  config_.allow_insecure_tls = true;
  config_.sse_customer_key = Base64Encode(std::string(32, 'k'));
  ASSERT_NO_FATAL_FAILURE(UseEverything());
  std::vector<std::string> touching = makers_;
  touching.insert(touching.end(), {"UploadPart", "HeadObject", "GetObject"});
  for (const std::string& operation : touching) {
    for (const Headers& headers : Sent(operation)) {
      EXPECT_THAT(headers, Contains(Pair("x-amz-server-side-encryption-customer-key",
                                         config_.sse_customer_key)))
          << operation;
    }
  }
  for (const Headers& headers : Sent("CopyObject")) {
    EXPECT_THAT(
        headers,
        Contains(Pair("x-amz-copy-source-server-side-encryption-customer-algorithm", "AES256")));
  }
  for (const Headers& headers : Sent("ListObjectsV2")) {
    EXPECT_FALSE(headers.contains("x-amz-server-side-encryption-customer-key"));
  }
}

TEST_F(WireTest, RequesterPaysAndHeadersGoWithEveryRequest) {
  ASSERT_NO_FATAL_FAILURE(Start());
  config_.requester_pays = true;
  config_.extra_headers = {{"X-Department", "archive"}};
  ASSERT_NO_FATAL_FAILURE(UseEverything());
  ASSERT_GT(server_->Log().size(), 8U);
  for (const testserver::RequestRecord& record : server_->Log()) {
    EXPECT_THAT(record.headers, Contains(Pair("x-amz-request-payer", "requester")));
    EXPECT_THAT(record.headers, Contains(Pair("x-department", "archive")));
  }
}

TEST_F(WireTest, ABucketIsMadeInItsRegionWithItsAclAndClass) {
  testserver::ServerConfig there;
  there.region = "eu-west-1";
  ASSERT_NO_FATAL_FAILURE(Start(there));
  config_.bucket = "fresh";
  config_.region = "eu-west-1";
  config_.create_bucket = true;
  config_.bucket_acl = "public-read";
  config_.acl = "private";
  config_.storage_class = "STANDARD_IA";
  const auto store = Open();
  ASSERT_TRUE(store->CheckBucket({}).ok());
  ASSERT_TRUE(Put(*store, "a").ok());
  ExpectHeader("x-amz-storage-class", "STANDARD_IA", {"CreateBucket", "PutObject"});
  ASSERT_EQ(Sent("CreateBucket").size(), 1U);
  EXPECT_THAT(Sent("CreateBucket")[0], Contains(Pair("x-amz-acl", "public-read")));
  EXPECT_THAT(Sent("PutObject")[0], Contains(Pair("x-amz-acl", "private")));
}

TEST_F(WireTest, NoMoreConnectionsThanAllowed) {
  testserver::ServerConfig slow;
  slow.delay = std::chrono::milliseconds(20);
  ASSERT_NO_FATAL_FAILURE(Start(slow));
  config_.max_connections = 2;
  const auto store = Open();
  std::vector<std::thread> threads;
  threads.reserve(8);
  for (int i = 0; i < 8; ++i)
    threads.emplace_back([&] { EXPECT_TRUE(store->List({"", "", "", 1}, {}).ok()); });
  for (std::thread& thread : threads) thread.join();
  EXPECT_LE(server_->MaxConcurrent(), 2);
}

TEST_F(WireTest, BandwidthIsKeptToBothWays) {
  constexpr size_t kBytes = 192 << 10;
  ASSERT_NO_FATAL_FAILURE(Start());
  const std::string text(kBytes, 'x');
  const auto seconds = [](auto begun) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
  };
  config_.upload_limit = kBytes;
  auto begun = std::chrono::steady_clock::now();
  ASSERT_TRUE(Put(*Open(), "a", text).ok());
  EXPECT_GT(seconds(begun), 0.4) << "a second is right";
  config_.upload_limit = 0;
  config_.download_limit = kBytes;
  begun = std::chrono::steady_clock::now();
  StringSink sink;
  ASSERT_TRUE(Open()->Get({"a", {}, {}}, sink, {}).ok());
  EXPECT_GT(seconds(begun), 0.4);
}

TEST_F(WireTest, EverythingGoesThroughTheProxy) {
  std::string line;
  Mutex mutex(LockRank::kLeaf);
  RawServer proxy(s3::testing::AnswerAll("", [&](const RawRequest& request) {
    const MutexLock lock(mutex);
    line = request.request_line();
  }));
  config_.bucket = "test";
  config_.endpoint = "http://s3.nowhere.invalid";
  config_.credentials = {"test-key", "test-secret", ""};
  config_.proxy = "http://127.0.0.1:" + std::to_string(proxy.port());
  EXPECT_TRUE(Open()->CheckBucket({}).ok());
  EXPECT_EQ(line, "HEAD http://s3.nowhere.invalid/test/ HTTP/1.1");
}

TEST_F(WireTest, WithoutIpv6ItIsNotTried) {
  const UniqueFd listener(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  address.sin6_addr = IN6ADDR_LOOPBACK_INIT;
  socklen_t size = sizeof(address);
  auto* const raw = reinterpret_cast<sockaddr*>(&address);
  if (!listener.valid() || ::bind(listener.get(), raw, size) != 0 ||
      ::listen(listener.get(), 1) != 0 || ::getsockname(listener.get(), raw, &size) != 0)
    GTEST_SKIP() << "no IPv6 here";
  config_.bucket = "test";
  config_.endpoint = "http://[::1]:" + std::to_string(ntohs(address.sin6_port));
  config_.credentials = {"test-key", "test-secret", ""};
  config_.retry_count = 0;
  config_.retry_mode = s3::RetryMode::kLegacy;
  config_.ipv6 = false;
  EXPECT_TRUE(Open()->CheckBucket({}).Is(Code::kUnavailable));
  // With it a connection waits for an answer that nobody gives.
  config_.ipv6 = true;
  config_.stall_timeout = std::chrono::seconds(1);
  EXPECT_TRUE(Open()->CheckBucket({}).Is(Code::kTimedOut));
}

// ---- Whom the store trusts (protocol.md 4.6).

class WireTlsTest : public WireTest {
 protected:
  void StartTls(const std::function<void(testserver::ServerConfig&)>& change = {}) {
    testserver::ServerConfig server_config;
    server_config.tls = true;
    if (change) change(server_config);
    ASSERT_NO_FATAL_FAILURE(Start(server_config));
    ca_file_ = WriteFile("ca.pem", server_->certificate_pem());
  }
  Status Reach() { return Open()->CheckBucket({}); }
  void ExpectRefused(const std::string& why) {
    const Status reached = Reach();
    ASSERT_TRUE(reached.Is(Code::kUntrusted)) << (reached ? "trusted" : reached.error().ToString());
    EXPECT_THAT(reached.error().message(), HasSubstr(why));
    EXPECT_TRUE(server_->Log().empty()) << "nothing reaches a server that is not trusted";
  }
  std::string ca_file_;
};

TEST_F(WireTlsTest, ASelfSignedServerIsRefusedUnlessItIsAskedFor) {
  ASSERT_NO_FATAL_FAILURE(StartTls());
  ExpectRefused("self-signed");
  config_.allow_insecure_tls = true;
  EXPECT_TRUE(Reach().ok());
  config_.allow_insecure_tls = false;
  config_.ca_file = ca_file_;
  EXPECT_TRUE(Reach().ok());
}

TEST_F(WireTlsTest, AThumbprintDecidesAlone) {
  ASSERT_NO_FATAL_FAILURE(StartTls());
  for (const std::string& right : {server_->certificate_sha1(), server_->certificate_sha256()}) {
    server_->ResetLog();
    config_.allow_insecure_tls = false;
    config_.certificate_thumbprint = right;
    EXPECT_TRUE(Reach().ok()) << right;
    server_->ResetLog();
    std::string wrong = right;
    wrong[7] = wrong[7] == '0' ? '1' : '0';
    config_.certificate_thumbprint = wrong;
    ExpectRefused("thumbprint");
    config_.allow_insecure_tls = true;
    ExpectRefused("thumbprint");
  }
}

TEST_F(WireTlsTest, AnExpiredCertificateIsRefused) {
  ASSERT_NO_FATAL_FAILURE(StartTls([](testserver::ServerConfig& server_config) {
    server_config.certificate_life = -std::chrono::hours(1);
  }));
  config_.ca_file = ca_file_;
  ExpectRefused("expired");
  config_.certificate_thumbprint = server_->certificate_sha256();
  EXPECT_TRUE(Reach().ok()) << "the pin is the stronger statement";
}

TEST_F(WireTlsTest, AnotherNameIsRefused) {
  ASSERT_NO_FATAL_FAILURE(StartTls(
      [](testserver::ServerConfig& server_config) { server_config.address = "127.0.0.2"; }));
  config_.ca_file = ca_file_;
  ExpectRefused("127.0.0.2");
  config_.allow_insecure_tls = true;
  EXPECT_TRUE(Reach().ok());
}

TEST_F(WireTlsTest, AClientCertificateIsShown) {
  const TestCertificate certificate = MakeCertificate();
  const TestCertificate ours = MakeCertificate({"client", "DNS:client"});
  RawServer server(s3::testing::AnswerAll(""), &certificate, &ours);
  config_.bucket = "test";
  config_.endpoint = "https://127.0.0.1:" + std::to_string(server.port());
  config_.credentials = {"test-key", "test-secret", ""};
  config_.retry_count = 0;
  config_.retry_mode = s3::RetryMode::kLegacy;
  config_.ca_file = WriteFile("ca.pem", certificate.certificate_pem);
  EXPECT_FALSE(Reach().ok()) << "without one it is refused";
  config_.client_certificate = WriteFile("client.pem", ours.certificate_pem);
  config_.client_key = WriteFile("client.key", ours.key_pem);
  EXPECT_TRUE(Reach().ok());
}

}  // namespace
}  // namespace quayfs
