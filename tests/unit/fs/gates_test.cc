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

}  // namespace
}  // namespace quayfs
