// SPDX-License-Identifier: Apache-2.0
//
// The retry modes of the S3-compatible connection document with their defaults, through everything
// that a user's request goes through (config, store, client, libcurl), against a server that is
// away. Only the waiting is not real.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <memory>

#include "base/unique_fd.h"
#include "providers/resolve.h"
#include "providers/s3_store.h"
#include "tests/server/server.h"

namespace quayfs {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::HasSubstr;

/// A port that nobody listens at for as long as it lives.
class ClosedPort {
 public:
  ClosedPort() : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    auto* const raw = reinterpret_cast<sockaddr*>(&address);
    QUAY_CHECK(socket_.valid() && ::bind(socket_.get(), raw, size) == 0 &&
               ::getsockname(socket_.get(), raw, &size) == 0);
    number_ = ntohs(address.sin_port);
  }
  uint16_t number() const { return number_; }

 private:
  const UniqueFd socket_;
  uint16_t number_ = 0;
};

/// The real HTTP client, and a server whose port is closed for a while of the test's clock.
class AwayHttp final : public s3::HttpClient {
 public:
  AwayHttp(std::unique_ptr<s3::HttpClient> real, ManualClock& clock)
      : real_(std::move(real)), clock_(clock), back_(clock.Steady()) {}

  void GoAwayFor(Duration time) { back_ = clock_.Steady() + time; }
  int refused() const { return refused_; }

  Result<s3::HttpReply> Do(const s3::HttpRequest& request, s3::ResponseHandler& handler,
                           const CallOptions& call) override {
    if (clock_.Steady() >= back_) return real_->Do(request, handler, call);
    ++refused_;
    s3::HttpRequest lost = request;
    lost.port = closed_.number();
    return real_->Do(lost, handler, call);
  }

 private:
  const std::unique_ptr<s3::HttpClient> real_;
  ManualClock& clock_;
  const ClosedPort closed_;
  SteadyTime back_;
  int refused_ = 0;
};

class LongOutageTest : public ::testing::Test {
 protected:
  LongOutageTest() : clock_(SystemClock().Now()) {}

  void Start(const std::function<void(StoreConfig&)>& change = {}) {
    server_ = testserver::Server::Start({}).value();
    StoreConfig config;
    config.bucket = "test";
    config.endpoint = server_->endpoint();
    config.credentials = {"test-key", "test-secret", ""};
    if (change) change(config);
    ResolvedStore resolved = ResolveStore(config).value();
    auto away =
        std::make_unique<AwayHttp>(s3::MakeHttpClient(resolved.client.http).value(), clock_);
    http_ = away.get();
    store_ = MakeS3Store(std::move(resolved), std::move(away), clock_);
  }
  Status Put(const std::string& key) {
    QUAY_TRY(store_->Put(key, MemorySource("text"), {}, Condition::None(), {}));
    return {};
  }

  ManualClock clock_;
  std::unique_ptr<testserver::Server> server_;
  AwayHttp* http_ = nullptr;
  std::unique_ptr<ObjectStore> store_;
};

TEST_F(LongOutageTest, LegacyWithItsDefaultsSurvivesTwoMinutes) {
  ASSERT_NO_FATAL_FAILURE(Start());
  ASSERT_TRUE(Put("there").ok());
  const auto upload = store_->CreateUpload("large", {}, {});
  ASSERT_TRUE(upload.ok());
  const auto part = store_->UploadPart("large", *upload, 1, MemorySource("part"), {});
  ASSERT_TRUE(part.ok());
  StringSink sink;
  const std::pair<const char*, std::function<Status()>> requests[] = {
      {"put", [&] { return Put("new"); }},
      {"get",
       [&]() -> Status {
         QUAY_TRY(store_->Get({"there", {}, {}}, sink, {}));
         return {};
       }},
      {"head",
       [&]() -> Status {
         QUAY_TRY(store_->Head("there", {}));
         return {};
       }},
      {"list",
       [&]() -> Status {
         QUAY_TRY(store_->List({"", "", "", 10}, {}));
         return {};
       }},
      {"copy",
       [&]() -> Status {
         QUAY_TRY(store_->Copy("there", "", "copy", std::nullopt, Condition::None(), {}));
         return {};
       }},
      {"complete",
       [&]() -> Status {
         QUAY_TRY(store_->CompleteUpload("large", *upload, {*part}, Condition::None(), {}));
         return {};
       }},
      {"delete", [&] { return store_->Delete("there", Condition::None(), {}); }},
  };
  for (const auto& [name, request] : requests) {
    SCOPED_TRACE(name);
    const Duration slept = clock_.slept();
    const int refused = http_->refused();
    http_->GoAwayFor(minutes(2));
    const Status done = request();
    EXPECT_TRUE(done.ok()) << done.error().ToString();
    EXPECT_EQ(clock_.slept() - slept, seconds(120)) << "looked after every 30,000 ms";
    EXPECT_EQ(http_->refused() - refused, 4);
  }
  EXPECT_EQ(sink.text(), "text");
  EXPECT_EQ(server_->Body("test", "new"), "text");
  EXPECT_EQ(server_->Body("test", "copy"), "text");
  EXPECT_EQ(server_->Body("test", "large"), "part");
}

TEST_F(LongOutageTest, LegacyGivesUpAfterTheSixthTime) {
  ASSERT_NO_FATAL_FAILURE(Start());
  http_->GoAwayFor(seconds(181));
  const Status done = Put("a");
  ASSERT_TRUE(done.Is(Code::kUnavailable));
  EXPECT_THAT(done.error().message(), HasSubstr("after 7 attempts in 180.0 s"));
  EXPECT_EQ(clock_.slept(), seconds(180));
  http_->GoAwayFor(seconds(180));
  EXPECT_TRUE(Put("a").ok()) << "the last one comes after three minutes";
}

TEST_F(LongOutageTest, IntervalAndCountAreTheUsers) {
  ASSERT_NO_FATAL_FAILURE(Start([](StoreConfig& config) {
    config.retry_interval_ms = 5000;
    config.retry_count = 2;
  }));
  http_->GoAwayFor(seconds(10));
  EXPECT_TRUE(Put("a").ok());
  EXPECT_EQ(clock_.slept(), seconds(10));
  http_->GoAwayFor(seconds(11));
  EXPECT_TRUE(Put("a").Is(Code::kUnavailable));
}

TEST_F(LongOutageTest, StandardGovernsTheConnectionToo) {
  ASSERT_NO_FATAL_FAILURE(
      Start([](StoreConfig& config) { config.retry_mode = s3::RetryMode::kStandard; }));
  http_->GoAwayFor(minutes(2));
  EXPECT_TRUE(Put("a").Is(Code::kUnavailable));
  EXPECT_EQ(http_->refused(), 3);
  EXPECT_LE(clock_.slept(), seconds(3));
}

TEST_F(LongOutageTest, QingStorTriesThreeTimesMoreUnlessItsParameterSaysOtherwise) {
  const auto attempts = [this](std::optional<int64_t> retries) {
    Start([&](StoreConfig& config) {
      config.provider = "qingstor";
      config.retry_count = retries;
    });
    http_->GoAwayFor(minutes(2));
    EXPECT_TRUE(store_->Head("a", {}).Is(Code::kUnavailable));
    return http_->refused();
  };
  EXPECT_EQ(attempts(std::nullopt), 4);
  EXPECT_EQ(attempts(5), 6);
  EXPECT_EQ(attempts(0), 1);
}

}  // namespace
}  // namespace quayfs
