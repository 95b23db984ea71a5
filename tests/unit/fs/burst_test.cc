// SPDX-License-Identifier: Apache-2.0

#include "fs/burst.h"

#include <gtest/gtest.h>

namespace quayfs {
namespace {

using std::chrono::milliseconds;

constexpr Duration kPause = milliseconds(200);

class BurstTest : public ::testing::Test {
 protected:
  void Change(int count, Duration every) {
    for (int i = 0; i < count; ++i) {
      now_ += every;
      burst_.Changed(now_);
    }
  }

  Burst burst_{kPause};
  SteadyTime now_{std::chrono::hours(1)};
};

TEST_F(BurstTest, ManyChangesAreOneAndItEndsWithAPause) {
  EXPECT_FALSE(burst_.going(now_));
  Change(10, milliseconds(1));
  EXPECT_FALSE(burst_.going(now_));
  Change(90, milliseconds(1));
  EXPECT_TRUE(burst_.going(now_));
  EXPECT_EQ(burst_.end(), now_ + kPause);
  EXPECT_TRUE(burst_.going(now_ + kPause - milliseconds(1)));
  EXPECT_FALSE(burst_.going(now_ + kPause));
  now_ += milliseconds(150);
  Change(1, milliseconds(1));
  EXPECT_TRUE(burst_.going(now_)) << "that was no pause";
}

TEST_F(BurstTest, ItEndsWhenChangesBecomeRare) {
  Change(100, milliseconds(1));
  ASSERT_TRUE(burst_.going(now_));
  Change(100, milliseconds(100));
  EXPECT_FALSE(burst_.going(now_));
}

TEST_F(BurstTest, RareChangesAreNoneHoweverMany) {
  Change(1000, milliseconds(25));
  EXPECT_FALSE(burst_.going(now_));
}

TEST_F(BurstTest, ManyBytesAreNotHeldBackUntilTheNextOne) {
  burst_.Wrote(1ull << 40);  // before it
  Change(100, milliseconds(1));
  EXPECT_TRUE(burst_.going(now_));
  burst_.Wrote(1ull << 30);
  EXPECT_FALSE(burst_.going(now_));
  Change(1000, milliseconds(1));
  EXPECT_FALSE(burst_.going(now_)) << "it is still the same one";
  now_ += kPause;
  Change(100, milliseconds(1));
  EXPECT_TRUE(burst_.going(now_));
}

}  // namespace
}  // namespace quayfs
