// SPDX-License-Identifier: Apache-2.0

#include "cache/read_plan.h"

#include <gtest/gtest.h>

namespace quayfs {
namespace {

constexpr uint64_t kKiB = 1ull << 10;
constexpr uint64_t kMiB = 1ull << 20;
constexpr uint64_t kGiB = 1ull << 30;

TEST(ReadPlanTest, RandomReadsFetchTheirBlocks) {
  ReadPattern pattern;
  const ReadDecision decision = DecideRead({kMiB * 100 + 5, kMiB * 100 + 10}, kGiB, {}, pattern);
  EXPECT_EQ(decision.urgent, (ByteRange{100 * kMiB, 100 * kMiB + 128 * kKiB}));
  EXPECT_TRUE(decision.ahead.empty());
}

TEST(ReadPlanTest, TheFirstReadOfAFileFetchesOneBlockMore) {
  ReadPattern pattern;
  const ReadDecision decision = DecideRead({0, 128 * kKiB}, kGiB, {}, pattern);
  EXPECT_EQ(decision.urgent, (ByteRange{0, 256 * kKiB}));
  EXPECT_TRUE(decision.ahead.empty());
}

TEST(ReadPlanTest, SmallFilesComeInOneRequest) {
  ReadPattern pattern;
  EXPECT_EQ(DecideRead({0, 100}, 600 * kKiB, {}, pattern).urgent, (ByteRange{0, 600 * kKiB}));
}

TEST(ReadPlanTest, SequentialReadersGetAGrowingWindow) {
  const ReadTuning tuning;
  ReadPattern pattern;
  uint64_t reached = 0;
  uint64_t largest = 0;
  for (uint64_t offset = 0; offset < 512 * kMiB; offset += 128 * kKiB) {
    const ReadDecision decision = DecideRead({offset, offset + 128 * kKiB}, kGiB, tuning, pattern);
    if (offset > 0) {
      reached = std::max(reached, decision.ahead.end);
      ASSERT_GE(reached + tuning.fetch_part, offset + 128 * kKiB + pattern.window / 2) << offset;
      ASSERT_LE(reached, offset + 128 * kKiB + pattern.window + tuning.fetch_part) << offset;
    }
    largest = std::max(largest, pattern.window);
  }
  EXPECT_EQ(largest, tuning.read_ahead_max);
}

TEST(ReadPlanTest, TheWindowStopsAtTheEnd) {
  ReadPattern pattern;
  for (uint64_t offset = 0; offset < 20 * kMiB; offset += 128 * kKiB) {
    const ReadDecision decision = DecideRead({offset, offset + 128 * kKiB}, 20 * kMiB, {}, pattern);
    ASSERT_LE(decision.ahead.end, 20 * kMiB);
    ASSERT_LE(decision.urgent.end, 20 * kMiB);
  }
}

TEST(ReadPlanTest, ASeekForgetsTheWindow) {
  ReadPattern pattern;
  for (uint64_t offset = 0; offset < 10 * kMiB; offset += 128 * kKiB) {
    DecideRead({offset, offset + 128 * kKiB}, kGiB, {}, pattern);
  }
  EXPECT_GT(pattern.window, 0u);
  const ReadDecision decision = DecideRead({500 * kMiB, 500 * kMiB + 1}, kGiB, {}, pattern);
  EXPECT_TRUE(decision.ahead.empty());
  EXPECT_EQ(pattern.window, 0u);
}

TEST(ReadPlanTest, ReadsOutOfOrderAreStillOneStream) {
  ReadPattern pattern;
  DecideRead({0, 128 * kKiB}, kGiB, {}, pattern);
  DecideRead({256 * kKiB, 384 * kKiB}, kGiB, {}, pattern);
  const uint64_t window = pattern.window;
  EXPECT_GT(window, 0u);
  DecideRead({128 * kKiB, 256 * kKiB}, kGiB, {}, pattern);
  EXPECT_EQ(pattern.window, window);
  EXPECT_EQ(pattern.next_offset, 384 * kKiB);
}

// Two windows of the kernel's read-ahead are under way at once and arrive in either order: reads as
// large as FUSE allows, swapped in pairs, are a stream as much as small ones are.
TEST(ReadPlanTest, LargeReadsSwappedInPairsAreOneStream) {
  const ReadTuning tuning;
  ReadPattern pattern;
  uint64_t largest = 0;
  for (uint64_t pair = 0; pair < 256 * kMiB; pair += 2 * kMiB) {
    for (const uint64_t offset : {pair + kMiB, pair}) {
      DecideRead({offset, offset + kMiB}, kGiB, tuning, pattern);
      largest = std::max(largest, pattern.window);
    }
  }
  EXPECT_EQ(largest, tuning.read_ahead_max);
}

// As many requests are in flight as the window allows, not half as many before each refill.
TEST(ReadPlanTest, AFullyGrownWindowIsRefilledByEachPiece) {
  const ReadTuning tuning;
  ReadPattern pattern;
  uint64_t reached = 0;
  for (uint64_t offset = 0; offset < 512 * kMiB; offset += kMiB) {
    const ReadDecision decision = DecideRead({offset, offset + kMiB}, kGiB, tuning, pattern);
    reached = std::max({reached, decision.urgent.end, decision.ahead.end});
    if (pattern.window < tuning.read_ahead_max) continue;
    ASSERT_GE(reached + tuning.fetch_part, offset + kMiB + tuning.read_ahead_max) << offset;
  }
  EXPECT_EQ(pattern.window, tuning.read_ahead_max);
}

TEST(ReadPlanTest, ReadsBeyondTheBaseStayInBounds) {
  ReadPattern pattern;
  for (const uint64_t base : {uint64_t{0}, uint64_t{5}, 100 * kKiB}) {
    const ReadDecision decision = DecideRead({64 * kKiB, 96 * kKiB}, base, {}, pattern);
    EXPECT_LE(decision.urgent.begin, decision.urgent.end);
    EXPECT_LE(decision.ahead.begin, decision.ahead.end);
  }
}

TEST(ReadPlanTest, FetchesMergeAcrossSmallGapsAndSplitAtPieces) {
  const auto fetches = PlanFetches({{0, 10}, {15, 20}, {90, 250}}, 8, 100);
  ASSERT_EQ(fetches.size(), 4u);
  EXPECT_EQ(fetches[0].range, (ByteRange{0, 20}));
  EXPECT_EQ(fetches[0].wanted, (std::vector<ByteRange>{{0, 10}, {15, 20}}));
  EXPECT_EQ(fetches[1].range, (ByteRange{90, 100}));
  EXPECT_EQ(fetches[2].range, (ByteRange{100, 200}));
  EXPECT_EQ(fetches[3].range, (ByteRange{200, 250}));
}

}  // namespace
}  // namespace quayfs
