// SPDX-License-Identifier: Apache-2.0
//
// Whom the HTTP client trusts (protocol.md 4.6).

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <thread>

#include "base/hash.h"
#include "base/text.h"
#include "s3/tls_pin.h"
#include "tests/unit/s3/http_fixture.h"

namespace quayfs::s3::testing {
namespace {

using ::testing::HasSubstr;

class PemFile {
 public:
  explicit PemFile(const std::string& pem) {
    std::string name = ::testing::TempDir() + "quayfs-http-XXXXXX";
    const int fd = ::mkstemp(name.data());
    EXPECT_GE(fd, 0);
    ::close(fd);
    path_ = name;
    std::ofstream(path_) << pem;
  }
  ~PemFile() { ::unlink(path_.c_str()); }
  PemFile(const PemFile&) = delete;
  PemFile& operator=(const PemFile&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

class HttpTlsTest : public ::testing::Test {
 protected:
  /// One GET, by a client of its own, from a server with `certificate`.
  Result<HttpReply> Get(const TestCertificate& certificate, const TlsConfig& tls,
                        const std::string& host = "127.0.0.1") {
    requests_ = 0;
    RawServer server(AnswerAll("secret", [this](const RawRequest&) { ++requests_; }), &certificate);
    HttpConfig config;
    config.tls = tls;
    const auto client = NewClient(config);
    HttpRequest request = NewRequest(server.port(), "GET");
    request.scheme = "https";
    request.host = host;
    target_ = host + ":" + std::to_string(server.port());
    reply_ = Reply();
    return client->Do(request, reply_, Patient());
  }

  void ExpectRefused(const Result<HttpReply>& done, const std::string& why) {
    ASSERT_TRUE(done.Is(Code::kUntrusted)) << (done.ok() ? "accepted" : done.error().ToString());
    EXPECT_THAT(done.error().message(), HasSubstr(target_));
    EXPECT_THAT(done.error().message(), HasSubstr(why));
    EXPECT_TRUE(done.error().detail().request_not_sent);
    EXPECT_EQ(requests_, 0) << "the request must not reach a server that is not trusted";
    EXPECT_EQ(reply_.headers_calls, 0);
  }

  const TestCertificate good_ = MakeCertificate();
  std::atomic<int> requests_{0};
  std::string target_;
  Reply reply_;
};

TEST_F(HttpTlsTest, SelfSignedIsRefused) { ExpectRefused(Get(good_, {}), "self-signed"); }

TEST_F(HttpTlsTest, AKnownCertificateIsAccepted) {
  const PemFile ca(good_.certificate_pem);
  const auto done = Get(good_, {.ca_file = ca.path()});
  ASSERT_TRUE(done.ok()) << done.error().ToString();
  EXPECT_EQ(reply_.body, "secret");
}

TEST_F(HttpTlsTest, AnotherCaIsNotEnough) {
  const TestCertificate other = MakeCertificate({.common_name = "other"});
  const PemFile ca(other.certificate_pem);
  ExpectRefused(Get(good_, {.ca_file = ca.path()}), "certificate");
}

TEST_F(HttpTlsTest, ExpiredIsRefused) {
  const TestCertificate expired = MakeCertificate(
      {.valid_from = std::chrono::hours(-48), .valid_until = std::chrono::hours(-24)});
  const PemFile ca(expired.certificate_pem);
  ExpectRefused(Get(expired, {.ca_file = ca.path()}), "expired");
}

TEST_F(HttpTlsTest, NotYetValidIsRefused) {
  const TestCertificate early = MakeCertificate(
      {.valid_from = std::chrono::hours(24), .valid_until = std::chrono::hours(48)});
  const PemFile ca(early.certificate_pem);
  ExpectRefused(Get(early, {.ca_file = ca.path()}), "not yet valid");
}

TEST_F(HttpTlsTest, AnotherNameIsRefused) {
  const TestCertificate other =
      MakeCertificate({.common_name = "example.org", .alternative_names = "DNS:example.org"});
  const PemFile ca(other.certificate_pem);
  ExpectRefused(Get(other, {.ca_file = ca.path()}), "127.0.0.1");
  ExpectRefused(Get(other, {.ca_file = ca.path()}, "localhost"), "localhost");
}

TEST_F(HttpTlsTest, InsecureAcceptsAnything) {
  const TestCertificate awful = MakeCertificate({.common_name = "example.org",
                                                 .alternative_names = "",
                                                 .valid_from = std::chrono::hours(-48),
                                                 .valid_until = std::chrono::hours(-24)});
  EXPECT_TRUE(Get(good_, {.insecure = true}).ok());
  EXPECT_TRUE(Get(awful, {.insecure = true}).ok());
}

TEST_F(HttpTlsTest, ThePinnedCertificateIsAcceptedWhateverItsNameAndDates) {
  const TestCertificate awful = MakeCertificate({.common_name = "example.org",
                                                 .alternative_names = "DNS:example.org",
                                                 .valid_from = std::chrono::hours(-48),
                                                 .valid_until = std::chrono::hours(-24)});
  for (const TestCertificate& certificate : {good_, awful}) {
    for (const std::string& pin : {certificate.sha1, certificate.sha256}) {
      for (const bool insecure : {false, true}) {
        const auto done = Get(certificate, {.insecure = insecure, .thumbprint = pin});
        ASSERT_TRUE(done.ok()) << pin << ": " << done.error().ToString();
        EXPECT_EQ(reply_.body, "secret");
      }
    }
  }
  std::string upper = good_.sha256;
  for (char& c : upper) c = static_cast<char>(toupper(c));
  EXPECT_TRUE(Get(good_, {.thumbprint = upper}).ok());
}

TEST_F(HttpTlsTest, AnotherPinIsRefusedAlsoWithInsecureOrAKnownCa) {
  const TestCertificate other = MakeCertificate();
  const PemFile ca(good_.certificate_pem);
  for (const std::string& pin : {other.sha1, other.sha256}) {
    ExpectRefused(Get(good_, {.thumbprint = pin}), good_.sha256);
    ExpectRefused(Get(good_, {.insecure = true, .thumbprint = pin}), good_.sha256);
    ExpectRefused(Get(good_, {.thumbprint = pin, .ca_file = ca.path()}), good_.sha256);
  }
  std::string almost = good_.sha256;
  almost.back() = almost.back() == '0' ? '1' : '0';
  ExpectRefused(Get(good_, {.thumbprint = almost}), good_.sha256);
}

TEST_F(HttpTlsTest, ThePinHoldsForEveryConnection) {
  // Without reuse each request is a handshake of its own; most of them resume the first one's
  // session.
  for (const bool right : {true, false}) {
    std::atomic<int> served{0};
    RawServer server(
        [&](RawConnection& connection) {
          RawRequest request;
          if (!connection.ReadRequest(&request)) return;
          ++served;
          connection.Write("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
        },
        &good_);
    HttpConfig config;
    config.tls.thumbprint = right ? good_.sha256 : std::string(64, '0');
    const auto client = NewClient(config);
    for (int i = 0; i < 5; ++i) {
      HttpRequest request = NewRequest(server.port(), "GET");
      request.scheme = "https";
      const auto done = client->Do(request, reply_, Patient());
      EXPECT_EQ(done.ok(), right);
      EXPECT_EQ(done.Is(Code::kUntrusted), !right);
      reply_ = Reply();
    }
    EXPECT_EQ(served, right ? 5 : 0);
  }
}

TEST_F(HttpTlsTest, APinNeedsHttps) {
  RawServer server(AnswerAll("plain"));
  HttpConfig config;
  config.tls.thumbprint = good_.sha1;
  const auto client = NewClient(config);
  EXPECT_TRUE(
      client->Do(NewRequest(server.port(), "GET"), reply_, Patient()).Is(Code::kInvalidArgument));
  EXPECT_EQ(server.accepted(), 0u);
}

TEST_F(HttpTlsTest, APinAndAnHttpsProxyExcludeEachOther) {
  HttpConfig config;
  config.tls.thumbprint = good_.sha1;
  config.proxy = "https://127.0.0.1:1";
  EXPECT_TRUE(MakeHttpClient(config).Is(Code::kInvalidArgument));
}

TEST_F(HttpTlsTest, TlsToAPlainServerFailsAsUnavailable) {
  RawServer server([](RawConnection& connection) {
    connection.Write("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    connection.WaitForPeer();
  });
  const auto client = NewClient();
  HttpRequest request = NewRequest(server.port(), "GET");
  request.scheme = "https";
  const auto done = client->Do(request, reply_, Patient());
  ASSERT_TRUE(done.Is(Code::kUnavailable)) << done.error().ToString();
  EXPECT_TRUE(done.error().detail().request_not_sent);
}

TEST_F(HttpTlsTest, ClientCertificates) {
  const TestCertificate mine = MakeCertificate({.common_name = "client"});
  const TestCertificate foreign = MakeCertificate({.common_name = "client"});
  const PemFile ca(good_.certificate_pem);
  const PemFile certificate(mine.certificate_pem);
  const PemFile key(mine.key_pem);
  const PemFile foreign_key(foreign.key_pem);
  RawServer server(AnswerAll("ok"), &good_, &mine);
  const auto get = [&](const std::string& certificate_file, const std::string& key_file) {
    HttpConfig config;
    config.tls = {
        .ca_file = ca.path(), .client_certificate = certificate_file, .client_key = key_file};
    const auto client = NewClient(config);
    HttpRequest request = NewRequest(server.port(), "GET");
    request.scheme = "https";
    reply_ = Reply();
    return client->Do(request, reply_, Patient());
  };
  const auto with = get(certificate.path(), key.path());
  EXPECT_TRUE(with.ok()) << with.error().ToString();
  const auto without = get("", "");
  EXPECT_FALSE(without.ok());

  HttpConfig config;
  config.tls = {.client_certificate = certificate.path(), .client_key = foreign_key.path()};
  const auto mismatched = MakeHttpClient(config);
  ASSERT_TRUE(mismatched.Is(Code::kInvalidArgument));
  EXPECT_THAT(mismatched.error().message(), HasSubstr(foreign_key.path()));
}

TEST_F(HttpTlsTest, ReusedConnectionsWork) {
  // Session tickets arrive after the handshake; they must not be taken for bytes that nobody asked
  // for.
  const PemFile ca(good_.certificate_pem);
  RawServer server(AnswerAll("ok"), &good_);
  HttpConfig config;
  config.tls.ca_file = ca.path();
  const auto client = NewClient(config);
  HttpRequest request = NewRequest(server.port(), "GET");
  request.scheme = "https";
  for (int i = 0; i < 10; ++i) {
    Reply reply;
    const auto done = client->Do(request, reply, Patient());
    ASSERT_TRUE(done.ok()) << done.error().ToString();
  }
  EXPECT_EQ(server.accepted(), 1u);
}

TEST_F(HttpTlsTest, LeftOverBytesOverTlsAreNotTheNextReply) {
  RawServer server(
      [](RawConnection& connection) {
        RawRequest request;
        while (connection.ReadRequest(&request)) {
          connection.Write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood");
          connection.Write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
        }
      },
      &good_);
  HttpConfig config;
  config.tls.insecure = true;
  const auto client = NewClient(config);
  HttpRequest request = NewRequest(server.port(), "GET");
  request.scheme = "https";
  int good = 0;
  for (int i = 0; i < 20; ++i) {
    Reply reply;
    const auto done = client->Do(request, reply, Patient());
    ASSERT_TRUE(done.ok()) << done.error().ToString();
    good += reply.body == "good" ? 1 : 0;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));  // lets the second record arrive
  }
  EXPECT_EQ(good, 20);
}

TEST(TlsPinParse, TakesHexOfTwoLengthsOnly) {
  EXPECT_TRUE(TlsPin::Parse(std::string(40, 'a')).ok());
  EXPECT_TRUE(TlsPin::Parse(std::string(64, 'F')).ok());
  for (const std::string& bad :
       {std::string(), std::string(39, 'a'), std::string(41, 'a'), std::string(32, 'a'),
        std::string(128, 'a'), std::string(39, 'a') + ":", std::string(63, 'a') + "g"}) {
    EXPECT_TRUE(TlsPin::Parse(bad).Is(Code::kInvalidArgument)) << bad;
  }
  const auto pin = TlsPin::Parse(HexEncode(Sha1("certificate")));
  EXPECT_TRUE(pin->Matches("certificate"));
  EXPECT_FALSE(pin->Matches("certificatf"));
}

}  // namespace
}  // namespace quayfs::s3::testing
