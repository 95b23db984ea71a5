// SPDX-License-Identifier: Apache-2.0
//
// Publications whose outcome is unclear.

#include "cache/unsettled.h"

#include <gtest/gtest.h>

#include "tests/unit/cache/cache_fixture.h"

namespace quayfs {
namespace {

using Kind = FakeRequest::Kind;

class UnsettledTest : public CacheTest {
 protected:
  void SetUp() override { Start(); }

  /// The next request of `kind` fails; if `lost_reply`, after it has happened.
  void FailOnce(Kind kind, bool lost_reply) {
    const auto hook = [this, kind](const FakeRequest& request) -> Status {
      if (request.kind != kind || failed.exchange(true)) return {};
      return Error(Code::kUnavailable, "no answer");
    };
    failed = false;
    store.before = nullptr;
    store.after = nullptr;
    (lost_reply ? store.after : store.before) = hook;
  }

  std::atomic<bool> failed{false};
};

TEST_F(UnsettledTest, APutThatHappenedAfterAllIsRecognised) {
  store.SetObject("a", "old");
  auto file = NewFile();
  Write(*file, 0, "new content");
  PublishRequest request = To("a");
  request.condition = Condition::IfEtag(store.Find("a")->etag);
  FailOnce(Kind::kPut, true);
  EXPECT_TRUE(file->Publish(request, {}).Is(Code::kUnavailable));
  EXPECT_TRUE(file->dirty());
  auto info = file->Publish(request, {});
  ASSERT_TRUE(info.ok()) << info.error().ToString();
  EXPECT_EQ(info->etag, store.Find("a")->etag);
  EXPECT_EQ(store.Count(Kind::kPut), 1);
  EXPECT_FALSE(file->dirty());
}

TEST_F(UnsettledTest, WhatWasWrittenSinceFollowsUnderTheSameCondition) {
  auto file = NewFile();
  Write(*file, 0, "new content");
  PublishRequest request = To("a");
  request.condition = Condition::IfAbsent();
  FailOnce(Kind::kPut, true);
  EXPECT_TRUE(file->Publish(request, {}).Is(Code::kUnavailable));
  Write(*file, 0, "NEW");
  ASSERT_TRUE(file->Publish(request, {}).ok());
  EXPECT_EQ(store.Find("a")->data, "NEW content");
  EXPECT_FALSE(file->dirty());
}

TEST_F(UnsettledTest, APutThatNeverHappenedIsSentAgain) {
  auto file = NewFile();
  Write(*file, 0, "new content");
  FailOnce(Kind::kPut, false);
  EXPECT_TRUE(file->Publish(To("a"), {}).Is(Code::kUnavailable));
  PublishOk(*file, "a");
  EXPECT_EQ(store.Find("a")->data, "new content");
}

TEST_F(UnsettledTest, SomebodyElsesObjectIsNotTakenForOurs) {
  auto file = NewFile();
  Write(*file, 0, "new content");
  PublishRequest request = To("a");
  request.condition = Condition::IfAbsent();
  FailOnce(Kind::kPut, false);
  EXPECT_TRUE(file->Publish(request, {}).Is(Code::kUnavailable));
  store.SetObject("a", "NEW CONTENT");
  EXPECT_TRUE(file->Publish(request, {}).Is(Code::kAlreadyExists));
  EXPECT_EQ(store.Find("a")->data, "NEW CONTENT");
  EXPECT_TRUE(file->dirty());
}

TEST_F(UnsettledTest, ACompletionWithoutAnAnswerIsAskedForAgain) {
  for (const bool lost_reply : {false, true}) {
    const std::string key = lost_reply ? "lost" : "refused";
    const std::string data = RandomText(1 << 20, 21);
    auto file = OpenObject(key, data);
    Write(*file, 500000, "one");
    FailOnce(Kind::kComplete, lost_reply);
    PublishRequest request = To(key);
    request.condition = Condition::IfEtag(file->state().base.etag);
    EXPECT_TRUE(file->Publish(request, {}).Is(Code::kUnavailable));
    Write(*file, 100, "two");
    // The missing bytes lie in one version or the other.
    EXPECT_EQ(TryRead(*file, 900000, 10).Is(Code::kUnavailable), lost_reply);
    auto info = file->Publish(request, {});

    ASSERT_TRUE(info.ok()) << info.error().ToString();
    std::string expected = data;
    expected.replace(500000, 3, "one");
    expected.replace(100, 3, "two");
    EXPECT_TRUE(store.Find(key)->data == expected);
    EXPECT_TRUE(ReadAll(*file) == expected);
    EXPECT_EQ(store.open_uploads(), 0u);
    for (const FakeRequest& sent : store.log()) {
      if (sent.kind != Kind::kComplete) continue;
      EXPECT_EQ(sent.work_bytes, data.size()) << "a dead connection is waited for too long";
    }
    cache->Remove(1);
  }
}

TEST_F(UnsettledTest, ACompletionThatIsCarriedOutLateIsWaitedFor) {
  const std::string data = RandomText(1 << 20, 22);
  auto file = OpenObject("a", data);
  Write(*file, 500000, "one");
  FailOnce(Kind::kComplete, false);
  PublishRequest request = To("a");
  request.condition = Condition::IfEtag(file->state().base.etag);
  EXPECT_TRUE(file->Publish(request, {}).Is(Code::kUnavailable));
  // The upload is gone, and the object not there yet.
  std::atomic<int> asked{0};
  store.before = [&](const FakeRequest& sent) -> Status {
    if (sent.kind == Kind::kComplete && ++asked == 1) return Error(Code::kNotFound, "no upload");
    return {};
  };
  auto info = file->Publish(request, {});
  ASSERT_TRUE(info.ok()) << info.error().ToString();
  EXPECT_EQ(asked, 2);
  EXPECT_EQ(store.Count(Kind::kCreate), 1);
  EXPECT_EQ(store.Count(Kind::kAbort), 0);
}

TEST(AfterOwnChangeTest, NamesTheVersionAfterOurChange) {
  Unsettled settled;
  settled.condition = Condition::IfEtag("\"1\"");
  EXPECT_EQ(AfterOwnChange(Condition::IfEtag("\"1\""), settled, "\"2\"").etag, "\"2\"");
  EXPECT_EQ(AfterOwnChange(Condition::IfEtag("\"9\""), settled, "\"2\"").etag, "\"9\"");
  EXPECT_EQ(AfterOwnChange(Condition::IfAbsent(), settled, "\"2\"").kind,
            Condition::Kind::kIfAbsent);
  EXPECT_EQ(AfterOwnChange(Condition::None(), settled, "\"2\"").kind, Condition::Kind::kNone);
}

}  // namespace
}  // namespace quayfs
