// SPDX-License-Identifier: Apache-2.0

#include "providers/local_record.h"

#include <gtest/gtest.h>

#include <cstring>

namespace quayfs {
namespace {

/// A file in memory that can be read only.
class TextFile final : public DiskFile {
 public:
  explicit TextFile(std::string text) : text_(std::move(text)) {}
  Result<size_t> Read(uint64_t offset, std::span<std::byte> out) const override {
    if (offset >= text_.size()) return size_t{0};
    const size_t count = std::min<size_t>(out.size(), text_.size() - offset);
    std::memcpy(out.data(), text_.data() + offset, count);
    return count;
  }
  Status Write(uint64_t /*offset*/, std::span<const std::byte> /*data*/) override {
    return Error(Code::kReadOnly, "read only");
  }
  Status Truncate(uint64_t /*size*/) override { return Error(Code::kReadOnly, "read only"); }
  Status PunchHole(ByteRange /*range*/) override { return Error(Code::kReadOnly, "read only"); }
  Result<uint64_t> Size() const override { return text_.size(); }
  Status SyncData() override { return {}; }
  int fd() const override { return -1; }

 private:
  const std::string text_;
};

LocalRecord Sample() {
  LocalRecord record;
  record.size = 5;
  record.etag = "\"q0123\"";
  record.modified = WallTime(std::chrono::nanoseconds(1'700'000'000'123'456'789));
  record.upload_id = "0123";
  record.properties.content_type = "text/plain; charset=utf-8";
  record.properties.expires = "Fri, 24 May 2013 00:00:00 GMT";
  record.properties.metadata = {
      {"empty", ""}, {"all", std::string("\0\n\r %=\xff\"'", 9)}, {"end", "end 00000000 00000000"}};
  return record;
}

TEST(LocalRecord, ComesBack) {
  const LocalRecord record = Sample();
  const auto read = ReadLocalRecord(TextFile("hello" + EncodeLocalRecord(record)));
  ASSERT_TRUE(read.ok()) << read.error().ToString();
  EXPECT_EQ(read->kind, record.kind);
  EXPECT_EQ(read->size, record.size);
  EXPECT_EQ(read->etag, record.etag);
  EXPECT_EQ(read->modified, record.modified);
  EXPECT_EQ(read->upload_id, record.upload_id);
  EXPECT_EQ(read->properties.content_type, record.properties.content_type);
  EXPECT_EQ(read->properties.expires, record.properties.expires);
  EXPECT_EQ(read->properties.metadata, record.properties.metadata);
}

TEST(LocalRecord, AnUploadKeepsItsKey) {
  LocalRecord record = Sample();
  record.kind = LocalRecord::Kind::kUpload;
  record.key = "a/b c\n\xff";
  record.size = 0;
  const auto read = ReadLocalRecord(TextFile(EncodeLocalRecord(record)));
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read->kind, LocalRecord::Kind::kUpload);
  EXPECT_EQ(read->key, record.key);
}

TEST(LocalRecord, ALongOneIsReadWhole) {
  LocalRecord record = Sample();
  record.properties.metadata["long"] = std::string(2000, '\x01');
  const std::string trailer = EncodeLocalRecord(record);
  EXPECT_GT(trailer.size(), 4096u);
  EXPECT_LT(trailer.size(), 16u * 1024);
  const auto read = ReadLocalRecord(TextFile("hello" + trailer));
  ASSERT_TRUE(read.ok()) << read.error().ToString();
  EXPECT_EQ(read->properties.metadata, record.properties.metadata);
}

TEST(LocalRecord, EveryDamageIsSeen) {
  const std::string good = "hello" + EncodeLocalRecord(Sample());
  for (size_t i = 5; i < good.size(); ++i) {
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 1);
    EXPECT_FALSE(ReadLocalRecord(TextFile(bad)).ok()) << "byte " << i;
  }
  for (size_t size = 0; size < good.size(); ++size) {
    EXPECT_TRUE(ReadLocalRecord(TextFile(good.substr(0, size))).Is(Code::kCorrupt))
        << "cut to " << size;
  }
  EXPECT_TRUE(ReadLocalRecord(TextFile("hell" + good.substr(5))).Is(Code::kCorrupt));
  EXPECT_TRUE(ReadLocalRecord(TextFile(good + "x")).Is(Code::kCorrupt));
}

TEST(LocalRecord, ABodyThatLooksLikeATrailer) {
  LocalRecord inner = Sample();
  LocalRecord outer = Sample();
  const std::string body = "hello" + EncodeLocalRecord(inner);
  outer.size = body.size();
  outer.etag = "\"outer\"";
  const auto read = ReadLocalRecord(TextFile(body + EncodeLocalRecord(outer)));
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read->etag, "\"outer\"");
}

}  // namespace
}  // namespace quayfs
