// SPDX-License-Identifier: Apache-2.0
//
// Writers are held back while too much waits for the bucket, or while the disk is full.

#include "cache/dirty_budget.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <thread>
#include <vector>

#include "tests/unit/cache/cache_fixture.h"

namespace quayfs {
namespace {

using std::chrono::milliseconds;

TEST(DirtyBudgetTest, WritersAreSlowedTowardsTheRateOfTheStore) {
  const double rate = 1 << 20;
  EXPECT_EQ(DirtyBudget::PauseFor(1 << 10, 500, 1000, rate), Duration{0});
  EXPECT_EQ(DirtyBudget::PauseFor(1 << 10, 800, 1000, 0), Duration{0});  // not known
  const Duration half = DirtyBudget::PauseFor(1 << 14, 750, 1000, rate);
  const Duration full = DirtyBudget::PauseFor(1 << 14, 1000, 1000, rate);
  EXPECT_EQ(full, std::chrono::microseconds(15625));
  EXPECT_EQ(half, full / 2);
  EXPECT_LE(DirtyBudget::PauseFor(1ull << 40, 5000, 1000, rate), milliseconds(200));
}

class BudgetTest : public CacheTest {
 protected:
  void StartWith(uint64_t limit, Duration patience = std::chrono::seconds(60)) {
    CacheConfig config = SmallConfig(directory.path() + "/cache");
    config.dirty_limit = limit;
    config.disk_patience = patience;
    Start(config);
    cache->OnPressure([this](bool now) { (now ? hurried : rested) = true; });
  }
  static Status Put(FileData& file, uint64_t offset, size_t size, bool may_block = true,
                    const CallOptions& call = {}) {
    const std::string text = RandomText(size, offset + 1);
    return file.WriteWhenRoom(offset, BytesOf(text), may_block, call);
  }

