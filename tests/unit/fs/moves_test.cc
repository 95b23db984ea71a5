// SPDX-License-Identifier: Apache-2.0
//
// Renames where the store has a move of its own.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/fs/core_fixture.h"

namespace quayfs {
namespace {

using ::testing::ElementsAre;

class MovesTest : public CoreTest {
 protected:
  void SetUp() override {
    CoreTest::SetUp();
    ASSERT_TRUE(store_->capabilities().move);
    EXPECT_TRUE(WriteFile("a", "old").ok());
    Sync();
    store_->Reset();
  }
};

TEST_F(MovesTest, ARenameIsOneMove) {
  EXPECT_TRUE(Rename("a", "b").ok());
  EXPECT_THAT(Keys(), ElementsAre("b"));
  EXPECT_EQ(store_->Count("Move"), 1);
  EXPECT_EQ(store_->Count("Copy"), 0);
  EXPECT_EQ(store_->Count("Delete") + store_->Count("DeleteMany"), 0);
}

TEST_F(MovesTest, WhatOthersHaveWrittenMeanwhileComesAlongAndIsShown) {
  PutObject("a", "theirs, and longer");
  EXPECT_TRUE(Rename("a", "b").ok());
  EXPECT_THAT(Keys(), ElementsAre("b"));
  EXPECT_EQ(store_->Count("Move"), 1);
  EXPECT_EQ(*ReadFile("b"), "theirs, and longer");
  EXPECT_EQ(Stat("b")->size, 18U);
}

TEST_F(MovesTest, WithNewAttributesItIsACopy) {
  AttributeChange change;
  change.mode = 0600;
  EXPECT_TRUE(Change("a", change).ok());
  EXPECT_TRUE(Rename("a", "b").ok());
  EXPECT_THAT(Keys(), ElementsAre("b"));
  EXPECT_EQ(store_->Count("Move"), 0);
  EXPECT_EQ(store_->Count("Copy"), 1);
  EXPECT_EQ(Stat("b")->mode & 07777U, 0600U);
}

TEST_F(MovesTest, WithoutAMoveItIsACopy) {
  store_->ChangeCapabilities([](Capabilities& can) { can.move = false; });
  EXPECT_TRUE(Rename("a", "b").ok());
  EXPECT_THAT(Keys(), ElementsAre("b"));
  EXPECT_EQ(store_->Count("Move"), 0);
  EXPECT_EQ(store_->Count("Copy"), 1);
}

}  // namespace
}  // namespace quayfs
