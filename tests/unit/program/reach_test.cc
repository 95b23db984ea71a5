// SPDX-License-Identifier: Apache-2.0
//
// A bucket's region that is missing or wrong is found out where the vendor tells it.

#include "fs/program/reach.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fs/program/messages.h"
#include "providers/open.h"
#include "tests/server/server.h"

namespace quayfs::program {
namespace {

using ::testing::HasSubstr;

class WithRegionTest : public ::testing::Test {
 protected:
  void Start(const std::string& native_name = "") {
    testserver::ServerConfig server_config;
    server_config.protocol = testserver::Protocol::kKodo;
    server_config.region = "cn-north-1";
    server_config.kodo_bucket = native_name;
    server_ = testserver::Server::Start(server_config).value();
    config_.path = "n.toml";
    config_.store.provider = "kodo";
    config_.store.bucket = "test";
    config_.store.credentials = {"test-key", "test-secret", ""};
    config_.store.discovery_endpoint = server_->endpoint();
  }
  /// As a mount goes about it.
  Status Reach() {
    const auto store = OpenStore(config_.store);
    if (!store) return WithRegion(store.error(), config_);
    const Status reached = ReachBucket(**store, "", {});
    return reached ? reached : Status(WithRegion(reached.error(), config_));
  }
  void ExpectSuggestion() {
    const Status reached = Reach();
    ASSERT_TRUE(reached.Is(Code::kWrongRegion));
    EXPECT_EQ(ExplainStoreError(reached.error(), config_),
              "the bucket 'test' is in region 'cn-north-1'; set region = \"cn-north-1\" in n.toml");
  }

  std::unique_ptr<testserver::Server> server_;
  MountConfig config_;
};

TEST_F(WithRegionTest, AMissingRegionIsSuggested) {
  ASSERT_NO_FATAL_FAILURE(Start());
  ExpectSuggestion();
  EXPECT_EQ(server_->Count("NativeWhere"), 1U);
}

TEST_F(WithRegionTest, AWrongRegionIsSuggested) {
  ASSERT_NO_FATAL_FAILURE(Start());
  config_.store.endpoint = server_->endpoint();
  config_.store.region = "East China-Zhejiang";
  ExpectSuggestion();
  config_.store.region = "North China-Hebei";
  EXPECT_TRUE(Reach().ok());
  EXPECT_EQ(server_->Count("NativeWhere"), 1U) << "nobody is asked when all is well";
}

TEST_F(WithRegionTest, ARegionWhoseHostDoesNotExistIsSuggested) {
  ASSERT_NO_FATAL_FAILURE(Start());
  config_.store.region = "cn-nroth-1";
  ServiceDetail unsent;
  unsent.request_not_sent = true;
  const Error error(Code::kUnavailable, "no such host", unsent);
  EXPECT_EQ(WithRegion(error, config_).detail().region, "cn-north-1");
  config_.store.region = "cn-north-1";
  EXPECT_EQ(WithRegion(error, config_).code(), Code::kUnavailable) << "it is not that";
}

TEST_F(WithRegionTest, TheBucketsOwnNameIsAskedFor) {
  ASSERT_NO_FATAL_FAILURE(Start("own"));
  const Status reached = Reach();
  EXPECT_TRUE(reached.Is(Code::kInvalidArgument));
  EXPECT_THAT(ExplainStoreError(reached.error(), config_), HasSubstr("East China-Zhejiang"))
      << "what there is to choose from";
  config_.store.native = true;
  config_.store.native_bucket = "own";
  ExpectSuggestion();
}

TEST_F(WithRegionTest, NothingIsSaidOfAPrivateInstallation) {
  ASSERT_NO_FATAL_FAILURE(Start());
  config_.store.discovery_endpoint.clear();
  config_.store.endpoint = server_->endpoint();
  config_.store.region = "cn-south-1";
  const Status reached = Reach();
  EXPECT_TRUE(reached.Is(Code::kWrongRegion));
  EXPECT_THAT(ExplainStoreError(reached.error(), config_), HasSubstr("another region; set region"));
}

TEST_F(WithRegionTest, OtherFailuresStayWhatTheyAre) {
  ASSERT_NO_FATAL_FAILURE(Start());
  for (const Code code : {Code::kPermissionDenied, Code::kUnauthenticated, Code::kThrottled})
    EXPECT_EQ(WithRegion(Error(code, "no"), config_).code(), code);
  EXPECT_EQ(server_->Count("NativeWhere"), 0U);
  config_.store.provider = "aws";
  EXPECT_EQ(WithRegion(Error(Code::kNotFound, "no"), config_).code(), Code::kNotFound);
}

TEST_F(WithRegionTest, ABadEndpointIsNamed) {
  ASSERT_NO_FATAL_FAILURE(Start());
  config_.store.region = "cn-north-1";
  config_.store.discovery_endpoint = "uc.example.org";
  EXPECT_THAT(
      OpenStore(config_.store).error().message(),
      HasSubstr("discovery_endpoint: 'uc.example.org' must begin with http:// or https://"));
  config_.store.provider = "cos";
  EXPECT_THAT(OpenStore(config_.store).error().message(),
              HasSubstr("discovery_endpoint: cos has no such service"));
}

}  // namespace
}  // namespace quayfs::program
