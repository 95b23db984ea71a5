// SPDX-License-Identifier: Apache-2.0
//
// What a rename costs where the service has a move of its own: QingStor's, and Kodo's native one.

#include <sys/stat.h>

#include <cstdio>

#include "tests/mount/mount_fixture.h"

namespace quayfs::mounttest {
namespace {

class MovesTest : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (const std::string why = WhyNoFuse(); !why.empty()) GTEST_SKIP() << why;
    environment_.emplace(GetParam());
  }
  MountEnvironment& env() { return *environment_; }
  testserver::Server& server() { return *environment_->server(); }
  uint64_t Moves() {
    return server().Count(GetParam() == "qingstor" ? "MoveObject" : "NativeMove");
  }
  std::string Shown() {
    std::string text;
    for (const auto& [operation, count] : server().Counts())
      text += operation + "=" + std::to_string(count) + " ";
    return text;
  }
  std::optional<MountEnvironment> environment_;
};

TEST_P(MovesTest, ARenamedFileIsMovedByTheService) {
  ASSERT_NO_FATAL_FAILURE(env().Mount());
  for (const char* name : {"first", "a"}) WriteFile(env().Path(name), "contents");
  env().Sync();
  // The first one may be looked at more closely.
  ASSERT_EQ(std::rename(env().Path("first").c_str(), env().Path("second").c_str()), 0);
  env().Sync();
  server().ResetLog();
  ASSERT_EQ(std::rename(env().Path("a").c_str(), env().Path("b").c_str()), 0);
  env().Sync();
  EXPECT_EQ(Moves(), 1U) << Shown();
  EXPECT_EQ(server().Count("CopyObject"), 0U) << Shown();
  EXPECT_EQ(server().Count("DeleteObject"), 0U) << Shown();
  // Whether the new name is free, and which version is moved.
  EXPECT_LE(server().Count("HeadObject"), 2U) << Shown();
  EXPECT_EQ(env().ObjectBody("b"), "contents");
  EXPECT_EQ(env().ObjectNames(), (std::vector<std::string>{"b", "second"}));
  ASSERT_NO_FATAL_FAILURE(env().Remount());
  EXPECT_EQ(ReadFile(env().Path("b")), "contents");
}

TEST_P(MovesTest, ARenamedFolderIsAMovePerObjectAtMost) {
  constexpr uint64_t kFiles = 10;
  ASSERT_NO_FATAL_FAILURE(env().Mount());
  ASSERT_EQ(::mkdir(env().Path("d").c_str(), 0755), 0);
  for (uint64_t i = 0; i < kFiles; ++i)
    WriteFile(env().Path("d/f" + std::to_string(i)), std::to_string(i));
  env().Sync();
  server().ResetLog();
  ASSERT_EQ(std::rename(env().Path("d").c_str(), env().Path("e").c_str()), 0);
  env().Sync();
  if (GetParam() == "qingstor") {
    EXPECT_EQ(Moves(), kFiles) << Shown();
  } else {
    // Those that meet go together.
    const uint64_t requests = Moves() + server().Count("NativeBatch");
    EXPECT_GE(requests, 1U) << Shown();
    EXPECT_LE(requests, kFiles) << Shown();
  }
  EXPECT_EQ(server().Count("CopyObject"), 0U) << Shown();
  for (uint64_t i = 0; i < kFiles; ++i)
    EXPECT_EQ(env().ObjectBody("e/f" + std::to_string(i)), std::to_string(i));
}

INSTANTIATE_TEST_SUITE_P(Services, MovesTest, ::testing::Values("qingstor", "kodo_native"),
                         BackendName);

}  // namespace
}  // namespace quayfs::mounttest
