// SPDX-License-Identifier: Apache-2.0
//
// `quayfs check --orphans`: leftover multipart uploads are shown, ours can be aborted, and nobody's
// upload that may be at work is.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/mount/mount_fixture.h"

namespace quayfs::mounttest {
namespace {

using ::testing::HasSubstr;

constexpr size_t kLarge = 24 << 20;

class OrphansTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const std::string why = WhyNoFuse(); !why.empty()) GTEST_SKIP() << why;
    environment_.emplace("server");
    env().SetTopLines("parameters = \"RetryMode=Standard;RetryInterval=100;RetryCount=0\"");
  }
  void TearDown() override {
    if (environment_) env().server()->ClearFaults();
  }
  MountEnvironment& env() { return *environment_; }

  void Refuse(const std::string& operation) {
    testserver::Fault fault;
    fault.operation = operation;
    fault.code = "ServiceUnavailable";
    fault.count = -1;
    env().server()->AddFault(fault);
  }
  size_t Unfinished() { return env().server()->UnfinishedUploads("test"); }

  ProgramResult Check(std::vector<std::string> more) {
    more.insert(more.begin(), {"check", env().config_path(), "--orphans"});
    return RunQuayfs(more);
  }
  /// Of the only upload that is left.
  std::string Whose() {
    const ProgramResult result = Check({"--json"});
    const auto report = nlohmann::json::parse(result.out, nullptr, false);
    if (!report.is_object() || report.at("uploads").size() != 1) return result.out + result.err;
    return report["uploads"][0].at("whose");
  }

  std::optional<MountEnvironment> environment_;
};

TEST_F(OrphansTest, AnUploadThatGoesOnIsNotAborted) {
  Refuse("CompleteMultipartUpload");
  ASSERT_NO_FATAL_FAILURE(env().Mount());
  WriteFile(env().Path("large"), Pattern(kLarge, 1));
  ASSERT_TRUE(Eventually([this] { return Unfinished() == 1; }));
  EXPECT_TRUE(Eventually([this] { return Whose() == "continuing"; })) << Whose();
  EXPECT_EQ(Check({"--abort", "--older-than", "1h"}).status, 0);
  EXPECT_EQ(Unfinished(), 1U);

  // And without its daemon.
  ASSERT_NO_FATAL_FAILURE(env().Kill());
  EXPECT_TRUE(Eventually([this] { return Whose() == "continuing"; })) << Whose();
  EXPECT_EQ(Check({"--abort"}).status, 0);
  EXPECT_EQ(Unfinished(), 1U);

  // Removed, and the store does not take the abort: now it is one of ours that nobody needs.
  Refuse("AbortMultipartUpload");
  ASSERT_NO_FATAL_FAILURE(env().Mount());
  ASSERT_EQ(::unlink(env().Path("large").c_str()), 0);
  EXPECT_TRUE(Eventually([this] { return Whose() == "given up"; })) << Whose();
  const ProgramResult listed = Check({});
  EXPECT_EQ(listed.status, 1);
  EXPECT_THAT(listed.out, HasSubstr("host-a/large"));
  EXPECT_THAT(listed.out, HasSubstr("given up by a mount"));
  const ProgramResult refused = Check({"--abort"});
  EXPECT_EQ(refused.status, 2) << refused.out;
  env().server()->ClearFaults();
  const ProgramResult aborted = Check({"--abort"});
  EXPECT_EQ(aborted.status, 0) << aborted.out << aborted.err;
  EXPECT_EQ(Unfinished(), 0U);
}

TEST_F(OrphansTest, AnotherWritersUploadIsShownAndLeftAlone) {
  env().WriteConfig();
  const ProgramResult none = Check({});
  EXPECT_EQ(none.status, 0) << none.err;
  EXPECT_THAT(none.out, HasSubstr("no unfinished uploads"));
  env().BeginUpload("theirs");
  const ProgramResult listed = Check({"--abort", "--older-than", "1h"});
  EXPECT_EQ(listed.status, 1) << listed.err;
  EXPECT_THAT(listed.out, HasSubstr("host-a/theirs"));
  EXPECT_THAT(listed.out, HasSubstr("may be another writer's"));
  EXPECT_EQ(Unfinished(), 1U);
}

TEST_F(OrphansTest, OptionsThatMakeNoSenseAreRefused) {
  env().WriteConfig();
  EXPECT_EQ(Check({"--older-than", "7d"}).status, 2);
  EXPECT_EQ(Check({"--abort", "--older-than", "5m"}).status, 2);
  EXPECT_EQ(RunQuayfs({"check", env().config_path(), "--abort"}).status, 2);
}

}  // namespace
}  // namespace quayfs::mounttest
