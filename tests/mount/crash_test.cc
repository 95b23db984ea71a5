// SPDX-License-Identifier: Apache-2.0
//
// C1, and what follows from it: a daemon that is killed at any moment loses nothing that it has
// acknowledged, and the bucket gets there all the same. QUAYFS_TEST_SEED repeats a run's choices
// (not its timing), QUAYFS_TEST_ROUNDS sets the count.

#include <sys/stat.h>

#include <atomic>
#include <cstdlib>
#include <iostream>
#include <random>
#include <thread>

#include "tests/mount/crash_model.h"
#include "tests/mount/mount_fixture.h"

namespace quayfs::mounttest {
namespace {

constexpr size_t kWriters = 3;
constexpr int kDrainEvery = 4;
constexpr int kOtherClientEvery = 8;
constexpr std::chrono::seconds kDrainLimit(180);

uint64_t NumberFrom(const char* variable, uint64_t otherwise) {
  const char* const text = std::getenv(variable);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

class CrashTest : public ServerTest {
 protected:
  void SetUp() override {
    ASSERT_NO_FATAL_FAILURE(ServerTest::SetUp());
    if (IsSkipped()) return;
    seed_ = TestSeed();
    random_.seed(seed_);
    env().SetTopLines("parameters = \"RetryMode=Standard;RetryInterval=100;RetryCount=2\"");
  }
  uint64_t Draw(uint64_t below) { return random_() % below; }

  void Mount() {
    env().Mount({"-o", "upload_cutoff=256KiB,chunk_size=5MiB", "-o", "consistency=exclusive"});
  }
  void MakeWriters() {
    for (size_t i = 0; i < kWriters; ++i) {
      const std::string name = "w" + std::to_string(i);
      ASSERT_EQ(::mkdir(env().Path(name).c_str(), 0755), 0);
      writers_.push_back(std::make_unique<CrashWriter>(env().Path(name), random_()));
    }
  }
  /// Whether what the store does shows in what callers get.
  bool MakeTrouble() {
    server().ClearFaults();
    server().SetDelay(std::chrono::milliseconds(Draw(3) == 0 ? Draw(20) : 0));
    const uint64_t kind = Draw(5);
    if (kind < 2) return false;
    testserver::Fault fault;
    fault.count = -1;
    fault.probability = 0.05 + 0.05 * static_cast<double>(Draw(5));
    fault.kind = kind == 2      ? testserver::FaultKind::kStatus
                 : kind == 3    ? testserver::FaultKind::kLostReply
                 : Draw(2) == 0 ? testserver::FaultKind::kResetInRequest
                                : testserver::FaultKind::kResetBefore;
    if (kind != 3) {
      server().AddFault(fault);
      return true;
    }
    // Of all that changes something but the creation of an upload: that nobody learned of names
    // itself nowhere, and is looked for as well as can be.
    for (const char* const operation :
         {"PutObject", "CopyObject", "DeleteObject", "DeleteObjects", "UploadPart",
          "UploadPartCopy", "CompleteMultipartUpload", "AbortMultipartUpload"}) {
      fault.operation = operation;
      server().AddFault(fault);
    }
    return true;
  }
  void EndTrouble() {
    server().ClearFaults();
    server().SetDelay(std::chrono::milliseconds(0));
  }
  /// Changes things for a while, and ends the daemon somewhere in it or after it.
  void LoadAndKill() {
    LoadShape shape;
    shape.faults = MakeTrouble();
    shape.large = Draw(3) == 0 ? 11 << 20 : 0;
    std::atomic<bool> stop = false;
    std::atomic<bool> dying = false;
    std::vector<std::thread> threads;
    for (const auto& writer : writers_) {
      writer->SetShape(shape);
      threads.emplace_back([&] { writer->Run(stop, dying); });
    }
    // Not a wait for anything: the moment of the kill is the test's input.
    std::this_thread::sleep_for(std::chrono::milliseconds(20 + Draw(500)));
    if (Draw(3) == 0) {
      stop = true;
      std::this_thread::sleep_for(std::chrono::milliseconds(Draw(600)));
    }
    dying = true;
    env().Kill();
    stop = true;
    for (std::thread& thread : threads) thread.join();
    for (const auto& writer : writers_) writer->CloseAll();
    EndTrouble();
  }
  void ExpectTree() {
    for (const auto& writer : writers_) ASSERT_EQ(writer->Verify(), "") << env().LogText();
  }
  void Drain() {
    EndTrouble();
    ProgramResult result;
    const bool drained = Eventually(
        [&] {
          result = RunQuayfs({"sync", env().mount_point()});
          return result.status == 0;
        },
        kDrainLimit);
    ASSERT_TRUE(drained) << result.err << env().LogText();
  }
  void ExpectBucket() {
    std::map<std::string, std::string> expected;
    for (size_t i = 0; i < writers_.size(); ++i)
      writers_[i]->AddObjects(env().prefix() + "w" + std::to_string(i), &expected);
    std::string report;
    for (const std::string& key : server().Keys("test")) {
      const auto wanted = expected.find(key);
      if (wanted == expected.end()) {
        // The marker of the mount's own root.
        if (key != env().prefix()) report += key + " should not be there\n";
        continue;
      }
      const auto body = server().Body("test", key);
      if (body != wanted->second) {
        report += key + ": " + std::to_string(body->size()) + " bytes instead of " +
                  std::to_string(wanted->second.size()) + ", or others\n";
      }
      expected.erase(wanted);
    }
    for (const auto& [key, body] : expected) report += key + " is missing\n";
    ASSERT_EQ(report, "") << Histories() << env().LogText();
    ASSERT_TRUE(Eventually([this] { return server().UnfinishedUploads("test") == 0; }))
        << server().UnfinishedUploads("test") << " unfinished uploads\n"
        << env().LogText();
  }
  /// As a mount with a cache of its own sees it.
  void ExpectOtherClientSees() {
    const std::string other = env().directory() + "/other";
    ::mkdir(other.c_str(), 0755);
    const ProgramResult mounted =
        RunQuayfs({"mount", env().config_path(), other, "-o",
                   "cache.directory=" + env().directory() + "/other-cache", "--log-file",
                   env().directory() + "/other-log"});
    ASSERT_EQ(mounted.status, 0) << mounted.err;
    for (size_t i = 0; i < writers_.size(); ++i)
      EXPECT_EQ(writers_[i]->VerifyAt(other + "/w" + std::to_string(i)), "");
    EXPECT_EQ(RunQuayfs({"umount", other}).status, 0);
    RunCommand({"rm", "-rf", env().directory() + "/other-cache"});
  }
  std::string Histories() const {
    std::string text;
    for (const auto& writer : writers_) text += writer->History();
    return text;
  }
  size_t Steps() const {
    size_t steps = 0;
    for (const auto& writer : writers_) steps += writer->steps();
    return steps;
  }

  uint64_t seed_ = 0;
  std::mt19937_64 random_;
  std::vector<std::unique_ptr<CrashWriter>> writers_;
};

TEST_F(CrashTest, NothingAcknowledgedIsLostByAKill) {
  const auto rounds = static_cast<int>(NumberFrom("QUAYFS_TEST_ROUNDS", LongRun() ? 1000 : 20));
  // Half of the time it is known what the store honours; else objects are looked at before they are
  // replaced.
  env().WriteConfig();
  if (Draw(2) == 0) {
    ASSERT_LE(RunQuayfs({"check", env().config_path()}).status, 1);
  }
  ASSERT_NO_FATAL_FAILURE(Mount());
  ASSERT_NO_FATAL_FAILURE(MakeWriters());
  for (int round = 1; round <= rounds; ++round) {
    SCOPED_TRACE("round " + std::to_string(round) + ", seed " + std::to_string(seed_));
    ASSERT_NO_FATAL_FAILURE(LoadAndKill());
    ASSERT_NO_FATAL_FAILURE(Mount());
    ASSERT_NO_FATAL_FAILURE(ExpectTree());
    if (HasFailure()) return;
    if (round % kDrainEvery != 0 && round != rounds) continue;
    ASSERT_NO_FATAL_FAILURE(Drain());
    ASSERT_NO_FATAL_FAILURE(ExpectBucket());
    for (const auto& writer : writers_) ASSERT_EQ(writer->VerifyAt(writer->folder()), "");
    if (round % kOtherClientEvery == 0 || round == rounds) {
      ASSERT_NO_FATAL_FAILURE(ExpectOtherClientSees());
    }
  }
  std::cout << rounds << " rounds, " << Steps() << " acknowledged steps" << std::endl;
}

}  // namespace
}  // namespace quayfs::mounttest
