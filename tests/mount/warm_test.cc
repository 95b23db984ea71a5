// SPDX-License-Identifier: Apache-2.0
//
// `quayfs prefetch` and `quayfs evict`: what they cost, and what a read costs afterwards.

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/mount/mount_fixture.h"

namespace quayfs::mounttest {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

class WarmTest : public ServerTest {
 protected:
  void SetUp() override {
    ServerTest::SetUp();
    if (!environment_) return;
    env().SetTopLines("consistency = \"exclusive\"");
    for (const char* name : {"d/one", "d/two", "d/below/three", "other"})
      env().PutObject(name, Pattern(300000, std::string(name).size()));
    ASSERT_NO_FATAL_FAILURE(env().Mount());
  }
  uint64_t Gets() { return server().Count("GetObject"); }
};

TEST_F(WarmTest, AReadAfterPrefetchCostsNoGetAndAfterEvictItDoes) {
  const ProgramResult fetched = RunQuayfs({"prefetch", "--json", Path("d")});
  ASSERT_EQ(fetched.status, 0) << fetched.err;
  EXPECT_EQ(json::parse(fetched.out),
            json({{"files", 3}, {"bytes", 900000}, {"errors", json::array()}}));
  EXPECT_GE(Gets(), 3U);
  server().ResetLog();
  EXPECT_EQ(ReadFile(Path("d/one")), Pattern(300000, 5));
  EXPECT_EQ(ReadFile(Path("d/below/three")), Pattern(300000, 13));
  EXPECT_EQ(RunQuayfs({"prefetch", Path("d")}).out, "3 files, 878.9 KiB, in the cache\n");
  EXPECT_EQ(Gets(), 0U) << Shown();

  // A file and a folder, one of them twice.
  const ProgramResult dropped =
      RunQuayfs({"evict", "--json", Path("d/one"), Path("d/one"), Path("d/below")});
  ASSERT_EQ(dropped.status, 0) << dropped.err;
  EXPECT_EQ(json::parse(dropped.out),
            json({{"files", 2}, {"bytes", 600000}, {"errors", json::array()}}));
  EXPECT_EQ(ReadFile(Path("d/two")), Pattern(300000, 5));
  EXPECT_EQ(Gets(), 0U) << Shown();
  EXPECT_EQ(ReadFile(Path("d/one")), Pattern(300000, 5));
  EXPECT_GE(Gets(), 1U) << "nothing of it is here, nor with the kernel";
}

TEST_F(WarmTest, AllOfAMountIsGivenUpAndItsDiskSpaceWithIt) {
  ASSERT_EQ(RunQuayfs({"prefetch", env().mount_point()}).status, 0);
  const auto cached = [this] {
    const json status = json::parse(RunQuayfs({"status", "--json", env().mount_point()}).out);
    return status["mounts"][0]["cache"]["clean_bytes"].get<uint64_t>();
  };
  EXPECT_EQ(cached(), 1200000U);
  EXPECT_EQ(RunQuayfs({"evict", env().mount_point()}).out,
            "4 files, 1.1 MiB dropped from the cache\n");
  EXPECT_EQ(cached(), 0U);
}

TEST_F(WarmTest, WhatTheBucketLacksIsNeverDropped) {
  testserver::Fault fault;
  fault.kind = testserver::FaultKind::kStatus;
  fault.method = "PUT";
  fault.count = -1;
  server().AddFault(fault);
  WriteFile(Path("d/new"), "only here");
  const ProgramResult dropped = RunQuayfs({"evict", "--json", Path("d/new")});
  ASSERT_EQ(dropped.status, 0) << dropped.err;
  EXPECT_EQ(json::parse(dropped.out)["bytes"], 0);
  EXPECT_EQ(ReadFile(Path("d/new")), "only here");
  server().ClearFaults();
  EXPECT_EQ(env().ObjectBody("d/new"), "only here");
}

TEST_F(WarmTest, WhatCannotBeDoneIsSaidAndTheRestDone) {
  const ProgramResult outside = RunQuayfs({"prefetch", "--json", env().directory(), Path("other")});
  EXPECT_EQ(outside.status, 1);
  EXPECT_THAT(outside.err, HasSubstr("does not lie in a quayfs mount"));
  EXPECT_EQ(json::parse(outside.out)["files"], 1);
  EXPECT_EQ(json::parse(outside.out)["errors"].size(), 1U);

  testserver::Fault fault;
  fault.kind = testserver::FaultKind::kStatus;
  fault.status = 403;
  fault.method = "GET";
  fault.code = "AccessDenied";
  fault.key_contains = "d/one";
  fault.count = -1;
  server().AddFault(fault);
  const ProgramResult failed = RunQuayfs({"prefetch", Path("d")});
  EXPECT_EQ(failed.status, 1);
  EXPECT_THAT(failed.err, HasSubstr("1 of 3 files failed; the first: "));
  server().ResetLog();
  EXPECT_EQ(ReadFile(Path("d/two")), Pattern(300000, 5));
  EXPECT_EQ(Gets(), 0U) << Shown();
}

TEST_F(WarmTest, MoreThanTheCacheKeepsIsRefused) {
  env().Unmount();
  ASSERT_NO_FATAL_FAILURE(env().Mount({"-o", "cache.size=1MiB"}));
  server().ResetLog();
  const ProgramResult refused = RunQuayfs({"prefetch", env().mount_point()});
  EXPECT_EQ(refused.status, 1);
  EXPECT_THAT(refused.err, HasSubstr("they hold 1.1 MiB, and the cache keeps 1 MiB"));
  EXPECT_EQ(Gets(), 0U) << Shown();
}

}  // namespace
}  // namespace quayfs::mounttest
