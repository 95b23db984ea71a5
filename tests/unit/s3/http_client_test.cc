// SPDX-License-Identifier: Apache-2.0
//
// What the HTTP client puts on the wire and what it makes of good replies.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <future>
#include <mutex>
#include <thread>

#include "tests/unit/s3/http_fixture.h"

namespace quayfs::s3::testing {
namespace {

using ::testing::ElementsAre;

/// A server that records requests, and a client.
class HttpClientTest : public ::testing::Test {
 protected:
  RawRequest Only() {
    const std::lock_guard lock(mutex_);
    EXPECT_EQ(requests_.size(), 1u);
    return requests_.empty() ? RawRequest{} : requests_.back();
  }
  Result<HttpReply> Send(const HttpRequest& request) {
    return client_->Do(request, reply_, Patient());
  }
  HttpRequest New(std::string method, std::string path = "/") const {
    return NewRequest(server_.port(), std::move(method), std::move(path));
  }

  std::mutex mutex_;
  std::vector<RawRequest> requests_;
  RawServer server_{AnswerAll("hello", [this](const RawRequest& request) {
    const std::lock_guard lock(mutex_);
    requests_.push_back(request);
  })};
  std::unique_ptr<HttpClient> client_ = NewClient();
  Reply reply_;
};

TEST_F(HttpClientTest, GetDeliversStatusHeadersAndBody) {
  const auto done = Send(New("GET", "/key"));
  ASSERT_TRUE(done.ok()) << done.error().ToString();
  EXPECT_EQ(done->status, 200);
  EXPECT_EQ(done->body_bytes, 5u);
  EXPECT_GT(done->time_to_first_byte.count(), 0);
  EXPECT_EQ(done->headers.Get("content-length"), "5");
  EXPECT_EQ(reply_.headers_calls, 1);
  EXPECT_EQ(reply_.body, "hello");
}

TEST_F(HttpClientTest, PathAndQueryAreSentByteForByte) {
  for (const char* path :
       {"/a/./b/../c//d", "/..", "/.", "/../../x", "//", "/a%2Fb%2e%2E/+~", "/%F0%9F%98%80%00",
        "/a;b=c:d@e!$&'()*,", "/a%20b/", "/A%zz", "/[x]", "/a\\b"}) {
    for (const char* query : {"", "list-type=2&prefix=a%2F..%2F", "uploads", "a=b?c/../d&e=%2B+"}) {
      requests_.clear();
      Reply reply;
      HttpRequest request = New("GET", path);
      request.query = query;
      const auto done = client_->Do(request, reply, Patient());
      ASSERT_TRUE(done.ok()) << path << ": " << done.error().ToString();
      const std::string target = *query == '\0' ? path : std::string(path) + "?" + query;
      EXPECT_EQ(Only().request_line(), "GET " + target + " HTTP/1.1");
    }
  }
}

TEST_F(HttpClientTest, GetSendsNothingThatWasNotAskedFor) {
  ASSERT_TRUE(Send(New("GET", "/k")).ok());
  EXPECT_EQ(Only().head, "GET /k HTTP/1.1\r\nHost: 127.0.0.1:" + std::to_string(server_.port()) +
                             "\r\nUser-Agent: quayfs\r\n\r\n");
}

TEST_F(HttpClientTest, HeadersAreSentAsGivenAlsoEmptyAndRepeated) {
  HttpRequest request = New("GET");
  request.headers.Add("x-amz-meta-empty", "");
  request.headers.Add("X-Amz-Twice", "one");
  request.headers.Add("X-Amz-Twice", "two");
  request.headers.Add("Host", "bucket.example.org");
  request.headers.Add("Accept", "text/plain");
  request.headers.Add("Content-Length", "99");  // the client's business
  request.headers.Add("Transfer-Encoding", "chunked");
  ASSERT_TRUE(Send(request).ok());
  const RawRequest seen = Only();
  EXPECT_THAT(seen.header("x-amz-meta-empty"), ElementsAre(""));
  EXPECT_THAT(seen.header("X-Amz-Twice"), ElementsAre("one", "two"));
  EXPECT_THAT(seen.header("Host"), ElementsAre("bucket.example.org"));
  EXPECT_THAT(seen.header("Accept"), ElementsAre("text/plain"));
  EXPECT_FALSE(seen.has("Content-Length"));
  EXPECT_FALSE(seen.has("Transfer-Encoding"));
}

TEST_F(HttpClientTest, PutWithoutBytesSendsLengthZero) {
  const TextBody empty("");
  for (const RequestBody* body :
       {static_cast<const RequestBody*>(nullptr), static_cast<const RequestBody*>(&empty)}) {
    requests_.clear();
    Reply reply;
    HttpRequest request = New("PUT", "/empty");
    request.body = body;
    ASSERT_TRUE(client_->Do(request, reply, Patient()).ok());
    const RawRequest seen = Only();
    EXPECT_EQ(seen.request_line(), "PUT /empty HTTP/1.1");
    EXPECT_THAT(seen.header("Content-Length"), ElementsAre("0"));
    EXPECT_FALSE(seen.has("Transfer-Encoding"));
    EXPECT_FALSE(seen.has("Expect"));
    EXPECT_FALSE(seen.has("Content-Type"));
  }
}

TEST_F(HttpClientTest, PutSendsTheBodyWithItsLength) {
  const TextBody body(std::string(3 * 1024 * 1024, 'x'));
  HttpRequest request = New("PUT", "/big");
  request.body = &body;
  request.headers.Set("Content-Type", "text/x");
  ASSERT_TRUE(Send(request).ok());
  const RawRequest seen = Only();
  EXPECT_EQ(seen.body, std::string(3 * 1024 * 1024, 'x'));
  EXPECT_THAT(seen.header("Content-Type"), ElementsAre("text/x"));
  EXPECT_FALSE(seen.has("Expect"));
}

TEST_F(HttpClientTest, PostWithAndWithoutBody) {
  ASSERT_TRUE(Send(New("POST", "/k?uploads=never")).Is(Code::kInvalidArgument));
  HttpRequest request = New("POST", "/k");
  request.query = "uploads";
  ASSERT_TRUE(Send(request).ok());
  RawRequest seen = Only();
  EXPECT_EQ(seen.request_line(), "POST /k?uploads HTTP/1.1");
  EXPECT_THAT(seen.header("Content-Length"), ElementsAre("0"));
  EXPECT_FALSE(seen.has("Content-Type"));

  for (const size_t size : {1u, 100u, 2000u, 70000u, 1500000u}) {
    requests_.clear();
    Reply reply;
    const TextBody body(std::string(size, 'p'));
    request.body = &body;
    ASSERT_TRUE(client_->Do(request, reply, Patient()).ok());
    seen = Only();
    EXPECT_EQ(seen.body, std::string(size, 'p'));
    EXPECT_FALSE(seen.has("Content-Type"));
    EXPECT_FALSE(seen.has("Expect"));
    EXPECT_FALSE(seen.has("Transfer-Encoding"));
  }
}

TEST_F(HttpClientTest, HeadHasNoBodyAndTheHandleIsCleanAfterwards) {
  auto done = Send(New("HEAD", "/k"));
  ASSERT_TRUE(done.ok()) << done.error().ToString();
  EXPECT_EQ(done->headers.Get("Content-Length"), "5");
  EXPECT_EQ(reply_.body, "");
  EXPECT_EQ(Only().request_line(), "HEAD /k HTTP/1.1");
  for (const char* method : {"GET", "DELETE", "GET", "HEAD", "PUT", "POST", "GET"}) {
    requests_.clear();
    Reply reply;
    done = client_->Do(New(method, "/k"), reply, Patient());
    ASSERT_TRUE(done.ok()) << method << ": " << done.error().ToString();
    EXPECT_EQ(Only().request_line(), std::string(method) + " /k HTTP/1.1");
    EXPECT_EQ(reply.body, std::string(method) == "HEAD" ? "" : "hello");
  }
  EXPECT_EQ(server_.accepted(), 1u) << "one connection serves all methods";
}

TEST_F(HttpClientTest, DeleteAndOtherMethodsMayCarryABody) {
  ASSERT_TRUE(Send(New("DELETE", "/k")).ok());
  EXPECT_FALSE(Only().has("Content-Length"));
  const TextBody body("payload");
  for (const char* method : {"DELETE", "MOVE", "OPTIONS"}) {
    requests_.clear();
    Reply reply;
    HttpRequest request = New(method, "/k");
    request.body = &body;
    ASSERT_TRUE(client_->Do(request, reply, Patient()).ok());
    EXPECT_EQ(Only().request_line(), std::string(method) + " /k HTTP/1.1");
    EXPECT_EQ(Only().body, "payload");
  }
}

TEST_F(HttpClientTest, RequestsThatCannotBeSentExactlyAreRefused) {
  const auto refused = [&](const std::function<void(HttpRequest&)>& spoil) {
    HttpRequest request = New("GET", "/k");
    spoil(request);
    Reply reply;
    return client_->Do(request, reply, Patient()).Is(Code::kInvalidArgument);
  };
  EXPECT_TRUE(refused([](HttpRequest& r) { r.path = "k"; }));
  EXPECT_TRUE(refused([](HttpRequest& r) { r.path = ""; }));
  EXPECT_TRUE(refused([](HttpRequest& r) { r.path = "/a b"; }));
  EXPECT_TRUE(refused([](HttpRequest& r) { r.path = "/a#b"; }));
  EXPECT_TRUE(refused([](HttpRequest& r) { r.path = "/a\r\nX: y"; }));
  EXPECT_TRUE(refused([](HttpRequest& r) { r.path = "/\xc3\xa4"; }));
  EXPECT_TRUE(refused([](HttpRequest& r) { r.query = "a b"; }));
  EXPECT_TRUE(refused([](HttpRequest& r) { r.query = "a#b"; }));
  EXPECT_TRUE(refused([](HttpRequest& r) { r.method = "GE T"; }));
  EXPECT_TRUE(refused([](HttpRequest& r) { r.method = ""; }));
  EXPECT_TRUE(refused([](HttpRequest& r) { r.scheme = "ftp"; }));
  EXPECT_TRUE(refused([](HttpRequest& r) { r.host = ""; }));
  EXPECT_TRUE(refused([](HttpRequest& r) { r.host = "user@host"; }));
  EXPECT_TRUE(refused([](HttpRequest& r) { r.host = "host/x"; }));
  EXPECT_TRUE(refused([](HttpRequest& r) { r.headers.Add("a b", "c"); }));
  EXPECT_TRUE(refused([](HttpRequest& r) { r.headers.Add("", "c"); }));
  EXPECT_EQ(server_.accepted(), 0u);
}

TEST_F(HttpClientTest, TheEnvironmentsProxyIsIgnored) {
  for (const char* name : {"http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"}) {
    ASSERT_EQ(::setenv(name, "http://127.0.0.1:1", 1), 0);
  }
  EXPECT_TRUE(Send(New("GET")).ok());
  for (const char* name : {"http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"}) ::unsetenv(name);
}

TEST_F(HttpClientTest, AConfiguredProxyIsUsedWhateverTheEnvironmentSays) {
  ASSERT_EQ(::setenv("no_proxy", "*", 1), 0);
  HttpConfig config;
  config.proxy = "http://127.0.0.1:" + std::to_string(server_.port());
  const auto client = NewClient(config);
  HttpRequest request = New("GET", "/a/../b");
  request.host = "origin.invalid";
  request.port = 0;
  request.query = "x=%2F";
  const auto done = client->Do(request, reply_, Patient());
  ::unsetenv("no_proxy");
  ASSERT_TRUE(done.ok()) << done.error().ToString();
  EXPECT_EQ(Only().request_line(), "GET http://origin.invalid/a/../b?x=%2F HTTP/1.1");
}

TEST_F(HttpClientTest, BadConfigsAreRefused) {
  const auto refused = [](const std::function<void(HttpConfig&)>& spoil) {
    HttpConfig config;
    spoil(config);
    return MakeHttpClient(config).Is(Code::kInvalidArgument);
  };
  EXPECT_TRUE(refused([](HttpConfig& c) { c.proxy = "gopher://h:1"; }));
  EXPECT_TRUE(refused([](HttpConfig& c) { c.proxy = "http://h:99999999"; }));
  EXPECT_TRUE(refused([](HttpConfig& c) { c.max_connections_per_host = 0; }));
  EXPECT_TRUE(refused([](HttpConfig& c) { c.tls.ca_file = "/does/not/exist.pem"; }));
  EXPECT_TRUE(refused([](HttpConfig& c) { c.tls.ca_file = "/etc/passwd"; }));
  EXPECT_TRUE(refused([](HttpConfig& c) { c.tls.client_certificate = "/does/not/exist.pem"; }));
  EXPECT_TRUE(refused([](HttpConfig& c) { c.tls.client_key = "/does/not/exist.pem"; }));
  EXPECT_TRUE(refused([](HttpConfig& c) { c.tls.thumbprint = "abc"; }));
  EXPECT_TRUE(refused([](HttpConfig& c) { c.tls.thumbprint = std::string(40, 'g'); }));
}

TEST(HttpReplies, RedirectsAreNotFollowed) {
  RawServer elsewhere(AnswerAll("secret"));
  RawServer server([&](RawConnection& connection) {
    RawRequest request;
    while (connection.ReadRequest(&request)) {
      connection.Write("HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:" +
                       std::to_string(elsewhere.port()) + "/\r\nContent-Length: 4\r\n\r\nmove");
    }
  });
  const auto client = NewClient();
  Reply reply;
  const auto done = client->Do(NewRequest(server.port(), "GET"), reply, Patient());
  ASSERT_TRUE(done.ok()) << done.error().ToString();
  EXPECT_EQ(done->status, 307);
  EXPECT_EQ(reply.body, "move");
  EXPECT_EQ(elsewhere.accepted(), 0u);
}

TEST(HttpReplies, InterimRepliesAreSkipped) {
  RawServer server([](RawConnection& connection) {
    RawRequest request;
    connection.ReadRequest(&request);
    connection.Write(
        "HTTP/1.1 100 Continue\r\nX-Interim: 1\r\n\r\nHTTP/1.1 103 Early Hints\r\nX-Hint: 1\r\n\r\n"
        "HTTP/1.1 200 OK\r\nX-Final:  spaced \r\nContent-Length: 2\r\n\r\nok");
    connection.WaitForPeer();
  });
  const auto client = NewClient();
  Reply reply;
  const auto done = client->Do(NewRequest(server.port(), "GET"), reply, Patient());
  ASSERT_TRUE(done.ok()) << done.error().ToString();
  EXPECT_EQ(reply.headers_calls, 1);
  EXPECT_EQ(reply.status, 200);
  EXPECT_FALSE(reply.headers.Has("X-Interim"));
  EXPECT_FALSE(reply.headers.Has("X-Hint"));
  EXPECT_EQ(reply.headers.Get("x-final"), "spaced");
  EXPECT_EQ(reply.body, "ok");
}

TEST(HttpReplies, ChunkedBodiesAreDecodedAndTrailersIgnored) {
  RawServer server([](RawConnection& connection) {
    RawRequest request;
    connection.ReadRequest(&request);
    connection.Write(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        "3\r\nabc\r\n4\r\ndefg\r\n0\r\nX-Trailer: t\r\n\r\n");
    connection.WaitForPeer();
  });
  const auto client = NewClient();
  Reply reply;
  const auto done = client->Do(NewRequest(server.port(), "GET"), reply, Patient());
  ASSERT_TRUE(done.ok()) << done.error().ToString();
  EXPECT_EQ(reply.body, "abcdefg");
  EXPECT_EQ(done->body_bytes, 7u);
  EXPECT_FALSE(done->headers.Has("X-Trailer"));
}

TEST(HttpReplies, GzipStaysAsItIs) {
  RawServer server([](RawConnection& connection) {
    RawRequest request;
    connection.ReadRequest(&request);
    EXPECT_FALSE(request.has("Accept-Encoding"));
    connection.Write(
        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b?!");
    connection.WaitForPeer();
  });
  const auto client = NewClient();
  Reply reply;
  ASSERT_TRUE(client->Do(NewRequest(server.port(), "GET"), reply, Patient()).ok());
  EXPECT_EQ(reply.body, "\x1f\x8b?!");
}

TEST(HttpReplies, BigBodiesStreamBothWays) {
  static constexpr uint64_t kSize = 24ull << 20;
  RawServer server([](RawConnection& connection) {
    RawRequest request;
    ASSERT_TRUE(connection.ReadHead(&request));
    ASSERT_EQ(connection.Drain(kSize), kSize);
    connection.Write("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(kSize) + "\r\n\r\n");
    std::string piece(1 << 20, '\0');
    for (uint64_t offset = 0; offset < kSize; offset += piece.size()) {
      for (size_t i = 0; i < piece.size(); ++i) piece[i] = PatternBody::At(offset + i);
      if (!connection.Write(piece)) return;
    }
    connection.WaitForPeer();
  });
  class Checker final : public ResponseHandler {
   public:
    Status OnHeaders(int, const HttpHeaders&) override { return {}; }
    Status OnData(std::span<const std::byte> data) override {
      for (std::byte byte : data) {
        wrong += static_cast<char>(byte) != PatternBody::At(offset++) ? 1 : 0;
      }
      return {};
    }
    uint64_t offset = 0;
    uint64_t wrong = 0;
  } checker;
  const auto client = NewClient();
  const PatternBody body(kSize);
  HttpRequest request = NewRequest(server.port(), "PUT", "/big");
  request.body = &body;
  const auto done = client->Do(request, checker, Patient());
  ASSERT_TRUE(done.ok()) << done.error().ToString();
  EXPECT_EQ(checker.offset, kSize);
  EXPECT_EQ(checker.wrong, 0u);
  EXPECT_EQ(done->body_bytes, kSize);
}

TEST(HttpPool, AHundredCallersShareConnections) {
  RawServer server(AnswerAll("x"));
  HttpConfig config;
  config.max_connections_per_host = 16;
  const auto client = NewClient(config);
  std::atomic<int> good{0};
  std::vector<std::thread> threads;
  threads.reserve(100);
  for (int i = 0; i < 100; ++i) {
    threads.emplace_back([&] {
      for (int n = 0; n < 20; ++n) {
        Reply reply;
        if (client->Do(NewRequest(server.port(), "GET"), reply, Patient()).ok()) ++good;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(good, 2000);
  EXPECT_LE(server.accepted(), 16u);
  EXPECT_GE(server.accepted(), 1u);
}

TEST(HttpPool, BusyConnectionsDoNotPushIdleOnesOut) {
  constexpr int kHeld = 24;
  std::promise<void> release;
  const auto released = release.get_future().share();
  std::atomic<int> held{0};
  std::promise<void> all_held;
  RawServer server([&, released](RawConnection& connection) {
    RawRequest request;
    while (connection.ReadRequest(&request)) {
      if (request.head.starts_with("GET /hold ")) {
        if (++held == kHeld) all_held.set_value();
        released.wait();
      }
      connection.Write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    }
  });
  HttpConfig config;
  config.max_connections_per_host = 32;
  config.max_idle_connections = 4;
  const auto client = NewClient(config);
  const auto get = [&](const char* path) {
    Reply reply;
    const auto done = client->Do(NewRequest(server.port(), "GET", path), reply, Patient());
    EXPECT_TRUE(done.ok()) << done.error().ToString();
  };
  std::vector<std::thread> threads;
  threads.reserve(kHeld);
  for (int i = 0; i < kHeld; ++i) threads.emplace_back(get, "/hold");
  all_held.get_future().wait();
  for (int i = 0; i < 10; ++i) get("/quick");
  EXPECT_EQ(server.accepted(), kHeld + 1u) << "the one idle connection is reused";
  release.set_value();
  for (std::thread& thread : threads) thread.join();
}

TEST(HttpPool, HostsHaveQueuesOfTheirOwn) {
  // One host that never answers must not use up another's connections.
  RawServer hole([](RawConnection& connection) {
    RawRequest request;
    connection.ReadRequest(&request);
    connection.WaitForPeer();
  });
  RawServer good(AnswerAll("x"));
  HttpConfig config;
  config.max_connections_per_host = 1;
  const auto client = NewClient(config);
  std::stop_source stop;
  CallOptions held = Patient();
  held.cancel = stop.get_token();
  std::vector<std::thread> threads;
  threads.reserve(3);
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      Reply reply;
      EXPECT_TRUE(client->Do(NewRequest(hole.port(), "GET"), reply, held).Is(Code::kCancelled));
    });
  }
  Reply reply;
  EXPECT_TRUE(client->Do(NewRequest(good.port(), "GET"), reply, Patient()).ok());
  stop.request_stop();
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace quayfs::s3::testing
