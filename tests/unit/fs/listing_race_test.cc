// SPDX-License-Identifier: Apache-2.0
//
// A listing is taken in while a publication ends: what is known of the file is a step behind the
// bucket for a moment.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <latch>
#include <string>
#include <thread>

#include "tests/unit/fs/core_fixture.h"

namespace quayfs {
namespace {

TEST_F(CoreTest, AFilePublishedWhileItsFolderIsListedStays) {
  // Those that come after it in the listing give the publication time to end in between.
  constexpr int kOthers = 900;
  constexpr int kRounds = 60;
  constexpr auto kStep = std::chrono::microseconds(20);  // from round to round the listing is later
  for (int i = 0; i < kOthers; ++i) PutObject(fmt::format("other{:04}", i), "x");
  config_.consistency = Duration(0);
  Mount();
  for (int round = 0; round < kRounds; ++round) {
    const std::string text = fmt::format("round {}", round);
    const auto file = Open("file", O_CREAT | O_WRONLY);
    ASSERT_TRUE(file.ok()) << file.error().ToString();
    ASSERT_TRUE(WriteAt(*file, 0, text).ok());
    ASSERT_TRUE(Close(*file).ok());
    std::latch written(1);
    std::atomic<bool> listed = false;  // spun on: to be woken takes longer than what is tried here
    std::atomic<bool> first_list = true;
    store_->after = [&](const std::string& operation, const std::string& key) {
      if (operation == "Put" && key == "file") {
        written.count_down();
        while (!listed) {
        }
      }
      if (operation == "List" && first_list.exchange(false)) {
        listed = true;
        const auto until = std::chrono::steady_clock::now() + round * kStep;
        while (std::chrono::steady_clock::now() < until) {
        }
      }
      return Status();
    };
    Status synced;
    std::thread publisher([&] { synced = fs_->SyncAll(ctx_); });
    written.wait();
    clock_.Advance(std::chrono::milliseconds(1));
    const auto absent = fs_->Lookup(ctx_, kRootIno, fmt::format("absent{}", round));
    publisher.join();
    store_->after = nullptr;
    ASSERT_TRUE(synced.ok()) << synced.error().ToString();
    ASSERT_TRUE(absent.ok()) << absent.error().ToString();
    const auto read = ReadFile("file");
    ASSERT_TRUE(read.ok()) << "round " << round << ": " << read.error().ToString();
    ASSERT_EQ(*read, text);
    ASSERT_EQ(GetObject("file"), text) << "round " << round;
  }
}

}  // namespace
}  // namespace quayfs
