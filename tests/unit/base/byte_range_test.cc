// SPDX-License-Identifier: Apache-2.0

#include "base/byte_range.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <ostream>
#include <random>
#include <string>
#include <vector>

namespace quayfs {

void PrintTo(const ByteRange& range, std::ostream* out) {
  *out << "[" << range.begin << ", " << range.end << ")";
}

namespace {

using Ranges = std::vector<ByteRange>;

TEST(ByteRangeTest, Arithmetic) {
  constexpr ByteRange kRange = ByteRange::OfLength(10, 5);
  static_assert(kRange == ByteRange{10, 15});
  static_assert(kRange.length() == 5 && !kRange.empty());
  static_assert(ByteRange{3, 3}.empty());
  static_assert(kRange.Contains({10, 15}) && kRange.Contains({12, 12}));
  static_assert(!kRange.Contains({9, 12}) && !kRange.Contains({14, 16}));
  static_assert(kRange.Overlaps({14, 20}) && kRange.Overlaps({0, 11}));
  static_assert(!kRange.Overlaps({15, 20}) && !kRange.Overlaps({0, 10}));
  EXPECT_EQ(kRange.Intersection({12, 20}), (ByteRange{12, 15}));
  EXPECT_EQ(kRange.Intersection({0, 100}), kRange);
  EXPECT_TRUE(kRange.Intersection({20, 30}).empty());
  EXPECT_TRUE(kRange.Intersection({0, 3}).empty());
}

TEST(ExtentSetTest, AddMergesOverlappingAndTouching) {
  ExtentSet set;
  EXPECT_TRUE(set.empty());
  set.Add({10, 20});
  set.Add({30, 40});
  set.Add({5, 5});
  EXPECT_EQ(set.ranges(), (Ranges{{10, 20}, {30, 40}}));
  set.Add({20, 25});
  EXPECT_EQ(set.ranges(), (Ranges{{10, 25}, {30, 40}}));
  set.Add({25, 30});
  EXPECT_EQ(set.ranges(), (Ranges{{10, 40}}));
  set.Add({50, 60});
  set.Add({70, 80});
  set.Add({0, 75});
  EXPECT_EQ(set.ranges(), (Ranges{{0, 80}}));
  EXPECT_EQ(set.count(), 1U);
  EXPECT_EQ(set.total_bytes(), 80U);
  set.Clear();
  EXPECT_TRUE(set.empty());
}

TEST(ExtentSetTest, RemoveSplitsAndTrims) {
  ExtentSet set(ByteRange{0, 100});
  set.Remove({40, 60});
  EXPECT_EQ(set.ranges(), (Ranges{{0, 40}, {60, 100}}));
  set.Remove({30, 70});
  EXPECT_EQ(set.ranges(), (Ranges{{0, 30}, {70, 100}}));
  set.Remove({30, 70});
  set.Remove({5, 5});
  EXPECT_EQ(set.total_bytes(), 60U);
  set.Remove({0, 1000});
  EXPECT_TRUE(set.empty());
}

TEST(ExtentSetTest, Queries) {
  ExtentSet set(ByteRange{10, 20});
  set.Add({30, 40});
  EXPECT_TRUE(set.Contains({10, 20}));
  EXPECT_TRUE(set.Contains({25, 25}));
  EXPECT_FALSE(set.Contains({10, 21}));
  EXPECT_FALSE(set.Contains({15, 35}));
  EXPECT_TRUE(set.Overlaps({19, 30}));
  EXPECT_FALSE(set.Overlaps({20, 30}));
  EXPECT_FALSE(set.Overlaps({15, 15}));
  EXPECT_EQ(set.ContainedUntil(10), 20U);
  EXPECT_EQ(set.ContainedUntil(19), 20U);
  EXPECT_EQ(set.ContainedUntil(20), 20U);
  EXPECT_EQ(set.ContainedUntil(5), 5U);
  EXPECT_EQ(set.Within({0, 35}), (Ranges{{10, 20}, {30, 35}}));
  EXPECT_EQ(set.Within({15, 16}), (Ranges{{15, 16}}));
  EXPECT_EQ(set.Within({20, 30}), Ranges{});
  EXPECT_EQ(set.Missing({0, 35}), (Ranges{{0, 10}, {20, 30}}));
  EXPECT_EQ(set.Missing({15, 16}), Ranges{});
  EXPECT_EQ(set.Missing({50, 60}), (Ranges{{50, 60}}));
  EXPECT_EQ(set.Missing({50, 50}), Ranges{});
  EXPECT_EQ(set.Within({15, 15}), Ranges{});
}

TEST(ExtentSetTest, WorksAtTheEndOfTheNumberLine) {
  constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();
  ExtentSet set;
  set.Add({kMax - 10, kMax});
  set.Add({0, kMax - 10});
  EXPECT_EQ(set.ranges(), (Ranges{{0, kMax}}));
  EXPECT_EQ(set.total_bytes(), kMax);
  set.Remove({1, kMax - 1});
  EXPECT_EQ(set.ranges(), (Ranges{{0, 1}, {kMax - 1, kMax}}));
}

// The same set, one bit for each byte.
class Bitmap {
 public:
  void Set(ByteRange range, bool value) {
    for (uint64_t i = range.begin; i < range.end; ++i) bits_[i] = value;
  }
  Ranges Runs(ByteRange range, bool value) const {
    Ranges runs;
    for (uint64_t i = range.begin; i < range.end; ++i) {
      if (bits_[i] != value) continue;
      if (!runs.empty() && runs.back().end == i) {
        ++runs.back().end;
      } else {
        runs.push_back({i, i + 1});
      }
    }
    return runs;
  }
  uint64_t Until(uint64_t offset) const {
    while (offset < kSize && bits_[offset]) ++offset;
    return offset;
  }

