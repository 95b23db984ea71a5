// SPDX-License-Identifier: Apache-2.0
//
// What the HTTP client makes of servers and networks that misbehave, and of callers that change
// their mind.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <future>
#include <thread>

#include "tests/unit/s3/http_fixture.h"

namespace quayfs::s3::testing {
namespace {

using ::testing::HasSubstr;

using std::chrono::milliseconds;

std::string Head(uint64_t length) {
  return "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(length) + "\r\n\r\n";
}

class HttpFaultsTest : public ::testing::Test {
 protected:
  /// One GET against a server that runs `script` for each connection.
  Result<HttpReply> Get(const RawServer::Script& script, const HttpConfig& config = {}) {
    RawServer server(script);
    target_ = "127.0.0.1:" + std::to_string(server.port());
    const auto client = NewClient(config);
    return client->Do(NewRequest(server.port(), "GET"), reply_, Patient());
  }

  Reply reply_;
  std::string target_;
};

TEST_F(HttpFaultsTest, NobodyListens) {
  uint16_t port = 0;
  {
    const RawServer gone(AnswerAll(""));
    port = gone.port();
  }
  const auto client = NewClient();
  const auto done = client->Do(NewRequest(port, "PUT"), reply_, Patient());
  ASSERT_TRUE(done.Is(Code::kUnavailable)) << done.error().ToString();
  EXPECT_THAT(done.error().message(), HasSubstr("127.0.0.1:" + std::to_string(port)));
  EXPECT_TRUE(done.error().detail().request_not_sent);
  EXPECT_EQ(done.error().detail().http_status, 0);
}

TEST_F(HttpFaultsTest, AFailedTransferLeavesTheNextOneAlone) {
  uint16_t port = 0;
  {
    const RawServer gone(AnswerAll(""));
    port = gone.port();
  }
  RawServer server(AnswerAll("ok"));
  const auto client = NewClient();
  const TextBody body("body");
  for (int i = 0; i < 3; ++i) {
    for (const char* method : {"GET", "PUT", "POST"}) {
      HttpRequest request = NewRequest(port, method);
      if (request.method != "GET") request.body = &body;
      const auto failed = client->Do(request, reply_, Patient());
      ASSERT_TRUE(failed.Is(Code::kUnavailable)) << failed.error().ToString();
      request.port = server.port();
      Reply reply;
      const auto done = client->Do(request, reply, Patient());
      ASSERT_TRUE(done.ok()) << done.error().ToString();
    }
  }
}

TEST_F(HttpFaultsTest, TheNameCannotBeResolved) {
  const auto client = NewClient();
  HttpRequest request = NewRequest(80, "GET");
  request.host = "no..such";  // an empty label: refused without asking a name server
  // The second time as well: nothing of the first failure sticks to the client.
  for (int i = 0; i < 2; ++i) {
    const auto done = client->Do(request, reply_, Patient());
    ASSERT_TRUE(done.Is(Code::kUnavailable)) << done.error().ToString();
    EXPECT_THAT(done.error().message(), HasSubstr("no..such:80"));
    EXPECT_TRUE(done.error().detail().request_not_sent);
  }
}

TEST_F(HttpFaultsTest, ConnectTimeout) {
  // A listener whose queue is full drops further connections without a word.
  const UniqueFd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  ASSERT_EQ(::bind(listener.get(), generic, size), 0);
  ASSERT_EQ(::listen(listener.get(), 0), 0);
  ASSERT_EQ(::getsockname(listener.get(), generic, &size), 0);
  std::vector<UniqueFd> fillers;
  for (int i = 0; i < 4; ++i) {
    fillers.emplace_back(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    static_cast<void>(::connect(fillers.back().get(), generic, size));  // in progress, or dropped
  }
  HttpConfig config;
  config.connect_timeout = milliseconds(200);
  const auto client = NewClient(config);
  const auto done = client->Do(NewRequest(ntohs(address.sin_port), "GET"), reply_, Patient());
  ASSERT_TRUE(done.Is(Code::kTimedOut)) << done.error().ToString();
  EXPECT_THAT(done.error().message(), HasSubstr("connect"));
  EXPECT_TRUE(done.error().detail().request_not_sent);
}

TEST_F(HttpFaultsTest, ResetBeforeTheReply) {
  const auto done = Get([](RawConnection& connection) {
    RawRequest request;
    connection.ReadRequest(&request);
    connection.Reset();
  });
  ASSERT_TRUE(done.Is(Code::kUnavailable)) << done.error().ToString();
  EXPECT_THAT(done.error().message(), HasSubstr(target_));
  EXPECT_FALSE(done.error().detail().request_not_sent);
  EXPECT_EQ(reply_.headers_calls, 0);
}

TEST_F(HttpFaultsTest, ClosedBeforeTheReply) {
  const auto done = Get([](RawConnection& connection) {
    RawRequest request;
    connection.ReadRequest(&request);
  });
  ASSERT_TRUE(done.Is(Code::kUnavailable)) << done.error().ToString();
  EXPECT_FALSE(done.error().detail().request_not_sent);
}

TEST_F(HttpFaultsTest, ClosedWithinTheHeaders) {
  const auto done = Get([](RawConnection& connection) {
    RawRequest request;
    connection.ReadRequest(&request);
    connection.Write("HTTP/1.1 200 OK\r\nContent-Len");
  });
  ASSERT_TRUE(done.Is(Code::kUnavailable)) << done.error().ToString();
  EXPECT_EQ(reply_.headers_calls, 0);
}

TEST_F(HttpFaultsTest, ClosedAfterAnInterimReply) {
  const auto done = Get([](RawConnection& connection) {
    RawRequest request;
    connection.ReadRequest(&request);
    connection.Write("HTTP/1.1 100 Continue\r\n\r\n");
  });
  ASSERT_TRUE(done.Is(Code::kUnavailable)) << done.error().ToString();
  EXPECT_EQ(reply_.headers_calls, 0);
}

TEST_F(HttpFaultsTest, ResetWithinTheBody) {
  const auto done = Get([](RawConnection& connection) {
    RawRequest request;
    connection.ReadRequest(&request);
    connection.Write(Head(1000) + std::string(500, 'x'));
    connection.Reset();
  });
  ASSERT_TRUE(done.Is(Code::kUnavailable)) << done.error().ToString();
  EXPECT_THAT(done.error().message(), HasSubstr(target_));
}

TEST_F(HttpFaultsTest, ShortBody) {
  const auto done = Get([](RawConnection& connection) {
    RawRequest request;
    connection.ReadRequest(&request);
    connection.Write(Head(1000) + std::string(999, 'x'));
  });
  ASSERT_TRUE(done.Is(Code::kUnavailable)) << done.error().ToString();
  EXPECT_EQ(reply_.body.size(), 999u);
  EXPECT_THAT(done.error().message(), HasSubstr("ended early"));
}

TEST_F(HttpFaultsTest, ResetAfterTheReplyHurtsNobody) {
  RawServer server([](RawConnection& connection) {
    RawRequest request;
    connection.ReadRequest(&request);
    connection.Write(Head(2) + "ok");
    connection.Reset();
  });
  const auto client = NewClient();
  for (int i = 0; i < 20; ++i) {
    Reply reply;
    const auto done = client->Do(NewRequest(server.port(), "GET"), reply, Patient());
    ASSERT_TRUE(done.ok()) << done.error().ToString();
    EXPECT_EQ(reply.body, "ok");
  }
}

TEST_F(HttpFaultsTest, WhatIsNotHttp) {
  for (const char* reply : {"garbage\r\n\r\n", "HTTP/1.1\r\n\r\n", "HTTP/1.1 abc\r\n\r\n",
                            "SSH-2.0-OpenSSH_9.2\r\n", "\x15\x03\x01\x00\x02\x02\x46"}) {
    const auto done = Get([&](RawConnection& connection) {
      RawRequest request;
      connection.ReadRequest(&request);
      connection.Write(reply);
    });
    EXPECT_TRUE(done.Is(Code::kUnavailable)) << reply;
    EXPECT_EQ(reply_.headers_calls, 0);
  }
}

TEST_F(HttpFaultsTest, HeadersWithoutEnd) {
  const auto done = Get([](RawConnection& connection) {
    RawRequest request;
    connection.ReadRequest(&request);
    connection.Write("HTTP/1.1 200 OK\r\n");
    while (connection.Write("X-More: " + std::string(1000, 'm') + "\r\n")) {
    }
  });
  EXPECT_TRUE(done.Is(Code::kCorrupt)) << done.error().ToString();
}

// --- More bytes than announced ---

TEST_F(HttpFaultsTest, ExtraBytesInTheSamePacketAreDropped) {
  RawServer server([](RawConnection& connection) {
    RawRequest request;
    while (connection.ReadRequest(&request)) {
      connection.Write(Head(4) + "goodHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
    }
  });
  const auto client = NewClient();
  for (int i = 0; i < 5; ++i) {
    Reply reply;
    const auto done = client->Do(NewRequest(server.port(), "GET"), reply, Patient());
    ASSERT_TRUE(done.ok()) << done.error().ToString();
    EXPECT_EQ(reply.body, "good");
    EXPECT_EQ(done->body_bytes, 4u);
  }
  EXPECT_EQ(server.accepted(), 5u) << "a connection with bytes left over must not be used again";
}

TEST_F(HttpFaultsTest, ExtraBytesThatArriveLaterAreNotTheNextReply) {
  // The second write happens when the first reply has been taken, and the next request waits until
  // it has happened.
  for (int round = 0; round < 10; ++round) {
    std::promise<void> taken;
    std::promise<void> spoiled;
    RawServer server([&](RawConnection& connection) {
      RawRequest request;
      while (connection.ReadRequest(&request)) {
        connection.Write(Head(4) + "good");
        if (connection.number() != 0) continue;
        taken.get_future().wait();
        connection.Write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
        spoiled.set_value();
        connection.WaitForPeer();
        return;
      }
    });
    const auto client = NewClient();
    Reply first;
    ASSERT_TRUE(client->Do(NewRequest(server.port(), "GET"), first, Patient()).ok());
    taken.set_value();
    spoiled.get_future().wait();
    Reply second;
    const auto done = client->Do(NewRequest(server.port(), "GET"), second, Patient());
    ASSERT_TRUE(done.ok()) << done.error().ToString();
    EXPECT_EQ(second.body, "good");
  }
}

// --- Too slow ---

TEST_F(HttpFaultsTest, ASlowDripIsGivenUp) {
  HttpConfig config;
  config.low_speed_time = milliseconds(200);
  config.low_speed_bytes = 1000;
  const auto done = Get(
      [](RawConnection& connection) {
        RawRequest request;
        connection.ReadRequest(&request);
        connection.Write(Head(1 << 20));
        while (connection.Write("x")) std::this_thread::sleep_for(milliseconds(20));
      },
      config);
  ASSERT_TRUE(done.Is(Code::kTimedOut)) << done.error().ToString();
  EXPECT_THAT(done.error().message(), HasSubstr("too few bytes"));
  EXPECT_THAT(done.error().message(), HasSubstr(target_));
}

TEST_F(HttpFaultsTest, ABlackHoleIsGivenUp) {
  HttpConfig config;
  config.low_speed_time = milliseconds(200);
  const auto done = Get(
      [](RawConnection& connection) {
        RawRequest request;
        connection.ReadRequest(&request);
        connection.WaitForPeer();
      },
      config);
  ASSERT_TRUE(done.Is(Code::kTimedOut)) << done.error().ToString();
  EXPECT_FALSE(done.error().detail().request_not_sent);
}

TEST_F(HttpFaultsTest, AnUploadThatNobodyReadsIsGivenUp) {
  std::promise<void> given_up;
  auto over = given_up.get_future().share();
  RawServer server([over](RawConnection& connection) {
    RawRequest request;
    connection.ReadHead(&request);
    over.wait();
  });
  HttpConfig config;
  config.low_speed_time = milliseconds(200);
  const auto client = NewClient(config);
  const PatternBody body(64ull << 20);
  HttpRequest request = NewRequest(server.port(), "PUT");
  request.body = &body;
  const auto done = client->Do(request, reply_, Patient());
  given_up.set_value();
  EXPECT_TRUE(done.Is(Code::kTimedOut)) << done.error().ToString();
}

TEST_F(HttpFaultsTest, PatienceOverridesLowSpeed) {
  HttpConfig config;
  config.low_speed_time = milliseconds(50);
  RawServer server([](RawConnection& connection) {
    RawRequest request;
    while (connection.ReadRequest(&request)) {
      std::this_thread::sleep_for(milliseconds(400));  // a copy that takes its time
      connection.Write(Head(2) + "ok");
    }
  });
  const auto client = NewClient(config);
  HttpRequest request = NewRequest(server.port(), "PUT");
  EXPECT_TRUE(client->Do(request, reply_, Patient()).Is(Code::kTimedOut));
  request.patience = kHang;
  Reply reply;
  const auto done = client->Do(request, reply, Patient());
  EXPECT_TRUE(done.ok()) << done.error().ToString();
}

// --- Deadlines and cancelling ---

RawServer::Script Hole(std::promise<void>* reached = nullptr) {
  return [reached](RawConnection& connection) {
    RawRequest request;
    connection.ReadRequest(&request);
    if (reached != nullptr) reached->set_value();
    connection.WaitForPeer();
  };
}

TEST_F(HttpFaultsTest, TheDeadlineEndsATransfer) {
  RawServer server(Hole());
  const auto client = NewClient();
  CallOptions call;
  call.deadline = std::chrono::steady_clock::now() + milliseconds(100);
  const auto done = client->Do(NewRequest(server.port(), "GET"), reply_, call);
  ASSERT_TRUE(done.Is(Code::kTimedOut)) << done.error().ToString();
  EXPECT_THAT(done.error().message(), HasSubstr("deadline"));
  EXPECT_FALSE(done.error().detail().request_not_sent);

  call.deadline = std::chrono::steady_clock::now() - milliseconds(1);
  const auto late = client->Do(NewRequest(server.port(), "GET"), reply_, call);
  ASSERT_TRUE(late.Is(Code::kTimedOut));
  EXPECT_TRUE(late.error().detail().request_not_sent);
  EXPECT_EQ(server.accepted(), 1u);
}

TEST_F(HttpFaultsTest, CancellingEndsATransfer) {
  std::promise<void> reached;
  RawServer server(Hole(&reached));
  const auto client = NewClient();
  std::stop_source stop;
  CallOptions call = Patient();
  call.cancel = stop.get_token();
  std::thread canceller([&] {
    reached.get_future().wait();
    stop.request_stop();
  });
  const auto done = client->Do(NewRequest(server.port(), "GET"), reply_, call);
  canceller.join();
  EXPECT_TRUE(done.Is(Code::kCancelled)) << done.error().ToString();
  EXPECT_TRUE(client->Do(NewRequest(server.port(), "GET"), reply_, call).Is(Code::kCancelled));
  EXPECT_EQ(server.accepted(), 1u);
}

TEST_F(HttpFaultsTest, ACallThatWaitsForAConnectionCanBeEnded) {
  std::promise<void> reached;
  RawServer server(Hole(&reached));
  HttpConfig config;
  config.max_connections_per_host = 1;
  const auto client = NewClient(config);
  std::stop_source stop;
  CallOptions holder = Patient();
  holder.cancel = stop.get_token();
  std::thread busy([&] {
    Reply reply;
    EXPECT_TRUE(client->Do(NewRequest(server.port(), "GET"), reply, holder).Is(Code::kCancelled));
  });
  reached.get_future().wait();

  CallOptions hurried;
  hurried.deadline = std::chrono::steady_clock::now() + milliseconds(50);
  Reply reply;
  auto done = client->Do(NewRequest(server.port(), "GET"), reply, hurried);
  EXPECT_TRUE(done.Is(Code::kTimedOut)) << done.error().ToString();
  EXPECT_TRUE(done.error().detail().request_not_sent);

  std::stop_source other;
  CallOptions cancelled = Patient();
  cancelled.cancel = other.get_token();
  std::thread canceller([&] { other.request_stop(); });
  done = client->Do(NewRequest(server.port(), "GET"), reply, cancelled);
  canceller.join();
  EXPECT_TRUE(done.Is(Code::kCancelled)) << done.error().ToString();
  EXPECT_TRUE(done.error().detail().request_not_sent);
  stop.request_stop();
  busy.join();
  EXPECT_EQ(server.accepted(), 1u);
}

TEST_F(HttpFaultsTest, CancellingAtAnyMomentLeavesNothingBehind) {
  // A race on purpose: whatever comes first, nothing of the caller may be touched after Do (the
  // sanitizers watch).
  RawServer server(AnswerAll(std::string(100000, 'x')));
  const auto client = NewClient();
  std::vector<std::thread> threads;
  threads.reserve(8);
  std::atomic<int> ended{0};
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&, i] {
      for (int n = 0; n < 100; ++n) {
        auto reply = std::make_unique<Reply>();
        auto stop = std::make_unique<std::stop_source>();
        CallOptions call = Patient();
        call.cancel = stop->get_token();
        if (n % 3 == 0)
          call.deadline = std::chrono::steady_clock::now() + std::chrono::microseconds(i * 50);
        std::thread canceller([&] {
          for (int spin = 0; spin < n * 200; ++spin)
            std::atomic_signal_fence(std::memory_order_seq_cst);
          stop->request_stop();
        });
        const auto done = client->Do(NewRequest(server.port(), "GET"), *reply, call);
        canceller.join();
        if (done.ok() || done.Is(Code::kCancelled) || done.Is(Code::kTimedOut)) ++ended;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(ended, 800);
}

// --- Errors of our own side ---

TEST_F(HttpFaultsTest, TheHandlersErrorIsTheResult) {
  class Refusing final : public ResponseHandler {
   public:
    explicit Refusing(bool at_headers) : at_headers_(at_headers) {}
    Status OnHeaders(int, const HttpHeaders&) override {
      if (at_headers_) return Error(Code::kChanged, "no such version");
      return {};
    }
    Status OnData(std::span<const std::byte>) override {
      ++data_calls;
      return Error(Code::kNoSpace, "disk full");
    }
    int data_calls = 0;

   private:
    const bool at_headers_;
  };
  RawServer server(AnswerAll(std::string(1 << 20, 'x')));
  const auto client = NewClient();
  Refusing at_headers(true);
  EXPECT_TRUE(
      client->Do(NewRequest(server.port(), "GET"), at_headers, Patient()).Is(Code::kChanged));
  EXPECT_EQ(at_headers.data_calls, 0);
  Refusing at_data(false);
  const auto done = client->Do(NewRequest(server.port(), "GET"), at_data, Patient());
  EXPECT_TRUE(done.Is(Code::kNoSpace));
  EXPECT_EQ(done.error().message(), "disk full");
  EXPECT_EQ(at_data.data_calls, 1);
  EXPECT_TRUE(client->Do(NewRequest(server.port(), "GET"), reply_, Patient()).ok());
}

TEST_F(HttpFaultsTest, TheBodysErrorIsTheResult) {
  class Broken final : public RequestBody {
   public:
    uint64_t size() const override { return 1 << 20; }
    Status Read(uint64_t, std::span<std::byte>) const override {
      return Error(Code::kIo, "bad sector");
    }
  } body;
  RawServer server(AnswerAll("x"));
  const auto client = NewClient();
  for (const char* method : {"PUT", "POST", "DELETE"}) {
    HttpRequest request = NewRequest(server.port(), method);
    request.body = &body;
    const auto done = client->Do(request, reply_, Patient());
    EXPECT_TRUE(done.Is(Code::kIo)) << method;
  }
}

TEST_F(HttpFaultsTest, ARefusalWhileSendingIsTheReply) {
  RawServer server([](RawConnection& connection) {
    RawRequest request;
    if (!connection.ReadHead(&request)) return;
    connection.Write("HTTP/1.1 403 Forbidden\r\nContent-Length: 6\r\n\r\ndenied");
    connection.Drain(UINT64_MAX);
  });
  const auto client = NewClient();
  const PatternBody body(256ull << 20);
  HttpRequest request = NewRequest(server.port(), "PUT");
  request.body = &body;
  const auto done = client->Do(request, reply_, Patient());
  ASSERT_TRUE(done.ok()) << done.error().ToString();
  EXPECT_EQ(done->status, 403);
  EXPECT_EQ(reply_.body, "denied");
}

// --- Reused connections that turn out to be dead ---

/// Answers the first request on the first connection, and resets all its connections at their next
/// request.
struct Mortal {
  std::atomic<int> requests{0};
  std::atomic<int> deaths_left{1};
  RawServer server{[this](RawConnection& connection) {
    RawRequest request;
    for (int n = 0; connection.ReadRequest(&request); ++n) {
      ++requests;
      if (n > 0 && deaths_left-- > 0) {
        connection.Reset();
        return;
      }
      bodies += request.body.size();
      connection.Write(Head(2) + "ok");
    }
  }};
  std::atomic<size_t> bodies{0};
};

TEST_F(HttpFaultsTest, ADeadReusedConnectionIsReplacedAndTheBodySentAgain) {
  Mortal mortal;
  const auto client = NewClient();
  ASSERT_TRUE(client->Do(NewRequest(mortal.server.port(), "GET"), reply_, Patient()).ok());
  const PatternBody body(300000);
  HttpRequest request = NewRequest(mortal.server.port(), "PUT");
  request.body = &body;
  Reply reply;
  const auto done = client->Do(request, reply, Patient());
  ASSERT_TRUE(done.ok()) << done.error().ToString();
  EXPECT_EQ(reply.body, "ok");
  EXPECT_EQ(mortal.requests, 3);
  EXPECT_EQ(mortal.bodies, 300000u);
}

TEST_F(HttpFaultsTest, WhatMustNotBeRepeatedIsSentOnce) {
  Mortal mortal;
  const auto client = NewClient();
  ASSERT_TRUE(client->Do(NewRequest(mortal.server.port(), "GET"), reply_, Patient()).ok());
  const TextBody body("complete");
  HttpRequest request = NewRequest(mortal.server.port(), "POST");
  request.body = &body;
  request.repeatable = false;
  Reply reply;
  const auto done = client->Do(request, reply, Patient());
  ASSERT_TRUE(done.Is(Code::kUnavailable)) << done.error().ToString();
  EXPECT_FALSE(done.error().detail().request_not_sent);
  EXPECT_EQ(mortal.requests, 2);
}

TEST_F(HttpFaultsTest, APostIsSentAtMostTwice) {
  Mortal mortal;
  mortal.deaths_left = 100;
  HttpConfig config;
  const auto client = NewClient(config);
  // Several idle connections, every one of which dies when it is used again.
  std::vector<std::thread> threads;
  threads.reserve(6);
  for (int i = 0; i < 6; ++i) {
    threads.emplace_back([&] {
      Reply reply;
      Ignore(client->Do(NewRequest(mortal.server.port(), "GET"), reply, Patient()));
    });
  }
  for (std::thread& thread : threads) thread.join();
  const int before = mortal.requests;
  HttpRequest request = NewRequest(mortal.server.port(), "POST");
  Reply reply;
  Ignore(
      client->Do(request, reply, Patient()));  // either outcome: it depends on how many were idle
  EXPECT_LE(mortal.requests - before, 2);
}

}  // namespace
}  // namespace quayfs::s3::testing
