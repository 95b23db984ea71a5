// SPDX-License-Identifier: Apache-2.0

#include "fs/program/endpoint_check.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <memory>

#include "tests/server/server.h"

namespace quayfs::program {
namespace {

class EndpointCheckTest : public ::testing::Test {
 protected:
  void Start(testserver::ServerConfig server_config) {
    auto server = testserver::Server::Start(server_config);
    ASSERT_TRUE(server.ok()) << server.error().ToString();
    server_ = *std::move(server);
    config_ = {};
    config_.path = "n.toml";
    config_.store.provider = "s3";
    config_.store.endpoint = server_->endpoint();
    config_.store.bucket = "test";
    config_.store.credentials = {"test-key", "test-secret", ""};
  }
  void StartTls(testserver::ServerConfig server_config = {}) {
    server_config.tls = true;
    ASSERT_NO_FATAL_FAILURE(Start(server_config));
  }
  ~EndpointCheckTest() override {
    std::error_code ignored;
    if (!ca_file_.empty()) std::filesystem::remove(ca_file_, ignored);
  }
  void TrustIt() {
    ca_file_ = (std::filesystem::temp_directory_path() / "quayfs-check-XXXXXX").string();
    const int fd = ::mkstemp(ca_file_.data());
    ASSERT_GE(fd, 0);
    ::close(fd);
    std::ofstream(ca_file_) << server_->certificate_pem();
    config_.store.ca_file = ca_file_;
  }
  CheckRow Row(const std::string& name) {
    for (CheckRow& row : CheckEndpoint(config_)) {
      if (row.name == name) return row;
    }
    return {name, CheckResult::kSkipped, "(absent)"};
  }
  void Expect(const std::string& name, CheckResult result, const std::string& needle) {
    const CheckRow row = Row(name);
    EXPECT_EQ(CheckResultName(row.result), CheckResultName(result)) << row.text;
    EXPECT_NE(row.text.find(needle), std::string::npos) << row.text;
  }

  std::unique_ptr<testserver::Server> server_;
  MountConfig config_;
  std::string ca_file_;
};

TEST_F(EndpointCheckTest, PlainHttpIsAWarning) {
  ASSERT_NO_FATAL_FAILURE(Start({}));
  Expect("tls", CheckResult::kWarning, "use https://");
  Expect("clock", CheckResult::kOk, " s apart");
  Expect("list version", CheckResult::kOk, "2");
}

TEST_F(EndpointCheckTest, ASelfSignedCertificateComesWithWhatToPin) {
  ASSERT_NO_FATAL_FAILURE(StartTls());
  Expect("tls", CheckResult::kFailed,
         "extended.Cert_thumbprint = \"" + server_->certificate_sha256() + "\"");
  Expect("tls", CheckResult::kFailed, "self-signed");
  config_.store.allow_insecure_tls = true;
  Expect("tls", CheckResult::kWarning, "Allow_Insecure_SSL");
  config_.store.allow_insecure_tls = false;
  config_.store.certificate_thumbprint = server_->certificate_sha1();
  Expect("tls", CheckResult::kOk, "pinned");
  config_.store.certificate_thumbprint = server_->certificate_sha256();
  Expect("tls", CheckResult::kOk, "pinned");
  config_.store.certificate_thumbprint = std::string(64, '0');
  Expect("tls", CheckResult::kFailed, server_->certificate_sha256());
}

TEST_F(EndpointCheckTest, ATrustedCertificateIsDescribed) {
  ASSERT_NO_FATAL_FAILURE(StartTls());
  ASSERT_NO_FATAL_FAILURE(TrustIt());
  Expect("tls", CheckResult::kOk, "quayfs test server");
  Expect("tls", CheckResult::kOk, server_->certificate_sha256());
}

TEST_F(EndpointCheckTest, ACertificateThatIsAboutToExpire) {
  testserver::ServerConfig server_config;
  server_config.certificate_life = std::chrono::hours(24 * 3);
  ASSERT_NO_FATAL_FAILURE(StartTls(server_config));
  ASSERT_NO_FATAL_FAILURE(TrustIt());
  Expect("tls", CheckResult::kWarning, "expires on ");
}

TEST_F(EndpointCheckTest, AnExpiredCertificate) {
  testserver::ServerConfig server_config;
  server_config.certificate_life = -std::chrono::hours(1);
  ASSERT_NO_FATAL_FAILURE(StartTls(server_config));
  ASSERT_NO_FATAL_FAILURE(TrustIt());
  Expect("tls", CheckResult::kFailed, "expired");
}

TEST_F(EndpointCheckTest, ACertificateOfAnotherName) {
  testserver::ServerConfig server_config;
  server_config.address = "127.0.0.2";
  ASSERT_NO_FATAL_FAILURE(StartTls(server_config));
  ASSERT_NO_FATAL_FAILURE(TrustIt());
  Expect("tls", CheckResult::kFailed, "mismatch");
}

TEST_F(EndpointCheckTest, ClocksThatDiffer) {
  testserver::ServerConfig server_config;
  server_config.clock_offset = std::chrono::minutes(5);
  ASSERT_NO_FATAL_FAILURE(Start(server_config));
  Expect("clock", CheckResult::kWarning, "s behind the service's");
  server_config.clock_offset = -std::chrono::hours(1);
  ASSERT_NO_FATAL_FAILURE(Start(server_config));
  Expect("clock", CheckResult::kWarning, "s ahead of the service's");
  Expect("clock", CheckResult::kWarning, "timedatectl");
}

TEST_F(EndpointCheckTest, AServiceWithTheOldListing) {
  testserver::ServerConfig server_config;
  server_config.list_v2 = false;
  ASSERT_NO_FATAL_FAILURE(Start(server_config));
  Expect("list version", CheckResult::kOk, "1: ");
}

TEST_F(EndpointCheckTest, ALocalStoreHasNoEndpoint) {
  config_.store.provider = "local";
  config_.store.bucket = "/tmp";
  EXPECT_TRUE(CheckEndpoint(config_).empty());
}

}  // namespace
}  // namespace quayfs::program
