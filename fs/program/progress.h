// SPDX-License-Identifier: Apache-2.0
//
// How far the way to the bucket is: what a mount says of its pending work, several times a second,
// as one line for people.
//
//   [########............] 42 %  12 of 340 files, 1.2 GiB of 2.9 GiB, 35 MiB/s, 50 s left
//
// On a terminal the line is written over; elsewhere a plain line comes from time to time.

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/clock.h"

namespace quayfs::program {

/// What a daemon says of itself at one moment.
struct SyncProgress {
  uint64_t files = 0;     // not in the bucket as they are
  uint64_t bytes = 0;     // of contents that the bucket does not have
  uint64_t removals = 0;  // objects still to be removed
  uint64_t sent = 0;      // bytes of contents that the store has taken since the mount; only grows
  bool away = false;      // the store does not answer

  friend bool operator==(const SyncProgress&, const SyncProgress&) = default;
};

/// Rates and what is left, from what a daemon says over time. Thread-compatible; no clock of its
/// own.
class ProgressMeter {
 public:
  /// REQUIRES: `now` does not go back.
  void Update(const SyncProgress& progress, SteadyTime now);

  // Since the first update. What is added meanwhile adds to the totals.
  uint64_t files_done() const { return files_done_; }
  uint64_t files_total() const { return files_done_ + last_.files; }
  uint64_t bytes_done() const;
  uint64_t bytes_total() const { return bytes_done() + bytes_left(); }
  /// Pending ones, less those that are with the store already and wait for the rest of their file.
  uint64_t bytes_left() const;
  /// Bytes per second, smoothed over some seconds; 0 as long as nothing is known.
  double rate() const { return sent_rate_.per_second; }
  /// Absent as long as it cannot be told.
  std::optional<Duration> left() const;
  /// 0 to 100; 100 only when nothing is left.
  int percent() const;

  /// "12 of 340 files, 1.2 GiB of 2.9 GiB, 35 MiB/s, 50 s left"
  std::string Text() const;
  /// The same behind a bar, cut to `width` columns.
  std::string Line(size_t width) const;

 private:
  struct Rate {
    double per_second = 0;
    double weight = 0;  // of what has been seen so far; the start is not taken for a slow time
    void Add(double amount, double seconds);
  };

  bool begun_ = false;
  SyncProgress last_;
  SteadyTime at_{};
  uint64_t first_sent_ = 0;
  uint64_t files_done_ = 0;
  uint64_t settled_ = 0;  // bytes that were pending and are not any more
  Rate sent_rate_;
  Rate file_rate_;
};

/// Shows a meter on standard error. Thread-compatible.
class ProgressDisplay {
 public:
  enum class Style { kTerminal, kLines, kNone };

  /// What standard error is fit for; nothing if `quiet`.
  static Style StyleFor(bool quiet);

  /// `doing`: what lines elsewhere begin with.
  explicit ProgressDisplay(Style style, std::string doing = "uploading")
      : style_(style), doing_(std::move(doing)) {}
  ~ProgressDisplay() { Clear(); }
  ProgressDisplay(const ProgressDisplay&) = delete;
  ProgressDisplay& operator=(const ProgressDisplay&) = delete;

  /// Writes at most a few times a second on a terminal, every ten seconds elsewhere. Nothing as
  /// long as nothing is pending.
  void Show(const SyncProgress& progress, SteadyTime now);
  /// Takes the line away; before anything else is printed.
  void Clear();

 private:
  const Style style_;
  const std::string doing_;
  ProgressMeter meter_;
  std::optional<SteadyTime> shown_at_;
  bool on_screen_ = false;
};

}  // namespace quayfs::program
