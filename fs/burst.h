// SPDX-License-Identifier: Apache-2.0
//
// Whether many small files are being changed one after the other: an archive is unpacked, a tree is
// copied. What limits that is the processor, not the network, and requests sent meanwhile would
// take it from whoever writes; they are better sent in the first pause. It only says so: what is
// held back for how long is the scheduler's business (fs/schedule.cc).
//
// It begins when more changes have come than one in 20 ms for a while, and ends after a pause (or
// when they have become rarer than that for a while). Many bytes are not held back: a network that
// stands still could be carrying them.
//
// Thread-compatible: guarded by the owner's lock.

#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

#include "base/clock.h"

namespace quayfs {

class Burst {
 public:
  /// It is over when nothing has come for `pause`.
  explicit Burst(Duration pause) : most_(kBegins + pause) {}

  /// A file was changed, and nobody has it open for writing.
  void Changed(SteadyTime now) {
    if (!many(now)) bytes_ = 0;
    until_ = std::min(std::max(until_, now) + kEach, now + most_);
  }
  void Wrote(uint64_t bytes) { bytes_ += bytes; }

  bool going(SteadyTime now) const { return many(now) && bytes_ <= kBytesMax; }
  /// When it is over unless more changes come. Meaningful while it is going.
  SteadyTime end() const { return until_ - kBegins; }

 private:
  static constexpr Duration kEach = std::chrono::milliseconds(20);
  static constexpr Duration kBegins = 32 * kEach;
  static constexpr uint64_t kBytesMax = 64ull << 20;  // since it began

  bool many(SteadyTime now) const { return until_ - now > kBegins; }

  const Duration most_;
  SteadyTime until_{};  // each change moves it by kEach
  uint64_t bytes_ = 0;
};

}  // namespace quayfs
