// SPDX-License-Identifier: Apache-2.0
//
// What common operations cost, in requests, as the server counts them.

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

#include "tests/mount/mount_fixture.h"

namespace quayfs::mounttest {
namespace {

using RequestsTest = ServerTest;

TEST_F(RequestsTest, CreateWriteCloseIsOnePut) {
  ASSERT_NO_FATAL_FAILURE(environment_->Mount());
  ASSERT_EQ(::mkdir(Path("d").c_str(), 0755), 0);
  environment_->Sync();
  server().ResetLog();
  for (int i = 0; i < 10; ++i) WriteFile(Path("d/f" + std::to_string(i)), "contents");
  environment_->Sync();
  EXPECT_EQ(server().Count("PutObject"), 10U) << Shown();
  EXPECT_EQ(Requests(), 10U) << Shown();
}

/// How many of the server's requests of this kind overlapped.
int MostAtOnce(const std::vector<testserver::RequestRecord>& log, const std::string& operation) {
  int most = 0;
  for (const auto& one : log) {
    if (one.operation != operation) continue;
    const auto at_its_start = [&](const auto& other) {
      return other.operation == operation && other.started <= one.started &&
             one.started < other.finished;
    };
    most = std::max(most, static_cast<int>(std::count_if(log.begin(), log.end(), at_its_start)));
  }
  return most;
}

TEST_F(RequestsTest, UploadConcurrencyLimitsThePartsOfAFile) {
  for (const bool limited : {false, true}) {
    std::vector<std::string> options = {"-o", "chunk_size=5MiB"};
    if (limited) options[1] += ",upload_concurrency=1";
    ASSERT_NO_FATAL_FAILURE(environment_->Mount(options));
    server().ResetLog();
    // Longer than it takes to send another part.
    server().SetDelay(std::chrono::milliseconds(300));
    WriteFile(Path("f"), Pattern(32 << 20, limited ? 1 : 2));
    environment_->Sync();
    server().SetDelay(std::chrono::milliseconds(0));
    EXPECT_GE(server().Count("UploadPart"), 6U) << Shown();
    if (limited) {
      EXPECT_EQ(MostAtOnce(server().Log(), "UploadPart"), 1);
    } else {
      EXPECT_GT(MostAtOnce(server().Log(), "UploadPart"), 1);
    }
    ASSERT_NO_FATAL_FAILURE(environment_->Unmount());
  }
}

TEST_F(RequestsTest, AModeThatIsAlreadyThereCostsNothing) {
  ASSERT_NO_FATAL_FAILURE(environment_->Mount());
  WriteFile(Path("f"), "x");
  ASSERT_EQ(::chmod(Path("f").c_str(), 0640), 0);
  environment_->Sync();
  server().ResetLog();
  ASSERT_EQ(::chmod(Path("f").c_str(), 0640), 0);
  environment_->Sync();
  EXPECT_EQ(Requests(), 0U) << Shown();
  ASSERT_EQ(::chmod(Path("f").c_str(), 0600), 0);
  environment_->Sync();
  EXPECT_EQ(server().Count("PutObject") + server().Count("CopyObject"), 1U) << Shown();
}

TEST_F(RequestsTest, TheSecondLookCostsNothing) {
  for (int i = 0; i < 50; ++i) {
    ASSERT_NO_FATAL_FAILURE(environment_->PutObject("d/f" + std::to_string(i), "contents"));
  }
  ASSERT_NO_FATAL_FAILURE(environment_->Mount());
  ASSERT_EQ(RunCommand({"ls", "-lR", environment_->mount_point()}).status, 0);
  EXPECT_LE(server().Count("HeadObject"), 60U) << Shown();
  server().ResetLog();
  ASSERT_EQ(RunCommand({"ls", "-lR", environment_->mount_point()}).status, 0);
  EXPECT_EQ(Requests(), 0U) << Shown();
}

TEST_F(RequestsTest, AFileThatWasReadIsNotReadAgain) {
  ASSERT_NO_FATAL_FAILURE(environment_->PutObject("big", Pattern(3 << 20, 5)));
  ASSERT_NO_FATAL_FAILURE(environment_->Mount());
  EXPECT_TRUE(ReadFile(Path("big")) == Pattern(3 << 20, 5));
  server().ResetLog();
  EXPECT_TRUE(ReadFile(Path("big")) == Pattern(3 << 20, 5));
  EXPECT_EQ(server().Count("GetObject"), 0U) << Shown();
}

TEST_F(RequestsTest, AnIdleMountSendsNothing) {
  ASSERT_NO_FATAL_FAILURE(environment_->Mount());
  WriteFile(Path("f"), "x");
  ASSERT_EQ(RunQuayfs({"sync", environment_->mount_point()}).status, 0);
  server().ResetLog();
  ASSERT_EQ(RunQuayfs({"status", environment_->mount_point()}).status, 0);
  ASSERT_EQ(RunQuayfs({"sync", environment_->mount_point()}).status, 0);
  EXPECT_EQ(Requests(), 0U) << Shown();
}

TEST_F(RequestsTest, APatchOfALargeFileSendsLittle) {
  ASSERT_NO_FATAL_FAILURE(environment_->Mount());
  WriteFile(Path("large"), Pattern(64 << 20, 3));
  environment_->Sync();
  server().ResetLog();
  const UniqueFd file(::open(Path("large").c_str(), O_WRONLY | O_CLOEXEC));
  ASSERT_EQ(::pwrite(file.get(), "patch", 5, 33 << 20), 5);
  ASSERT_EQ(::fsync(file.get()), 0) << std::strerror(errno);
  EXPECT_LE(server().Count("UploadPart"), 1U) << Shown();
  EXPECT_GE(server().Count("UploadPartCopy"), 1U) << Shown();
  EXPECT_LE(Requests(), 10U) << Shown();
}

}  // namespace
}  // namespace quayfs::mounttest
