// SPDX-License-Identifier: Apache-2.0

#include "fs/program/watch.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "base/text.h"
#include "fs/program/json_fields.h"
#include "fs/program/messages.h"
#include "fs/program/status_report.h"

namespace quayfs::program {
namespace {

using nlohmann::json;

constexpr size_t kKindsShown = 4;
constexpr size_t kListed = 3;  // of conflicts and retries
constexpr int kBarWidth = 20;

double Number(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number() ? found->get<double>() : 0;
}

uint64_t Whole(const json& object, const char* key) {
  return static_cast<uint64_t>(std::max(0.0, Number(object, key)));
}

std::string Bar(double share) {
  const int full =
      static_cast<int>(std::clamp(std::lround(share * kBarWidth), 0L, long{kBarWidth}));
  return fmt::format("[{}{}]", std::string(static_cast<size_t>(full), '#'),
                     std::string(static_cast<size_t>(kBarWidth - full), '.'));
}

std::string Milliseconds(double seconds) {
  constexpr double kThousand = 1000;
  return seconds < 1 ? fmt::format("{:.0f} ms", seconds * kThousand)
                     : fmt::format("{:.1f} s", seconds);
}

/// All that only grows, by name.
std::map<std::string, double> Counters(const json& status) {
  const json traffic = Object(status, "traffic");
  std::map<std::string, double> counters;
  for (const char* const key : {"sent_bytes", "received_bytes", "retries", "throttled"})
    counters[key] = Number(traffic, key);
  const json requests = Object(traffic, "requests");
  for (const auto& [kind, counted] : requests.items()) {
    if (!counted.is_object()) continue;
    counters["n " + kind] = Number(counted, "count");
    counters["f " + kind] = Number(counted, "failed");
    counters["s " + kind] = Number(counted, "seconds");
  }
  return counters;
}

/// What has been added to each counter, and in how much time.
struct Added {
  std::map<std::string, double> counters;
  double seconds = 0;
  double of(const std::string& name) const {
    const auto found = counters.find(name);
    return found == counters.end() ? 0 : found->second;
  }
  double rate(const std::string& name) const { return of(name) / seconds; }
};

struct Kind {
  std::string name;
  double count = 0;
  double failed = 0;
  double seconds = 0;
};

/// The busiest first.
std::vector<Kind> KindsOf(const Added& added) {
  std::vector<Kind> kinds;
  for (const auto& [name, count] : added.counters) {
    if (!name.starts_with("n ") || count <= 0) continue;
    const std::string kind = name.substr(2);
    kinds.push_back({kind, count, added.of("f " + kind), added.of("s " + kind)});
  }
  std::stable_sort(kinds.begin(), kinds.end(),
                   [](const Kind& a, const Kind& b) { return a.count > b.count; });
  return kinds;
}

std::string Requests(const std::vector<Kind>& kinds, const Added& added) {
  double count = 0;
  double failed = 0;
  double seconds = 0;
  for (const Kind& kind : kinds) {
    count += kind.count;
    failed += kind.failed;
    seconds += kind.seconds;
  }
  std::string text = fmt::format("{:.1f}/s", count / added.seconds);
  if (count > 0) text += fmt::format(", {} each", Milliseconds(seconds / count));
  if (failed > 0) text += fmt::format(", {:.0f} failed", failed);
  if (added.of("retries") > 0) text += fmt::format(", {:.0f} tried again", added.of("retries"));
  if (added.of("throttled") > 0) text += fmt::format(", {:.0f} throttled", added.of("throttled"));
  return text;
}

std::string ByKind(const std::vector<Kind>& kinds, const Added& added) {
  std::string text;
  for (size_t i = 0; i < std::min(kinds.size(), kKindsShown); ++i) {
    text += fmt::format("{}{} {:.1f}/s {}", i == 0 ? "" : ", ", kinds[i].name,
                        kinds[i].count / added.seconds,
                        Milliseconds(kinds[i].seconds / kinds[i].count));
  }
  if (kinds.size() > kKindsShown) text += ", ...";
  return text;
}

std::string Speed(double bytes_per_second) {
  return FormatSize(static_cast<uint64_t>(std::max(0.0, bytes_per_second))) + "/s";
}

std::string PendingText(const json& pending) {
  const uint64_t files = Whole(pending, "files");
  const uint64_t removals = Whole(pending, "removals");
  if (files == 0 && removals == 0) return "nothing: everything is in the bucket";
  std::string text = fmt::format("{} file{}, {}", files, files == 1 ? "" : "s",
                                 FormatSize(Whole(pending, "bytes")));
  if (removals > 0) text += fmt::format(", {} to be removed", removals);
  if (const uint64_t oldest = Whole(pending, "oldest_seconds"); oldest > 0)
    text += fmt::format(", the oldest for {}", FormatDuration(oldest));
  return text;
}

class Screen {
 public:
  explicit Screen(size_t width) : width_(width) {}
  void Line(std::string line) {
    if (line.size() > width_) line.resize(width_);
    text_ += line + '\n';
  }
  void Row(std::string_view name, const std::string& value) {
    if (!value.empty()) Line(fmt::format("  {:<10} {}", name, value));
  }
  std::string Take() { return std::move(text_); }

