// SPDX-License-Identifier: Apache-2.0
//
// Multipart uploads.

#include <gtest/gtest.h>

#include <algorithm>
#include <thread>

#include "tests/conformance/store_under_test.h"

namespace quayfs::conformance {
namespace {

class Multipart : public Conformance {
 protected:
  std::string Create(const std::string& key, const ObjectProperties& properties = {}) {
    const auto id = store().CreateUpload(key, properties, call_);
    EXPECT_OK(id);
    return id.ok() ? *id : "";
  }
  PartInfo Upload(const std::string& key, const std::string& id, int number,
                  const std::string& data) {
    const auto part = store().UploadPart(key, id, number, MemorySource(data), call_);
    EXPECT_OK(part);
    if (!part) return {};
    EXPECT_EQ(part->number, number);
    EXPECT_EQ(part->size, data.size());
    EXPECT_FALSE(part->etag.empty());
    return *part;
  }
  Result<ObjectInfo> Complete(const std::string& key, const std::string& id,
                              const std::vector<PartInfo>& parts) {
    return store().CompleteUpload(key, id, parts, Condition::None(), call_);
  }
  std::string Part(uint32_t seed) const { return Pattern(PartSize(), seed); }
};

TEST_P(Multipart, PartsInAnyOrderMakeOneObject) {
  ObjectProperties properties;
  properties.content_type = "text/x-parts";
  properties.metadata["mtime"] = "1.5";
  const std::string id = Create(Key("a"), properties);
  const std::string first = Part(1);
  const std::string second = Part(2);
  const std::string last = Pattern(1234, 3);
  const PartInfo p7 = Upload(Key("a"), id, 7, last);
  const PartInfo p1 = Upload(Key("a"), id, 1, first);
  const PartInfo p3 = Upload(Key("a"), id, 3, second);
  EXPECT_CODE(Code::kNotFound, store().Head(Key("a"), call_));
  EXPECT_TRUE(ListKeys(prefix()).empty()) << "nothing is seen before completion";
  const auto info = Complete(Key("a"), id, {p1, p3, p7});
  ASSERT_OK(info);
  EXPECT_EQ(info->size, first.size() + second.size() + last.size());
  EXPECT_TRUE(GetText(Key("a")) == first + second + last);
  const auto head = store().Head(Key("a"), call_);
  ASSERT_OK(head);
  EXPECT_EQ(head->info.size, info->size);
  EXPECT_TRUE(SameEtag(head->info.etag, info->etag)) << head->info.etag << " " << info->etag;
  EXPECT_EQ(head->properties.content_type, "text/x-parts");
  EXPECT_EQ(head->properties.metadata, properties.metadata);
  StringSink sink;
  const uint64_t border = first.size();
  ASSERT_OK(store().Get(GetRequest{Key("a"), ByteRange{border - 10, border + 10}, info->etag}, sink,
                        call_));
  EXPECT_EQ(sink.text(), first.substr(border - 10) + second.substr(0, 10));
}

TEST_P(Multipart, OneSmallPart) {
  const std::string id = Create(Key("a"));
  const PartInfo part = Upload(Key("a"), id, 1, "small");
  ASSERT_OK(Complete(Key("a"), id, {part}));
  EXPECT_EQ(GetText(Key("a")), "small");
}

TEST_P(Multipart, APartThatIsSentAgainIsReplaced) {
  const std::string id = Create(Key("a"));
  const std::string kept = Part(5);
  Upload(Key("a"), id, 1, Part(4));
  const PartInfo p2 = Upload(Key("a"), id, 2, "end");
  const PartInfo p1 = Upload(Key("a"), id, 1, kept);
  ASSERT_OK(Complete(Key("a"), id, {p1, p2}));
  EXPECT_TRUE(GetText(Key("a")) == kept + "end");
}

TEST_P(Multipart, APartOfAnotherVersionIsRefused) {
  const std::string id = Create(Key("a"));
  const PartInfo old = Upload(Key("a"), id, 1, "old");
  Upload(Key("a"), id, 1, "new");
  EXPECT_FALSE(Complete(Key("a"), id, {old}).ok());
  PartInfo missing = old;
  missing.number = 2;
  EXPECT_FALSE(Complete(Key("a"), id, {missing}).ok());
  EXPECT_CODE(Code::kNotFound, store().Head(Key("a"), call_));
}

TEST_P(Multipart, PartsNotNamedAreLeftOutOrRefused) {
  const std::string id = Create(Key("a"));
  const PartInfo p1 = Upload(Key("a"), id, 1, Part(1));
  Upload(Key("a"), id, 2, Part(2));
  const PartInfo p3 = Upload(Key("a"), id, 3, "end");
  const auto info = Complete(Key("a"), id, {p1, p3});
  if (info.ok()) {
    EXPECT_TRUE(GetText(Key("a")) == Part(1) + "end");
  } else {
    // A RADOS gateway wants all of them named.
    EXPECT_CODE(Code::kInvalidArgument, info);
    EXPECT_CODE(Code::kNotFound, store().Head(Key("a"), call_));
  }
}

TEST_P(Multipart, ListParts) {
  const std::string id = Create(Key("a"));
  const auto none = store().ListParts(Key("a"), id, call_);
  ASSERT_OK(none);
  EXPECT_TRUE(none->empty());
  const PartInfo p12 = Upload(Key("a"), id, 12, "twelve");
  const PartInfo p3 = Upload(Key("a"), id, 3, Part(3));
  const auto parts = store().ListParts(Key("a"), id, call_);
  ASSERT_OK(parts);
  ASSERT_EQ(parts->size(), 2u);
  EXPECT_EQ((*parts)[0].number, 3);
  EXPECT_EQ((*parts)[0].size, p3.size);
  EXPECT_TRUE(SameEtag((*parts)[0].etag, p3.etag));
  EXPECT_EQ((*parts)[1].number, 12);
  EXPECT_TRUE(SameEtag((*parts)[1].etag, p12.etag));
  ASSERT_OK(Complete(Key("a"), id, *parts));
}

TEST_P(Multipart, ListUploads) {
  const std::string a1 = Create(Key("up/a"));
  const std::string a2 = Create(Key("up/a"));
  const std::string b = Create(Key("up/b c+d%"));
  Create(Key("other"));
  const auto uploads = store().ListUploads(Key("up/"), call_);
  ASSERT_OK(uploads);
  std::vector<std::pair<std::string, std::string>> found;
  for (const UploadInfo& upload : *uploads) {
    found.emplace_back(upload.key, upload.upload_id);
    const auto age = std::chrono::system_clock::now() - upload.initiated;
    EXPECT_LT(std::chrono::abs(std::chrono::duration_cast<std::chrono::minutes>(age)).count(), 10);
  }
  std::sort(found.begin(), found.end());
  std::vector<std::pair<std::string, std::string>> expected = {
      {Key("up/a"), a1}, {Key("up/a"), a2}, {Key("up/b c+d%"), b}};
  std::sort(expected.begin(), expected.end());
  EXPECT_EQ(found, expected);
}

TEST_P(Multipart, AbortRemovesTheUpload) {
  const std::string id = Create(Key("a"));
  const PartInfo part = Upload(Key("a"), id, 1, "x");
  EXPECT_OK(store().AbortUpload(Key("a"), id, call_));
  EXPECT_OK(store().AbortUpload(Key("a"), id, call_)) << "gone is gone, whoever removed it";
  EXPECT_CODE(Code::kNotFound, store().ListParts(Key("a"), id, call_));
  EXPECT_CODE(Code::kNotFound,
              store().UploadPart(Key("a"), id, 1, MemorySource(std::string_view("x")), call_));
  EXPECT_CODE(Code::kNotFound, Complete(Key("a"), id, {part}));
  const auto uploads = store().ListUploads(prefix(), call_);
  ASSERT_OK(uploads);
  EXPECT_TRUE(uploads->empty());
  EXPECT_CODE(Code::kNotFound, store().Head(Key("a"), call_));
}

TEST_P(Multipart, CompletingTwiceIsCompletingOnce) {
  const std::string id = Create(Key("a"));
  const PartInfo p1 = Upload(Key("a"), id, 1, Part(1));
  const PartInfo p2 = Upload(Key("a"), id, 2, "end");
  const auto first = Complete(Key("a"), id, {p1, p2});
  ASSERT_OK(first);
  const auto second = Complete(Key("a"), id, {p1, p2});
  // A store whose ETags prove nothing can only say that the upload is gone; the caller then uploads
  // again.
  if (second.ok()) {
    EXPECT_TRUE(SameEtag(first->etag, second->etag));
    EXPECT_EQ(second->size, first->size);
  } else {
    EXPECT_CODE(Code::kNotFound, second);
  }
  const auto head = store().Head(Key("a"), call_);
  ASSERT_OK(head);
  EXPECT_TRUE(SameEtag(first->etag, head->info.etag)) << "and nothing was written";
  const auto uploads = store().ListUploads(prefix(), call_);
  ASSERT_OK(uploads);
  EXPECT_TRUE(uploads->empty());
}

TEST_P(Multipart, ALateCompletionDoesNotComeBack) {
  const std::string id = Create(Key("a"));
  const PartInfo part = Upload(Key("a"), id, 1, "uploaded");
  ASSERT_OK(Complete(Key("a"), id, {part}));
  PutText(Key("a"), "written later");
  EXPECT_FALSE(Complete(Key("a"), id, {part}).ok());
  EXPECT_EQ(GetText(Key("a")), "written later");
}

TEST_P(Multipart, AnUploadReplacesOnlyWhenItIsComplete) {
  PutText(Key("a"), "old");
  const std::string id = Create(Key("a"));
  const PartInfo part = Upload(Key("a"), id, 1, "new");
  EXPECT_EQ(GetText(Key("a")), "old");
  ASSERT_OK(Complete(Key("a"), id, {part}));
  EXPECT_EQ(GetText(Key("a")), "new");
}

TEST_P(Multipart, PartsInParallel) {
  constexpr int kParts = 6;
  const std::string id = Create(Key("a"));
  std::vector<PartInfo> parts(kParts);
  std::vector<std::thread> threads;
  threads.reserve(kParts);
  for (int i = 0; i < kParts; ++i) {
    threads.emplace_back([&, i] {
      const std::string data = i + 1 == kParts ? "end" : Part(static_cast<uint32_t>(i));
      parts[static_cast<size_t>(i)] = Upload(Key("a"), id, i + 1, data);
    });
  }
  for (std::thread& thread : threads) thread.join();
  ASSERT_OK(Complete(Key("a"), id, parts));
  std::string expected;
  for (int i = 0; i + 1 < kParts; ++i) expected += Part(static_cast<uint32_t>(i));
  EXPECT_TRUE(GetText(Key("a")) == expected + "end");
}

TEST_P(Multipart, CopiedParts) {
  const std::string source = Pattern(2 * PartSize() + 777, 9);
  const ObjectInfo info = PutText(Key("source"), source);
  const std::string id = Create(Key("a"));
  const auto copy = [&](int number, ByteRange range, const std::string& etag) {
    return store().CopyPart(Key("a"), id, number, Key("source"), etag, range, call_);
  };
  if (!caps().part_copy) {
    EXPECT_CODE(Code::kNotSupported, copy(1, ByteRange{0, PartSize()}, info.etag));
    return;
  }
  const auto p1 = copy(1, ByteRange{100, 100 + PartSize()}, info.etag);
  const PartInfo p2 = Upload(Key("a"), id, 2, Part(5));
  const auto p3 = copy(3, ByteRange{2 * PartSize(), source.size()}, "");
  ASSERT_OK(p1);
  ASSERT_OK(p3);
  EXPECT_EQ(p1->number, 1);
  EXPECT_EQ(p1->size, PartSize());
  ASSERT_OK(Complete(Key("a"), id, {*p1, p2, *p3}));
  EXPECT_TRUE(GetText(Key("a")) ==
              source.substr(100, PartSize()) + Part(5) + source.substr(2 * PartSize()));
}

TEST_P(Multipart, CopiedPartsOfAChangedSource) {
  if (!caps().part_copy) GTEST_SKIP() << "this store does not copy parts";
  const ObjectInfo old = PutText(Key("source"), Pattern(PartSize() + 1, 1));
  PutText(Key("source"), Pattern(PartSize() + 1, 2));
  const std::string id = Create(Key("a"));
  EXPECT_CODE(Code::kChanged, store().CopyPart(Key("a"), id, 1, Key("source"), old.etag,
                                               ByteRange{0, PartSize()}, call_));
  EXPECT_CODE(Code::kNotFound,
              store().CopyPart(Key("a"), id, 1, Key("none"), "", ByteRange{0, PartSize()}, call_));
  const auto parts = store().ListParts(Key("a"), id, call_);
  ASSERT_OK(parts);
  EXPECT_TRUE(parts->empty());
}

TEST_P(Multipart, UploadsOfNothing) {
  const std::string id = Create(Key("a"));
  EXPECT_CODE(Code::kInvalidArgument, Complete(Key("a"), id, {}));
  EXPECT_CODE(Code::kNotFound, store().UploadPart(Key("a"), "0123456789abcdef0123456789abcdef", 1,
                                                  MemorySource(std::string_view("x")), call_));
  EXPECT_OK(store().AbortUpload(Key("a"), "0123456789abcdef0123456789abcdef", call_));
}

INSTANTIATE_TEST_SUITE_P(Stores, Multipart, testing::ValuesIn(StoreFactories()), FactoryName);

}  // namespace
}  // namespace quayfs::conformance
