// SPDX-License-Identifier: Apache-2.0
//
// Copies within the bucket, moves, deletes.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <thread>

#include "tests/conformance/store_under_test.h"

namespace quayfs::conformance {
namespace {

class Copies : public Conformance {
 protected:
  Result<ObjectInfo> Copy(const std::string& from, const std::string& to,
                          const std::optional<ObjectProperties>& properties = std::nullopt,
                          const std::string& source_etag = "") {
    return store().Copy(from, source_etag, to, properties, Condition::None(), call_);
  }
  static ObjectProperties Some() {
    ObjectProperties properties;
    properties.content_type = "text/x-some";
    properties.metadata["mode"] = "33188";
    properties.metadata["odd"] = "a\nb % \xc3\xa9";
    return properties;
  }
};

TEST_P(Copies, PropertiesTravelAlong) {
  const std::string text = Pattern(200'000, 3);
  PutText(Key("a"), text, Some());
  const auto copied = Copy(Key("a"), Key("dir/b"));
  ASSERT_OK(copied);
  EXPECT_FALSE(copied->etag.empty());
  EXPECT_EQ(GetText(Key("dir/b")), text);
  EXPECT_EQ(GetText(Key("a")), text);
  const auto head = store().Head(Key("dir/b"), call_);
  ASSERT_OK(head);
  EXPECT_TRUE(SameEtag(head->info.etag, copied->etag));
  EXPECT_EQ(head->properties.content_type, "text/x-some");
  EXPECT_EQ(head->properties.metadata, Some().metadata);
}

TEST_P(Copies, NewPropertiesReplaceAll) {
  PutText(Key("a"), "text", Some());
  ObjectProperties fresh;
  fresh.content_type = "text/x-fresh";
  fresh.metadata["new"] = "1";
  ASSERT_OK(Copy(Key("a"), Key("b"), fresh));
  const auto head = store().Head(Key("b"), call_);
  ASSERT_OK(head);
  EXPECT_EQ(head->properties.content_type, "text/x-fresh");
  EXPECT_EQ(head->properties.metadata, fresh.metadata);
  EXPECT_EQ(GetText(Key("b")), "text");
}

TEST_P(Copies, OntoItselfWithNewProperties) {
  PutText(Key("a"), "text", Some());
  ObjectProperties fresh;
  fresh.metadata["new"] = "1";
  const auto copied = Copy(Key("a"), Key("a"), fresh);
  ASSERT_OK(copied);
  const auto head = store().Head(Key("a"), call_);
  ASSERT_OK(head);
  EXPECT_EQ(head->properties.metadata, fresh.metadata);
  EXPECT_TRUE(SameEtag(head->info.etag, copied->etag));
  EXPECT_EQ(GetText(Key("a")), "text");
  EXPECT_CODE(Code::kInvalidArgument, Copy(Key("a"), Key("a")));
}

TEST_P(Copies, ReplacesTheTarget) {
  PutText(Key("a"), "new text");
  PutText(Key("b"), "old", Some());
  ASSERT_OK(Copy(Key("a"), Key("b")));
  EXPECT_EQ(GetText(Key("b")), "new text");
  const auto head = store().Head(Key("b"), call_);
  ASSERT_OK(head);
  EXPECT_TRUE(head->properties.metadata.empty());
}

TEST_P(Copies, OfAVersion) {
  const ObjectInfo old = PutText(Key("a"), "old");
  const ObjectInfo now = PutText(Key("a"), "now");
  EXPECT_CODE(Code::kChanged, Copy(Key("a"), Key("b"), std::nullopt, old.etag));
  EXPECT_CODE(Code::kNotFound, store().Head(Key("b"), call_));
  EXPECT_OK(Copy(Key("a"), Key("b"), std::nullopt, now.etag));
  EXPECT_EQ(GetText(Key("b")), "now");
}

TEST_P(Copies, OfNothing) {
  EXPECT_CODE(Code::kNotFound, Copy(Key("none"), Key("b")));
  EXPECT_CODE(Code::kNotFound, store().Head(Key("b"), call_));
}

TEST_P(Copies, OfAnEmptyObject) {
  PutText(Key("empty"), "", Some());
  ASSERT_OK(Copy(Key("empty"), Key("b")));
  EXPECT_EQ(GetText(Key("b")), "");
}

TEST_P(Copies, Move) {
  PutText(Key("d/a"), "text", Some());
  PutText(Key("b"), "replaced");
  const auto moved = store().Move(Key("d/a"), Key("b"), call_);
  if (!caps().move) {
    EXPECT_CODE(Code::kNotSupported, moved);
    EXPECT_EQ(GetText(Key("d/a")), "text");
    return;
  }
  ASSERT_OK(moved);
  EXPECT_EQ(moved->key, Key("b"));
  EXPECT_EQ(GetText(Key("b")), "text");
  const auto head = store().Head(Key("b"), call_);
  ASSERT_OK(head);
  EXPECT_TRUE(SameEtag(head->info.etag, moved->etag));
  EXPECT_EQ(head->properties.metadata, Some().metadata);
  EXPECT_CODE(Code::kNotFound, store().Head(Key("d/a"), call_));
  EXPECT_TRUE(ListAll(prefix(), "/").common_prefixes.empty());
  EXPECT_CODE(Code::kNotFound, store().Move(Key("none"), Key("c"), call_));
  EXPECT_CODE(Code::kNotFound, store().Head(Key("c"), call_));
}

// Stores may send what many threads want at the same time as one request: each gets its own answer.
TEST_P(Copies, ManyMovesAtOnce) {
  if (!caps().move) GTEST_SKIP() << "this store has no move";
  constexpr int kMoves = 24;
  const auto is_missing = [](int i) { return i % 6 == 5; };
  const auto from = [this](int i) { return Key(fmt::format("from/{} & +{}", i, i)); };
  const auto to = [this](int i) { return Key(fmt::format("to/{}", i)); };
  for (int i = 0; i < kMoves; ++i) {
    if (!is_missing(i)) PutText(from(i), fmt::format("text {}", i), Some());
    if (i % 4 == 0) PutText(to(i), "replaced");
  }
  std::vector<Result<ObjectInfo>> moved(kMoves, Error(Code::kInternal, "not asked"));
  std::vector<std::thread> threads;
  threads.reserve(kMoves);
  for (int i = 0; i < kMoves; ++i) {
    threads.emplace_back([&, i] { moved[i] = store().Move(from(i), to(i), call_); });
  }
  for (std::thread& thread : threads) thread.join();
  for (int i = 0; i < kMoves; ++i) {
    SCOPED_TRACE(i);
    if (is_missing(i)) {
      EXPECT_CODE(Code::kNotFound, moved[i]);
      continue;
    }
    ASSERT_OK(moved[i]);
    EXPECT_EQ(moved[i]->key, to(i));
    EXPECT_EQ(GetText(to(i)), fmt::format("text {}", i));
    const auto head = store().Head(to(i), call_);
    ASSERT_OK(head);
    EXPECT_TRUE(SameEtag(head->info.etag, moved[i]->etag));
    EXPECT_EQ(head->properties.metadata, Some().metadata);
  }
  EXPECT_TRUE(ListKeys(Key("from/")).empty());
}

TEST_P(Copies, DeleteIsDoneWhenTheObjectIsGone) {
  PutText(Key("a"), "x");
  EXPECT_OK(store().Delete(Key("a"), Condition::None(), call_));
  EXPECT_CODE(Code::kNotFound, store().Head(Key("a"), call_));
  EXPECT_OK(store().Delete(Key("a"), Condition::None(), call_));
  EXPECT_OK(store().Delete(Key("never/there"), Condition::None(), call_));
}

TEST_P(Copies, DeleteMany) {
  std::vector<std::string> keys;
  for (int i = 0; i < 25; ++i) {
    keys.push_back(Key(fmt::format("d{}/{}", i % 3, i)));
    if (i % 5 != 0) PutText(keys.back(), "x");
  }
  keys.push_back(Key("odd & <key> \"'%20+"));
  PutText(keys.back(), "x");
  PutText(Key("stays"), "x");
  const auto outcomes = store().DeleteMany(keys, call_);
  ASSERT_OK(outcomes);
  ASSERT_EQ(outcomes->size(), keys.size());
  for (size_t i = 0; i < keys.size(); ++i) {
    EXPECT_EQ((*outcomes)[i].key, keys[i]) << "outcomes come in the order of the keys";
    EXPECT_OK((*outcomes)[i].status);
  }
  EXPECT_EQ(ListKeys(prefix()), std::vector<std::string>{Key("stays")});
}

TEST_P(Copies, DeleteManyOfNone) {
  const auto outcomes = store().DeleteMany({}, call_);
  ASSERT_OK(outcomes);
  EXPECT_TRUE(outcomes->empty());
}

INSTANTIATE_TEST_SUITE_P(Stores, Copies, testing::ValuesIn(StoreFactories()), FactoryName);

}  // namespace
}  // namespace quayfs::conformance
