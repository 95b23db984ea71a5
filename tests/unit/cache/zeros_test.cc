// SPDX-License-Identifier: Apache-2.0
//
// Holes on their way to the store: copied from an object of zeros, or sent where that fails.

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/unit/cache/cache_fixture.h"

namespace quayfs {
namespace {

using Kind = FakeRequest::Kind;
constexpr uint64_t kKiB = 1 << 10;

class ZerosTest : public CacheTest {
 protected:
  explicit ZerosTest(Capabilities capabilities = SmallCapabilities()) : CacheTest(capabilities) {}
  void SetUp() override { Begin(4 << 20); }
  void Begin(uint64_t use_large) {
    CacheConfig config = SmallConfig(directory.path() + "/cache");
    config.zeros.prefix = ".quayfs/zeros/";
    config.zeros.least = 4 * kKiB;
    config.zeros.small = 64 * kKiB;
    config.zeros.large = 512 * kKiB;
    config.zeros.worth_it = 128 * kKiB;
    config.zeros.use_large = use_large;
    Start(config);
  }
  /// 1 MiB of nothing with `text` at 500 KiB.
  std::shared_ptr<FileData> Sparse(std::string_view text, uint64_t inode = 1) {
    auto file = NewFile(inode);
    EXPECT_TRUE(file->Truncate(1 << 20).ok());
    Write(*file, 500 * kKiB, text);
    wanted = std::string(1 << 20, '\0');
    wanted.replace(500 * kKiB, text.size(), text);
    return file;
  }
  uint64_t SentTo(const std::string& key) {
    uint64_t bytes = 0;
    for (const FakeRequest& request : store.log()) {
      if (request.key == key) bytes += request.bytes;
    }
    return bytes;
  }
  std::string wanted;
};

TEST_F(ZerosTest, TheStoreCopiesThem) {
  auto file = Sparse("something");
  PublishOk(*file, "a");
  EXPECT_TRUE(store.Find("a")->data == wanted);
  // One smallest part at most for the bytes, rounded to the local file system's blocks.
  EXPECT_LE(SentTo("a"), 32 * kKiB);
  EXPECT_GE(store.Count(Kind::kCopyPart), 15);
  EXPECT_EQ(store.Find(".quayfs/zeros/65536")->data, std::string(64 * kKiB, '\0'));
  // Cached bytes are right, too.
  EXPECT_TRUE(ReadAll(*file) == wanted);
  const int puts = store.Count(Kind::kPut);
  auto second = Sparse("other", 2);
  PublishOk(*second, "b");
  EXPECT_TRUE(store.Find("b")->data == wanted);
  EXPECT_EQ(store.Count(Kind::kPut), puts) << "the zeros were sent again";
}

TEST_F(ZerosTest, AnObjectOfAnotherMountIsFoundAndUsed) {
  PublishOk(*Sparse("something"), "a");
  cache.reset();
  Begin(4 << 20);
  const int puts = store.Count(Kind::kPut);
  auto file = Sparse("something", 7);
  PublishOk(*file, "b");
  EXPECT_TRUE(store.Find("b")->data == wanted);
  EXPECT_EQ(store.Count(Kind::kPut), puts);
  Finish(file);
}

TEST_F(ZerosTest, MuchEmptinessIsCopiedFromALargeObject) {
  cache.reset();
  Begin(512 * kKiB);
  auto file = Sparse("something");
  PublishOk(*file, "a");
  EXPECT_TRUE(store.Find("a")->data == wanted);
  EXPECT_EQ(store.Find(".quayfs/zeros/524288")->data, std::string(512 * kKiB, '\0'));
  int copies = 0;
  for (const FakeRequest& request : store.log()) {
    if (request.kind == Kind::kCopyPart && request.key == "a") ++copies;
  }
  EXPECT_LE(copies, 3);
  EXPECT_LE(SentTo(".quayfs/zeros/65536"), 64 * kKiB);
  EXPECT_EQ(SentTo(".quayfs/zeros/524288"), 0U);
  Finish(file);
}

TEST_F(ZerosTest, WhatIsNotOursIsNotCopiedFrom) {
  store.SetObject(".quayfs/zeros/65536", std::string(64 * kKiB, 'x'));
  auto file = Sparse("something");
  PublishOk(*file, "a");
  EXPECT_TRUE(store.Find("a")->data == wanted);
  EXPECT_GE(SentTo("a"), 1U << 20);
  EXPECT_EQ(store.Find(".quayfs/zeros/65536")->data, std::string(64 * kKiB, 'x'));
}

TEST_F(ZerosTest, ZerosAreSentWhereTheStoreWillNotCopy) {
  store.before = [](const FakeRequest& request) {
    return request.kind == Kind::kCopyPart ? Status(Error(Code::kPermissionDenied, "no copies"))
                                           : Status();
  };
  auto file = Sparse("something");
  PublishOk(*file, "a");
  EXPECT_TRUE(store.Find("a")->data == wanted);
  Finish(file);
}

TEST_F(ZerosTest, ZerosAreSentWhereTheObjectCannotBeMade) {
  store.before = [](const FakeRequest& request) {
    return request.key.starts_with(".quayfs/") ? Status(Error(Code::kPermissionDenied, "not here"))
                                               : Status();
  };
  auto file = Sparse("something");
  PublishOk(*file, "a");
  EXPECT_TRUE(store.Find("a")->data == wanted);
  Finish(file);
}

TEST_F(ZerosTest, AHoleThatIsFilledMeanwhileIsNotCopied) {
  auto file = Sparse("something");
  std::atomic<bool> written{false};
  store.before = [&](const FakeRequest& request) -> Status {
    if (request.kind == Kind::kCopyPart && request.key == "a" && !written.exchange(true)) {
      // Into this part, and into one that has not been sent yet.
      EXPECT_TRUE(file->Write(1000, BytesOf("filled")).ok());
      EXPECT_TRUE(file->Write(1000 * kKiB, BytesOf("filled")).ok());
    }
    return {};
  };
  PublishOk(*file, "a");
  wanted.replace(1000, 6, "filled");
  wanted.replace(1000 * kKiB, 6, "filled");
  EXPECT_TRUE(store.Find("a")->data == wanted);
  Finish(file);
}

TEST_F(ZerosTest, AGrowingSparseFileIsNotSentAheadAsZeros) {
  auto file = NewFile();
  file->AllowStreaming("a", {});
  ASSERT_TRUE(file->Truncate(4 << 20).ok());
  Write(*file, 3 << 20, "something");
  PublishOk(*file, "a");
  EXPECT_LE(SentTo("a"), 32 * kKiB);
  wanted = std::string(4 << 20, '\0');
  wanted.replace(3 << 20, 9, "something");
  EXPECT_TRUE(store.Find("a")->data == wanted);
  Finish(file);
}

TEST_F(ZerosTest, AHoleIntoAnObjectIsCopiedBetweenItsOwnBytes) {
  const std::string data = RandomText(1 << 20, 5);
  auto file = OpenObject("a", data);
  ASSERT_TRUE(file->Zero({200 * kKiB, 600 * kKiB}).ok());
  PublishOk(*file, "a");
  wanted = data;
  wanted.replace(200 * kKiB, 400 * kKiB, 400 * kKiB, '\0');
  EXPECT_TRUE(store.Find("a")->data == wanted);
  EXPECT_EQ(SentTo("a"), 0U);
  Finish(file);
}

Capabilities EqualParts() {
  Capabilities capabilities = SmallCapabilities();
  capabilities.equal_parts = true;
  return capabilities;
}

class EqualZerosTest : public ZerosTest {
 protected:
  EqualZerosTest() : ZerosTest(EqualParts()) {}
};

TEST_F(EqualZerosTest, WholePartsOfZerosAreCopied) {
  auto file = Sparse("something");
  PublishOk(*file, "a");
  EXPECT_TRUE(store.Find("a")->data == wanted);
  EXPECT_EQ(store.Count(Kind::kCopyPart), 15);
  EXPECT_EQ(SentTo("a"), 64 * kKiB);
  Finish(file);
}

}  // namespace
}  // namespace quayfs
