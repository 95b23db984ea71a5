// SPDX-License-Identifier: Apache-2.0
//
// What the upload parameters of QingStor's connection document do to the requests of a mount.

#include <gtest/gtest.h>

#include <chrono>
#include <fstream>
#include <string>

#include "tests/mount/mount_fixture.h"

namespace quayfs::mounttest {
namespace {

/// The most memory that a process has had so far.
size_t PeakMebibytes(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/status");
  std::string word;
  while (file >> word && word != "VmHWM:") {
  }
  size_t kibibytes = 0;
  EXPECT_TRUE(file >> kibibytes);
  return kibibytes / 1024;
}

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

// The cutoff of the document is 200 MiB; what lies below it goes as one PUT, and from the disk.
TEST_F(UploadParametersTest, ALargeFileBelowTheCutoffIsNotHeldInMemory) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a sanitizer's own memory would be counted";
#endif
  constexpr size_t kMebibytes = 80;
  ASSERT_NO_FATAL_FAILURE(env().Mount());
  server().ResetLog();
  const std::string text = Pattern(kMebibytes << 20, 1);
  WriteFile(env().Path("f"), text);
  env().Sync();
  EXPECT_EQ(server().Count("PutObject"), 1U);
  EXPECT_EQ(Parts(), 0U);
  EXPECT_LT(PeakMebibytes(env().DaemonPid()), 50U);
  EXPECT_TRUE(env().ObjectBody("f") == text);
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
