// SPDX-License-Identifier: Apache-2.0

#include "cache/transfers.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <memory>
#include <thread>

namespace quayfs {
namespace {

// Occupies slots until it is let go.
class Held {
 public:
  Held(Transfers& transfers, Transfers::Flow flow, int count) {
    for (int i = 0; i < count; ++i) {
      auto began = std::make_shared<std::promise<void>>();
      transfers.Post(flow, Transfers::Lane::kBulk, [began, gate = gate_] {
        began->set_value();
        gate.wait();
      });
      began->get_future().wait();
    }
  }
  void Release() { open_.set_value(); }

 private:
  std::promise<void> open_;
  std::shared_future<void> gate_ = open_.get_future().share();
};

TEST(TransfersTest, RunsInTheCallersThreadWhileThereIsASlot) {
  Transfers transfers(8);
  std::thread::id ran;
  EXPECT_TRUE(transfers.RunHere(1, [&] { ran = std::this_thread::get_id(); }));
  EXPECT_EQ(ran, std::this_thread::get_id());
}

TEST(TransfersTest, RunsNothingInTheCallersThreadBeyondWhatAFlowMayHave) {
  Transfers transfers(8);
  Held held(transfers, 1, static_cast<int>(transfers.flow_slots()));
  EXPECT_FALSE(transfers.RunHere(1, [] { FAIL() << "its flow has all that it may have"; }));
  int ran = 0;
  EXPECT_TRUE(transfers.RunHere(2, [&] { ++ran; }));
  EXPECT_EQ(ran, 1);
  held.Release();
}

TEST(TransfersTest, KeepsTheSlotsForReadsFree) {
  Transfers transfers(8);
  Held first(transfers, 1, 4);
  Held second(transfers, 2, 3);
  EXPECT_FALSE(transfers.RunHere(3, [] { FAIL() << "the last slot is for reads"; }));
  std::promise<void> read;
  transfers.Post(4, Transfers::Lane::kUrgent, [&] { read.set_value(); });
  read.get_future().wait();
  first.Release();
  second.Release();
}

TEST(TransfersTest, WhatWasPostedMeanwhileStartsWhenTheSlotIsFree) {
  Transfers transfers(1);  // no slot is kept for reads then
  std::atomic<bool> over = false;
  std::promise<bool> after;
  ASSERT_TRUE(transfers.RunHere(1, [&] {
    transfers.Post(2, Transfers::Lane::kBulk, [&] { after.set_value(over); });
    over = true;
  }));
  EXPECT_TRUE(after.get_future().get());
}

}  // namespace
}  // namespace quayfs
