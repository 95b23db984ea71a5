// SPDX-License-Identifier: Apache-2.0

#include <fmt/format.h>

#include <algorithm>
#include <atomic>

#include "tests/unit/fs/core_fixture.h"

namespace quayfs {
namespace {

class RemovalsTest : public CoreTest {
 protected:
  /// The next PUT happens, and its answer is lost.
  void LoseAnswerOfNextPut() {
    store_->after = [this](const std::string& operation, const std::string&) -> Status {
      if (operation != "Put" || lost_.exchange(true)) return {};
      return Error(Code::kUnavailable, "the answer was lost");
    };
  }
  Status WriteOnly(const std::string& path, std::string_view text) {
    QUAY_ASSIGN(OpenFile * file, Open(path, O_CREAT | O_WRONLY | O_TRUNC));
    QUAY_TRY(WriteAt(file, 0, text));
    return Close(file);
  }

  std::atomic<bool> lost_{false};
};

TEST_F(RemovalsTest, WhatAnotherClientHasReplacedIsNotDeleted) {
  for (const bool conditional : {true, false}) {
    SCOPED_TRACE(conditional);
    Mount();
    store_->ChangeCapabilities([&](Capabilities& can) { can.delete_if_match = conditional; });
    ASSERT_TRUE(WriteFile("f", "ours").ok());
    PutObject("f", "theirs");
    ASSERT_TRUE(Remove("f").ok());
    EXPECT_EQ(GetObject("f"), "theirs");
    EXPECT_EQ(*ReadFile("f"), "theirs") << "and it is seen";
    ASSERT_TRUE(Remove("f").ok());
    EXPECT_EQ(Keys(), std::vector<std::string>{}) << "this one was seen";
    EXPECT_EQ(fs_->pending().conflicts, 1U);
  }
}

TEST_F(RemovalsTest, ManyAreCheckedWithAListing) {
  store_->ChangeCapabilities([&](Capabilities& can) { can.delete_if_match = false; });
  ASSERT_TRUE(MakeDir("d").ok());
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(WriteFile(fmt::format("d/{:03}", i), "ours").ok());
  ASSERT_TRUE(WriteFile("other", "x").ok());
  PutObject("d/050", "theirs");
  Sync();
  store_->Reset();
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(Remove(fmt::format("d/{:03}", i)).ok());
  Sync();
  EXPECT_EQ(Keys(), (std::vector<std::string>{"d/", "d/050", "other"}));
  EXPECT_EQ(store_->Count("DeleteMany"), 1);
  EXPECT_EQ(store_->Count("List"), 1);
  EXPECT_EQ(store_->Count("Head"), 1) << "of the one that looks different";
  EXPECT_EQ(store_->Count("Delete"), 0);
  EXPECT_EQ(*List("d"), std::vector<std::string>{"050"});
}

TEST_F(RemovalsTest, NothingIsCheckedWhereNobodyElseWrites) {
  config_.consistency = Duration::max();
  Mount();
  store_->ChangeCapabilities([&](Capabilities& can) { can.delete_if_match = false; });
  ASSERT_TRUE(WriteFile("f", "ours").ok());
  store_->Reset();
  ASSERT_TRUE(Remove("f").ok());
  Sync();
  EXPECT_EQ(store_->Total(), 1);
  EXPECT_EQ(Keys(), std::vector<std::string>{});
}

TEST_F(RemovalsTest, AWriteWhoseAnswerWasLostLeavesNothingWhenTheFileIsRemoved) {
  LoseAnswerOfNextPut();
  ASSERT_TRUE(WriteOnly("f", "contents").ok());
  Sync();
  ASSERT_EQ(GetObject("f"), "contents");
  lost_ = false;
  ASSERT_TRUE(WriteOnly("g", "contents").ok());
  Ignore(fs_->SyncAll(ctx_));
  EXPECT_TRUE(lost_);
  ASSERT_TRUE(Remove("g").ok());
  EXPECT_EQ(Keys(), std::vector<std::string>{"f"});
}

TEST_F(RemovalsTest, AWriteWhoseAnswerWasLostIsNoConflictForItsSuccessor) {
  LoseAnswerOfNextPut();
  ASSERT_TRUE(WriteOnly("f", "the first").ok());
  Ignore(fs_->SyncAll(ctx_));
  ASSERT_TRUE(lost_);
  ASSERT_TRUE(Remove("f").ok());
  ASSERT_TRUE(WriteOnly("f", "the second").ok());
  EXPECT_EQ(GetObject("f"), "the second");
  EXPECT_EQ(Keys(), std::vector<std::string>{"f"});
  EXPECT_EQ(fs_->pending().conflicts, 0U);
}

TEST_F(RemovalsTest, AWriteWhoseAnswerWasLostDoesNotStayUnderTheOldName) {
  for (const bool published : {false, true}) {
    SCOPED_TRACE(published);
    if (published) {
      ASSERT_TRUE(WriteFile("a", "before").ok());
    }
    lost_ = false;
    LoseAnswerOfNextPut();
    ASSERT_TRUE(WriteOnly("a", "contents").ok());
    Ignore(fs_->SyncAll(ctx_));
    ASSERT_TRUE(lost_);
    ASSERT_TRUE(Rename("a", "b").ok());
    EXPECT_EQ(GetObject("b"), "contents");
    EXPECT_EQ(Keys(), std::vector<std::string>{"b"});
    EXPECT_EQ(fs_->pending().conflicts, 0U);
    ASSERT_TRUE(Remove("b").ok());
    EXPECT_EQ(Keys(), std::vector<std::string>{});
  }
}

TEST_F(RemovalsTest, AWriteWhoseAnswerWasLostIsRememberedAcrossMounts) {
  LoseAnswerOfNextPut();
  ASSERT_TRUE(WriteOnly("a", "contents").ok());
  Ignore(fs_->SyncAll(ctx_));
  ASSERT_TRUE(lost_);
  store_->before = [](const std::string&, const std::string&) -> Status {
    return Error(Code::kUnavailable, "away");
  };
  ASSERT_TRUE(Rename("a", "b").ok());
  fs_.reset();
  store_->before = nullptr;
  Remount();
  EXPECT_EQ(GetObject("b"), "contents");
  EXPECT_EQ(Keys(), std::vector<std::string>{"b"});
}

}  // namespace
}  // namespace quayfs
