// SPDX-License-Identifier: Apache-2.0

#include "fs/gates.h"

#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <thread>

namespace quayfs {
namespace {

TEST(Gates, OneAtATimePerId) {
  Gates gates;
  GateHold first;
  ASSERT_TRUE(first.Take(gates, {1, 2}, true, {}).ok());
  GateHold second;
  EXPECT_TRUE(second.Take(gates, {2, 3}, false, {}).Is(Code::kWouldBlock));
  GateHold third;
  EXPECT_TRUE(third.Take(gates, {3}, false, {}).ok()) << "a refused Take holds nothing";
  first.Release();
  third.Release();
  EXPECT_TRUE(second.Take(gates, {2, 3}, false, {}).ok());
}

TEST(Gates, WaitersGetTheirTurnAndCanGiveUp) {
  Gates gates;
  GateHold holder;
  ASSERT_TRUE(holder.Take(gates, {1}, true, {}).ok());
  std::stop_source stop;
  std::atomic<bool> cancelled = false;
  std::atomic<bool> served = false;
  std::thread impatient([&] {
    CallOptions call;
    call.cancel = stop.get_token();
    GateHold hold;
    cancelled = hold.Take(gates, {1}, true, call).Is(Code::kCancelled);
  });
  stop.request_stop();
  impatient.join();
  EXPECT_TRUE(cancelled);
  std::thread patient([&] {
    GateHold hold;
    served = hold.Take(gates, {1}, true, {}).ok();
  });
  holder.Release();
  patient.join();
  EXPECT_TRUE(served);
}

TEST(SharedGate, ManyTogetherOrOneAlone) {
  SharedGate gate;
  SharedGateHold one;
  ASSERT_TRUE(one.Take(gate, SharedGateHold::Mode::kShared, true, {}).ok());
  SharedGateHold again;
  EXPECT_TRUE(again.Take(gate, SharedGateHold::Mode::kShared, false, {}).ok());
  std::latch about_to_wait(1);
  std::atomic<bool> alone = false;
  std::thread exclusive([&] {
    SharedGateHold hold;
    about_to_wait.count_down();
    alone = hold.Take(gate, SharedGateHold::Mode::kExclusive, true, {}).ok();
  });
  about_to_wait.wait();
  // However long the other thread has been waiting, who is inside already may go in again.
  SharedGateHold nested;
  EXPECT_TRUE(nested.Take(gate, SharedGateHold::Mode::kShared, true, {}).ok());
  nested.Release();
  again.Release();
  EXPECT_FALSE(alone);
  one.Release();
  exclusive.join();
  EXPECT_TRUE(alone);
}

}  // namespace
}  // namespace quayfs
