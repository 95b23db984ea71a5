// SPDX-License-Identifier: Apache-2.0
//
// C5: clean bytes outlive the mount, and are checked before they are used.

#include "cache/clean_sums.h"

#include <gtest/gtest.h>

#include <fstream>

#include "cache/state/row_codec.h"
#include "tests/unit/cache/cache_fixture.h"

namespace quayfs {
namespace {

namespace stdfs = std::filesystem;
using Kind = FakeRequest::Kind;

class CleanSumsTest : public CacheTest {
 protected:
  void SetUp() override { Remount(); }

  void Remount(uint64_t size_limit = 64 << 20) {
    cache.reset();
    CacheConfig config = SmallConfig(directory.path() + "/cache");
    config.size_limit = size_limit;
    config.sum_delay = std::chrono::milliseconds(1);
    Start(config);
    store.ClearLog();
  }
  std::shared_ptr<FileData> OpenAgain(const std::string& key, uint64_t inode) {
    const auto object = store.Find(key);
    auto file = cache->Open(inode, {key, object->etag, object->data.size()});
    EXPECT_TRUE(file.ok());
    return *std::move(file);
  }
  std::string DataPath(uint64_t inode) const {
    return directory.path() + "/cache/data/0" + std::to_string(inode) + "/" + std::to_string(inode);
  }
  void Damage(uint64_t inode, uint64_t offset) {
    std::fstream file(DataPath(inode), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(offset));
    file << "damage";
  }
  std::optional<CleanRow> Row(uint64_t inode) {
    auto row = cache->state()->FindClean(inode);
    EXPECT_TRUE(row.ok());
    return row ? *row : std::nullopt;
  }
  uint64_t FetchedBytes() const {
    uint64_t bytes = 0;
    for (const FakeRequest& request : store.log()) bytes += request.range.length();
    return bytes;
  }

