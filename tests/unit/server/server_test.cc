// SPDX-License-Identifier: Apache-2.0
//
// The server as a whole: its directory, TLS, log, and control surface.

#include "tests/server/server.h"

#include <gtest/gtest.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "base/hash.h"
#include "tests/server/control.h"
#include "tests/unit/server/test_client.h"

namespace quayfs::testserver {
namespace {

class DirectoryTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "quayfs-server-XXXXXX";
    ASSERT_NE(nullptr, mkdtemp(name.data()));
    directory_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  size_t Chunks() const {
    size_t count = 0;
    for (const auto& entry : std::filesystem::directory_iterator(directory_ + "/chunks")) {
      static_cast<void>(entry);
      ++count;
    }
    return count;
  }

  std::string directory_;
};

TEST_F(DirectoryTest, ContentsSurviveARestart) {
  ServerConfig config;
  config.directory = directory_;
  config.part_size_min = 1;
  const std::string large(3 << 20, 'L');
  std::string id;
  std::string complete_id;
  {
    const std::unique_ptr<Server> server = StartServer(config);
    TestClient client(server->port());
    EXPECT_EQ(200, client.Put("/test/a%01%C3%A9", "one", {{"x-amz-meta-x", "y"}}).status);
    EXPECT_EQ(200, client.Put("/test/large", large).status);
    EXPECT_EQ(200, client.Put("/test/gone", "x").status);
    EXPECT_EQ(204, client.Delete("/test/gone").status);
    EXPECT_EQ(200, client.Put("/test/copy", "", {{"x-amz-copy-source", "test/large"}}).status);
    EXPECT_EQ(204, client.Delete("/test/large").status);
    EXPECT_EQ(200, client.Put("/second", "").status);
    id = client.Post("/test/multi", "uploads", "").Xml("UploadId");
    EXPECT_EQ(200, client.Put("/test/multi", "part", {}, "partNumber=1&uploadId=" + id).status);
    complete_id = client.Post("/test/whole", "uploads", "").Xml("UploadId");
    EXPECT_EQ(200,
              client.Put("/test/whole", "w", {}, "partNumber=1&uploadId=" + complete_id).status);
    EXPECT_EQ(200, client
                       .Post("/test/whole", "uploadId=" + complete_id,
                             "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>" +
                                 HexEncode(Md5("w")) + "</ETag></Part></CompleteMultipartUpload>")
                       .status);
  }
  EXPECT_EQ(4u, Chunks());
  // A second start, twice: the rewritten journal must say the same.
  for (int round = 0; round < 2; ++round) {
    const std::unique_ptr<Server> server = StartServer(config);
    TestClient client(server->port());
    EXPECT_EQ((std::vector<std::string>{"a\x01\xc3\xa9", "copy", "whole"}), server->Keys("test"));
    EXPECT_EQ("one", server->Body("test", "a\x01\xc3\xa9"));
    EXPECT_EQ("y", server->Headers("test", "a\x01\xc3\xa9").at("x-amz-meta-x"));
    EXPECT_TRUE(server->Body("test", "copy") == large);
    EXPECT_EQ("w", server->Body("test", "whole"));
    EXPECT_EQ(1u, server->UnfinishedUploads("test"));
    EXPECT_EQ(200, client.Head("/second").status);
    EXPECT_TRUE(client.Get("/test/copy", "", {{"range", "bytes=1000000-2999999"}}).body ==
                large.substr(1000000, 2000000));
  }
}

TEST_F(DirectoryTest, FilesGoWithTheirLastUser) {
  ServerConfig config;
  config.directory = directory_;
  const std::unique_ptr<Server> server = StartServer(config);
  TestClient client(server->port());
  EXPECT_EQ(200, client.Put("/test/a", "1").status);
  EXPECT_EQ(200, client.Put("/test/a", "2").status);
  EXPECT_EQ(1u, Chunks());
  EXPECT_EQ(200, client.Put("/test/b", "", {{"x-amz-copy-source", "test/a"}}).status);
  EXPECT_EQ(204, client.Delete("/test/a").status);
  EXPECT_EQ(1u, Chunks());
  EXPECT_EQ(400, client.Put("/test/c", "x", {{"content-md5", Base64Encode(Md5("y"))}}).status);
  EXPECT_EQ(1u, Chunks());
  EXPECT_EQ(204, client.Delete("/test/b").status);
  EXPECT_EQ(0u, Chunks());
}

TEST_F(DirectoryTest, OneServerAtATime) {
  ServerConfig config;
  config.directory = directory_;
  const std::unique_ptr<Server> server = StartServer(config);
  const Result<std::unique_ptr<Server>> second = Server::Start(config);
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(Code::kBusy, second.code());
}

TEST_F(DirectoryTest, TornLastLineIsDroppedAnyOtherIsAnError) {
  ServerConfig config;
  config.directory = directory_;
  { StartServer(config)->PutDirect("test", "a", "x", {}); }
  { std::ofstream(directory_ + "/journal", std::ios::app) << R"({"op":"put","bucket":"te)"; }
  { EXPECT_EQ("x", StartServer(config)->Body("test", "a")); }
  { std::ofstream(directory_ + "/journal", std::ios::app) << "garbage\n{\"op\":\"delete\"}\n"; }
  EXPECT_FALSE(Server::Start(config).ok());
  EXPECT_EQ(1u, Chunks());
}

TEST(TlsTest, CertificateIsValidForLoopback) {
  const std::unique_ptr<Server> server = StartServer({.tls = true});
  EXPECT_EQ(64u, server->certificate_sha256().size());
  EXPECT_EQ(40u, server->certificate_sha1().size());
  EXPECT_TRUE(server->endpoint().starts_with("https://127.0.0.1:"));
  SSL_CTX* context = SSL_CTX_new(TLS_client_method());
  const std::string text = server->certificate_pem();
  BIO* pem = BIO_new_mem_buf(text.data(), static_cast<int>(text.size()));
  X509* certificate = PEM_read_bio_X509(pem, nullptr, nullptr, nullptr);
  ASSERT_NE(nullptr, certificate);
  X509_STORE_add_cert(SSL_CTX_get_cert_store(context), certificate);
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
  BIO* bio = BIO_new_ssl_connect(context);
  SSL* ssl = nullptr;
  BIO_get_ssl(bio, &ssl);
  X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), "127.0.0.1");
  std::string place = "127.0.0.1:" + std::to_string(server->port());
  // Not BIO_set_conn_hostname: that macro casts a const away in here.
  ASSERT_EQ(1, BIO_ctrl(bio, BIO_C_SET_CONNECT, 0, place.data()));
  ASSERT_EQ(1, BIO_do_connect(bio));
  EXPECT_EQ(X509_V_OK, SSL_get_verify_result(ssl));
  const TestClient client(server->port());
  const std::string request = client.Bytes({.method = "PUT",
                                            .path = "/test/a",
                                            .headers = {{"connection", "close"}},
                                            .body = std::string(300000, 'x')});
  ASSERT_EQ(static_cast<int>(request.size()),
            BIO_write(bio, request.data(), static_cast<int>(request.size())));
  char reply[4096];
  const int count = BIO_read(bio, reply, sizeof(reply));
  ASSERT_GT(count, 12);
  EXPECT_EQ("HTTP/1.1 200", std::string(reply, 12));
  EXPECT_EQ(300000u, server->Body("test", "a")->size());
  X509_free(certificate);
  BIO_free(pem);
  BIO_free_all(bio);
  SSL_CTX_free(context);
}