  static constexpr uint64_t kSize = 200;

 private:
  std::vector<bool> bits_ = std::vector<bool>(kSize);
};

void ExpectSame(const ExtentSet& set, const Bitmap& model, ByteRange probe) {
  ASSERT_TRUE(set.InvariantsHold());
  const Ranges all = model.Runs({0, Bitmap::kSize}, true);
  ASSERT_EQ(set.ranges(), all);
  ASSERT_EQ(set.count(), all.size());
  ASSERT_EQ(set.empty(), all.empty());
  const Ranges within = model.Runs(probe, true);
  const Ranges missing = model.Runs(probe, false);
  ASSERT_EQ(set.Within(probe), within);
  ASSERT_EQ(set.Missing(probe), missing);
  ASSERT_EQ(set.Contains(probe), missing.empty());
  ASSERT_EQ(set.Overlaps(probe), !within.empty());
  ASSERT_EQ(set.ContainedUntil(probe.begin), model.Until(probe.begin));
  uint64_t total = 0;
  for (const ByteRange& range : all) total += range.length();
  ASSERT_EQ(set.total_bytes(), total);
}

TEST(ExtentSetTest, AgreesWithABitmapUnderRandomOperations) {
  const uint32_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  const auto random_range = [&random](uint64_t longest) {
    const uint64_t begin = random() % Bitmap::kSize;
    return ByteRange{begin, std::min<uint64_t>(Bitmap::kSize, begin + random() % (longest + 1))};
  };
  for (int round = 0; round < 20; ++round) {
    ExtentSet set;
    Bitmap model;
    for (int step = 0; step < 500; ++step) {
      const ByteRange range = random_range(20);
      const bool add = random() % 2 == 0;
      if (add) {
        set.Add(range);
      } else {
        set.Remove(range);
      }
      model.Set(range, add);
      ExpectSame(set, model, random_range(60));
      if (HasFatalFailure()) {
        FAIL() << "round " << round << " step " << step;
      }
    }
  }
}

}  // namespace
}  // namespace quayfs
