// SPDX-License-Identifier: Apache-2.0
//
// Time as a seam: production code asks a Clock, tests move one by hand.

#pragma once

#include <chrono>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>

#include "base/mutex.h"
#include "base/result.h"

namespace quayfs {

using Duration = std::chrono::nanoseconds;
using SteadyTime = std::chrono::steady_clock::time_point;  // for intervals and deadlines
/// Wall-clock time in nanoseconds since the Unix epoch.
using WallTime = std::chrono::time_point<std::chrono::system_clock, std::chrono::nanoseconds>;

/// Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual WallTime Now() const = 0;
  virtual SteadyTime Steady() const = 0;
  /// Blocks for `duration` or until `cancel` is requested; false in the latter case.
  virtual bool Sleep(Duration duration, const std::stop_token& cancel) = 0;
};

/// The machine's clock. Never destroyed.
Clock& SystemClock();

/// A clock that stands still until it is moved. Sleep() returns at once after moving it, so code
/// under test never waits.
class ManualClock final : public Clock {
 public:
  explicit ManualClock(WallTime start = WallTime{});
  WallTime Now() const override;
  SteadyTime Steady() const override;
  bool Sleep(Duration duration, const std::stop_token& cancel) override;

  void Advance(Duration duration);
  /// The sum of all sleeps so far.
  Duration slept() const;

 private:
  mutable Mutex mutex_{LockRank::kLeaf};
  WallTime now_ QUAY_GUARDED_BY(mutex_);
  SteadyTime steady_ QUAY_GUARDED_BY(mutex_);
  Duration slept_ QUAY_GUARDED_BY(mutex_){0};
};

/// "20130524T000000Z", in UTC.
std::string FormatIsoBasic(WallTime time);
/// "2013-05-24T00:00:00.000Z", in UTC, as S3 prints times.
std::string FormatIsoExtended(WallTime time);
/// "Fri, 24 May 2013 00:00:00 GMT" (RFC 9110 IMF-fixdate). Locale-independent.
std::string FormatHttpDate(WallTime time);
/// Accepts IMF-fixdate; kInvalidArgument otherwise.
Result<WallTime> ParseHttpDate(std::string_view text);
/// Accepts "2013-05-24T00:00:00Z" with or without a fraction, and the basic form; kInvalidArgument
/// otherwise.
Result<WallTime> ParseIso(std::string_view text);

}  // namespace quayfs