  std::atomic<bool> hurried{false};
  std::atomic<bool> rested{false};
};

TEST_F(BudgetTest, WritersStopAtTheLimitAndGoOnWhenItDrains) {
  StartWith(100000);
  auto file = NewFile();
  ASSERT_TRUE(Put(*file, 0, 40000, false).ok());
  EXPECT_FALSE(hurried);
  ASSERT_TRUE(Put(*file, 40000, 60000, false).ok());
  EXPECT_TRUE(Put(*file, 100000, 10, false).Is(Code::kWouldBlock));
  EXPECT_TRUE(hurried);
  EXPECT_EQ(file->size(), 100000u);

  std::stop_source stop;
  stop.request_stop();
  EXPECT_TRUE(Put(*file, 100000, 10, true, {stop.get_token(), std::nullopt}).Is(Code::kCancelled));
  const auto soon = std::chrono::steady_clock::now() + milliseconds(1);
  EXPECT_TRUE(Put(*file, 100000, 10, true, {{}, soon}).Is(Code::kTimedOut));

  auto other = NewFile(2);
  std::atomic<bool> done{false};
  std::thread writer([&] {
    EXPECT_TRUE(Put(*other, 0, 10).ok());
    done = true;
  });
  EXPECT_FALSE(done);
  PublishOk(*file, "a");
  writer.join();
  EXPECT_TRUE(Put(*other, 10, 10, false).ok());
  EXPECT_TRUE(rested);
}

TEST_F(BudgetTest, AFileAloneLargerThanTheLimitIsPublishedAsItGoes) {
  StartWith(100000);
  auto file = NewFile();
  std::atomic<bool> done{false};
  std::thread writer([&] {
    for (uint64_t offset = 0; offset < 1000000; offset += 10000)
      EXPECT_TRUE(Put(*file, offset, 10000).ok());
    done = true;
  });
  uint64_t most = 0;
  while (!done) {
    most = std::max(most, cache->stats().dirty_bytes);
    if (hurried && file->dirty()) {
      EXPECT_TRUE(file->Publish(To("a"), {}).ok());
    }
    std::this_thread::yield();
  }
  writer.join();
  PublishOk(*file, "a");
  EXPECT_LE(most, 110000u);
  EXPECT_EQ(store.Find("a")->data.size(), 1000000u);
  EXPECT_TRUE(store.Find("a")->data == ReadAll(*file));
}

TEST_F(BudgetTest, HolesHoldNobodyBackAndTakeNoCache) {
  StartWith(100000);
  auto other = OpenObject("b", std::string(50000, 'b'), 2);
  ReadAll(*other);
  auto file = NewFile();
  ASSERT_TRUE(file->Truncate(8 << 20).ok());
  ASSERT_TRUE(Put(*file, 4 << 20, 10, false).ok());
  ASSERT_TRUE(file->Zero({5 << 20, 6 << 20}).ok());
  EXPECT_EQ(cache->stats().dirty_bytes, 10u);
  EXPECT_EQ(file->state().written_bytes, 10u);
  EXPECT_FALSE(hurried);

  // Nor after a restart, to the precision of what the disk tells.
  file.reset();
  other.reset();
  cache.reset();
  StartWith(100000);
  EXPECT_LE(cache->stats().dirty_bytes, 1u << 20);
  EXPECT_EQ(cache->restored().front().state.dirty_bytes, 8u << 20);
  cache.reset();

  StartWith(100000);
  const uint64_t clean = cache->stats().clean_bytes;
  const uint64_t dirty = cache->stats().dirty_bytes;  // the first file's
  file = NewFile(3);
  ASSERT_TRUE(file->Truncate(8 << 20).ok());
  ASSERT_TRUE(Put(*file, 4 << 20, 10, false).ok());
  PublishOk(*file, "c");
  EXPECT_EQ(cache->stats().dirty_bytes, dirty);
  EXPECT_EQ(cache->stats().clean_bytes, clean + 10);
  EXPECT_TRUE(ReadAll(*file) == store.Find("c")->data);
  EXPECT_EQ(store.Count(FakeRequest::Kind::kGet), 1) << "the first file's, and no zeros";
}

TEST_F(BudgetTest, ManyWritersShareIt) {
  StartWith(100000);
  std::vector<std::thread> writers;
  std::vector<std::shared_ptr<FileData>> files;
  std::atomic<int> done{0};
  for (uint64_t inode = 1; inode <= 4; ++inode) files.push_back(NewFile(inode));
  for (size_t i = 0; i < files.size(); ++i) {
    writers.emplace_back([&, i] {
      for (uint64_t offset = 0; offset < 200000; offset += 5000)
        EXPECT_TRUE(Put(*files[i], offset, 5000).ok());
      ++done;
    });
  }
  while (done < 4) {
    EXPECT_LE(cache->stats().dirty_bytes, 100000u + 4 * 5000);
    for (size_t i = 0; i < files.size(); ++i) {
      if (!files[i]->dirty()) continue;
      EXPECT_TRUE(files[i]->Publish(To("k" + std::to_string(i)), {}).ok());
    }
  }
  for (std::thread& writer : writers) writer.join();
}

TEST_F(BudgetTest, WhatHasNoNameAnyMoreHoldsNobodyBack) {
  StartWith(100000);
  auto file = NewFile();
  ASSERT_TRUE(Put(*file, 0, 90000, false).ok());
  file->Unlinked();
  EXPECT_EQ(cache->stats().dirty_bytes, 0u);
  EXPECT_TRUE(Put(*file, 90000, 90000, false).ok());
  EXPECT_TRUE(Put(*file, 180000, 10, false).ok());
  auto other = NewFile(2);
  ASSERT_TRUE(Put(*other, 0, 100000, false).ok());
  cache->Remove(2);
  EXPECT_EQ(cache->stats().dirty_bytes, 0u);
}

/// Takes so many bytes into files, and says that it is full then.
class SmallDisk final : public Disk {
 public:
  explicit SmallDisk(Disk& disk, uint64_t size) : disk_(disk), size_(size) {}
  Result<DiskSpace> Space(const std::string& path) const override {
    uint64_t used = 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(path + "/data")) {
      struct stat info {};
      if (entry.is_regular_file() && stat(entry.path().c_str(), &info) == 0)
        used += static_cast<uint64_t>(info.st_blocks) * 512;
    }
    return DiskSpace{size_, size_ - std::min(size_, used)};
  }
  Result<std::unique_ptr<DiskFile>> Open(const std::string& path, OpenMode mode) override {
    return disk_.Open(path, mode);
  }
  Result<std::unique_ptr<DiskFile>> OpenTemporary(const std::string& directory) override {
    return disk_.OpenTemporary(directory);
  }
  Status MakeDirectory(const std::string& path) override { return disk_.MakeDirectory(path); }
  Status RemoveFile(const std::string& path) override { return disk_.RemoveFile(path); }
  Status RemoveDirectory(const std::string& path) override { return disk_.RemoveDirectory(path); }
  Status Rename(const std::string& from, const std::string& to) override {
    return disk_.Rename(from, to);
  }
  Status Link(const std::string& from, const std::string& to) override {
    return disk_.Link(from, to);
  }
  Status SyncDirectory(const std::string& path) override { return disk_.SyncDirectory(path); }
  Result<std::vector<DiskEntry>> List(const std::string& path) const override {
    return disk_.List(path);
  }
  Result<DiskStat> Stat(const std::string& path) const override { return disk_.Stat(path); }

