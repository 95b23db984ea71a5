// SPDX-License-Identifier: Apache-2.0
//
// A signal ends a waiting call only after the grace (E1).

#include "fs/fuse/interrupts.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>
#include <stop_token>

namespace quayfs {
namespace {

TEST(Interrupts, EndACallAfterTheGraceAndNotBefore) {
  Interrupts patient(std::chrono::hours(1));
  std::stop_source goes_on;
  const uint64_t kept = patient.Add(goes_on);
  patient.Interrupt(kept);
  patient.Interrupt(kept);
  EXPECT_FALSE(goes_on.stop_requested());
  patient.Remove(kept);

  Interrupts quick(std::chrono::milliseconds(1));
  std::stop_source ends;
  std::mutex mutex;
  std::condition_variable changed;
  bool told = false;
  const std::stop_callback callback(ends.get_token(), [&] {
    const std::lock_guard<std::mutex> lock(mutex);
    told = true;
    changed.notify_all();
  });
  quick.Interrupt(quick.Add(ends));
  std::unique_lock<std::mutex> lock(mutex);
  EXPECT_TRUE(changed.wait_for(lock, std::chrono::seconds(60), [&] { return told; }));
}

TEST(Interrupts, AStopEndsEverythingAndWhatComesLater) {
  Interrupts interrupts(std::chrono::hours(1));
  std::stop_source before;
  interrupts.Add(before);
  interrupts.StopAll();
  EXPECT_TRUE(before.stop_requested());
  std::stop_source after;
  interrupts.Add(after);
  EXPECT_TRUE(after.stop_requested());
}

}  // namespace
}  // namespace quayfs
