// SPDX-License-Identifier: Apache-2.0
//
// Parsing of request heads, and HTTP behaviour on the wire.

#include <gtest/gtest.h>

#include <thread>

#include "tests/server/http_parser.h"
#include "tests/unit/server/test_client.h"

namespace quayfs::testserver {
namespace {

TEST(HttpParserTest, KeepsTheTargetRaw) {
  const Outcome<RequestHead> head =
      ParseRequestHead("GET /b/a%2fb//../c?x=%20&y HTTP/1.1\r\nHost: h\r\nX-A:  v \r\n\r\n");
  ASSERT_TRUE(head.ok());
  EXPECT_EQ("/b/a%2fb//../c", head->raw_path);
  EXPECT_EQ("x=%20&y", head->raw_query);
  EXPECT_EQ("v", head->headers.Get("x-a"));
  EXPECT_TRUE(head->keep_alive);
  EXPECT_FALSE(head->content_length.has_value());
}

TEST(HttpParserTest, RefusesWhatIsMalformed) {
  for (const char* text : {
           "GET / HTTP/1.1\r\n\r\n",                                   // no Host
           "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",             // two
           "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",                       // two blanks
           "GET x HTTP/1.1\r\nHost: a\r\n\r\n",                        // no path
           "GET / HTTP/2.0\r\nHost: a\r\n\r\n",                        // version
           "GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",             // folded line
           "GET / HTTP/1.1\r\nHost: a\r\nX Y: b\r\n\r\n",              // blank in a name
           "GET / HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n",               // before the colon
           "GET / HTTP/1.1\r\nHost: a\r\nX: b\x01\r\n\r\n",            // control character
           "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",  // negative
           "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
           "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
           "GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n",  // not encoded
       }) {
    EXPECT_FALSE(ParseRequestHead(text).ok()) << text;
  }
}

class HttpTest : public testing::Test {
 protected:
  std::unique_ptr<Server> server_ = StartServer();
  TestClient client_{server_->port()};
};

TEST_F(HttpTest, KeepsTheConnection) {
  for (int i = 0; i < 5; ++i) EXPECT_EQ(200, client_.Put("/test/a", "x").status);
  EXPECT_EQ(404, client_.Get("/test/none").status);
  EXPECT_EQ(200, client_.Head("/test/a").status);
  EXPECT_EQ(1, client_.connections());
}

TEST_F(HttpTest, ClosesWhenAsked) {
  const Response response = client_.Get("/test/none", "", {{"connection", "close"}});
  EXPECT_EQ("close", response.Header("connection"));
  EXPECT_EQ(404, client_.Get("/test/none").status);
  EXPECT_EQ(2, client_.connections());
}

TEST_F(HttpTest, SendsContinueOnlyForABodyItWants) {
  Call call{
      .method = "PUT", .path = "/test/a", .headers = {{"expect", "100-continue"}}, .body = "abc"};
  std::string bytes = client_.Bytes(call);
  client_.SendRaw(bytes.substr(0, bytes.size() - 3));
  EXPECT_EQ(100, client_.Read(false).status);
  client_.SendRaw("abc");
  EXPECT_EQ(200, client_.Read(false).status);
  EXPECT_EQ("abc", server_->Body("test", "a"));

  call.secret = "wrong";
  bytes = client_.Bytes(call);
  client_.SendRaw(bytes.substr(0, bytes.size() - 3));
  const Response refused = client_.Read(false);
  EXPECT_EQ(403, refused.status);
  EXPECT_EQ("close", refused.Header("connection"));
}

TEST_F(HttpTest, RefusalOfALargeBodyReachesTheClient) {
  const Response response =
      client_.Do({.method = "PUT", .path = "/none/a", .body = std::string(8 << 20, 'x')});
  EXPECT_EQ(404, response.status);
  EXPECT_EQ("NoSuchBucket", response.ErrorCode());
}

TEST_F(HttpTest, LengthIsRequired) {
  Call call{.method = "PUT",
            .path = "/test/a",
            .headers = {{"transfer-encoding", "chunked"}},
            .unsigned_payload = true};
  client_.SendRaw(client_.Bytes(call) + "3\r\nabc\r\n0\r\n\r\n");
  const Response chunked = client_.Read(false);
  EXPECT_EQ(411, chunked.status);
  EXPECT_EQ("MissingContentLength", chunked.ErrorCode());

  std::string bytes = client_.Bytes({.method = "PUT", .path = "/test/a"});
  const size_t at = bytes.find("Content-Length: 0\r\n");
  ASSERT_NE(std::string::npos, at);
  bytes.erase(at, 19);
  client_.SendRaw(bytes);
  EXPECT_EQ(411, client_.Read(false).status);
}

TEST_F(HttpTest, AwsChunkedBodyInAChunkedTransfer) {
  const Call call{.method = "PUT",
                  .path = "/test/a",
                  .headers = {{"transfer-encoding", "chunked"},
                              {"content-encoding", "aws-chunked"},
                              {"x-amz-decoded-content-length", "5"},
                              {"x-amz-trailer", "x-amz-checksum-crc32"},
                              {"x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"}}};
  const std::string payload = "5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n";
  client_.SendRaw(client_.Bytes(call) + "a\r\n" + payload.substr(0, 10) + "\r\n24\r\n" +
                  payload.substr(10) + "\r\n0\r\n\r\n");
  ASSERT_EQ(46u, payload.size());
  const Response response = client_.Read(false);
  EXPECT_EQ(200, response.status) << response.body;
  EXPECT_EQ("hello", server_->Body("test", "a"));
  EXPECT_EQ(0u, server_->Headers("test", "a").count("content-encoding"));
}

TEST_F(HttpTest, GarbageGetsA400) {
  client_.SendRaw("nonsense\r\n\r\n");
  EXPECT_EQ(400, client_.Read(false).status);
  client_.Close();
  client_.SendRaw("GET / HTTP/1.1\r\n" + std::string(70000, 'x'));
  EXPECT_EQ(400, client_.Read(false).status);
}

TEST_F(HttpTest, BodyThatStopsShortIsNotStored) {
  const std::string bytes =
      client_.Bytes({.method = "PUT", .path = "/test/a", .body = std::string(1000, 'x')});
  client_.SendRaw(bytes.substr(0, bytes.size() - 1));
  client_.Close();
  EXPECT_EQ(404, client_.Get("/test/a").status);
}

TEST_F(HttpTest, ServesManyConnectionsAtOnce) {
  server_->SetDelay(std::chrono::milliseconds(200));
  std::vector<std::thread> threads;
  threads.reserve(100);
  std::atomic<int> good{0};
  for (int i = 0; i < 100; ++i) {
    threads.emplace_back([&, i] {
      TestClient client(server_->port());
      if (client.Put("/test/k" + std::to_string(i), "v").status == 200) ++good;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(100, good);
  EXPECT_EQ(100u, server_->Keys("test").size());
  EXPECT_GT(server_->MaxConcurrent(), 10);
}

TEST_F(HttpTest, SequentialRequestsAreNeverConcurrent) {
  server_->PutDirect("test", "big", std::string(300000, 'x'), {});
  for (int i = 0; i < 50; ++i) {
    TestClient client(server_->port());
    ASSERT_EQ(200, client.Get("/test/big").status);
    ASSERT_EQ(static_cast<size_t>(i + 1), server_->Log().size());
  }
  EXPECT_EQ(1, server_->MaxConcurrent());
}

TEST_F(HttpTest, VirtualHostStyle) {
  server_->PutDirect("test", "dir/key", "value", {});
  Call call{.path = "/dir/key", .host = "test.localhost"};
  EXPECT_EQ("value", client_.Do(call).body);
  call.path = "/";
  EXPECT_NE(std::string::npos, client_.Do(call).body.find("<Key>dir/key</Key>"));
  EXPECT_EQ("test", server_->Log().back().bucket);
}

}  // namespace
}  // namespace quayfs::testserver