  const std::string data = RandomText(1000000, 5);
};

TEST_F(CleanSumsTest, C5CleanBytesAreUsedAfterARemount) {
  auto file = OpenObject("a", data, 1);
  EXPECT_TRUE(ReadAll(*file) == data);
  for (int round = 0; round < 3; ++round) {
    file.reset();
    Remount();
    EXPECT_EQ(cache->stats().clean_bytes, data.size());
    file = OpenAgain("a", 1);
    EXPECT_TRUE(ReadAll(*file) == data);
    EXPECT_EQ(file->state().cached_bytes, data.size());
    EXPECT_TRUE(store.log().empty());
  }
}

TEST_F(CleanSumsTest, C5ABlockThatDoesNotFitIsFetched) {
  auto file = OpenObject("a", data, 1);
  EXPECT_TRUE(ReadAll(*file) == data);
  file.reset();
  cache.reset();
  Damage(1, 300000);
  Remount();
  file = OpenAgain("a", 1);
  EXPECT_TRUE(ReadAll(*file) == data);
  EXPECT_EQ(FetchedBytes(), kSumBlock);
  EXPECT_EQ(cache->stats().clean_bytes, data.size());
  // And what was fetched is good for the next time.
  file.reset();
  Remount();
  file = OpenAgain("a", 1);
  EXPECT_TRUE(ReadAll(*file) == data);
  EXPECT_TRUE(store.log().empty());
}

TEST_F(CleanSumsTest, C5CleanBytesBelongToOneVersion) {
  auto file = OpenObject("a", data, 1);
  EXPECT_TRUE(ReadAll(*file) == data);
  file.reset();
  const std::string other = RandomText(data.size(), 6);
  store.SetObject("a", other);
  Remount();
  file = OpenAgain("a", 1);
  EXPECT_TRUE(ReadAll(*file) == other);
  EXPECT_EQ(FetchedBytes(), data.size());
}

TEST_F(CleanSumsTest, C5WhatWasPublishedIsCleanAndStays) {
  auto file = NewFile(1);
  Write(*file, 0, data);
  PublishOk(*file, "a");
  Write(*file, 900000, RandomText(300000, 7));  // the last block ends elsewhere now
  PublishOk(*file, "a");
  const std::string now = ReadAll(*file);
  file.reset();
  Remount();
  ASSERT_EQ(cache->restored().size(), 1u);
  file = *cache->Restore(1);
  EXPECT_TRUE(ReadAll(*file) == now);
  EXPECT_TRUE(store.log().empty());
}

TEST_F(CleanSumsTest, C5CleanBytesBesideDirtyOnesStay) {
  auto file = OpenObject("a", data, 1);
  EXPECT_TRUE(ReadAll(*file) == data);
  Write(*file, 500000, "dirty");
  file.reset();
  Remount();
  ASSERT_EQ(cache->restored().size(), 1u);
  file = *cache->Restore(1);
  std::string expected = data;
  expected.replace(500000, 5, "dirty");
  EXPECT_TRUE(ReadAll(*file) == expected);
  EXPECT_EQ(FetchedBytes(), kSumBlock);
  Write(*file, 10, "more");
  expected.replace(10, 4, "more");
  ASSERT_TRUE(file->Truncate(700001).ok());
  expected.resize(700001);
  EXPECT_TRUE(ReadAll(*file) == expected);
  PublishOk(*file, "a");
  EXPECT_TRUE(store.Find("a")->data == expected);
}

TEST_F(CleanSumsTest, C5WritesIntoBytesThatWereNotChecked) {
  auto file = OpenObject("a", data, 1);
  EXPECT_TRUE(ReadAll(*file) == data);
  file.reset();
  Remount();
  file = OpenAgain("a", 1);
  std::string expected = data;
  Write(*file, 200000, "one");
  expected.replace(200000, 3, "one");
  ASSERT_TRUE(file->Truncate(600000).ok());
  ASSERT_TRUE(file->Truncate(650000).ok());
  expected.resize(600000);
  expected.resize(650000);
  PublishOk(*file, "a");
  EXPECT_TRUE(store.Find("a")->data == expected);
  EXPECT_TRUE(ReadAll(*file) == expected);
}

TEST_F(CleanSumsTest, WhatNobodyHasOpenedCountsAndGoesFirst) {
  for (uint64_t inode = 1; inode <= 4; ++inode) {
    auto file = OpenObject("a" + std::to_string(inode), data, inode);
    EXPECT_TRUE(ReadAll(*file) == data);
  }
  Remount(2500000);
  EXPECT_LE(cache->stats().clean_bytes, 2500000u);
  EXPECT_GE(cache->stats().clean_bytes, 2000000u);
  int there = 0;
  for (uint64_t inode = 1; inode <= 4; ++inode) there += stdfs::exists(DataPath(inode)) ? 1 : 0;
  EXPECT_EQ(there, 2);
  for (uint64_t inode = 1; inode <= 4; ++inode) {
    auto file = OpenAgain("a" + std::to_string(inode), inode);
    EXPECT_TRUE(ReadAll(*file) == data);
  }
  EXPECT_LE(cache->stats().clean_bytes, 2500000u + data.size());
}

TEST_F(CleanSumsTest, RowsGoWithTheirFiles) {
  auto file = OpenObject("a", data, 1);
  EXPECT_TRUE(ReadAll(*file) == data);
  EXPECT_TRUE(Eventually([&] {
    const auto row = Row(1);
    return row && row->sums.size() == (data.size() + kSumBlock - 1) / kSumBlock;
  }));
  file.reset();
  Remount();
  ASSERT_TRUE(Row(1).has_value());
  cache->Remove(1);
  EXPECT_FALSE(stdfs::exists(DataPath(1)));
  Remount();
  EXPECT_FALSE(Row(1).has_value());
}

TEST(SumsCodecTest, KeepsSums) {
  const std::vector<BlockSum> sums = {{0, 0xffffffff}, {1, 0}, {7, 0x80000001}, {1ull << 40, 5}};
  const std::string encoded = EncodeSums(sums);
  const auto decoded = DecodeSums(encoded);
  ASSERT_TRUE(decoded.ok());
  EXPECT_TRUE(*decoded == sums);
  EXPECT_TRUE(DecodeSums(EncodeSums({}))->empty());
  for (size_t length = 0; length < encoded.size(); ++length) {
    const auto cut = DecodeSums(std::string_view(encoded).substr(0, length));
    EXPECT_TRUE(!cut.ok() || cut->size() < sums.size()) << length;
  }
  EXPECT_FALSE(DecodeSums(std::string("\x01\x80\x80\x08\x00\xff\xff\xff\xff\x7f", 10)).ok());
}

}  // namespace
}  // namespace quayfs
