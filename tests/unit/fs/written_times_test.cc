// SPDX-License-Identifier: Apache-2.0
//
// The times of a file that was written: what a process that is killed leaves is what was shown.

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/unit/cache/forwarding_db.h"
#include "tests/unit/fs/core_fixture.h"

namespace quayfs {
namespace {

class WrittenTimesTest : public CoreTest {
 protected:
  void SetUp() override {
    // Nothing happens beside the test.
    config_.write_delay = config_.directory_write_delay = std::chrono::hours(1);
    config_.write_delay_max = config_.open_write_delay = std::chrono::hours(1);
    Mount();
  }

  Status Write(OpenFile* file, uint64_t offset, std::string_view text) {
    clock_.Advance(std::chrono::milliseconds(3));
    return WriteAt(file, offset, text);
  }

  Attributes Shown(const std::string& path) {
    const auto entry = Walk(path);
    EXPECT_TRUE(entry.ok());
    return entry.ok() ? entry->attributes : Attributes();
  }

  std::string Log() {
    std::ifstream log(folder_ + "/cache/state.db-wal", std::ios::binary);
    EXPECT_TRUE(log.is_open());
    return {std::istreambuf_iterator<char>(log), {}};
  }

  std::string CopyCache() {
    std::string copy = folder_ + "/copy-" + std::to_string(copies_++);
    std::filesystem::copy(folder_ + "/cache", copy, std::filesystem::copy_options::recursive);
    return copy;
  }
  /// As if the process had been killed when the copy was taken.
  void MountCopy(const std::string& copy) {
    fs_.reset();
    cache_.reset();
    std::filesystem::remove_all(folder_ + "/cache");
    std::filesystem::rename(copy, folder_ + "/cache");
    Remount();
  }
  void KillAndMount() { MountCopy(CopyCache()); }

 private:
  int copies_ = 0;
};

/// Calls `applied` after each change.
class WatchedDb final : public ForwardingDb {
 public:
  WatchedDb(std::unique_ptr<StateDb> db, std::function<void()> applied)
      : ForwardingDb(std::move(db)), applied_(std::move(applied)) {}

  Status Apply(StateBatch batch, Persist persist) override {
    Status done = ForwardingDb::Apply(std::move(batch), persist);
    applied_();
    return done;
  }

