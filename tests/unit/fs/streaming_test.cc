// SPDX-License-Identifier: Apache-2.0
//
// Large files, whose parts are sent while they are being written.

#include <atomic>
#include <thread>

#include "tests/unit/fs/core_fixture.h"

namespace quayfs {
namespace {

constexpr uint64_t kPart = 64 << 10;

class StreamingCoreTest : public CoreTest {
 protected:
  void SetUp() override {
    put_size_max_ = kPart;
    part_size_ = kPart;
    config_.stream_from = 3 * kPart;
    store_->ChangeCapabilities([&](Capabilities& can) { can.part_size_min = 1; });
    CoreTest::SetUp();
    for (size_t i = 0; i < text_.size(); ++i) text_[i] = static_cast<char>('a' + i / 1000 % 26);
  }
  /// Writes all of it, and waits until parts have gone ahead.
  OpenFile* WriteAhead(const std::string& path) {
    const auto file = Open(path, O_CREAT | O_WRONLY | O_TRUNC);
    QUAY_CHECK(file.ok());
    for (size_t at = 0; at < text_.size(); at += 8192) {
      EXPECT_TRUE(WriteAt(*file, at, std::string_view(text_).substr(at, 8192)).ok());
    }
    for (int i = 0; i < 10000 && store_->Count("UploadPart") < 15; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    EXPECT_GE(store_->Count("UploadPart"), 15);
    EXPECT_EQ(store_->Count("CompleteUpload"), 0);
    while (cache_->stats().uploads_in_flight > 0)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return *file;
  }
  size_t OpenUploads() { return local_->ListUploads("", {})->size(); }

  std::string text_ = std::string(16 * kPart + 5, 'x');
};

TEST_F(StreamingCoreTest, PartsGoAheadAndTheTimesFollow) {
  OpenFile* file = WriteAhead("a");
  clock_.Advance(std::chrono::seconds(5));
  ASSERT_TRUE(WriteAt(file, text_.size(), "the end").ok());
  ASSERT_TRUE(Close(file).ok());
  EXPECT_EQ(GetObject("a"), text_ + "the end");
  EXPECT_EQ(store_->Count("UploadPart"), 17) << "nothing is sent twice";
  EXPECT_EQ(store_->Count("CreateUpload"), 1);
  EXPECT_EQ(store_->Count("CompleteUpload"), 1);
  EXPECT_EQ(store_->Count("Copy"), 1) << "for the time of the last write";
  const WallTime written = Stat("a")->mtime;
  std::filesystem::remove_all(folder_ + "/cache");
  Mount();
  EXPECT_EQ(Stat("a")->mtime, written);
  EXPECT_EQ(OpenUploads(), 0U);
}

TEST_F(StreamingCoreTest, ARenameKeepsWhatWasSent) {
  OpenFile* file = WriteAhead(".tmp");
  ASSERT_TRUE(Close(file).ok());
  ASSERT_TRUE(Rename(".tmp", "final").ok());
  EXPECT_EQ(GetObject("final"), text_);
  EXPECT_EQ(Keys(), std::vector<std::string>{"final"});
  EXPECT_EQ(store_->Count("UploadPart"), 17);
  EXPECT_EQ(OpenUploads(), 0U);
  EXPECT_EQ(fs_->pending().conflicts, 0U);
}

TEST_F(StreamingCoreTest, ARenamedUploadWhoseOldNameIsTakenIsSentAgain) {
  OpenFile* file = WriteAhead("a");
  ASSERT_TRUE(Close(file).ok());
  ASSERT_TRUE(Rename("a", "b").ok());
  ASSERT_TRUE(WriteFile("a", "another").ok());
  EXPECT_EQ(GetObject("a"), "another");
  EXPECT_EQ(GetObject("b"), text_);
  EXPECT_EQ(Keys(), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(OpenUploads(), 0U);
}

TEST_F(StreamingCoreTest, SomebodyElseAtTheOldNameIsNotOverwritten) {
  OpenFile* file = WriteAhead("a");
  ASSERT_TRUE(Close(file).ok());
  ASSERT_TRUE(Rename("a", "b").ok());
  PutObject("a", "theirs");
  EXPECT_EQ(GetObject("a"), "theirs");
  EXPECT_EQ(GetObject("b"), text_);
  EXPECT_EQ(OpenUploads(), 0U);
}

TEST_F(StreamingCoreTest, ARemovedFileLeavesNoUpload) {
  OpenFile* file = WriteAhead("a");
  ASSERT_TRUE(Remove("a").ok());
  ASSERT_TRUE(Close(file).ok());
  EXPECT_EQ(Keys(), std::vector<std::string>{});
  for (int i = 0; i < 10000 && OpenUploads() > 0; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_EQ(OpenUploads(), 0U);
}

TEST_F(StreamingCoreTest, AnExistingFileThatIsWrittenAnewIsSentAhead) {
  ASSERT_TRUE(WriteFile("a", "before").ok());
  OpenFile* file = WriteAhead("a");
  ASSERT_TRUE(Close(file).ok());
  EXPECT_EQ(GetObject("a"), text_);
  EXPECT_EQ(store_->Count("UploadPart"), 17);
}

TEST_F(StreamingCoreTest, WhatWasSentBeforeARestartIsNotSentAgain) {
  OpenFile* file = WriteAhead("a");
  store_->before = [](const std::string& operation, const std::string&) -> Status {
    if (operation == "ListParts") return {};
    return Error(Code::kUnavailable, "away");
  };
  ASSERT_TRUE(Close(file).ok());
  fs_.reset();
  store_->before = nullptr;
  Remount();
  EXPECT_EQ(GetObject("a"), text_);
  EXPECT_LE(store_->Count("UploadPart"), 2);
  EXPECT_EQ(store_->Count("CreateUpload"), 0);
  EXPECT_EQ(OpenUploads(), 0U);
}

TEST_F(StreamingCoreTest, ACopyWhoseAnswerWasLostIsOurs) {
  OpenFile* file = WriteAhead("a");
  ASSERT_TRUE(Close(file).ok());
  Sync();
  std::atomic<bool> lost{false};
  store_->after = [&](const std::string& operation, const std::string& key) -> Status {
    if (operation != "Copy" || lost.exchange(true)) return {};
    // A copy of an object made of parts has another ETag.
    const auto head = local_->Head(key, {});
    PutObject(key, text_, head->properties);
    return Error(Code::kUnavailable, "the answer was lost");
  };
  ASSERT_TRUE(Change("a", {.mode = 0600}).ok());
  Ignore(fs_->SyncAll(ctx_));
  ASSERT_TRUE(lost);
  store_->after = nullptr;
  const auto reader = Open("a", O_RDONLY);
  ASSERT_TRUE(reader.ok());
  Sync();
  EXPECT_EQ(*ReadAt(*reader, 0, 10), text_.substr(0, 10)) << "the reader goes on";
  ASSERT_TRUE(Close(*reader).ok());
  EXPECT_EQ(GetObject("a"), text_);
  EXPECT_EQ(Stat("a")->mode & 0777, 0600U);
  EXPECT_EQ(fs_->pending().conflicts, 0U);
}

}  // namespace
}  // namespace quayfs
