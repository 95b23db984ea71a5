// SPDX-License-Identifier: Apache-2.0
//
// Bytes per second, shared by the transfers of one HTTP client. A piece may be moved whenever the
// balance is positive and may take it below zero; then everybody waits until it is positive again.
// So the average is kept whatever the size of a piece, and a single piece is never split. Belongs
// to one thread (the client's loop).

#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "base/clock.h"

namespace quayfs::s3 {

class RateBudget {
 public:
  /// 0: no limit.
  explicit RateBudget(uint64_t bytes_per_second)
      : rate_(static_cast<double>(bytes_per_second)), balance_(Burst()) {}

  bool limited() const { return rate_ > 0; }

  /// True if a piece may be moved now.
  bool Open(SteadyTime now) {
    if (!limited()) return true;
    if (last_ == SteadyTime{}) last_ = now;
    const double seconds = std::chrono::duration<double>(now - last_).count();
    balance_ = std::min(Burst(), balance_ + std::max(0.0, seconds) * rate_);
    last_ = now;
    return balance_ > 0;
  }
  void Spend(size_t bytes) {
    if (limited()) balance_ -= static_cast<double>(bytes);
  }
  /// How long until Open() is true, as of the last call of it.
  Duration Wait() const {
    if (!limited() || balance_ > 0) return Duration(0);
    return Duration(static_cast<int64_t>((1 - balance_) / rate_ * 1e9) + 1);
  }
  /// The largest piece that keeps turns short: a tenth of a second, but not so small that the
  /// overhead shows.
  size_t PieceSize(size_t most) const {
    if (!limited()) return most;
    return std::clamp(static_cast<size_t>(std::min(rate_ / 10, 1e9)), std::min<size_t>(4096, most),
                      most);
  }

 private:
  /// What an idle client may send at once: 50 ms worth.
  double Burst() const { return std::max(1.0, rate_ / 20); }

  const double rate_;
  double balance_;
  SteadyTime last_{};
};

}  // namespace quayfs::s3