 private:
  const std::function<void()> applied_;
};

TEST_F(WrittenTimesTest, ClosingANewFileRecordsNothingMore) {
  auto file = Open("a", O_CREAT | O_WRONLY);
  ASSERT_TRUE(file.ok());
  ASSERT_TRUE(Write(*file, 0, "bytes").ok());
  const std::string before = Log();
  ASSERT_TRUE(Close(*file).ok());
  EXPECT_TRUE(Log() == before);
}

TEST_F(WrittenTimesTest, AreThoseOfTheLastWriteAfterAKill) {
  auto file = Open("a", O_CREAT | O_WRONLY);
  ASSERT_TRUE(file.ok());
  const Attributes made = Shown("a");
  ASSERT_TRUE(Write(*file, 0, "bytes").ok());
  ASSERT_TRUE(Write(*file, 5, "and more").ok());
  ASSERT_TRUE(Close(*file).ok());
  const Attributes shown = Shown("a");
  EXPECT_GT(shown.mtime, made.mtime);
  KillAndMount();
  EXPECT_EQ(Shown("a").mtime, shown.mtime);
  EXPECT_EQ(Shown("a").ctime, shown.ctime);
  EXPECT_EQ(Shown("a").size, 13u);
}

// What is written where it was written before is not recorded each time, and its time is.
TEST_F(WrittenTimesTest, AreThoseOfAWriteInPlaceAfterAKill) {
  auto file = Open("a", O_CREAT | O_WRONLY);
  ASSERT_TRUE(file.ok());
  ASSERT_TRUE(Write(*file, 0, "bytes").ok());
  ASSERT_TRUE(Write(*file, 0, "other").ok());
  ASSERT_TRUE(Close(*file).ok());
  const Attributes shown = Shown("a");
  KillAndMount();
  EXPECT_EQ(Shown("a").mtime, shown.mtime);
  EXPECT_EQ(Shown("a").ctime, shown.ctime);
}

TEST_F(WrittenTimesTest, ThatWereSetStayAfterAKill) {
  auto file = Open("a", O_CREAT | O_WRONLY);
  ASSERT_TRUE(file.ok());
  ASSERT_TRUE(Write(*file, 0, "bytes").ok());
  AttributeChange change;
  change.mtime = WallTime(std::chrono::seconds(1000000000));
  const auto entry = Walk("a");
  ASSERT_TRUE(entry.ok());
  ASSERT_TRUE(fs_->SetAttributes(ctx_, entry->ino, change, nullptr).ok());
  ASSERT_TRUE(Close(*file).ok());
  const Attributes shown = Shown("a");
  KillAndMount();
  EXPECT_EQ(Shown("a").mtime, *change.mtime);
  EXPECT_EQ(Shown("a").ctime, shown.ctime);
}

// A copy onto itself gives an object that was made of parts another ETag. Whoever was killed before
// the answer came still finds the bytes that only the bucket has.
TEST_F(WrittenTimesTest, ACopyOntoItselfIsKnownAgainAfterAKill) {
  put_size_max_ = 64 << 10;
  Remount();
  const std::string text(200000, 'x');
  auto file = Open("a", O_CREAT | O_RDWR);
  ASSERT_TRUE(file.ok());
  ASSERT_TRUE(Write(*file, 0, text).ok());
  ASSERT_TRUE(Close(*file).ok());
  Mount();
  AttributeChange change;
  change.mode = 0600;
  file = Open("a", O_RDWR);
  ASSERT_TRUE(file.ok());
  ASSERT_TRUE(fs_->SetAttributes(ctx_, Walk("a")->ino, change, nullptr).ok());
  std::atomic<bool> away = false;
  std::string copy;
  store_->after = [&](const std::string& operation, const std::string&) -> Status {
    if (operation != "Copy" || away) return {};
    EXPECT_TRUE(Write(*file, 100, "bytes").ok());
    copy = CopyCache();
    away = true;
    return Error(Code::kUnavailable, "the answer was lost");
  };
  store_->before = [&](const std::string&, const std::string&) -> Status {
    return away ? Status(Error(Code::kUnavailable, "away")) : Status();
  };
  EXPECT_FALSE(fs_->SyncAll(ctx_).ok());
  ASSERT_TRUE(away);
  Ignore(Close(*file));
  fs_.reset();
  store_->after = nullptr;
  store_->before = nullptr;
  MountCopy(copy);
  const std::string expected = text.substr(0, 100) + "bytes" + text.substr(105);
  const auto found = ReadFile("a");
  ASSERT_TRUE(found.ok()) << found.error().ToString();
  EXPECT_TRUE(*found == expected);
  Sync();
  EXPECT_TRUE(GetObject("a") == expected);
}

// From the moment when the bucket has the contents their row says nothing of the times.
TEST_F(WrittenTimesTest, AreThoseOfTheLastWriteWheneverItIsKilledWhilePublishing) {
  std::atomic<bool> watching = false;
  Mutex copying(LockRank::kLeaf);
  std::vector<std::string> copies;
  open_state_ = [&](const std::string& directory,
                    const StateIdentity& identity) -> Result<std::unique_ptr<StateDb>> {
    QUAY_ASSIGN(std::unique_ptr<StateDb> db, StateDb::Open(directory, identity));
    const auto copy = [&] {
      const MutexLock lock(copying);
      if (watching) copies.push_back(CopyCache());
    };
    return std::unique_ptr<StateDb>(std::make_unique<WatchedDb>(std::move(db), copy));
  };
  Remount();
  auto file = Open("a", O_CREAT | O_WRONLY);
  ASSERT_TRUE(file.ok());
  ASSERT_TRUE(Write(*file, 0, "bytes").ok());
  ASSERT_TRUE(Close(*file).ok());
  const Attributes shown = Shown("a");
  watching = true;
  Sync();
  watching = false;
  ASSERT_GE(copies.size(), 3u);
  for (const std::string& copy : copies) {
    MountCopy(copy);
    EXPECT_EQ(Shown("a").mtime, shown.mtime) << copy;
    EXPECT_EQ(Shown("a").ctime, shown.ctime) << copy;
  }
}

}  // namespace
}  // namespace quayfs
