// SPDX-License-Identifier: Apache-2.0
//
// Writers that are held back make the reconciler hurry.

#include <atomic>
#include <thread>

#include "tests/unit/fs/core_fixture.h"

namespace quayfs {
namespace {

class BackpressureTest : public CoreTest {
 protected:
  void SetUp() override {
    dirty_limit_ = 256 << 10;
    put_size_max_ = part_size_ = 64 << 10;
    // Nothing that is open would be published within this test.
    config_.open_write_delay = std::chrono::hours(1000);
    config_.stream_from = 1ull << 40;
    store_->ChangeCapabilities([&](Capabilities& can) { can.part_size_min = 1; });
    CoreTest::SetUp();
  }
  /// Lets time pass until `writer` is done.
  template <typename Work>
  void RunWriter(const Work& work) {
    std::atomic<bool> done{false};
    std::thread writer([&] {
      work();
      done = true;
    });
    while (!done) {
      clock_.Advance(std::chrono::milliseconds(50));
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    writer.join();
  }
};

TEST_F(BackpressureTest, AnOpenFileLargerThanTheLimitIsPublishedInBetween) {
  std::string text;
  RunWriter([&] {
    auto file = Open("a", O_CREAT | O_WRONLY);
    ASSERT_TRUE(file.ok());
    for (int i = 0; i < 64; ++i) {
      const std::string piece(32 << 10, static_cast<char>('a' + i % 26));
      ASSERT_TRUE(WriteAt(*file, text.size(), piece).ok());
      EXPECT_LE(cache_->stats().dirty_bytes, dirty_limit_ + piece.size());
      text += piece;
    }
    EXPECT_TRUE(Close(*file).ok());
  });
  EXPECT_GE(store_->Count("CompleteUpload"), 1);
  Sync();
  EXPECT_TRUE(GetObject("a") == text);
  EXPECT_EQ(cache_->stats().dirty_bytes, 0U);
}

TEST_F(BackpressureTest, ATemporaryFileWithoutANameHoldsNobodyBack) {
  auto file = Open("a", O_CREAT | O_RDWR);
  ASSERT_TRUE(file.ok());
  ASSERT_TRUE(Remove("a").ok());
  ctx_.may_block = false;
  const std::string piece(128 << 10, 'x');
  for (uint64_t i = 0; i < 8; ++i) ASSERT_TRUE(WriteAt(*file, i * piece.size(), piece).ok());
  auto other = Open("b", O_CREAT | O_WRONLY);
  ASSERT_TRUE(other.ok());
  EXPECT_TRUE(WriteAt(*other, 0, "b").ok());
  ctx_.may_block = true;
  EXPECT_TRUE(Close(*file).ok());
  EXPECT_TRUE(Close(*other).ok());
}

}  // namespace
}  // namespace quayfs
