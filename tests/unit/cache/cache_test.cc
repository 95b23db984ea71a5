// SPDX-License-Identifier: Apache-2.0
//
// The cache as a whole: its directory, what it keeps and what it gives up.

#include "cache/cache.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "cache/clean_budget.h"
#include "cache/snapshot_memory.h"
#include "cache/transfers.h"
#include "tests/unit/cache/cache_fixture.h"

namespace quayfs {
namespace {

using Kind = FakeRequest::Kind;
namespace stdfs = std::filesystem;

class CacheDirectoryTest : public CacheTest {};

TEST_F(CacheDirectoryTest, IsMadeForTheOwnerOnly) {
  const std::string path = directory.path() + "/deep/er/cache";
  Start(SmallConfig(path));
  EXPECT_EQ(stdfs::status(path).permissions(), stdfs::perms::owner_all);
}

TEST_F(CacheDirectoryTest, IsRefusedWhenOthersMayWrite) {
  const std::string path = directory.path() + "/open";
  stdfs::create_directory(path);
  stdfs::permissions(path, stdfs::perms::owner_all | stdfs::perms::group_write);
  auto opened = Cache::Open(SmallConfig(path), store, *disk);
  ASSERT_TRUE(opened.Is(Code::kNotPermitted));
  EXPECT_NE(opened.error().message().find("chmod 700"), std::string::npos);
}

TEST_F(CacheDirectoryTest, IsRefusedAsASymbolicLink) {
  stdfs::create_directory(directory.path() + "/real");
  stdfs::create_directory_symlink(directory.path() + "/real", directory.path() + "/link");
  auto opened = Cache::Open(SmallConfig(directory.path() + "/link"), store, *disk);
  EXPECT_TRUE(opened.Is(Code::kNotPermitted));
}

TEST_F(CacheDirectoryTest, IsRefusedAsAFile) {
  std::ofstream(directory.path() + "/file") << "x";
  EXPECT_FALSE(Cache::Open(SmallConfig(directory.path() + "/file"), store, *disk).ok());
}

TEST_F(CacheDirectoryTest, IsRefusedWhenSomebodyElseOwnsIt) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root to give a directory away";
  const std::string path = directory.path() + "/theirs";
  stdfs::create_directory(path);
  ASSERT_EQ(chown(path.c_str(), 12345, 12345), 0);
  EXPECT_TRUE(Cache::Open(SmallConfig(path), store, *disk).Is(Code::kNotPermitted));
}

TEST_F(CacheDirectoryTest, HasOneUserAtATime) {
  Start();
  auto second = Cache::Open(SmallConfig(directory.path() + "/cache"), store, *disk);
  ASSERT_TRUE(second.Is(Code::kBusy));
  EXPECT_NE(second.error().message().find(std::to_string(getpid())), std::string::npos);
  cache.reset();
  Start();
}

TEST_F(CacheDirectoryTest, LosesDataFilesOfAnEarlierMount) {
  const std::string path = directory.path() + "/cache";
  Start();
  cache.reset();
  stdfs::create_directories(path + "/data/07");
  std::ofstream(path + "/data/07/7") << "stale";
  Start();
  EXPECT_FALSE(stdfs::exists(path + "/data/07/7"));
  auto file = NewFile(7);
  ASSERT_TRUE(file->Truncate(5).ok());
  EXPECT_EQ(ReadAll(*file), std::string(5, '\0'));
}

class KeepingTest : public CacheTest {
 protected:
  void SetUp() override { Start(); }
  const std::string data = RandomText(200000, 11);
};

TEST_F(KeepingTest, CleanBytesServeTheNextOpen) {
  auto file = OpenObject("a", data);
  EXPECT_TRUE(ReadAll(*file) == data);
  const BaseVersion base = file->state().base;
  file.reset();
  store.ClearLog();
  auto again = cache->Open(1, base);
  ASSERT_TRUE(again.ok());
  EXPECT_TRUE(ReadAll(**again) == data);
  EXPECT_TRUE(store.log().empty());
}

TEST_F(KeepingTest, AnotherVersionDropsThem) {
  auto file = OpenObject("a", data);
  EXPECT_TRUE(ReadAll(*file) == data);
  file.reset();
  const std::string next = RandomText(150000, 12);
  auto again = OpenObject("a", next);
  EXPECT_TRUE(ReadAll(*again) == next);
}

TEST_F(KeepingTest, DirtyBytesOutliveTheirHandle) {
  auto file = OpenObject("a", data);
  Write(*file, 100, "dirty");
  const BaseVersion base = file->state().base;
  file.reset();
  auto again = cache->Open(1, base);
  ASSERT_TRUE(again.ok());
  EXPECT_TRUE((*again)->dirty());
  std::string expected = data;
  expected.replace(100, 5, "dirty");
  EXPECT_TRUE(ReadAll(**again) == expected);
}

TEST_F(KeepingTest, OneInodeIsOneFile) {
  auto file = OpenObject("a", data);
  auto same = cache->Open(1, file->state().base);
  ASSERT_TRUE(same.ok());
  EXPECT_EQ(same->get(), file.get());
}

TEST_F(KeepingTest, ARemovedFileLivesAsLongAsItIsHeld) {
  auto file = OpenObject("a", data);
  EXPECT_TRUE(ReadAll(*file) == data);
  Write(*file, 0, "dirty");
  cache->Remove(1);
  auto other = NewFile(1);  // the number is free again
  Write(*other, 0, "other");
  std::string expected = data;
  expected.replace(0, 5, "dirty");
  EXPECT_TRUE(ReadAll(*file) == expected);
  Write(*file, 50, "more");
  expected.replace(50, 4, "more");
  EXPECT_TRUE(ReadAll(*file) == expected);
  EXPECT_EQ(ReadAll(*other), "other");
  file.reset();
  EXPECT_TRUE(Eventually([&] { return cache->stats().dirty_bytes == 5; }));
}

TEST_F(KeepingTest, NothingIsLeftOfARemovedFile) {
  auto file = OpenObject("a", data);
  EXPECT_TRUE(ReadAll(*file) == data);
  file.reset();
  EXPECT_EQ(cache->stats().files, 1u);
  cache->Remove(1);
  EXPECT_EQ(cache->stats().files, 0u);
  EXPECT_TRUE(Eventually([&] { return cache->stats().clean_bytes == 0; }));
}

TEST_F(KeepingTest, FilesThatHoldNothingAreForgotten) {
  auto file = OpenObject("a", data);
  file.reset();
  EXPECT_EQ(cache->stats().files, 0u);
}

TEST_F(KeepingTest, ClosedFilesHoldNoDescriptor) {
  const auto descriptors = [] {
    size_t count = 0;
    for ([[maybe_unused]] const auto& entry : stdfs::directory_iterator("/proc/self/fd")) ++count;
    return count;
  };
  const size_t before = descriptors();
  for (uint64_t inode = 1; inode <= 20; ++inode) {
    auto file = OpenObject("a" + std::to_string(inode), data, inode);
    EXPECT_TRUE(ReadAll(*file) == data);
  }
  EXPECT_LE(descriptors(), before + 2);
  EXPECT_EQ(cache->stats().clean_bytes, 20 * data.size());
}

class EvictionTest : public CacheTest {
 protected:
  void SetUp() override {
    CacheConfig config = SmallConfig(directory.path() + "/cache");
    config.size_limit = 300000;
    Start(config);
  }
};

TEST_F(EvictionTest, TheOldestFilesGoFirst) {
  const std::string data = RandomText(100000, 13);
  std::vector<std::shared_ptr<FileData>> files;
  for (uint64_t inode = 1; inode <= 5; ++inode) {
    files.push_back(OpenObject("a" + std::to_string(inode), data, inode));
    EXPECT_TRUE(ReadAll(*files.back()) == data);
    EXPECT_TRUE(ReadAll(*files.front()) == data);  // always in use
  }
  EXPECT_TRUE(Eventually([&] { return cache->stats().clean_bytes <= 300000; }));
  EXPECT_EQ(files[0]->state().cached_bytes, data.size());
  EXPECT_EQ(files[1]->state().cached_bytes, 0u);
  EXPECT_EQ(files[4]->state().cached_bytes, data.size());
}

TEST_F(EvictionTest, C4DirtyBytesAreNeverEvicted) {
  const std::string dirty = RandomText(1 << 20, 14);
  auto file = NewFile(1);
  Write(*file, 0, dirty);
  for (uint64_t inode = 2; inode <= 8; ++inode) {
    const std::string data = RandomText(200000, inode);
    auto other = OpenObject("a" + std::to_string(inode), data, inode);
    Write(*other, 1000, "mine");
    std::string expected = data;
    expected.replace(1000, 4, "mine");
    EXPECT_TRUE(ReadAll(*other) == expected);
  }
  EXPECT_EQ(file->state().dirty_bytes, dirty.size());
  EXPECT_EQ(cache->stats().dirty_bytes, dirty.size() + 7 * 4);
  store.ClearLog();
  EXPECT_TRUE(ReadAll(*file) == dirty);
  EXPECT_TRUE(store.log().empty());
}

TEST_F(EvictionTest, AFileLargerThanTheCacheCanBeReadThrough) {
  const std::string data = RandomText(2 << 20, 15);
  auto file = OpenObject("a", data);
  ReadPattern pattern;
  std::string all;
  while (all.size() < data.size()) {
    auto text = TryRead(*file, all.size(), 10000, &pattern);
    ASSERT_TRUE(text.ok());
    all += *text;
  }
  EXPECT_TRUE(all == data);
  EXPECT_TRUE(Eventually([&] { return cache->stats().clean_bytes <= 300000; }));
}

TEST(TransfersTest, SmallFlowsAreNotStarvedByALargeOne) {
  Gate gate;
  std::atomic<int> large_done{0};
  std::atomic<int> large_before_small{-1};
  Transfers transfers(4);
  for (int i = 0; i < 100; ++i) {
    transfers.Post(1, Transfers::Lane::kBulk, [&] {
      gate.Pass();
      ++large_done;
    });
  }
  gate.WaitForArrivals(3);  // a flow gets three quarters of the slots
  transfers.Post(2, Transfers::Lane::kBulk, [&] { large_before_small = large_done.load(); });
  EXPECT_TRUE(Eventually([&] { return large_before_small >= 0; }));
  EXPECT_EQ(large_before_small, 0);
  gate.Open();
  EXPECT_TRUE(Eventually([&] { return large_done == 100; }));
}

TEST(TransfersTest, UrgentTasksFindASlotWhenBulkIsStuck) {
  Gate gate;
  std::atomic<bool> ran{false};
  Transfers transfers(8);
  for (int flow = 0; flow < 20; ++flow) {
    transfers.Post(static_cast<Transfers::Flow>(flow), Transfers::Lane::kBulk,
                   [&] { gate.Pass(); });
  }
  gate.WaitForArrivals(7);
  transfers.Post(99, Transfers::Lane::kUrgent, [&] { ran = true; });
  EXPECT_TRUE(Eventually([&] { return ran.load(); }));
  gate.Open();
}

TEST(TransfersTest, TheDestructorRunsEverything) {
  std::atomic<int> ran{0};
  {
    Transfers transfers(2);
    for (int i = 0; i < 50; ++i) {
      transfers.Post(static_cast<Transfers::Flow>(i % 3), Transfers::Lane::kBulk, [&] {
        ++ran;
        transfers.Post(7, Transfers::Lane::kBulk, [&] { ++ran; });
      });
    }
  }
  EXPECT_EQ(ran, 100);
}

TEST(SnapshotMemoryTest, WaitsForRoomInOrder) {
  SnapshotMemory memory(100);
  auto first = std::make_unique<Result<SnapshotMemory::Grant>>(memory.Acquire(80, {}));
  ASSERT_TRUE(first->ok());
  CallOptions hurried;
  hurried.deadline = std::chrono::steady_clock::now();
  EXPECT_TRUE(memory.Acquire(30, hurried).Is(Code::kTimedOut));
  std::atomic<bool> granted{false};
  std::thread waiter([&] {
    auto grant = memory.Acquire(500, {});  // more than the limit: alone, but possible
    granted = grant.ok();
  });
  EXPECT_FALSE(granted);
  first.reset();
  waiter.join();
  EXPECT_TRUE(granted);
}

}  // namespace
}  // namespace quayfs
