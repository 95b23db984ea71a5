// SPDX-License-Identifier: Apache-2.0

#include "fs/program/progress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

namespace quayfs::program {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr uint64_t kMiB = 1 << 20;

SteadyTime At(milliseconds time) { return SteadyTime(seconds(1000)) + time; }

TEST(ProgressMeter, CountsWhatIsDoneAndWhatIsLeft) {
  ProgressMeter meter;
  meter.Update({10, 100 * kMiB, 0, 7 * kMiB, false}, At(seconds(0)));
  EXPECT_EQ(meter.percent(), 0);
  EXPECT_EQ(meter.left(), std::nullopt);
  EXPECT_EQ(meter.Text(), "0 of 10 files, 0 B of 100 MiB");
  meter.Update({6, 60 * kMiB, 0, 47 * kMiB, false}, At(seconds(4)));
  EXPECT_EQ(meter.files_done(), 4U);
  EXPECT_EQ(meter.files_total(), 10U);
  EXPECT_EQ(meter.bytes_done(), 40 * kMiB);
  EXPECT_EQ(meter.bytes_left(), 60 * kMiB);
  EXPECT_EQ(meter.percent(), 40);
  EXPECT_NEAR(meter.rate(), 10.0 * kMiB, 1);
  EXPECT_EQ(meter.left(), Duration(seconds(6)));
  EXPECT_EQ(meter.Text(), "4 of 10 files, 40 MiB of 100 MiB, 10 MiB/s, 6 s left");
}

TEST(ProgressMeter, PartsOfALargeFileCountBeforeTheFileIsThere) {
  ProgressMeter meter;
  meter.Update({1, 100 * kMiB, 0, 0, false}, At(seconds(0)));
  meter.Update({1, 100 * kMiB, 0, 50 * kMiB, false}, At(seconds(5)));
  EXPECT_EQ(meter.bytes_left(), 50 * kMiB);
  EXPECT_EQ(meter.percent(), 50);
  EXPECT_EQ(meter.left(), Duration(seconds(5)));
  // All parts are there, the file is not yet.
  meter.Update({1, 100 * kMiB, 0, 100 * kMiB, false}, At(seconds(10)));
  EXPECT_EQ(meter.bytes_left(), 0U);
  EXPECT_EQ(meter.percent(), 99);
  meter.Update({0, 0, 0, 100 * kMiB, false}, At(seconds(11)));
  EXPECT_EQ(meter.percent(), 100);
  EXPECT_EQ(meter.bytes_done(), 100 * kMiB);
  EXPECT_EQ(meter.bytes_total(), 100 * kMiB);
}

TEST(ProgressMeter, WhatIsSentAgainDoesNotCountTwice) {
  ProgressMeter meter;
  meter.Update({1, 10 * kMiB, 0, 0, false}, At(seconds(0)));
  meter.Update({1, 10 * kMiB, 0, 30 * kMiB, false}, At(seconds(1)));
  EXPECT_EQ(meter.bytes_left(), 0U);
  EXPECT_EQ(meter.bytes_total(), 10 * kMiB);
}

TEST(ProgressMeter, WhatIsAddedMeanwhileAddsToTheTotal) {
  ProgressMeter meter;
  meter.Update({2, 2 * kMiB, 0, 0, false}, At(seconds(0)));
  meter.Update({1, kMiB, 0, kMiB, false}, At(seconds(1)));
  meter.Update({5, 9 * kMiB, 0, kMiB, false}, At(seconds(2)));
  EXPECT_EQ(meter.files_done(), 1U);
  EXPECT_EQ(meter.files_total(), 6U);
  EXPECT_EQ(meter.bytes_total(), 10 * kMiB);
}

TEST(ProgressMeter, TheRateFollowsSlowlyAndForgets) {
  ProgressMeter meter;
  uint64_t sent = 0;
  meter.Update({1, 1000 * kMiB, 0, sent, false}, At(seconds(0)));
  for (int i = 1; i <= 20; ++i)
    meter.Update({1, 1000 * kMiB, 0, sent += kMiB, false}, At(milliseconds(250 * i)));
  EXPECT_NEAR(meter.rate(), 4.0 * kMiB, 0.01 * kMiB);
  // One late answer does not make it jump.
  meter.Update({1, 1000 * kMiB, 0, sent, false}, At(milliseconds(5250)));
  EXPECT_GT(meter.rate(), 3.5 * kMiB);
  for (int i = 1; i <= 120; ++i)
    meter.Update({1, 1000 * kMiB, 0, sent, false}, At(milliseconds(5250 + 250 * i)));
  EXPECT_LT(meter.rate(), 0.05 * kMiB);
}

TEST(ProgressMeter, TwoUpdatesAtOnceDoNotDivideByNothing) {
  ProgressMeter meter;
  meter.Update({1, 10, 0, 0, false}, At(seconds(0)));
  meter.Update({1, 10, 0, 5, false}, At(seconds(0)));
  meter.Update({1, 10, 0, 5, false}, At(seconds(1)));
  EXPECT_GE(meter.rate(), 0.0);
  EXPECT_LT(meter.rate(), 100.0);
}

TEST(ProgressMeter, FilesWithoutBytesHaveATimeToo) {
  ProgressMeter meter;
  meter.Update({100, 0, 3, 0, false}, At(seconds(0)));
  meter.Update({80, 0, 3, 0, false}, At(seconds(2)));
  EXPECT_EQ(meter.left(), Duration(seconds(8)));
  EXPECT_EQ(meter.percent(), 20);
  EXPECT_EQ(meter.Text(), "20 of 100 files, 3 removals, 8 s left");
}

TEST(ProgressMeter, AStoreThatIsAwayHasNoTime) {
  ProgressMeter meter;
  meter.Update({2, 2 * kMiB, 0, 0, false}, At(seconds(0)));
  meter.Update({1, kMiB, 0, kMiB, true}, At(seconds(1)));
  EXPECT_THAT(meter.Text(), HasSubstr("the store does not answer"));
  EXPECT_THAT(meter.Text(), Not(HasSubstr("left")));
}

TEST(ProgressMeter, TheLineFitsTheTerminal) {
  ProgressMeter meter;
  meter.Update({10, 100 * kMiB, 0, 0, false}, At(seconds(0)));
  meter.Update({5, 50 * kMiB, 0, 50 * kMiB, false}, At(seconds(1)));
  EXPECT_EQ(meter.Line(200),
            "[##########..........]  50 %  5 of 10 files, 50 MiB of 100 MiB, 50 MiB/s, 1 s "
            "left");
  EXPECT_EQ(meter.Line(40).size(), 39U);
  EXPECT_EQ(meter.Line(0), "");
}

}  // namespace
}  // namespace quayfs::program
