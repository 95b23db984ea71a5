// SPDX-License-Identifier: Apache-2.0
//
// Rate budgets and the small pure parts of the HTTP client.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "s3/curl_error.h"
#include "s3/http_request.h"
#include "s3/rate_budget.h"
#include "tests/unit/s3/http_fixture.h"

namespace quayfs::s3::testing {
namespace {

using ::testing::HasSubstr;

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(RateBudget, WithoutLimitIsAlwaysOpen) {
  RateBudget budget(0);
  budget.Spend(1u << 30);
  EXPECT_TRUE(budget.Open(SteadyTime{} + seconds(1)));
  EXPECT_EQ(budget.Wait(), Duration(0));
  EXPECT_EQ(budget.PieceSize(131072), 131072u);
}

TEST(RateBudget, KeepsTheAverageWhateverTheSizeOfAPiece) {
  for (const size_t piece : {100u, 16384u, 262144u}) {
    constexpr uint64_t kRate = 1'000'000;
    RateBudget budget(kRate);
    SteadyTime now{seconds(1000)};
    const SteadyTime start = now;
    uint64_t moved = 0;
    while (now - start < seconds(20)) {
      while (budget.Open(now)) {
        budget.Spend(piece);
        moved += piece;
      }
      const Duration wait = budget.Wait();
      EXPECT_GT(wait.count(), 0);
      now += wait;
      EXPECT_TRUE(budget.Open(now)) << "the announced wait must be enough";
    }
    const double elapsed = std::chrono::duration<double>(now - start).count();
    const double allowance = static_cast<double>(piece) + kRate / 20.0;
    EXPECT_NEAR(static_cast<double>(moved), kRate * elapsed, allowance) << piece;
  }
}

TEST(RateBudget, AnIdleBudgetDoesNotSaveUp) {
  RateBudget budget(1000);
  SteadyTime now{seconds(1000)};
  EXPECT_TRUE(budget.Open(now));
  now += std::chrono::hours(1);
  uint64_t moved = 0;
  while (budget.Open(now)) {
    budget.Spend(10);
    moved += 10;
  }
  EXPECT_LE(moved, 60u);
}

TEST(RateBudget, PiecesShrinkWithTheRate) {
  EXPECT_EQ(RateBudget(10'000'000'000).PieceSize(262144), 262144u);
  EXPECT_EQ(RateBudget(1'000'000).PieceSize(262144), 100'000u);
  EXPECT_EQ(RateBudget(10).PieceSize(262144), 4096u);
  EXPECT_EQ(RateBudget(10).PieceSize(100), 100u);
}

/// Both limits with several transfers at once: all must end, none may be given up as slow, and the
/// rate must hold.
TEST(HttpRates, TransfersShareTheBudget) {
  constexpr size_t kEach = 200'000;
  constexpr int kTransfers = 4;
  RawServer server(AnswerAll(std::string(kEach, 'd')));
  for (const bool upload : {true, false}) {
    HttpConfig config;
    config.low_speed_time = milliseconds(40);
    config.low_speed_bytes =
        10'000'000;  // every transfer would be too slow, if waiting for a turn counted
    (upload ? config.upload_bytes_per_second : config.download_bytes_per_second) = 1'000'000;
    const auto client = NewClient(config);
    const auto start = std::chrono::steady_clock::now();
    std::vector<std::thread> threads;
    threads.reserve(kTransfers);
    for (int i = 0; i < kTransfers; ++i) {
      threads.emplace_back([&] {
        Reply reply;
        const PatternBody body(kEach);
        HttpRequest request = NewRequest(server.port(), upload ? "PUT" : "GET");
        if (upload) request.body = &body;
        request.patience = upload ? kHang : Duration(0);
        const auto done = client->Do(request, reply, Patient());
        EXPECT_TRUE(done.ok()) << done.error().ToString();
        EXPECT_EQ(reply.body.size(), kEach);
      });
    }
    for (std::thread& thread : threads) thread.join();
    const auto elapsed = std::chrono::steady_clock::now() - start;
    // Not a measure of speed: less would mean that the limit is broken. The burst and a piece per
    // transfer are free.
    EXPECT_GE(elapsed, milliseconds(500)) << (upload ? "upload" : "download");
  }
}

TEST(HttpRates, APausedTransferCanBeCancelled) {
  RawServer server(AnswerAll(std::string(1 << 20, 'd')));
  HttpConfig config;
  config.download_bytes_per_second = 1000;
  const auto client = NewClient(config);
  CallOptions call;
  call.deadline = std::chrono::steady_clock::now() + milliseconds(100);
  Reply reply;
  EXPECT_TRUE(client->Do(NewRequest(server.port(), "GET"), reply, call).Is(Code::kTimedOut));
}

// --- Pure parts ---

TEST(HttpHeadersTest, NamesCompareWithoutCase) {
  HttpHeaders headers;
  headers.Add("ETag", "1");
  headers.Add("etag", "2");
  headers.Add("X", "");
  EXPECT_EQ(headers.Get("ETAG"), "1");
  EXPECT_TRUE(headers.Has("x"));
  EXPECT_EQ(headers.Get("x"), "");
  EXPECT_FALSE(headers.Has("y"));
  headers.Set("eTag", headers.Get("etag"));
  EXPECT_EQ(headers.all().size(), 2u);
  EXPECT_EQ(headers.Get("etag"), "1");
  headers.Remove("ETAG");
  EXPECT_FALSE(headers.Has("etag"));
}

TEST(HttpHeadersTest, LineBreaksEndTheProgram) {
  HttpHeaders headers;
  EXPECT_DEATH(headers.Add("a", "b\r\nc: d"), "");
  EXPECT_DEATH(headers.Set("a\n", "b"), "");
  EXPECT_DEATH(headers.Add("a", std::string_view("b\0", 2)), "");
}

TEST(HttpRequestText, Urls) {
  HttpRequest request = NewRequest(0, "GET", "/a/../b");
  EXPECT_EQ(RequestUrl(request), "http://127.0.0.1/a/../b");
  EXPECT_EQ(HostAndPort(request), "127.0.0.1:80");
  request.scheme = "https";
  request.host = "fe80::1";
  request.query = "x=y";
  EXPECT_EQ(HostAndPort(request), "[fe80::1]:443");
  request.port = 9000;
  EXPECT_EQ(RequestUrl(request), "https://[fe80::1]:9000/a/../b?x=y");
}

TEST(HttpRequestText, StatusAndHeaderLines) {
  EXPECT_EQ(ParseStatusLine("HTTP/1.1 200 OK"), 200);
  EXPECT_EQ(ParseStatusLine("HTTP/1.1 404"), 404);
  EXPECT_EQ(ParseStatusLine("HTTP/2 503 "), 503);
  for (const char* line : {"", "HTTP/1.1", "HTTP/1.1 2x0 OK", "X: HTTP/1.1 200", "HTTP/1.1 20"}) {
    EXPECT_EQ(ParseStatusLine(line), 0) << line;
  }
  EXPECT_EQ(ParseHeaderLine("ETag: \"a:b\" ").name, "ETag");
  EXPECT_EQ(ParseHeaderLine("ETag: \"a:b\" ").value, "\"a:b\"");
  EXPECT_EQ(ParseHeaderLine("X:").name, "X");
  EXPECT_EQ(ParseHeaderLine("no header").name, "");
  EXPECT_EQ(ParseHeaderLine("bad name: x").name, "");
  EXPECT_EQ(ParseHeaderLine(": x").name, "");
}

TEST(BodyCollectorTest, RefusesMoreThanItsLimit) {
  BodyCollector collector(10);
  const std::string text = "0123456789";
  EXPECT_TRUE(collector.OnData(std::as_bytes(std::span(text))).ok());
  EXPECT_EQ(collector.body(), text);
  EXPECT_TRUE(collector.OnData(std::as_bytes(std::span(text).first(1))).Is(Code::kCorrupt));
  EXPECT_EQ(collector.body(), text);
}

TEST(CurlErrors, CodesAndMessages) {
  const struct {
    CURLcode curl;
    Code code;
  } kCases[] = {
      {CURLE_COULDNT_RESOLVE_HOST, Code::kUnavailable},
      {CURLE_COULDNT_CONNECT, Code::kUnavailable},
      {CURLE_SSL_CONNECT_ERROR, Code::kUnavailable},
      {CURLE_SEND_ERROR, Code::kUnavailable},
      {CURLE_RECV_ERROR, Code::kUnavailable},
      {CURLE_PARTIAL_FILE, Code::kUnavailable},
      {CURLE_GOT_NOTHING, Code::kUnavailable},
      {CURLE_OPERATION_TIMEDOUT, Code::kTimedOut},
      {CURLE_PEER_FAILED_VERIFICATION, Code::kUntrusted},
      {CURLE_SSL_CACERT_BADFILE, Code::kUntrusted},
      {CURLE_HTTP2, Code::kUnavailable},
  };
  for (const auto& row : kCases) {
    const CurlFailure failure = ExplainCurlCode(row.curl, "host:1", "");
    EXPECT_EQ(failure.code, row.code) << row.curl;
    EXPECT_THAT(failure.message, HasSubstr("host:1: "));
    EXPECT_FALSE(failure.message.ends_with('.'));
  }
  EXPECT_EQ(ExplainCurlCode(CURLE_RECV_ERROR, "h:1",
                            "OpenSSL SSL_read: tlsv13 alert certificate required, errno 0")
                .code,
            Code::kUntrusted);
}

}  // namespace
}  // namespace quayfs::s3::testing
