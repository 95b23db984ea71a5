// SPDX-License-Identifier: Apache-2.0

#include "providers/probe.h"

#include <gtest/gtest.h>

#include "providers/open.h"
#include "tests/server/server.h"

namespace quayfs {
namespace {

using testserver::Server;
using testserver::ServerConfig;

class Probe : public testing::Test {
 protected:
  void Start(const ServerConfig& config) { server_ = Server::Start(config).value(); }
  StoreConfig Config() const {
    StoreConfig config;
    config.bucket = "test";
    config.endpoint = server_->endpoint();
    config.credentials = {"test-key", "test-secret", ""};
    return config;
  }
  ProbeReport Run() {
    OpenOptions options;
    options.try_everything = true;
    const auto store = OpenStore(Config(), options).value();
    auto report = ProbeCapabilities(*store, NewProbePrefix(), {});
    EXPECT_TRUE(report.ok()) << report.error().ToString();
    return report.ok() ? *report : ProbeReport{};
  }

  std::unique_ptr<Server> server_;
};

TEST_F(Probe, AServerThatHonoursConditions) {
  Start({});
  const ProbeReport report = Run();
  EXPECT_EQ(report.put_if_absent, ProbeVerdict::kHonoured);
  EXPECT_EQ(report.put_if_match, ProbeVerdict::kHonoured);
  EXPECT_EQ(report.part_copy, ProbeVerdict::kHonoured);
  EXPECT_EQ(report.batch_delete, ProbeVerdict::kHonoured);
  EXPECT_EQ(report.multipart, ProbeVerdict::kHonoured);
  for (const std::string& note : report.notes) ADD_FAILURE() << note;
  EXPECT_TRUE(server_->Keys("test").empty()) << "nothing is left behind";
  EXPECT_EQ(server_->UnfinishedUploads("test"), 0u);
}

TEST_F(Probe, ASuccessIsNoProof) {
  ServerConfig config;
  config.conditional_writes = false;  // 200, and overwrites
  Start(config);
  const ProbeReport report = Run();
  EXPECT_EQ(report.put_if_absent, ProbeVerdict::kIgnored);
  EXPECT_EQ(report.put_if_match, ProbeVerdict::kIgnored);
  EXPECT_EQ(report.complete_if_absent, ProbeVerdict::kIgnored);
  EXPECT_EQ(report.complete_if_match, ProbeVerdict::kIgnored);
  EXPECT_TRUE(server_->Keys("test").empty());
  EXPECT_EQ(server_->UnfinishedUploads("test"), 0u);
  OpenOptions probed;
  probed.probed = report;
  const auto store = OpenStore(Config(), probed).value();
  EXPECT_FALSE(store->capabilities().put_if_absent);
}

TEST_F(Probe, WhatIsRefused) {
  ServerConfig config;
  config.batch_delete = false;
  config.part_copy = false;
  Start(config);
  const ProbeReport report = Run();
  EXPECT_EQ(report.part_copy, ProbeVerdict::kRefused);
  EXPECT_EQ(report.batch_delete, ProbeVerdict::kRefused);
  EXPECT_TRUE(server_->Keys("test").empty());
  EXPECT_EQ(server_->UnfinishedUploads("test"), 0u);
}

TEST_F(Probe, WhatTheProfileDoesNotClaimIsNotTested) {
  Start({});
  const auto store = OpenStore(Config()).value();
  const ProbeReport report = ProbeCapabilities(*store, NewProbePrefix(), {}).value();
  EXPECT_EQ(report.put_if_absent, ProbeVerdict::kUntested);
  EXPECT_EQ(server_->Keys("test").size(), 0u);
}

TEST_F(Probe, AReportTurnsCapabilitiesOnAndOff) {
  Start({});
  OpenOptions probed;
  probed.probed = Run();
  EXPECT_FALSE(OpenStore(Config()).value()->capabilities().put_if_absent);
  EXPECT_TRUE(OpenStore(Config(), probed).value()->capabilities().put_if_absent);
}

TEST_F(Probe, WhatTheUserHasSwitchedOffStaysOff) {
  Start({});
  OpenOptions probed;
  probed.probed = Run();
  StoreConfig config = Config();
  config.client_multipart = false;
  const Capabilities capabilities = OpenStore(config, probed).value()->capabilities();
  EXPECT_FALSE(capabilities.multipart);
  EXPECT_FALSE(capabilities.part_copy);
  EXPECT_FALSE(capabilities.complete_if_absent);
  EXPECT_FALSE(capabilities.complete_if_match);
  EXPECT_TRUE(capabilities.put_if_absent);
}

// A result is remembered for months: what the weather did must not be in it.
TEST_F(Probe, BadWeatherIsNoVerdict) {
  Start({});
  testserver::Fault fault;
  fault.operation = "UploadPartCopy";
  fault.count = -1;
  server_->AddFault(fault);
  StoreConfig config = Config();
  config.retry_mode = s3::RetryMode::kStandard;
  OpenOptions options;
  options.try_everything = true;
  const auto store = OpenStore(config, options).value();
  const ProbeReport report = ProbeCapabilities(*store, NewProbePrefix(), {}).value();
  EXPECT_EQ(report.part_copy, ProbeVerdict::kUntested);
  EXPECT_EQ(report.put_if_absent, ProbeVerdict::kHonoured);
  EXPECT_FALSE(report.notes.empty());
}

TEST_F(Probe, WithoutPermissionItFails) {
  Start({});
  StoreConfig config = Config();
  config.credentials.secret_access_key = "wrong";
  const auto store = OpenStore(config).value();
  EXPECT_FALSE(ProbeCapabilities(*store, NewProbePrefix(), {}).ok());
}

TEST_F(Probe, RepliesCorrectWhatWasDeclared) {
  ServerConfig config;
  config.part_copy = false;
  config.batch_delete = false;
  Start(config);
  StoreConfig minio = Config();
  minio.provider = "minio";
  const auto store = OpenStore(minio).value();
  EXPECT_TRUE(store->capabilities().part_copy);
  EXPECT_TRUE(store->capabilities().batch_delete);
  const std::string text(6 << 20, 'x');
  ASSERT_TRUE(store->Put("a", MemorySource(text), {}, Condition::None(), {}).ok());
  const std::string id = store->CreateUpload("b", {}, {}).value();
  EXPECT_TRUE(
      store->CopyPart("b", id, 1, "a", "", ByteRange{0, 5 << 20}, {}).Is(Code::kNotSupported));
  EXPECT_FALSE(store->capabilities().part_copy);
  const uint64_t before = server_->Count("UploadPartCopy");
  EXPECT_TRUE(
      store->CopyPart("b", id, 1, "a", "", ByteRange{0, 5 << 20}, {}).Is(Code::kNotSupported));
  EXPECT_EQ(server_->Count("UploadPartCopy"), before) << "not asked again";
  const auto outcomes = store->DeleteMany({"a", "b"}, {});
  ASSERT_TRUE(outcomes.ok());
  EXPECT_TRUE((*outcomes)[0].status.ok());
  EXPECT_FALSE(store->capabilities().batch_delete);
  EXPECT_TRUE(server_->Keys("test").empty());
}

TEST_F(Probe, AConditionTheServiceRefusesIsRemembered) {
  Start({});
  StoreConfig minio = Config();
  minio.provider = "minio";
  const auto store = OpenStore(minio).value();
  EXPECT_TRUE(store->capabilities().put_if_absent);
  testserver::Fault fault;
  fault.operation = "PutObject";
  fault.status = 501;
  fault.code = "NotImplemented";
  server_->AddFault(fault);
  const MemorySource text(std::string_view("x"));
  EXPECT_TRUE(store->Put("a", text, {}, Condition::IfAbsent(), {}).Is(Code::kNotSupported));
  EXPECT_FALSE(store->capabilities().put_if_absent);
  EXPECT_TRUE(store->capabilities().put_if_match) << "that was not asked for";
  EXPECT_TRUE(store->Put("a", text, {}, Condition::IfAbsent(), {}).Is(Code::kNotSupported));
  EXPECT_TRUE(store->Put("a", text, {}, Condition::None(), {}).ok());
}

TEST_F(Probe, ABucketThatIsNotThereIsAnsweredWithThoseThatAre) {
  ServerConfig server;
  server.buckets = {"alpha", "beta"};
  Start(server);
  const auto store = OpenStore(Config()).value();
  const Status status = store->CheckBucket({});
  ASSERT_TRUE(status.Is(Code::kNotFound));
  EXPECT_NE(status.error().message().find("alpha, beta"), std::string::npos)
      << status.error().message();
}

}  // namespace
}  // namespace quayfs
