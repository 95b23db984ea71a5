// SPDX-License-Identifier: Apache-2.0
//
// Every fault as it looks on the wire.

#include "tests/server/faults.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <chrono>

#include "base/hash.h"
#include "tests/unit/server/test_client.h"

namespace quayfs::testserver {
namespace {

class FaultsTest : public testing::Test {
 protected:
  void SetUp() override {
    for (size_t i = 0; i < body_.size(); ++i) body_[i] = static_cast<char>('a' + i % 26);
    server_->PutDirect("test", "a", body_, {});
  }
  void Add(const Fault& fault) { server_->AddFault(fault); }
  void AddKind(FaultKind kind) {
    Fault fault;
    fault.kind = kind;
    Add(fault);
  }
  std::string LastFault() const { return server_->Log().back().fault; }

  std::string body_ = std::string(200000, '\0');
  std::unique_ptr<Server> server_ = StartServer();
  TestClient client_{server_->port()};
};

TEST_F(FaultsTest, Status) {
  Fault fault;
  fault.retry_after = "7";
  Add(fault);
  const Response response = client_.Put("/test/b", "x");
  EXPECT_EQ(503, response.status);
  EXPECT_EQ("SlowDown", response.ErrorCode());
  EXPECT_EQ("7", response.Header("retry-after"));
  EXPECT_FALSE(server_->Body("test", "b").has_value());
  EXPECT_EQ("status", LastFault());
  EXPECT_EQ(503, server_->Log().back().status);
  EXPECT_EQ(200, client_.Put("/test/b", "x").status);
  EXPECT_EQ("", LastFault());
  EXPECT_EQ(1, client_.connections());
}

TEST_F(FaultsTest, ResetBefore) {
  AddKind(FaultKind::kResetBefore);
  const Response response = client_.Put("/test/b", "x");
  EXPECT_EQ("", response.raw);
  EXPECT_EQ(ECONNRESET, response.read_error);
  EXPECT_FALSE(server_->Body("test", "b").has_value());
  EXPECT_EQ(0, server_->Log().back().status);
}

TEST_F(FaultsTest, ResetInRequest) {
  AddKind(FaultKind::kResetInRequest);
  const Response response = client_.Put("/test/b", std::string(100000, 'x'));
  EXPECT_EQ("", response.raw);
  EXPECT_NE(0, response.read_error);
  EXPECT_FALSE(server_->Body("test", "b").has_value());
  EXPECT_EQ(50000u, server_->Log().back().request_bytes);
}

TEST_F(FaultsTest, ResetInReply) {
  AddKind(FaultKind::kResetInReply);
  const Response response = client_.Get("/test/a");
  EXPECT_EQ(200, response.status);
  EXPECT_EQ("200000", response.Header("content-length"));
  EXPECT_EQ(body_.substr(0, 100000), response.raw.substr(response.raw.find("\r\n\r\n") + 4));
  EXPECT_EQ(ECONNRESET, response.read_error);
  EXPECT_EQ(100000u, server_->Log().back().reply_bytes);
}

TEST_F(FaultsTest, LostReply) {
  AddKind(FaultKind::kLostReply);
  const Response response = client_.Put("/test/b", "x");
  EXPECT_EQ("", response.raw);
  EXPECT_EQ(ECONNRESET, response.read_error);
  EXPECT_EQ("x", server_->Body("test", "b"));
}

TEST_F(FaultsTest, TruncateBody) {
  AddKind(FaultKind::kTruncateBody);
  const Response response = client_.Get("/test/a");
  EXPECT_EQ("200000", response.Header("content-length"));
  EXPECT_FALSE(response.complete);
  EXPECT_EQ(100000u, response.raw.size() - response.raw.find("\r\n\r\n") - 4);
  EXPECT_EQ(0, response.read_error);
}

TEST_F(FaultsTest, ExtraBytes) {
  AddKind(FaultKind::kExtraBytes);
  const Call call{.path = "/test/a", .headers = {{"connection", "close"}}};
  client_.SendRaw(client_.Bytes(call));
  const std::string all = client_.ReadUntilClosed();
  const std::string body = all.substr(all.find("\r\n\r\n") + 4);
  EXPECT_NE(std::string::npos, all.find("Content-Length: 200000\r\n"));
  EXPECT_EQ(body_, body.substr(0, body_.size()));
  EXPECT_GT(body.size(), body_.size());
}

TEST_F(FaultsTest, WrongRange) {
  AddKind(FaultKind::kWrongRange);
  const Response response = client_.Get("/test/a", "", {{"range", "bytes=100-199"}});
  EXPECT_EQ(206, response.status);
  EXPECT_EQ("bytes 99-198/200000", response.Header("content-range"));
  EXPECT_EQ(body_.substr(99, 100), response.body);
}

TEST_F(FaultsTest, IgnoreRange) {
  AddKind(FaultKind::kIgnoreRange);
  const Response response = client_.Get("/test/a", "", {{"range", "bytes=100-199"}});
  EXPECT_EQ(200, response.status);
  EXPECT_EQ("", response.Header("content-range"));
  EXPECT_EQ(body_, response.body);
}

TEST_F(FaultsTest, SlowDrip) {
  server_->PutDirect("test", "small", "0123456789", {});
  Fault fault;
  fault.kind = FaultKind::kSlowDrip;
  fault.bytes_per_second = 20;
  Add(fault);
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ("0123456789", client_.Get("/test/small").body);
  // Nine pauses of 50 ms: it cannot be faster.
  EXPECT_GE(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(400));
  EXPECT_EQ(10u, server_->Log().back().reply_bytes);
}

TEST_F(FaultsTest, BlackHole) {
  AddKind(FaultKind::kBlackHole);
  client_.SendRaw(client_.Bytes({.method = "PUT", .path = "/test/b", .body = "x"}));
  EXPECT_TRUE(client_.IsSilent(300));
  EXPECT_EQ("black_hole", LastFault());
  EXPECT_FALSE(server_->Body("test", "b").has_value());
}

TEST_F(FaultsTest, ErrorIn200) {
  Fault fault;
  fault.kind = FaultKind::kErrorIn200;
  fault.code = "InternalError";
  Add(fault);
  fault.carry_out = true;
  Add(fault);
  const Response without = client_.Put("/test/b", "x");
  EXPECT_EQ(200, without.status);
  EXPECT_EQ("InternalError", without.ErrorCode());
  EXPECT_FALSE(server_->Body("test", "b").has_value());
  const Response with = client_.Put("/test/b", "x");
  EXPECT_EQ(200, with.status);
  EXPECT_EQ("InternalError", with.ErrorCode());
  EXPECT_EQ("x", server_->Body("test", "b"));
}

TEST_F(FaultsTest, CorruptBody) {
  AddKind(FaultKind::kCorruptBody);
  const Response response = client_.Get("/test/a");
  ASSERT_EQ(body_.size(), response.body.size());
  int bits = 0;
  for (size_t i = 0; i < body_.size(); ++i) {
    bits += __builtin_popcount(static_cast<unsigned char>(body_[i] ^ response.body[i]));
  }
  EXPECT_EQ(1, bits);
  EXPECT_EQ(body_, client_.Get("/test/a").body);
}

TEST_F(FaultsTest, WrongEtag) {
  AddKind(FaultKind::kWrongEtag);
  AddKind(FaultKind::kWrongEtag);
  const std::string right = server_->Headers("test", "a").at("etag");
  const std::string wrong = client_.Head("/test/a").Header("etag");
  EXPECT_NE(right, wrong);
  EXPECT_EQ(right.size(), wrong.size());
  const Response copy = client_.Put("/test/c", "", {{"x-amz-copy-source", "test/a"}});
  EXPECT_EQ(std::string::npos, copy.body.find(right.substr(1, 32)));
  EXPECT_EQ(right, client_.Head("/test/a").Header("etag"));
}

TEST_F(FaultsTest, Redirect) {
  Fault fault;
  fault.kind = FaultKind::kRedirect;
  fault.location = "http://127.0.0.1:1/elsewhere";
  Add(fault);
  const Response response = client_.Get("/test/a");
  EXPECT_EQ(307, response.status);
  EXPECT_EQ("http://127.0.0.1:1/elsewhere", response.Header("location"));
}

TEST_F(FaultsTest, Selection) {
  Fault fault;
  fault.method = "GET";
  fault.operation = "GetObject";
  fault.key_contains = "a";
  fault.skip = 2;
  fault.count = 3;
  Add(fault);
  server_->PutDirect("test", "b", "x", {});
  std::string hits;
  for (int i = 0; i < 8; ++i) {
    EXPECT_EQ(200, client_.Get("/test/b").status);
    EXPECT_EQ(200, client_.Head("/test/a").status);
    hits += client_.Get("/test/a").status == 503 ? 'x' : '.';
  }
  EXPECT_EQ("..xxx...", hits);
}

TEST_F(FaultsTest, ProbabilityAndEndlessCount) {
  const auto run = [&](uint64_t seed) {
    FaultTable table(seed);
    Fault fault;
    fault.count = -1;
    fault.probability = 0.5;
    table.Add(fault);
    std::string hits;
    for (int i = 0; i < 200; ++i) hits += table.Pick("GET", "GetObject", "k") ? 'x' : '.';
    return hits;
  };
  const std::string first = run(1);
  EXPECT_EQ(first, run(1));
  EXPECT_NE(first, run(2));
  const auto count = std::count(first.begin(), first.end(), 'x');
  EXPECT_GT(count, 50);
  EXPECT_LT(count, 150);
}

TEST_F(FaultsTest, CanBeCleared) {
  Fault fault;
  fault.count = -1;
  Add(fault);
  EXPECT_EQ(503, client_.Get("/test/a").status);
  server_->ClearFaults();
  EXPECT_EQ(200, client_.Get("/test/a").status);
}

TEST_F(FaultsTest, ServerStopsWhileOneHolds) {
  AddKind(FaultKind::kBlackHole);
  Fault slow;
  slow.kind = FaultKind::kSlowDrip;
  Add(slow);
  client_.SendRaw(client_.Bytes({.path = "/test/a"}));
  TestClient other(server_->port());
  other.SendRaw(other.Bytes({.path = "/test/a"}));
  TestClient waiting(server_->port());
  server_->SetDelay(std::chrono::hours(1));
  waiting.SendRaw(waiting.Bytes({.path = "/test/a"}));
  server_.reset();  // must come back
}

}  // namespace
}  // namespace quayfs::testserver
