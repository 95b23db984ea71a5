// SPDX-License-Identifier: Apache-2.0

#include "base/clock.h"

#include <algorithm>
#include <array>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <mutex>
#include <string>

namespace quayfs {
namespace {

using std::chrono::days;
using std::chrono::seconds;
using std::chrono::sys_days;
using std::chrono::year_month_day;

constexpr std::array<std::string_view, 7> kDays = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
constexpr std::array<std::string_view, 12> kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                      "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

class RealClock final : public Clock {
 public:
  WallTime Now() const override {
    return std::chrono::time_point_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now());
  }

  SteadyTime Steady() const override { return std::chrono::steady_clock::now(); }

  bool Sleep(Duration duration, const std::stop_token& cancel) override {
    // A day is long enough to keep "for ever" from overflowing the sum; then the rest.
    constexpr Duration kLongest = std::chrono::hours(24);
    std::mutex mutex;
    std::condition_variable_any condition;
    std::unique_lock lock(mutex);
    while (duration > Duration::zero() && !cancel.stop_requested()) {
      const Duration step = std::min(duration, kLongest);
      condition.wait_until(lock, cancel, Steady() + step, [] { return false; });
      duration -= step;
    }
    return !cancel.stop_requested();
  }
};

// A moment taken apart, in UTC.
struct Parts {
  int year = 0;
  int month = 0;  // 1..12
  int day = 0;
  int hour = 0;
  int minute = 0;
  int second = 0;
  int nanosecond = 0;
};

Parts TakeApart(WallTime time) {
  const sys_days date = std::chrono::floor<days>(time);
  const year_month_day ymd(date);
  const std::chrono::hh_mm_ss<std::chrono::nanoseconds> clock(time - date);
  Parts parts;
  parts.year = static_cast<int>(ymd.year());
  parts.month = static_cast<int>(static_cast<unsigned>(ymd.month()));
  parts.day = static_cast<int>(static_cast<unsigned>(ymd.day()));
  parts.hour = static_cast<int>(clock.hours().count());
  parts.minute = static_cast<int>(clock.minutes().count());
  parts.second = static_cast<int>(clock.seconds().count());
  parts.nanosecond = static_cast<int>(clock.subseconds().count());
  return parts;
}

Error BadTime(std::string_view text) {
  return {Code::kInvalidArgument, "not a time: '" + std::string(text) + "'"};
}

Result<WallTime> PutTogether(const Parts& parts, std::string_view text) {
  const year_month_day ymd(std::chrono::year(parts.year),
                           std::chrono::month(static_cast<unsigned>(parts.month)),
                           std::chrono::day(static_cast<unsigned>(parts.day)));
  // Second 60 is a leap second: RFC 9110 allows it, and it is the same moment as the next second 0.
  if (!ymd.ok() || parts.hour > 23 || parts.minute > 59 || parts.second > 60) return BadTime(text);
  const std::chrono::sys_seconds moment = sys_days(ymd) + std::chrono::hours(parts.hour) +
                                          std::chrono::minutes(parts.minute) +
                                          seconds(parts.second);
  // What nanoseconds in 64 bits can hold: the years 1678 to 2261.
  constexpr int64_t kLimit = std::numeric_limits<int64_t>::max() / 1'000'000'000 - 1;
  const int64_t count = moment.time_since_epoch().count();
  if (count > kLimit || count < -kLimit) return BadTime(text);
  return WallTime(moment) + std::chrono::nanoseconds(parts.nanosecond);
}

void AppendDigits(std::string* out, int value, size_t width) {
  const std::string digits = std::to_string(value);
  if (digits.size() < width) out->append(width - digits.size(), '0');
  out->append(digits);
}

// Eats text from the front; every step fails once one has.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : rest_(text) {}

  void Literal(char expected) {
    if (rest_.empty() || rest_.front() != expected) {
      ok_ = false;
    } else {
      rest_.remove_prefix(1);
    }
  }

  int Digits(size_t width) {
    if (rest_.size() < width) ok_ = false;
    int value = 0;
    for (size_t i = 0; ok_ && i < width; ++i) {
      const char c = rest_.front();
      if (c < '0' || c > '9') {
        ok_ = false;
        break;
      }
      value = value * 10 + (c - '0');
      rest_.remove_prefix(1);
    }
    return ok_ ? value : 0;
  }

  // The place of the next three letters in `names`.
  template <size_t N>
  int Name(const std::array<std::string_view, N>& names) {
    const auto* const found = std::find(names.begin(), names.end(), rest_.substr(0, 3));
    if (found == names.end()) {
      ok_ = false;
      return 0;
    }
    rest_.remove_prefix(3);
    return static_cast<int>(found - names.begin());
  }

