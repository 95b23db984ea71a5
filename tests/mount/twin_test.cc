// SPDX-License-Identifier: Apache-2.0
//
// A mount and a folder of the machine's own file system get the same random calls and have to
// answer the same and look the same: after every call, across remounts with and without the cache,
// and after kills. QUAYFS_TEST_SEED repeats a run; QUAYFS_TEST_ROUNDS sets the number of seeds. A
// failure prints the shortest sequence that could be found.

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <optional>

#include "tests/mount/mount_fixture.h"
#include "tests/mount/twin_steps.h"

namespace quayfs::mounttest {
namespace {

constexpr int kThoroughEvery = 25;
constexpr int kTellEvery = 100;
constexpr const char* kOptions =
    "trust_special=true,upload_cutoff=64KiB,chunk_size=5MiB,durability.fsync=local,"
    "interrupt_grace=1h";  // whoever stops the tests for a while does not make calls fail
constexpr auto kShorteningLimit = std::chrono::seconds(120);

class TwinTest : public ServerTest {
 protected:
  void SetUp() override {
    ASSERT_NO_FATAL_FAILURE(ServerTest::SetUp());
    if (IsSkipped()) return;
    ASSERT_EQ(::mkdir((env().directory() + "/twin").c_str(), 0755), 0);
    env().SetTopLines("parameters = \"RetryMode=Standard;RetryInterval=20;RetryCount=30\"");
    Mount();
  }
  void Mount() {
    if (folder_times_) return env().Mount({"-o", "mount.folder_times=true", "-o", kOptions});
    env().Mount({"-o", kOptions});
  }
  void Interrupt(TwinKind kind) {
    if (kind == TwinKind::kKill) {
      ASSERT_NO_FATAL_FAILURE(env().Kill());
    } else {
      ASSERT_NO_FATAL_FAILURE(env().Unmount());
    }
    if (kind == TwinKind::kRemountCold) std::filesystem::remove_all(env().directory() + "/cache");
    ASSERT_NO_FATAL_FAILURE(Mount());
  }

  struct Pair {
    explicit Pair(const std::string& on_mount, const std::string& beside)
        : mount(on_mount), twin(beside) {}
    TwinFolder mount;
    TwinFolder twin;
    bool warm = true;  // the cache knows all that has happened
  };
  std::unique_ptr<Pair> NewFolders() {
    const std::string name = "/run" + std::to_string(++folders_);
    auto pair =
        std::make_unique<Pair>(env().mount_point() + name, env().directory() + "/twin" + name);
    EXPECT_EQ(::mkdir(pair->mount.root().c_str(), 0755), 0);
    EXPECT_EQ(::mkdir(pair->twin.root().c_str(), 0755), 0);
    return pair;
  }
  /// "" or what the two do not agree on. `seen` becomes what is there.
  std::string Take(Pair& pair, const TwinStep& step, bool thorough,
                   std::vector<std::string>* seen) {
    if (step.interrupts()) {
      pair.mount.CloseAll();
      pair.twin.CloseAll();
      Interrupt(step.kind);
      if (step.kind == TwinKind::kRemountCold) pair.warm = folder_times_;
      if (HasFatalFailure()) return "the mount did not come back";
      thorough = true;
    } else {
      const std::string wanted = pair.twin.Perform(step);
      const std::string found = pair.mount.Perform(step);
      if (wanted != found) return "  answered " + found + " instead of " + wanted + "\n";
    }
    const auto wanted = pair.twin.Describe(thorough, pair.warm);
    seen->clear();
    for (const auto& [path, facts] : wanted) seen->push_back(path);
    return DescribeDifference(wanted, pair.mount.Describe(thorough, pair.warm));
  }
  /// "" or what goes wrong with these steps, in new folders.
  std::string Replay(const std::vector<TwinStep>& steps) {
    const auto pair = NewFolders();
    std::vector<std::string> seen;
    for (size_t i = 0; i < steps.size(); ++i) {
      std::string wrong = Take(*pair, steps[i], i + 1 == steps.size(), &seen);
      if (!wrong.empty() || HasFatalFailure()) return wrong;
    }
    return "";
  }
  /// Leaves out what is not needed for the failure, as long as it can be repeated at all.
  std::vector<TwinStep> Shorten(std::vector<TwinStep> steps) {
    const auto deadline = std::chrono::steady_clock::now() + kShorteningLimit;
    for (size_t piece = steps.size() / 2; piece > 0; piece /= 2) {
      for (size_t at = 0; at + piece < steps.size();) {
        if (std::chrono::steady_clock::now() > deadline) return steps;
        std::vector<TwinStep> fewer(steps.begin(), steps.begin() + static_cast<ptrdiff_t>(at));
        fewer.insert(fewer.end(), steps.begin() + static_cast<ptrdiff_t>(at + piece), steps.end());
        if (Replay(fewer).empty()) {
          at += piece;
        } else {
          steps = std::move(fewer);
        }
      }
    }
    return steps;
  }
  static std::string Listed(const std::vector<TwinStep>& steps) {
    std::string text;
    for (const TwinStep& step : steps) text += "    " + step.Describe() + "\n";
    return text;
  }

  void Run(uint64_t seed, int count, const TwinFeatures& features) {
    TwinChooser chooser(seed, features);
    const auto pair = NewFolders();
    std::vector<TwinStep> steps;
    std::vector<std::string> seen;
    for (int i = 1; i <= count; ++i) {
      steps.push_back(chooser.Choose(seen));
      const bool thorough = i % kThoroughEvery == 0 || i == count;
      const std::string wrong = Take(*pair, steps.back(), thorough, &seen);
      ++steps_;
      if (wrong.empty()) continue;
      pair->mount.CloseAll();
      pair->twin.CloseAll();
      const std::vector<TwinStep> few = Shorten(steps);
      FAIL() << "seed " << seed << ", step " << i << ", " << steps.back().Describe() << "\n"
             << wrong << "  shortened to " << few.size() << " steps:\n"
             << Listed(few) << "  where it says\n"
             << Replay(few);
    }
  }

  void RunSeeds(int seeds) {
    if (const char* const given = std::getenv("QUAYFS_TEST_ROUNDS"); given != nullptr)
      seeds = std::atoi(given);
    const TwinFeatures features = FeaturesOf(env().directory() + "/twin");
    const mode_t before = ::umask(022);
    const uint64_t first = TestSeed();
    for (int i = 0; i < seeds && !HasFailure(); ++i) {
      Run(first + static_cast<uint64_t>(i), 100, features);
      if ((i + 1) % kTellEvery == 0) std::cout << i + 1 << " seeds" << std::endl;
    }
    ::umask(before);
    std::cout << seeds << " seeds, " << steps_ << " steps" << std::endl;
  }

  bool folder_times_ = false;
  int folders_ = 0;
  uint64_t steps_ = 0;
};

TEST_F(TwinTest, EveryCallAnswersAsOnTheMachinesOwnFileSystem) { RunSeeds(LongRun() ? 5000 : 50); }

TEST_F(TwinTest, AStoreThatFailsNowAndThenIsNotSeen) {
  FailNowAndThen();
  RunSeeds(LongRun() ? 1000 : 10);
}

TEST_F(TwinTest, TimesOfFoldersAreKeptByTheBucket) {
  ASSERT_NO_FATAL_FAILURE(env().Unmount());
  folder_times_ = true;
  ASSERT_NO_FATAL_FAILURE(Mount());
  RunSeeds(LongRun() ? 500 : 10);
}

}  // namespace
}  // namespace quayfs::mounttest