 private:
  const size_t width_;
  std::string text_;
};

void ShowTroubles(const json& status, Screen* screen) {
  const json pending = Object(status, "pending");
  if (pending.value("store_away", json(false)) == json(true))
    screen->Row("store away", "it does not answer; changes are kept until it does");
  const json retried = Array(pending, "retried");
  for (size_t i = 0; i < std::min(retried.size(), kListed); ++i) {
    if (retried[i].is_object())
      screen->Row("retried", Text(retried[i], "path") + ": " + Text(retried[i], "error"));
  }
  const json conflicts = Array(status, "conflict_files");
  const uint64_t times = Whole(status, "conflicts");
  screen->Row("conflicts",
              times == 0 && conflicts.empty()
                  ? "none"
                  : fmt::format("{} since the mount, {} to be merged", times, conflicts.size()));
  for (size_t i = 0; i < std::min(conflicts.size(), kListed); ++i) {
    if (conflicts[i].is_string()) screen->Row("", "  " + OneLine(conflicts[i].get<std::string>()));
  }
  if (const size_t count = Array(status, "set_aside").size(); count > 0)
    screen->Row("set aside",
                fmt::format("{} file{}; see quayfs status", count, count == 1 ? "" : "s"));
  const std::string error = Text(status, "last_error");
  screen->Row("last error", error.empty() ? "none" : error);
}

}  // namespace

std::string Watch::Render(const json& status, SteadyTime now, size_t width) {
  Screen screen(width);
  const std::string place = Text(status, "mount_point");
  screen.Line(fmt::format("{}  {}", place, Text(status, "store")));
  screen.Row("daemon", fmt::format("pid {}, {} for {}", Whole(status, "pid"), Text(status, "state"),
                                   FormatDuration(Whole(status, "uptime_seconds"))));
  screen.Row("pending", PendingText(Object(status, "pending")));

  const uint64_t pid = Whole(status, "pid");
  Last& last = last_[place];
  const std::map<std::string, double> counters = Counters(status);
  Added added;
  added.seconds = std::chrono::duration<double>(now - last.at).count();
  // Of another daemon, or of the first look, there is nothing to compare with.
  if (last.pid == pid && added.seconds > 0) {
    for (const auto& [name, value] : counters) {
      const auto before = last.counters.find(name);
      added.counters[name] = value - (before == last.counters.end() ? 0 : before->second);
    }
    const std::vector<Kind> kinds = KindsOf(added);
    screen.Row("up", Speed(added.rate("sent_bytes")));
    screen.Row("down", Speed(added.rate("received_bytes")));
    screen.Row("requests", Requests(kinds, added));
    screen.Row("", ByKind(kinds, added));
  } else {
    screen.Row("up", "...");
    screen.Row("down", "...");
    screen.Row("requests", "...");
  }
  last = {now, pid, counters};

  const json cache = Object(status, "cache");
  const double limit = Number(cache, "size_limit");
  const double clean = Number(cache, "clean_bytes");
  screen.Row("cache", fmt::format("{} {} of {}", Bar(limit > 0 ? clean / limit : 0),
                                  FormatSize(Whole(cache, "clean_bytes")),
                                  FormatSize(Whole(cache, "size_limit"))));
  screen.Row("open", fmt::format("{} file{}, {} upload{} under way", Whole(status, "open_files"),
                                 Whole(status, "open_files") == 1 ? "" : "s",
                                 Whole(cache, "uploads_in_flight"),
                                 Whole(cache, "uploads_in_flight") == 1 ? "" : "s"));
  ShowTroubles(status, &screen);
  return screen.Take();
}

}  // namespace quayfs::program
