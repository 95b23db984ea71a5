// SPDX-License-Identifier: Apache-2.0
//
// What the upload parameters of QingStor's connection document do to the requests of a mount.

#include <gtest/gtest.h>

#include <chrono>

#include "tests/mount/mount_fixture.h"

namespace quayfs::mounttest {
namespace {

class UploadParametersTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const std::string why = WhyNoFuse(); !why.empty()) GTEST_SKIP() << why;
    environment_.emplace("qingstor");
  }
  MountEnvironment& env() { return *environment_; }
  testserver::Server& server() { return *environment_->server(); }
  /// Mounts with `options`, writes so many MiB, and waits until they are in the bucket.
  void Upload(const std::string& options, size_t mebibytes) {
    ASSERT_NO_FATAL_FAILURE(env().Mount({"-o", options}));
    server().ResetLog();
    const std::string text = Pattern(mebibytes << 20, mebibytes);
    WriteFile(env().Path("f"), text);
    env().Sync();
    EXPECT_EQ(env().ObjectBody("f"), text);
    env().Unmount();
  }
  uint64_t Parts() { return server().Count("UploadPart"); }

  std::optional<MountEnvironment> environment_;
};

TEST_F(UploadParametersTest, FilesUpToTheCutoffGoInOnePiece) {
  ASSERT_NO_FATAL_FAILURE(Upload("upload_cutoff=9MiB", 9));
  EXPECT_EQ(Parts(), 0U);
  EXPECT_EQ(server().Count("PutObject"), 1U);
}

TEST_F(UploadParametersTest, FilesAboveItGoInChunks) {
  ASSERT_NO_FATAL_FAILURE(Upload("upload_cutoff=8MiB", 9));
  EXPECT_EQ(Parts(), 3U) << "of 4 MiB";
  ASSERT_NO_FATAL_FAILURE(Upload("upload_cutoff=0,chunk_size=5MiB", 10));
  EXPECT_EQ(Parts(), 2U);
}

TEST_F(UploadParametersTest, ChunksGoOneAtATimeUnlessMoreAreAskedFor) {
  server().SetDelay(std::chrono::milliseconds(100));
  ASSERT_NO_FATAL_FAILURE(Upload("upload_cutoff=0", 24));
  EXPECT_EQ(Parts(), 6U);
  EXPECT_LE(server().MaxConcurrent(), 2) << "a part, and a question beside it";
  ASSERT_NO_FATAL_FAILURE(Upload("upload_cutoff=0,upload_concurrency=6", 24));
  EXPECT_GE(server().MaxConcurrent(), 3);
}

}  // namespace
}  // namespace quayfs::mounttest