 private:
  Disk& disk_;
  const uint64_t size_;
};

class SmallDiskTest : public BudgetTest {
 protected:
  /// Writes until it would have to wait.
  uint64_t Fill(FileData& file) {
    uint64_t offset = 0;
    while (true) {
      const Status written = Put(file, offset, 1 << 16, false);
      if (!written) {
        EXPECT_TRUE(written.Is(Code::kWouldBlock)) << written.error().ToString();
        return offset;
      }
      offset += 1 << 16;
    }
  }

  SmallDisk small{SystemDisk(), 16 << 20};
};

TEST_F(SmallDiskTest, AWriterWaitsForTheUploadThatMakesRoom) {
  disk = &small;
  StartWith(0);
  auto file = NewFile();
  const uint64_t size = Fill(*file);
  EXPECT_GT(size, 8u << 20);
  EXPECT_LT(size, 16u << 20);
  std::atomic<bool> done{false};
  auto other = NewFile(2);
  std::thread writer([&] {
    EXPECT_TRUE(Put(*other, 0, 1 << 16).ok());
    done = true;
  });
  EXPECT_TRUE(Eventually([&] { return hurried.load(); }));
  EXPECT_FALSE(done);
  PublishOk(*file, "a");
  writer.join();
  EXPECT_TRUE(store.Find("a")->data == ReadAll(*file));
}

TEST_F(SmallDiskTest, AWriterIsToldWhenNothingLeaves) {
  disk = &small;
  StartWith(0, milliseconds(20));
  auto file = NewFile();
  const uint64_t size = Fill(*file);
  EXPECT_TRUE(Put(*file, size, 1 << 16).Is(Code::kNoSpace));
  EXPECT_EQ(file->size(), size);
  // What is there already can be overwritten.
  EXPECT_TRUE(Put(*file, 0, 1 << 16).ok());
}

TEST_F(SmallDiskTest, AWriterIsToldAtOnceWhenNothingCouldLeave) {
  disk = &small;
  StartWith(0);
  auto file = NewFile();
  file->Unlinked();
  uint64_t offset = 0;
  Status written;
  for (; written.ok() && offset < 32 << 20; offset += 1 << 16)
    written = Put(*file, offset, 1 << 16);
  EXPECT_TRUE(written.Is(Code::kNoSpace));
}

TEST_F(SmallDiskTest, CleanBytesGiveWay) {
  disk = &small;
  StartWith(0);
  const std::string data = RandomText(10 << 20, 3);
  auto object = OpenObject("a", data, 2);
  EXPECT_TRUE(ReadAll(*object) == data);
  auto file = NewFile();
  EXPECT_GT(Fill(*file), 8u << 20);
  EXPECT_TRUE(ReadAll(*object) == data);
}

}  // namespace
}  // namespace quayfs
