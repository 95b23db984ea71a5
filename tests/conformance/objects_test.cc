// SPDX-License-Identifier: Apache-2.0
//
// Whole objects: what was put is what is got.

#include <gtest/gtest.h>

#include <chrono>

#include "tests/conformance/store_under_test.h"

namespace quayfs::conformance {
namespace {

class Objects : public Conformance {};

TEST_P(Objects, TheBucketIsThere) { EXPECT_OK(store().CheckBucket(call_)); }

TEST_P(Objects, TheStoreHasAName) { EXPECT_FALSE(store().name().empty()); }

TEST_P(Objects, PutThenGetGivesTheSameBytes) {
  const std::string text = Pattern(100'000, 1);
  const ObjectInfo put = PutText(Key("a"), text);
  EXPECT_EQ(put.key, Key("a"));
  EXPECT_EQ(put.size, text.size());
  EXPECT_FALSE(put.etag.empty());
  EXPECT_EQ(GetText(Key("a")), text);
}

TEST_P(Objects, HeadAgreesWithPutAndGet) {
  const ObjectInfo put = PutText(Key("a"), "hello");
  const auto head = store().Head(Key("a"), call_);
  ASSERT_OK(head);
  EXPECT_EQ(head->info.key, Key("a"));
  EXPECT_EQ(head->info.size, 5u);
  EXPECT_TRUE(SameEtag(head->info.etag, put.etag)) << head->info.etag << " " << put.etag;
  StringSink sink;
  const auto got = store().Get(GetRequest{Key("a"), {}, {}}, sink, call_);
  ASSERT_OK(got);
  EXPECT_TRUE(SameEtag(got->info.etag, put.etag));
  EXPECT_EQ(got->info.size, 5u);
}

TEST_P(Objects, LastModifiedIsNow) {
  PutText(Key("a"), "x");
  const auto head = store().Head(Key("a"), call_);
  ASSERT_OK(head);
  const auto away = std::chrono::system_clock::now() - head->info.last_modified;
  EXPECT_LT(std::chrono::abs(std::chrono::duration_cast<std::chrono::minutes>(away)).count(), 10);
}

TEST_P(Objects, AnEmptyObject) {
  const ObjectInfo put = PutText(Key("empty"), "");
  EXPECT_EQ(put.size, 0u);
  EXPECT_FALSE(put.etag.empty());
  EXPECT_EQ(GetText(Key("empty")), "");
  const auto head = store().Head(Key("empty"), call_);
  ASSERT_OK(head);
  EXPECT_EQ(head->info.size, 0u);
}

TEST_P(Objects, WhatIsNotThereIsNotFound) {
  EXPECT_CODE(Code::kNotFound, store().Head(Key("none"), call_));
  StringSink sink;
  EXPECT_CODE(Code::kNotFound, store().Get(GetRequest{Key("none"), {}, {}}, sink, call_));
  EXPECT_EQ(sink.text(), "");
  EXPECT_CODE(Code::kNotFound,
              store().Get(GetRequest{Key("none"), ByteRange{0, 1}, "\"x\""}, sink, call_));
  PutText(Key("dir/a"), "x");
  EXPECT_CODE(Code::kNotFound, store().Head(Key("dir"), call_));
  EXPECT_CODE(Code::kNotFound, store().Head(Key("dir/"), call_));
}

TEST_P(Objects, ASecondPutReplaces) {
  const ObjectInfo first = PutText(Key("a"), "first, longer");
  const ObjectInfo second = PutText(Key("a"), "second");
  EXPECT_FALSE(SameEtag(first.etag, second.etag));
  EXPECT_EQ(GetText(Key("a")), "second");
}

TEST_P(Objects, Ranges) {
  const std::string text = Pattern(1000, 2);
  PutText(Key("a"), text);
  const auto get = [&](uint64_t begin, uint64_t end) {
    StringSink sink;
    const auto head = store().Get(GetRequest{Key("a"), ByteRange{begin, end}, {}}, sink, call_);
    EXPECT_OK(head);
    EXPECT_EQ(head.ok() ? head->info.size : 0, 1000u) << "the size is that of the whole object";
    return sink.text();
  };
  EXPECT_EQ(get(0, 1), text.substr(0, 1));
  EXPECT_EQ(get(0, 1000), text);
  EXPECT_EQ(get(17, 543), text.substr(17, 543 - 17));
  EXPECT_EQ(get(999, 1000), text.substr(999));
  EXPECT_EQ(get(990, 5000), text.substr(990)) << "an end beyond the object is cut";
  EXPECT_EQ(get(0, 5'000'000'000), text);
}

TEST_P(Objects, ARangeBeyondTheEndIsRefused) {
  PutText(Key("a"), "0123456789");
  PutText(Key("empty"), "");
  StringSink sink;
  EXPECT_CODE(Code::kInvalidArgument,
              store().Get(GetRequest{Key("a"), ByteRange{10, 11}, {}}, sink, call_));
  EXPECT_CODE(Code::kInvalidArgument,
              store().Get(GetRequest{Key("a"), ByteRange{4000, 5000}, {}}, sink, call_));
  EXPECT_CODE(Code::kInvalidArgument,
              store().Get(GetRequest{Key("empty"), ByteRange{0, 10}, {}}, sink, call_));
  EXPECT_EQ(sink.text(), "") << "no byte of an error reply reaches the sink";
}

TEST_P(Objects, GetOfAVersion) {
  const ObjectInfo first = PutText(Key("a"), "first");
  StringSink sink;
  EXPECT_OK(store().Get(GetRequest{Key("a"), {}, first.etag}, sink, call_));
  EXPECT_EQ(sink.text(), "first");
  PutText(Key("a"), "second");
  StringSink none;
  EXPECT_CODE(Code::kChanged, store().Get(GetRequest{Key("a"), {}, first.etag}, none, call_));
  EXPECT_CODE(Code::kChanged,
              store().Get(GetRequest{Key("a"), ByteRange{0, 3}, first.etag}, none, call_));
  EXPECT_EQ(none.text(), "");
}

INSTANTIATE_TEST_SUITE_P(Stores, Objects, testing::ValuesIn(StoreFactories()), FactoryName);

}  // namespace
}  // namespace quayfs::conformance
