// SPDX-License-Identifier: Apache-2.0

#include "fs/program/store_check.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "providers/open.h"
#include "tests/server/server.h"

namespace quayfs::program {
namespace {

class StoreCheckTest : public ::testing::Test {
 protected:
  void Start(const testserver::ServerConfig& server_config = {}) {
    auto server = testserver::Server::Start(server_config);
    ASSERT_TRUE(server.ok());
    server_ = *std::move(server);
    config_.path = "n.toml";
    config_.prefix = "host-a/";
    config_.store.provider = "s3";
    config_.store.endpoint = server_->endpoint();
    config_.store.bucket = "test";
    config_.store.credentials = {"test-key", "test-secret", ""};
  }
  std::vector<CheckRow> Check() {
    auto store = OpenStore(config_.store);
    EXPECT_TRUE(store.ok());
    return CheckStore(config_, **store);
  }
  static CheckResult ResultOf(const std::vector<CheckRow>& rows, const std::string& name) {
    const auto row =
        std::find_if(rows.begin(), rows.end(), [&](const CheckRow& r) { return r.name == name; });
    EXPECT_TRUE(row != rows.end()) << name;
    return row == rows.end() ? CheckResult::kFailed : row->result;
  }
  static std::string TextOf(const std::vector<CheckRow>& rows, const std::string& name) {
    for (const CheckRow& row : rows) {
      if (row.name == name) return row.text;
    }
    return "(absent)";
  }
  void Deny(const std::string& operation) {
    testserver::Fault fault;
    fault.operation = operation;
    fault.status = 403;
    fault.code = "AccessDenied";
    fault.count = -1;
    server_->AddFault(fault);
  }
  std::unique_ptr<testserver::Server> server_;
  MountConfig config_;
};

TEST_F(StoreCheckTest, AllIsWellAndNothingStays) {
  ASSERT_NO_FATAL_FAILURE(Start());
  EXPECT_EQ(Worst(Check()), CheckResult::kOk);
  EXPECT_TRUE(server_->Keys("test").empty());
}

TEST_F(StoreCheckTest, TellsOfTheClassAndTheSpeed) {
  ASSERT_NO_FATAL_FAILURE(Start());
  config_.store.storage_class = "STANDARD_IA";
  const auto rows = Check();
  const auto text = [&rows](const std::string& name) {
    const auto row =
        std::find_if(rows.begin(), rows.end(), [&](const CheckRow& r) { return r.name == name; });
    return row == rows.end() ? std::string("(absent)") : row->text;
  };
  EXPECT_EQ(text("storage class"), "accepted: STANDARD_IA");
  EXPECT_NE(text("round trip").find("ms"), std::string::npos);
  EXPECT_NE(text("throughput").find("MiB/s down"), std::string::npos);
  EXPECT_TRUE(server_->Keys("test").empty());
  config_.store.storage_class = "NO_SUCH_CLASS";
  EXPECT_EQ(ResultOf(Check(), "write"), CheckResult::kFailed);
}

TEST_F(StoreCheckTest, ArchivedObjectsAreExplained) {
  ASSERT_NO_FATAL_FAILURE(Start());
  server_->PutDirect("test", "host-a/old", "x", {{"x-amz-storage-class", "GLACIER"}});
  server_->PutDirect("test", "host-a/new", "x", {});
  const auto rows = Check();
  EXPECT_EQ(ResultOf(rows, "archived"), CheckResult::kWarning);
  for (const CheckRow& row : rows) {
    if (row.name != "archived") continue;
    EXPECT_NE(row.text.find("1 of the first 2"), std::string::npos) << row.text;
    EXPECT_NE(row.text.find("RestoreObject"), std::string::npos);
  }
}

TEST_F(StoreCheckTest, AReadOnlyMountWritesNothing) {
  ASSERT_NO_FATAL_FAILURE(Start());
  config_.mount.read_only = true;
  const auto rows = Check();
  EXPECT_EQ(Worst(rows), CheckResult::kOk);
  EXPECT_EQ(ResultOf(rows, "write"), CheckResult::kSkipped);
  EXPECT_EQ(server_->Count("PutObject"), 0U);
}

TEST_F(StoreCheckTest, WhatIsForbiddenIsNamedWithWhatToAllow) {
  struct Denial {
    std::string operation;
    std::string row;
    CheckResult result;
    std::string advice;
  };
  const std::vector<Denial> denials = {
      {"ListObjectsV2", "list", CheckResult::kFailed, "allow s3:ListBucket"},
      {"PutObject", "write", CheckResult::kFailed, "allow s3:PutObject"},
      {"HeadObject", "head", CheckResult::kFailed, "allow s3:GetObject"},
      {"GetObject", "read", CheckResult::kFailed, "allow s3:GetObject"},
      {"CopyObject", "copy", CheckResult::kFailed, "allow s3:GetObject and s3:PutObject"},
      {"CreateMultipartUpload", "multipart limits", CheckResult::kFailed, "multipart"},
      {"UploadPart", "multipart limits", CheckResult::kFailed, "multipart"},
      {"ListMultipartUploads", "list uploads", CheckResult::kWarning,
       "allow s3:ListBucketMultipartUploads"},
      {"DeleteObject", "delete", CheckResult::kFailed, "allow s3:DeleteObject"},
  };
  for (const Denial& denial : denials) {
    SCOPED_TRACE(denial.operation);
    ASSERT_NO_FATAL_FAILURE(Start());
    Deny(denial.operation);
    const auto rows = Check();
    EXPECT_EQ(ResultOf(rows, denial.row), denial.result);
    const std::string text = TextOf(rows, denial.row);
    EXPECT_NE(text.find(denial.advice), std::string::npos) << text;
    EXPECT_NE(text.find("'test-key'"), std::string::npos) << text;
    EXPECT_EQ(text.find("test-secret"), std::string::npos) << text;
    EXPECT_EQ(Worst(rows), denial.result);
    for (const CheckRow& row : rows) EXPECT_EQ(row.text.find('\n'), std::string::npos) << row.text;
  }
}

TEST_F(StoreCheckTest, AnUploadThatMayNotBeAbortedIsTold) {
  ASSERT_NO_FATAL_FAILURE(Start());
  Deny("UploadPart");
  Deny("AbortMultipartUpload");
  const auto rows = Check();
  EXPECT_EQ(ResultOf(rows, "abort upload"), CheckResult::kWarning);
  EXPECT_NE(TextOf(rows, "abort upload").find("s3:AbortMultipartUpload"), std::string::npos);
}

TEST_F(StoreCheckTest, AClassThatTheServiceHasNotIsExplained) {
  ASSERT_NO_FATAL_FAILURE(Start());
  config_.store.storage_class = "STANDARD_TYPO";
  const auto rows = Check();
  EXPECT_NE(TextOf(rows, "write").find("change storage_class in n.toml"), std::string::npos)
      << TextOf(rows, "write");
}

TEST_F(StoreCheckTest, AnotherRegionIsToldAlsoByAServiceThatSaysLittle) {
  testserver::ServerConfig server_config;
  server_config.protocol = testserver::Protocol::kKodo;
  server_config.region = "cn-east-1";
  ASSERT_NO_FATAL_FAILURE(Start(server_config));
  config_.store.provider = "kodo";
  config_.store.region = "cn-south-1";
  const auto rows = Check();
  EXPECT_EQ(ResultOf(rows, "bucket"), CheckResult::kFailed);
  EXPECT_NE(TextOf(rows, "bucket").find("another region; set region"), std::string::npos)
      << TextOf(rows, "bucket");
}

TEST_F(StoreCheckTest, TheRegionIsShownAndOneThatWasFoundOutIsSuggested) {
  testserver::ServerConfig server_config;
  server_config.region = "eu-west-3";
  ASSERT_NO_FATAL_FAILURE(Start(server_config));
  config_.store.region = "eu-west-3";
  EXPECT_EQ(TextOf(Check(), "region"), "region 'eu-west-3' is accepted");
  config_.store.region = "us-east-1";
  const auto rows = Check();
  EXPECT_EQ(ResultOf(rows, "region"), CheckResult::kWarning);
  EXPECT_NE(TextOf(rows, "region").find("set region = \"eu-west-3\" in n.toml"), std::string::npos)
      << TextOf(rows, "region");
}

TEST_F(StoreCheckTest, TheZoneIsShown) {
  testserver::ServerConfig server_config;
  server_config.protocol = testserver::Protocol::kQingStor;
  server_config.region = "sh1a";
  ASSERT_NO_FATAL_FAILURE(Start(server_config));
  config_.store.provider = "qingstor";
  config_.store.zone = "sh1a";
  EXPECT_EQ(TextOf(Check(), "region"), "zone 'sh1a' is accepted");
}

TEST_F(StoreCheckTest, LimitsAreTriedAndShown) {
  ASSERT_NO_FATAL_FAILURE(Start());
  const auto rows = Check();
  EXPECT_EQ(TextOf(rows, "metadata limit"), "2048 bytes of metadata come back");
  EXPECT_EQ(TextOf(rows, "multipart limits"),
            "parts of 5242880 to 5368709120 bytes and up to 10000 of them");
  EXPECT_EQ(server_->Count("CompleteMultipartUpload"), 1U);
  EXPECT_EQ(server_->UnfinishedUploads("test"), 0U);
}

TEST_F(StoreCheckTest, LargerPartsThanThoughtAreAFailure) {
  testserver::ServerConfig server_config;
  server_config.part_size_min = 8 << 20;
  ASSERT_NO_FATAL_FAILURE(Start(server_config));
  EXPECT_EQ(ResultOf(Check(), "multipart limits"), CheckResult::kFailed);
}

TEST_F(StoreCheckTest, IgnoredConditionsAreAWarning) {
  testserver::ServerConfig server_config;
  server_config.conditional_writes = false;
  ASSERT_NO_FATAL_FAILURE(Start(server_config));
  OpenOptions everything;
  everything.try_everything = true;
  auto scratch = OpenStore(config_.store, everything);
  ASSERT_TRUE(scratch.ok());
  const auto rows = CheckCapabilities(config_, **scratch, Capabilities{});
  EXPECT_EQ(ResultOf(rows, "put if absent"), CheckResult::kWarning);
  EXPECT_EQ(ResultOf(rows, "copy"), CheckResult::kOk);
  EXPECT_EQ(Worst(rows), CheckResult::kWarning);
  EXPECT_TRUE(server_->Keys("test").empty());
}

}  // namespace
}  // namespace quayfs::program
