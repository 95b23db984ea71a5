// SPDX-License-Identifier: Apache-2.0

#include "fs/program/status_report.h"

#include <fmt/format.h>

#include <array>
#include <chrono>
#include <functional>
#include <nlohmann/json.hpp>
#include <string_view>

#include "base/text.h"
#include "fs/program/json_fields.h"
#include "fs/program/messages.h"
#include "fs/program/version.h"

namespace quayfs::program {
namespace {

using nlohmann::json;

struct CapabilityRow {
  std::string_view name;
  bool Capabilities::*flag;
  ProbeVerdict ProbeReport::*verdict;  // null: nothing that is probed
};

constexpr std::array kCapabilities = {
    CapabilityRow{"put_if_absent", &Capabilities::put_if_absent, &ProbeReport::put_if_absent},
    CapabilityRow{"put_if_match", &Capabilities::put_if_match, &ProbeReport::put_if_match},
    CapabilityRow{"complete_if_absent", &Capabilities::complete_if_absent,
                  &ProbeReport::complete_if_absent},
    CapabilityRow{"complete_if_match", &Capabilities::complete_if_match,
                  &ProbeReport::complete_if_match},
    CapabilityRow{"delete_if_match", &Capabilities::delete_if_match, &ProbeReport::delete_if_match},
    CapabilityRow{"copy_if_absent", &Capabilities::copy_if_absent, &ProbeReport::copy_if_absent},
    CapabilityRow{"multipart", &Capabilities::multipart, nullptr},
    CapabilityRow{"part_copy", &Capabilities::part_copy, &ProbeReport::part_copy},
    CapabilityRow{"copy", &Capabilities::copy, &ProbeReport::copy},
    CapabilityRow{"move", &Capabilities::move, nullptr},
    CapabilityRow{"batch_delete", &Capabilities::batch_delete, &ProbeReport::batch_delete},
};

/// How it is known: the store's own refusal beats what a probe has found, and that the profile.
std::string_view SourceOf(const CapabilityRow& row, const StatusFacts& facts) {
  if (facts.capabilities_at_start.*row.flag && !(facts.capabilities.*row.flag)) return "reply";
  const bool probed = facts.probe && row.verdict != nullptr &&
                      facts.probe->report.*row.verdict != ProbeVerdict::kUntested;
  return probed ? "probe" : "profile";
}

void AddCapabilities(const StatusFacts& facts, json* status) {
  json honoured = json::object();
  json source = json::object();
  for (const CapabilityRow& row : kCapabilities) {
    const std::string name(row.name);
    honoured[name] = facts.capabilities.*row.flag;
    source[name] = SourceOf(row, facts);
  }
  (*status)["capabilities"] = std::move(honoured);
  (*status)["capabilities_from"] = std::move(source);
  json probe = {{"note", facts.probe_note}};
  if (facts.probe) probe["probed"] = FormatIsoExtended(facts.probe->probed);
  (*status)["probe"] = std::move(probe);
}

uint64_t Number(const json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number_integer()) return 0;
  return found->is_number_unsigned() || found->get<int64_t>() > 0 ? found->get<uint64_t>() : 0;
}

/// "put_if_absent, copy (profile); part_copy (probe)": the capabilities that are `wanted`.
std::string CapabilityList(const json& status, bool wanted) {
  const json honoured = Object(status, "capabilities");
  const json source = Object(status, "capabilities_from");
  std::string list;
  for (const std::string_view from : {"profile", "probe", "reply"}) {
    std::string names;
    for (const CapabilityRow& row : kCapabilities) {
      const std::string name(row.name);
      if (honoured.value(name, json()) != json(wanted)) continue;
      if (Text(source, name.c_str()) != from) continue;
      names += (names.empty() ? "" : ", ") + name;
    }
    if (!names.empty()) list += fmt::format("{}{} ({})", list.empty() ? "" : "; ", names, from);
  }
  return list;
}

std::string Count(uint64_t count, std::string_view what) {
  return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

json PendingJson(const PendingWork& pending) {
  json retried = json::array();
  for (const PendingWork::Retried& one : pending.retried) {
    retried.push_back({{"path", one.path}, {"error", one.error}, {"failures", one.failures}});
  }
  const auto oldest = std::chrono::duration_cast<std::chrono::seconds>(pending.oldest).count();
  return {{"files", pending.files},
          {"bytes", pending.bytes},
          {"removals", pending.removals},
          {"in_flight", pending.in_flight},
          {"oldest_seconds", static_cast<uint64_t>(oldest > 0 ? oldest : 0)},
          {"store_away", pending.store_away},
          {"retried", std::move(retried)}};
}

/// What the mount has sent to its store, by kind; absent kinds have not been used.
json TrafficJson(const s3::RequestCounters& counters) {
  constexpr double kNanosecondsPerSecond = 1e9;
  uint64_t sent = 0;
  uint64_t received = 0;
  json requests = json::object();
  for (size_t k = 0; k < s3::kRequestKinds; ++k) {
    const auto kind = static_cast<s3::RequestKind>(k);
    const auto& counted = counters.of(kind);
    sent += counted.sent_bytes;
    received += counted.received_bytes;
    uint64_t all = 0;
    for (const auto& replies : counted.replies) all += replies;
    if (all == 0) continue;
    // No reply, or one that asks for patience; 404 and the like are answers.
    const uint64_t failed = counted.replies[0] + counted.replies[s3::kStatusClasses - 1];
    requests[std::string(s3::RequestKindName(kind))] = {
        {"count", all},
        {"failed", failed},
        {"seconds", static_cast<double>(counted.latency_ns) / kNanosecondsPerSecond}};
  }
  return {{"sent_bytes", sent},
          {"received_bytes", received},
          {"retries", counters.retries()},
          {"throttled", counters.throttled()},
          {"requests", std::move(requests)}};
}

json SetAsideJson(const std::vector<SetAside>& set_aside) {
  json list = json::array();
  for (const SetAside& one : set_aside) {
    list.push_back({{"path", one.path},
                    {"bytes", one.bytes},
                    {"at", FormatIsoExtended(one.at)},
                    {"why", one.why}});
  }
  return list;
}

std::string PendingLine(const json& pending) {
  const uint64_t files = Number(pending, "files");
  const uint64_t removals = Number(pending, "removals");
  if (files == 0 && removals == 0) return "nothing: everything is in the bucket";
  std::string line;
  if (files > 0) {
    line = fmt::format("{}, {}, not in the bucket yet", Count(files, "file"),
                       FormatSize(Number(pending, "bytes")));
  }
  if (removals > 0) {
    line += fmt::format("{}{} still to be removed from it", line.empty() ? "" : "; ",
                        Count(removals, "object"));
  }
  if (const uint64_t oldest = Number(pending, "oldest_seconds"); oldest > 0)
    line += fmt::format("; the oldest for {}", FormatDuration(oldest));
  return line;
}

using Row = std::function<void(std::string_view name, const std::string& value)>;

/// What does not get on, and why.
void RenderTroubles(const json& status, const Row& row) {
  const json pending = Object(status, "pending");
  if (pending.value("store_away", json(false)) == json(true))
    row("store away", "it does not answer; changes are kept here and go to it when it does");
  for (const json& one : Array(pending, "retried")) {
    if (!one.is_object()) continue;
    row("retried", fmt::format("{}: {} ({})", Text(one, "path"), Text(one, "error"),
                               Count(Number(one, "failures"), "failure")));
  }
  const uint64_t conflicts = Number(status, "conflicts");
  if (conflicts != 0)
    row("conflicts", Count(conflicts, "time") + " somebody else had changed it, since the mount");
  for (const json& one : Array(status, "conflict_files")) {
    if (!one.is_string()) continue;
    row("conflict", OneLine(one.get<std::string>()) +
                        ": kept beside what somebody else wrote; merge them, then remove it");
  }
  for (const json& one : Array(status, "set_aside")) {
    if (!one.is_object()) continue;
    row("set aside",
        fmt::format("{}, {}, {}: {}; remove it when you have looked", Text(one, "path"),
                    FormatSize(Number(one, "bytes")), Text(one, "at"), Text(one, "why")));
  }
  row("last error", Text(status, "last_error"));
}

}  // namespace

json MakeStatus(const StatusFacts& facts, const MountConfig& config) {
  const auto uptime =
      std::chrono::duration_cast<std::chrono::seconds>(facts.now - facts.started).count();
  json status;
  status["mount_point"] = facts.mount_point;
  status["name"] = config.name;
  status["config"] = config.path;
  status["store"] = facts.store;
  status["prefix"] = config.prefix;
  status["read_only"] = config.mount.read_only;
  status["state"] = facts.state;
  status["version"] = Version();
  status["pid"] = static_cast<uint64_t>(facts.pid);
  status["started"] = FormatIsoExtended(facts.started);
  status["uptime_seconds"] = static_cast<uint64_t>(uptime > 0 ? uptime : 0);
  if (facts.leaving_since) {
    json leaving = {{"since", FormatIsoExtended(*facts.leaving_since)}};
    if (facts.leaving_until) leaving["until"] = FormatIsoExtended(*facts.leaving_until);
    status["leaving"] = std::move(leaving);
  }
  status["pending"] = PendingJson(facts.pending);
  if (facts.requests != nullptr) status["traffic"] = TrafficJson(*facts.requests);
  status["open_files"] = facts.pending.open_files;
  status["known_inodes"] = facts.pending.known_inodes;
  status["conflicts"] = facts.pending.conflicts;
  status["conflict_files"] = facts.pending.conflict_files;
  status["set_aside"] = SetAsideJson(facts.set_aside);
  status["last_error"] = facts.pending.last_error;
  status["cache"] = {{"directory", config.cache.directory},
                     {"size_limit", config.cache.size},
                     {"clean_bytes", facts.cache.clean_bytes},
                     {"dirty_limit", config.cache.dirty_limit},
                     {"dirty_bytes", facts.cache.dirty_bytes},
                     {"files", facts.cache.files},
                     {"uploads_in_flight", facts.cache.uploads_in_flight},
                     {"sent_bytes", facts.cache.sent_bytes}};
  AddCapabilities(facts, &status);
  return status;
}

std::string RenderStatus(const json& status) {
  const json pending = Object(status, "pending");
  const json cache = Object(status, "cache");
  std::string text = fmt::format("{}\n", Text(status, "mount_point"));
  const auto row = [&text](std::string_view name, const std::string& value) {
    if (!value.empty()) text += fmt::format("  {:<11} {}\n", name, value);
  };
  row("store", Text(status, "store") +
                   (status.value("read_only", json(false)) == json(true) ? " (read-only)" : ""));
  row("prefix", Text(status, "prefix"));
  row("config", Text(status, "config"));
  row("daemon", fmt::format("pid {}, {} for {}", Number(status, "pid"), Text(status, "state"),
                            FormatDuration(Number(status, "uptime_seconds"))));
  const std::string until = Text(Object(status, "leaving"), "until");
  if (!until.empty())
    row("leaving",
        fmt::format("since {}, tries until {}", Text(Object(status, "leaving"), "since"), until));
  row("pending", PendingLine(pending));
  row("uploads", Count(Number(cache, "uploads_in_flight"), "upload") + " under way");
  row("open", Count(Number(status, "open_files"), "file"));
  row("cache", fmt::format("{} of {} in {}", FormatSize(Number(cache, "clean_bytes")),
                           FormatSize(Number(cache, "size_limit")), Text(cache, "directory")));
  row("honoured", CapabilityList(status, true));
  row("not", CapabilityList(status, false));
  row("probe", Text(Object(status, "probe"), "note"));
  RenderTroubles(status, row);
  return text;
}

std::string FormatDuration(uint64_t seconds) {
  constexpr uint64_t kMinute = 60;
  constexpr uint64_t kHour = 60 * kMinute;
  constexpr uint64_t kDay = 24 * kHour;
  if (seconds >= kDay) return fmt::format("{} d {} h", seconds / kDay, seconds % kDay / kHour);
  if (seconds >= kHour)
    return fmt::format("{} h {} min", seconds / kHour, seconds % kHour / kMinute);
  if (seconds >= kMinute) return fmt::format("{} min {} s", seconds / kMinute, seconds % kMinute);
  return fmt::format("{} s", seconds);
}

}  // namespace quayfs::program
