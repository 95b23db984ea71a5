// SPDX-License-Identifier: Apache-2.0

#include "fs/program/orphan_rules.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace quayfs::program {
namespace {

using std::chrono::hours;
using std::chrono::minutes;

const WallTime kNow = WallTime(std::chrono::hours(24 * 365 * 50));

std::vector<Orphan> Judged() {
  KnownUploads known;
  known.continuing = {"ours", "both"};
  known.aborting = {"given-up", "both"};
  return JudgeUploads({{"a", "ours", kNow - hours(100)},
                       {"b", "given-up", kNow - minutes(1)},
                       {"c", "old", kNow - hours(50)},
                       {"d", "young", kNow - minutes(50)},
                       {"e", "undated", {}},
                       {"f", "both", kNow - hours(99)},
                       {"g", "from-tomorrow", kNow + hours(24)}},
                      known);
}

std::string Aborted(std::optional<Duration> older_than) {
  std::string keys;
  for (const Orphan& orphan : Judged()) {
    if (MayAbort(orphan, older_than, kNow)) keys += orphan.upload.key;
  }
  return keys;
}

TEST(OrphanRules, OnlyWhatWasGivenUpHereIsAbortedWithoutBeingTold) {
  EXPECT_EQ(Aborted(std::nullopt), "b");
}

TEST(OrphanRules, OthersAreAbortedIfTheyAreOlderThanWasSaid) {
  EXPECT_EQ(Aborted(hours(49)), "cb");
  EXPECT_EQ(Aborted(hours(51)), "b");
}

TEST(OrphanRules, NothingYoungIsAbortedWhateverWasSaid) { EXPECT_EQ(Aborted(minutes(1)), "cb"); }

TEST(OrphanRules, OldestFirst) {
  std::string keys;
  for (const Orphan& orphan : Judged()) keys += orphan.upload.key;
  EXPECT_EQ(keys, "eafcdbg");
}

TEST(KnownUploads, GoThroughTheSocket) {
  KnownUploads known;
  known.continuing = {"1", "2"};
  known.aborting = {"3"};
  const auto json = KnownUploadsJson(known);
  ASSERT_TRUE(json.ok());
  const KnownUploads back = KnownUploadsOf(*json);
  EXPECT_EQ(back.continuing, known.continuing);
  EXPECT_EQ(back.aborting, known.aborting);
  EXPECT_TRUE(KnownUploadsOf(nlohmann::json(5)).continuing.empty());
  for (int i = 0; i < 10'000; ++i) known.aborting.insert(std::string(30, 'x') + std::to_string(i));
  EXPECT_TRUE(KnownUploadsJson(known).Is(Code::kTooLarge));
}

}  // namespace
}  // namespace quayfs::program
