// SPDX-License-Identifier: Apache-2.0
//
// Plans of uploads: what they must cover, and what stores allow.

#include "cache/upload_plan.h"

#include <gtest/gtest.h>

#include <random>

#include "providers/profiles.h"

namespace quayfs {
namespace {

constexpr uint64_t kKiB = 1ull << 10;
constexpr uint64_t kMiB = 1ull << 20;
constexpr uint64_t kGiB = 1ull << 30;
constexpr uint64_t kTiB = 1ull << 40;

struct Counts {
  int uploads = 0;
  int copies = 0;
  uint64_t uploaded = 0;
};

Counts Count(const UploadPlan& plan) {
  Counts counts;
  for (const PlannedPart& part : plan.parts) {
    if (part.source == PartSource::kCopy) {
      ++counts.copies;
    } else {
      ++counts.uploads;
      counts.uploaded += part.range.length();
    }
  }
  return counts;
}

/// Plans, and checks everything that holds for every plan.
UploadPlan Plan(uint64_t size, const ExtentSet& dirty, uint64_t base_limit,
                const Capabilities& limits = {}, const UploadTuning& tuning = {}) {
  const UploadSubject subject{size, &dirty, base_limit};
  auto plan = PlanUpload(subject, limits, tuning);
  EXPECT_TRUE(plan.ok()) << plan.error().ToString();
  if (!plan) return {};
  EXPECT_EQ(CheckPlan(*plan, subject, limits), "") << "size " << size << " base " << base_limit;
  return *std::move(plan);
}

UploadPlan PlanNew(uint64_t size, const Capabilities& limits = {}) {
  ExtentSet dirty;
  if (size > 0) dirty.Add({0, size});
  return Plan(size, dirty, 0, limits);
}

TEST(UploadPlanTest, SmallFilesAreOnePut) {
  for (const uint64_t size : {uint64_t{0}, uint64_t{1}, 8 * kMiB - 1, 8 * kMiB}) {
    EXPECT_EQ(PlanNew(size).kind, UploadPlan::Kind::kPut) << size;
  }
  EXPECT_EQ(PlanNew(8 * kMiB + 1).kind, UploadPlan::Kind::kMultipart);
}

// The cutoff may be anything up to 5 GiB; memory is not.
TEST(UploadPlanTest, LargeFilesBelowTheCutoffAreNotHeldInMemory) {
  UploadTuning tuning;
  tuning.put_size_max = 200 * kMiB;
  const auto kind = [&](uint64_t size) {
    ExtentSet dirty;
    dirty.Add({0, size});
    return Plan(size, dirty, 0, {}, tuning).kind;
  };
  EXPECT_EQ(kind(32 * kMiB), UploadPlan::Kind::kPut);
  EXPECT_EQ(kind(32 * kMiB + 1), UploadPlan::Kind::kPutFromFile);
  EXPECT_EQ(kind(200 * kMiB), UploadPlan::Kind::kPutFromFile);
  EXPECT_EQ(kind(200 * kMiB + 1), UploadPlan::Kind::kMultipart);
}

// What is known of each vendor is kept to, whatever the size.
TEST(UploadPlanTest, PlansKeepToTheLimitsOfEveryVendor) {
  for (const Profile& profile : Profiles()) {
    SCOPED_TRACE(std::string(profile.id));
    const Capabilities limits = ProfileCapabilities(profile);
    for (const uint64_t size : {9 * kMiB, 200 * kMiB + 1, 10 * kGiB, kTiB}) {
      if (size > limits.object_size_max) continue;
      const UploadPlan plan = PlanNew(size, limits);
      if (plan.parts.empty()) continue;
      for (const PlannedPart& part : plan.parts) {
        ASSERT_LE(part.range.length(), limits.part_size_max);
        if (&part == &plan.parts.back()) break;
        ASSERT_GE(part.range.length(), limits.part_size_min);
        if (limits.equal_parts) {
          ASSERT_EQ(part.range.length(), plan.parts.front().range.length());
        }
      }
      EXPECT_LE(plan.parts.size(), static_cast<size_t>(limits.parts_max));
    }
  }
}

TEST(UploadPlanTest, ThePartGridGrowsWithThePositionOnly) {
  const UploadPlan small = PlanNew(kGiB);
  const UploadPlan large = PlanNew(3 * kGiB + 5);
  ASSERT_EQ(small.parts.size(), 64u);
  for (size_t i = 0; i < small.parts.size(); ++i) EXPECT_EQ(small.parts[i], large.parts[i]);
  const UploadPlan huge = PlanNew(kTiB);
  EXPECT_EQ(huge.parts[999].range.length(), 16 * kMiB);
  EXPECT_EQ(huge.parts[1000].range.length(), 64 * kMiB);
  EXPECT_EQ(huge.parts[2000].range.length(), 256 * kMiB);
  EXPECT_EQ(huge.parts[3000].range.length(), 768 * kMiB);
}

TEST(UploadPlanTest, FiveTebibytesFitIntoTenThousandParts) {
  EXPECT_LE(PlanNew(5 * kTiB).parts.size(), 10000u);
  auto grid = PartGrid::For(0, Capabilities{}, UploadTuning{});
  ASSERT_TRUE(grid.ok());
  EXPECT_GT(grid->capacity(), 5 * kTiB + 400 * kGiB);
  EXPECT_EQ(grid->Part(1), (ByteRange{0, 16 * kMiB}));
  EXPECT_EQ(grid->Part(1001), (ByteRange{16000 * kMiB, 16064 * kMiB}));
  EXPECT_EQ(grid->Part(10000).end, grid->capacity());
}

TEST(UploadPlanTest, MoreThanTheStoreTakesIsTooLarge) {
  ExtentSet dirty({0, 5 * kTiB + 1});
  EXPECT_TRUE(PlanUpload({5 * kTiB + 1, &dirty, 0}, {}, {}).Is(Code::kTooLarge));
  Capabilities tight;
  tight.parts_max = 4;
  tight.part_size_max = 16 * kMiB;
  ExtentSet more({0, 64 * kMiB + 1});
  EXPECT_TRUE(PlanUpload({64 * kMiB + 1, &more, 0}, tight, {}).Is(Code::kTooLarge));
  PlanNew(64 * kMiB, tight);
}

TEST(UploadPlanTest, StoresWithoutMultipartGetOnePut) {
  Capabilities limits;
  limits.multipart = false;
  EXPECT_EQ(PlanNew(8 * kMiB, limits).kind, UploadPlan::Kind::kPut);
  EXPECT_EQ(PlanNew(kGiB, limits).kind, UploadPlan::Kind::kPutFromFile);
  ExtentSet dirty({0, 6 * kGiB});
  EXPECT_TRUE(PlanUpload({6 * kGiB, &dirty, 0}, limits, {}).Is(Code::kTooLarge));
}

TEST(UploadPlanTest, FourKibibytesInTheMiddleAreOnePartAndCopies) {
  for (const uint64_t at :
       {uint64_t{0}, 4 * kKiB, 6 * kMiB, 512 * kMiB, kGiB - 4 * kKiB, kGiB - 5 * kMiB}) {
    const Counts counts = Count(Plan(kGiB, ExtentSet({at, at + 4 * kKiB}), kGiB));
    EXPECT_EQ(counts.uploads, 1) << at;
    EXPECT_GE(counts.copies, 1) << at;
    EXPECT_LE(counts.copies, 3) << at;
    EXPECT_LE(counts.uploaded, 16 * kMiB) << at;
  }
  const Counts middle = Count(Plan(kGiB, ExtentSet({512 * kMiB, 512 * kMiB + 4 * kKiB}), kGiB));
  EXPECT_EQ(middle.copies, 2);
  EXPECT_EQ(middle.uploaded, 5 * kMiB);
}

TEST(UploadPlanTest, AppendingCopiesWhatWasThere) {
  const Counts counts = Count(Plan(kGiB + 4 * kKiB, ExtentSet({kGiB, kGiB + 4 * kKiB}), kGiB));
  EXPECT_EQ(counts.uploads, 1);
  EXPECT_EQ(counts.uploaded, 4 * kKiB);
  EXPECT_EQ(counts.copies, 1);
}

TEST(UploadPlanTest, UnchangedFilesAreCopiedInLargePieces) {
  EXPECT_EQ(Count(Plan(10 * kGiB, {}, 10 * kGiB)).copies, 10);
  EXPECT_EQ(Count(Plan(10 * kGiB, {}, 10 * kGiB)).uploads, 0);
}

TEST(UploadPlanTest, WithoutPartCopyEverythingIsUploaded) {
  Capabilities limits;
  limits.part_copy = false;
  const Counts counts = Count(Plan(kGiB, ExtentSet({0, 1}), kGiB, limits));
  EXPECT_EQ(counts.copies, 0);
  EXPECT_EQ(counts.uploads, 64);
}

TEST(UploadPlanTest, EqualPartsStayEqual) {
  Capabilities limits;
  limits.equal_parts = true;
  const Counts counts =
      Count(Plan(kGiB + 5, ExtentSet({512 * kMiB, 512 * kMiB + 4 * kKiB}), kGiB + 5, limits));
  EXPECT_EQ(counts.uploads, 2);  // the changed part, and a tail that is too small to be copied
  EXPECT_EQ(counts.copies, 63);
  PlanNew(5 * kTiB, limits);
}

TEST(UploadPlanTest, StoresWithAThousandParts) {
  Capabilities limits;
  limits.parts_max = 1000;
  for (const uint64_t size : {kGiB, 100 * kGiB, kTiB, 4 * kTiB}) {
    PlanNew(size, limits);
    Plan(size, ExtentSet({size / 2, size / 2 + 1}), size, limits);
  }
}

TEST(UploadPlanTest, ScatteredChangesNeverNeedTooManyParts) {
  ExtentSet dirty;
  for (uint64_t i = 0; i < 6000; ++i) dirty.Add(ByteRange::OfLength(i * 170 * kMiB, 100));
  Plan(kTiB, dirty, kTiB);
}

TEST(UploadPlanTest, PlansOfRandomFilesHold) {
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937_64 random(seed);
  const auto below = [&](uint64_t limit) { return limit == 0 ? 0 : random() % limit; };
  for (int i = 0; i < 5000; ++i) {
    Capabilities limits;
    limits.part_size_min = 1 + below(64);
    limits.part_size_max = limits.part_size_min * 2 + below(4096);
    limits.parts_max = 1 + static_cast<int>(below(60));
    limits.put_size_max = 1 + below(4096);
    limits.part_copy = below(4) != 0;
    limits.equal_parts = below(4) == 0;
    limits.multipart = below(8) != 0;
    UploadTuning tuning;
    tuning.put_size_max = below(512);
    tuning.part_size = 1 + below(256);
    tuning.copy_part_max = 1 + below(2048);
    const uint64_t size = below(20000);
    const uint64_t base_limit = below(2) == 0 ? 0 : below(size + 1);
    ExtentSet dirty;
    if (base_limit < size) dirty.Add({base_limit, size});
    for (uint64_t n = below(12); n > 0 && size > 0; --n) {
      const uint64_t begin = below(size);
      const uint64_t end = std::min(size, begin + 1 + below(below(2) == 0 ? 8 : 800));
      dirty.Add({begin, end});
    }
    ExtentSet zeros;
    for (const ByteRange& range : dirty.ranges()) {
      if (below(2) == 0) zeros.Add({range.begin + below(range.length()), range.end});
    }
    UploadSubject subject{size, &dirty, base_limit};
    if (below(2) == 0) {
      subject.zeros = &zeros;
      subject.zeros_copy_max = 2 * limits.part_size_min + below(500);
      subject.zeros_copy_max = std::min(subject.zeros_copy_max, limits.part_size_max);
    }
    auto plan = PlanUpload(subject, limits, tuning);
    if (!plan) {
      ASSERT_TRUE(plan.Is(Code::kTooLarge));
      const uint64_t possible =
          limits.multipart ? limits.part_size_max * static_cast<uint64_t>(limits.parts_max) / 2 : 0;
      ASSERT_GT(size, std::max(possible, limits.multipart ? 0 : limits.put_size_max) / 8);
      continue;
    }
    ASSERT_EQ(CheckPlan(*plan, subject, limits), "")
        << "case " << i << ": size " << size << " base " << base_limit << " least "
        << limits.part_size_min << " most " << limits.part_size_max << " parts "
        << limits.parts_max;
    uint64_t dirty_copied = 0;
    for (const PlannedPart& part : plan->parts) {
      if (part.source != PartSource::kCopy) continue;
      for (const ByteRange& range : dirty.Within(part.range)) dirty_copied += range.length();
    }
    ASSERT_EQ(dirty_copied, 0u);
  }
}

TEST(UploadPlanTest, HolesAreCopiedAndWhatLiesBetweenIsSent) {
  ExtentSet dirty({0, kGiB});
  ExtentSet zeros = dirty;
  zeros.Remove({500 * kMiB, 501 * kMiB});
  UploadSubject subject{kGiB, &dirty, 0, &zeros, 16 * kMiB};
  auto plan = PlanUpload(subject, {}, {});
  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(CheckPlan(*plan, subject, {}), "");
  uint64_t sent = 0;
  for (const PlannedPart& part : plan->parts) {
    if (part.source == PartSource::kLocal) sent += part.range.length();
  }
  EXPECT_EQ(sent, 5 * kMiB);
  EXPECT_LE(plan->parts.size(), 66u);
  subject.zeros_copy_max = kGiB;
  plan = PlanUpload(subject, {}, {});
  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(plan->parts.size(), 3u);
}

TEST(UploadPlanTest, HolesTheBaseAndNewBytesLieSideBySide) {
  // base | hole | base | new | hole, to the end
  ExtentSet dirty({100 * kMiB, 200 * kMiB});
  dirty.Add({300 * kMiB, 500 * kMiB});
  ExtentSet zeros({100 * kMiB, 200 * kMiB});
  zeros.Add({301 * kMiB, 500 * kMiB});
  const UploadSubject subject{500 * kMiB, &dirty, 300 * kMiB, &zeros, 1 * kGiB};
  const auto plan = PlanUpload(subject, {}, {});
  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(CheckPlan(*plan, subject, {}), "");
  ASSERT_EQ(plan->parts.size(), 5u);
  EXPECT_EQ(plan->parts[0].source, PartSource::kCopy);
  EXPECT_EQ(plan->parts[1].source, PartSource::kZeros);
  EXPECT_EQ(plan->parts[2].source, PartSource::kCopy);
  EXPECT_EQ(plan->parts[3].range, (ByteRange{300 * kMiB, 305 * kMiB}));
  EXPECT_EQ(plan->parts[4].source, PartSource::kZeros);
}

TEST(UploadPlanTest, TheCheckerSeesMistakes) {
  const ExtentSet dirty({0, 100 * kMiB});
  const UploadSubject subject{100 * kMiB, &dirty, 0};
  auto good = PlanUpload(subject, {}, {});
  ASSERT_TRUE(good.ok());
  UploadPlan gap = *good;
  gap.parts[1].range.begin += 1;
  EXPECT_NE(CheckPlan(gap, subject, {}), "");
  UploadPlan short_plan = *good;
  short_plan.parts.pop_back();
  EXPECT_NE(CheckPlan(short_plan, subject, {}), "");
  UploadPlan copy = *good;
  copy.parts[0].source = PartSource::kCopy;
  EXPECT_NE(CheckPlan(copy, subject, {}), "");
  UploadPlan zeros = *good;
  zeros.parts[0].source = PartSource::kZeros;
  EXPECT_NE(CheckPlan(zeros, subject, {}), "");
}

}  // namespace
}  // namespace quayfs
