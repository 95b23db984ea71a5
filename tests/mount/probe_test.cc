// SPDX-License-Identifier: Apache-2.0
//
// What `quayfs check` has found out about a store is what later mounts go by.

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/mount/mount_fixture.h"

namespace quayfs::mounttest {
namespace {

class ProbeMountTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const std::string why = WhyNoFuse(); !why.empty()) GTEST_SKIP() << why;
    environment_.emplace("server");
  }
  MountEnvironment& env() { return *environment_; }

  nlohmann::json Status() {
    const ProgramResult result = RunQuayfs({"status", env().mount_point(), "--json"});
    EXPECT_EQ(result.status, 0) << result.err;
    const nlohmann::json report = nlohmann::json::parse(result.out, nullptr, false);
    return report.is_object() ? report.at("mounts").at(0) : nlohmann::json::object();
  }
  bool PutsAreConditional(const std::string& name) {
    env().server()->ResetLog();
    WriteFile(env().Path(name), "x");
    env().Sync();
    const auto log = env().server()->Log();
    const auto put = std::find_if(log.begin(), log.end(), [&](const auto& record) {
      return record.operation == "PutObject" && record.key == env().prefix() + name;
    });
    EXPECT_NE(put, log.end());
    return put != log.end() && put->headers.count("if-none-match") == 1;
  }

  std::optional<MountEnvironment> environment_;
};

TEST_F(ProbeMountTest, AMountDoesNotProbeAndTakesTheProfile) {
  ASSERT_NO_FATAL_FAILURE(env().Mount());
  EXPECT_EQ(env().server()->Count("PutObject"), 0U);
  const nlohmann::json status = Status();
  EXPECT_EQ(status.at("capabilities").at("put_if_absent"), false);
  EXPECT_EQ(status.at("capabilities_from").at("put_if_absent"), "profile");
  EXPECT_NE(status.at("probe").at("note").get<std::string>().find("quayfs check"),
            std::string::npos);
  EXPECT_FALSE(PutsAreConditional("f"));
}

TEST_F(ProbeMountTest, WhatCheckHasFoundIsUsed) {
  env().WriteConfig();
  const ProgramResult check = RunQuayfs({"check", env().config_path()}, std::chrono::seconds(300));
  ASSERT_LE(check.status, 1) << check.out;  // plain http is a warning
  EXPECT_NE(check.out.find("remembered"), std::string::npos) << check.out;
  ASSERT_NO_FATAL_FAILURE(env().Mount());
  const nlohmann::json status = Status();
  EXPECT_EQ(status.at("capabilities").at("put_if_absent"), true);
  EXPECT_EQ(status.at("capabilities_from").at("put_if_absent"), "probe");
  EXPECT_TRUE(PutsAreConditional("f"));
  const ProgramResult text = RunQuayfs({"status", env().mount_point()});
  EXPECT_NE(text.out.find("(probe)"), std::string::npos) << text.out;
  ASSERT_NO_FATAL_FAILURE(env().Unmount());

  // A file that nobody can read is as good as none, and the mount says so.
  const std::string probes = env().directory() + "/state/quayfs/probes";
  const std::vector<std::string> files = Names(probes);
  ASSERT_EQ(files.size(), 1U);
  std::filesystem::resize_file(probes + "/" + files[0], 100);
  ASSERT_NO_FATAL_FAILURE(env().Mount());
  EXPECT_EQ(Status().at("capabilities").at("put_if_absent"), false);
  EXPECT_NE(env().LogText().find("probe.not_used"), std::string::npos);
  EXPECT_FALSE(PutsAreConditional("g"));
}

}  // namespace
}  // namespace quayfs::mounttest