  // ".5", ".123456789": nanoseconds. Digits after the ninth are dropped. Nothing at all is 0.
  int Fraction() {
    if (rest_.empty() || rest_.front() != '.') return 0;
    rest_.remove_prefix(1);
    int value = 0;
    size_t count = 0;
    for (; !rest_.empty() && rest_.front() >= '0' && rest_.front() <= '9'; ++count) {
      if (count < 9) value = value * 10 + (rest_.front() - '0');
      rest_.remove_prefix(1);
    }
    if (count == 0) ok_ = false;
    for (; count < 9; ++count) value *= 10;
    return value;
  }

  bool ok() const { return ok_; }
  bool Done() const { return ok_ && rest_.empty(); }

 private:
  std::string_view rest_;
  bool ok_ = true;
};

}  // namespace

Clock& SystemClock() {
  static RealClock* const kClock = new RealClock();
  return *kClock;
}

// The steady clock starts away from its epoch: a default SteadyTime must never look like the
// present.
ManualClock::ManualClock(WallTime start) : now_(start), steady_(std::chrono::hours(1)) {}

WallTime ManualClock::Now() const {
  MutexLock lock(mutex_);
  return now_;
}

SteadyTime ManualClock::Steady() const {
  MutexLock lock(mutex_);
  return steady_;
}

bool ManualClock::Sleep(Duration duration, const std::stop_token& cancel) {
  if (cancel.stop_requested()) return false;
  if (duration <= Duration::zero()) return true;
  MutexLock lock(mutex_);
  now_ += duration;
  steady_ += duration;
  slept_ += duration;
  return true;
}

void ManualClock::Advance(Duration duration) {
  MutexLock lock(mutex_);
  now_ += duration;
  steady_ += duration;
}

Duration ManualClock::slept() const {
  MutexLock lock(mutex_);
  return slept_;
}

std::string FormatIsoBasic(WallTime time) {
  const Parts parts = TakeApart(time);
  std::string text;
  AppendDigits(&text, parts.year, 4);
  AppendDigits(&text, parts.month, 2);
  AppendDigits(&text, parts.day, 2);
  text += 'T';
  AppendDigits(&text, parts.hour, 2);
  AppendDigits(&text, parts.minute, 2);
  AppendDigits(&text, parts.second, 2);
  text += 'Z';
  return text;
}

std::string FormatIsoExtended(WallTime time) {
  const Parts parts = TakeApart(time);
  std::string text;
  AppendDigits(&text, parts.year, 4);
  text += '-';
  AppendDigits(&text, parts.month, 2);
  text += '-';
  AppendDigits(&text, parts.day, 2);
  text += 'T';
  AppendDigits(&text, parts.hour, 2);
  text += ':';
  AppendDigits(&text, parts.minute, 2);
  text += ':';
  AppendDigits(&text, parts.second, 2);
  text += '.';
  AppendDigits(&text, parts.nanosecond / 1'000'000, 3);
  text += 'Z';
  return text;
}

std::string FormatHttpDate(WallTime time) {
  const Parts parts = TakeApart(time);
  const std::chrono::weekday weekday(std::chrono::floor<days>(time));
  std::string text(kDays[weekday.c_encoding()]);
  text += ", ";
  AppendDigits(&text, parts.day, 2);
  text += ' ';
  text += kMonths[static_cast<size_t>(parts.month - 1)];
  text += ' ';
  AppendDigits(&text, parts.year, 4);
  text += ' ';
  AppendDigits(&text, parts.hour, 2);
  text += ':';
  AppendDigits(&text, parts.minute, 2);
  text += ':';
  AppendDigits(&text, parts.second, 2);
  text += " GMT";
  return text;
}

Result<WallTime> ParseHttpDate(std::string_view text) {
  Scanner scan(text);
  Parts parts;
  scan.Name(kDays);
  scan.Literal(',');
  scan.Literal(' ');
  parts.day = scan.Digits(2);
  scan.Literal(' ');
  parts.month = scan.Name(kMonths) + 1;
  scan.Literal(' ');
  parts.year = scan.Digits(4);
  scan.Literal(' ');
  parts.hour = scan.Digits(2);
  scan.Literal(':');
  parts.minute = scan.Digits(2);
  scan.Literal(':');
  parts.second = scan.Digits(2);
  for (const char c : std::string_view(" GMT")) scan.Literal(c);
  if (!scan.Done()) return BadTime(text);
  return PutTogether(parts, text);
}

Result<WallTime> ParseIso(std::string_view text) {
  const bool extended = text.size() > 4 && text[4] == '-';
  Scanner scan(text);
  Parts parts;
  const auto separator = [&scan, extended](char c) {
    if (extended) scan.Literal(c);
  };
  parts.year = scan.Digits(4);
  separator('-');
  parts.month = scan.Digits(2);
  separator('-');
  parts.day = scan.Digits(2);
  scan.Literal('T');
  parts.hour = scan.Digits(2);
  separator(':');
  parts.minute = scan.Digits(2);
  separator(':');
  parts.second = scan.Digits(2);
  parts.nanosecond = scan.Fraction();
  scan.Literal('Z');
  if (!scan.Done()) return BadTime(text);
  return PutTogether(parts, text);
}

}  // namespace quayfs
