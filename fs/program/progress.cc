// SPDX-License-Identifier: Apache-2.0

#include "fs/program/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>

#include "base/text.h"
#include "fs/program/status_report.h"

namespace quayfs::program {
namespace {

constexpr double kSmoothSeconds = 5;
constexpr double kShortestSeconds = 0.001;
constexpr size_t kBarWidth = 20;
constexpr size_t kWidthOtherwise = 80;
constexpr double kLongestLeft = 100.0 * 24 * 3600;  // beyond that nobody can tell
constexpr auto kRedraw = std::chrono::milliseconds(200);
constexpr auto kLinePause = std::chrono::seconds(10);

double Seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }

std::string Plural(uint64_t count, std::string_view what) {
  return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

size_t TerminalWidth() {
  winsize size{};
  const bool known = ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return known ? size.ws_col : kWidthOtherwise;
}

}  // namespace

void ProgressMeter::Rate::Add(double amount, double seconds) {
  const double decay = std::exp(-seconds / kSmoothSeconds);
  const double before = per_second * weight;
  weight = weight * decay + (1 - decay);
  per_second = (before * decay + amount / seconds * (1 - decay)) / weight;
}

void ProgressMeter::Update(const SyncProgress& progress, SteadyTime now) {
  if (!begun_) {
    begun_ = true;
    first_sent_ = progress.sent;
    last_ = progress;
    at_ = now;
    return;
  }
  const uint64_t sent = progress.sent - std::min(progress.sent, last_.sent);
  const uint64_t files = last_.files - std::min(last_.files, progress.files);
  settled_ += last_.bytes - std::min(last_.bytes, progress.bytes);
  files_done_ += files;
  const double seconds = Seconds(now - at_);
  // Too short to tell a rate: it counts with the next.
  if (seconds >= kShortestSeconds) {
    sent_rate_.Add(static_cast<double>(sent), seconds);
    file_rate_.Add(static_cast<double>(files), seconds);
    at_ = now;
  }
  last_ = progress;
}

uint64_t ProgressMeter::bytes_left() const {
  const uint64_t sent = last_.sent - std::min(last_.sent, first_sent_);
  const uint64_t waiting = sent - std::min(sent, settled_);
  return last_.bytes - std::min(last_.bytes, waiting);
}

uint64_t ProgressMeter::bytes_done() const { return settled_ + (last_.bytes - bytes_left()); }

std::optional<Duration> ProgressMeter::left() const {
  double seconds = 0;
  if (const uint64_t bytes = bytes_left(); bytes > 0) {
    if (sent_rate_.per_second <= 0) return std::nullopt;
    seconds = static_cast<double>(bytes) / sent_rate_.per_second;
  }
  // Many small files take as long as there are files.
  if (last_.files > 0 && file_rate_.per_second > 0) {
    const double by_files = static_cast<double>(last_.files) / file_rate_.per_second;
    if (bytes_left() == 0) seconds = by_files;
  } else if (last_.files > 0 && bytes_left() == 0) {
    return std::nullopt;
  }
  if (seconds > kLongestLeft) return std::nullopt;
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds));
}

int ProgressMeter::percent() const {
  constexpr int kAll = 100;
  if (last_.files == 0 && last_.removals == 0) return kAll;
  const bool by_bytes = bytes_total() > 0;
  const auto done = static_cast<double>(by_bytes ? bytes_done() : files_done_);
  const auto total = static_cast<double>(by_bytes ? bytes_total() : files_total());
  if (total <= 0) return 0;
  return std::clamp(static_cast<int>(kAll * done / total), 0, kAll - 1);
}

std::string ProgressMeter::Text() const {
  std::string text;
  const auto add = [&text](const std::string& part) { text += (text.empty() ? "" : ", ") + part; };
  if (files_total() > 0) add(fmt::format("{} of {}", files_done_, Plural(files_total(), "file")));
  if (bytes_total() > 0)
    add(fmt::format("{} of {}", FormatSize(bytes_done()), FormatSize(bytes_total())));
  if (last_.removals > 0) add(Plural(last_.removals, "removal"));
  if (last_.away) {
    add("the store does not answer");
    return text;
  }
  if (rate() >= 1) add(FormatSize(static_cast<uint64_t>(rate())) + "/s");
  if (const auto time = left(); time && last_.files > 0) {
    const auto seconds = std::chrono::ceil<std::chrono::seconds>(*time).count();
    add(FormatDuration(static_cast<uint64_t>(seconds)) + " left");
  }
  return text;
}

std::string ProgressMeter::Line(size_t width) const {
  constexpr size_t kAll = 100;
  const auto share = static_cast<size_t>(percent());
  const size_t full = kBarWidth * share / kAll;
  std::string line = fmt::format("[{}{}] {:3} %  {}", std::string(full, '#'),
                                 std::string(kBarWidth - full, '.'), share, Text());
  if (line.size() >= width) line.resize(width > 0 ? width - 1 : 0);
  return line;
}

ProgressDisplay::Style ProgressDisplay::StyleFor(bool quiet) {
  if (quiet) return Style::kNone;
  return ::isatty(STDERR_FILENO) == 1 ? Style::kTerminal : Style::kLines;
}

void ProgressDisplay::Show(const SyncProgress& progress, SteadyTime now) {
  meter_.Update(progress, now);
  if (style_ == Style::kNone || (progress.files == 0 && progress.removals == 0)) return;
  // Whoever looks at a log hears nothing of what is done at once.
  if (!shown_at_ && style_ == Style::kLines) shown_at_ = now;
  const Duration pause = style_ == Style::kTerminal ? Duration(kRedraw) : Duration(kLinePause);
  if (shown_at_ && now - *shown_at_ < pause) return;
  shown_at_ = now;
  if (style_ == Style::kLines) {
    fmt::print(stderr, "quayfs: {}: {}\n", doing_, meter_.Text());
    return;
  }
  // The cursor goes back, so that whatever else is printed writes over the line.
  fmt::print(stderr, "\r\x1b[K{}\r", meter_.Line(TerminalWidth()));
  std::fflush(stderr);
  on_screen_ = true;
}

void ProgressDisplay::Clear() {
  if (on_screen_) fmt::print(stderr, "\r\x1b[K");
  std::fflush(stderr);
  on_screen_ = false;
}

}  // namespace quayfs::program