TEST(LogTest, RecordsSayWhatHappened) {
  const std::unique_ptr<Server> server = StartServer();
  TestClient client(server->port());
  client.Put("/test/a%20b", "hello", {{"x-amz-meta-q", "z"}});
  client.Get("/test/a%20b", "", {{"range", "bytes=0-1"}});
  client.Get("/test", "list-type=2&prefix=a");
  const std::vector<RequestRecord> log = server->Log();
  ASSERT_EQ(3u, log.size());
  EXPECT_EQ("PutObject", log[0].operation);
  EXPECT_EQ("test", log[0].bucket);
  EXPECT_EQ("a b", log[0].key);
  EXPECT_EQ(200, log[0].status);
  EXPECT_EQ(5u, log[0].request_bytes);
  EXPECT_EQ("z", log[0].headers.at("x-amz-meta-q"));
  EXPECT_EQ(0u, log[0].headers.count("authorization"));
  EXPECT_EQ(206, log[1].status);
  EXPECT_EQ(2u, log[1].reply_bytes);
  EXPECT_LE(log[1].started, log[1].finished);
  EXPECT_EQ("ListObjectsV2", log[2].operation);
  EXPECT_EQ("list-type=2&prefix=a", log[2].query);
  EXPECT_EQ(1u, server->Count("GetObject"));
  server->ResetLog();
  EXPECT_TRUE(server->Log().empty());
  EXPECT_EQ(0u, server->Count("GetObject"));
}

class ControlTest : public testing::Test {
 protected:
  Response Control(const std::string& method, const std::string& what,
                   const std::string& body = "") {
    return client_.Do(
        {.method = method,
         .path = kControlPath + what.substr(0, what.find('?')),
         .query = what.find('?') == std::string::npos ? "" : what.substr(what.find('?') + 1),
         .body = body,
         .sign = false});
  }
  std::unique_ptr<Server> server_ = StartServer();
  TestClient client_{server_->port()};
};

TEST_F(ControlTest, CountsLogAndReset) {
  client_.Put("/test/a", "x");
  EXPECT_EQ("{\"counts\":{\"PutObject\":1},\"max_concurrent\":1}\n", Control("GET", "counts").body);
  const Response log = Control("GET", "log");
  EXPECT_NE(std::string::npos, log.body.find("\"operation\":\"PutObject\""));
  EXPECT_EQ(200, Control("POST", "reset").status);
  EXPECT_EQ("{\"counts\":{},\"max_concurrent\":0}\n", Control("GET", "counts").body);
  EXPECT_EQ("{\"keys\":[\"a\"],\"unfinished_uploads\":0}\n",
            Control("GET", "keys?bucket=test").body);
  EXPECT_EQ(404, Control("GET", "nothing").status);
}

TEST_F(ControlTest, Faults) {
  EXPECT_EQ(200, Control("POST", "fault",
                         R"({"kind":"status","operation":"GetObject","status":500,"code":"Oops"})")
                     .status);
  const Response response = client_.Get("/test/a");
  EXPECT_EQ(500, response.status);
  EXPECT_EQ("Oops", response.ErrorCode());
  EXPECT_EQ(200, Control("POST", "fault", R"({"count":-1})").status);
  EXPECT_EQ(503, client_.Get("/test/a").status);
  EXPECT_EQ(200, Control("POST", "clear-faults").status);
  EXPECT_EQ(404, client_.Get("/test/a").status);
  for (const char* bad : {"", "[]", R"({"kind":"boom"})", R"({"count":"1"})", R"({"what":1})"}) {
    EXPECT_EQ(400, Control("POST", "fault", bad).status) << bad;
  }
  EXPECT_EQ(200, Control("POST", "delay?ms=1").status);
  EXPECT_EQ(400, Control("POST", "delay?ms=x").status);
}

}  // namespace
}  // namespace quayfs::testserver
