// SPDX-License-Identifier: Apache-2.0

#include "fs/program/metrics.h"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <map>

#include "base/text.h"
#include "fs/program/version.h"

namespace quayfs::program {
namespace {

using s3::RequestKind;

constexpr double kNanosecondsPerSecond = 1e9;

std::string Escaped(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '\\' || c == '"') escaped += '\\';
    if (c == '\n') {
      escaped += "\\n";
    } else {
      escaped += c;
    }
  }
  return escaped;
}

/// Writes metrics one after the other; every line has the mount's label.
class Writer {
 public:
  explicit Writer(const std::string& mount_point)
      : mount_(fmt::format("mount=\"{}\"", Escaped(mount_point))) {}

  /// What the lines that follow are about.
  void Begin(std::string_view name, std::string_view type, std::string_view help) {
    name_ = name;
    text_ += fmt::format("# HELP {} {}\n# TYPE {} {}\n", name, help, name, type);
  }
  template <typename Number>
  void Line(std::string_view labels, Number value, std::string_view suffix = "") {
    text_ += fmt::format("{}{}{{{}{}{}}} {}\n", name_, suffix, mount_, labels.empty() ? "" : ",",
                         labels, value);
  }
  template <typename Number>
  void Gauge(std::string_view name, std::string_view help, Number value) {
    Begin(name, "gauge", help);
    Line("", value);
  }
  void Counter(std::string_view name, std::string_view help, uint64_t value) {
    Begin(name, "counter", help);
    Line("", value);
  }
  std::string Take() { return std::move(text_); }

 private:
  const std::string mount_;
  std::string name_;
  std::string text_;
};

/// How services bill it: writes and listings cost about ten times as much as reads.
std::string_view PriceOf(RequestKind kind) {
  switch (kind) {
    case RequestKind::kGet:
    case RequestKind::kHead:
    case RequestKind::kOther:
      return "read";
    case RequestKind::kDelete:
    case RequestKind::kDeleteMany:
    case RequestKind::kAbortUpload:
      return "free";
    default:
      return "write";
  }
}

void WriteLatencies(const s3::RequestCounters& requests, Writer* out) {
  out->Begin("quayfs_request_duration_seconds", "histogram",
             "Time from sending a request to the end of its reply");
  for (size_t k = 0; k < s3::kRequestKinds; ++k) {
    const auto kind = static_cast<RequestKind>(k);
    const auto& counted = requests.of(kind);
    uint64_t total = 0;
    for (const auto& replies : counted.replies) total += replies;
    if (total == 0) continue;
    const std::string label = fmt::format("operation=\"{}\"", s3::RequestKindName(kind));
    uint64_t below = 0;
    for (size_t i = 0; i < s3::kLatencyBounds.size(); ++i) {
      below += counted.latencies[i];
      out->Line(fmt::format("{},le=\"{}\"", label, s3::kLatencyBounds[i]), below, "_bucket");
    }
    out->Line(label + ",le=\"+Inf\"", total, "_bucket");
    out->Line(label, static_cast<double>(counted.latency_ns) / kNanosecondsPerSecond, "_sum");
    out->Line(label, total, "_count");
  }
}

void WriteRequests(const s3::RequestCounters& requests, Writer* out) {
  out->Begin("quayfs_requests_total", "counter",
             "Requests to the store, by what the reply was; price: how services bill it");
  for (size_t k = 0; k < s3::kRequestKinds; ++k) {
    const auto kind = static_cast<RequestKind>(k);
    for (size_t i = 0; i < s3::kStatusClasses; ++i) {
      const uint64_t count = requests.of(kind).replies[i];
      if (count == 0) continue;
      out->Line(
          fmt::format("operation=\"{}\",status=\"{}\",price=\"{}\"", s3::RequestKindName(kind),
                      i == 0 ? "none" : fmt::format("{}xx", i), PriceOf(kind)),
          count);
    }
  }
  WriteLatencies(requests, out);
  uint64_t sent = 0;
  uint64_t received = 0;
  for (size_t k = 0; k < s3::kRequestKinds; ++k) {
    sent += requests.of(static_cast<RequestKind>(k)).sent_bytes;
    received += requests.of(static_cast<RequestKind>(k)).received_bytes;
  }
  out->Counter("quayfs_sent_bytes_total", "Bytes of bodies sent to the store", sent);
  out->Counter("quayfs_received_bytes_total", "Bytes of bodies received from it", received);
  out->Counter("quayfs_retries_total", "Requests that were tried again", requests.retries());
  out->Counter("quayfs_throttled_total", "Replies by which the store asked for patience",
               requests.throttled());
}

void WritePending(const MetricsFacts& facts, Writer* out) {
  const PendingWork& pending = facts.pending;
  out->Gauge("quayfs_pending_files", "Files that the bucket does not show as they are",
             pending.files);
  out->Gauge("quayfs_dirty_bytes", "Bytes that are not in the bucket", pending.bytes);
  out->Gauge("quayfs_dirty_limit_bytes", "From half of it on writers are slowed down",
             facts.dirty_limit);
  out->Gauge("quayfs_pending_removals", "Objects still to be removed", pending.removals);
  out->Gauge("quayfs_oldest_pending_seconds", "How long the oldest of them has waited",
             std::chrono::duration<double>(pending.oldest).count());
  out->Gauge("quayfs_retried_files", "Files whose upload has failed and is tried again",
             pending.retried.size());
  out->Gauge("quayfs_store_away", "1 while the store does not answer", pending.store_away ? 1 : 0);
  out->Counter("quayfs_conflicts_total", "Times that somebody else had changed it",
               pending.conflicts);
  out->Gauge("quayfs_conflict_files", "Copies that were kept beside somebody else's version",
             pending.conflict_files.size());
  out->Gauge("quayfs_set_aside_files", "Files that were set aside in the cache directory",
             facts.set_aside);
  out->Gauge("quayfs_uploads_in_flight", "Uploads under way", facts.cache.uploads_in_flight);
}

void WriteCache(const MetricsFacts& facts, Writer* out) {
  out->Gauge("quayfs_cache_clean_bytes", "Bytes in the cache that the bucket has, too",
             facts.cache.clean_bytes);
  out->Gauge("quayfs_cache_limit_bytes", "How many of them are kept", facts.cache_limit);
  out->Gauge("quayfs_cache_files", "Files in the cache", facts.cache.files);
}

void WriteOperations(const MetricsFacts& facts, Writer* out) {
  out->Begin("quayfs_fuse_operations_total", "counter", "What the kernel has asked for");
  for (const auto& each : facts.operations) {
    if (each.calls > 0) out->Line(fmt::format("operation=\"{}\"", each.name), each.calls);
  }
  out->Begin("quayfs_cache_total", "counter",
             "The same, by whether it was answered from the cache (hit) or from the store (miss)");
  for (const auto& each : facts.operations) {
    if (each.name != "read" && each.name != "lookup" && each.name != "getattr") continue;
    const uint64_t hits = each.calls > each.waits ? each.calls - each.waits : 0;
    out->Line(fmt::format("operation=\"{}\",result=\"hit\"", each.name), hits);
    out->Line(fmt::format("operation=\"{}\",result=\"miss\"", each.name), each.waits);
  }
}

}  // namespace

std::string MakeMetrics(const MetricsFacts& facts) {
  Writer out(facts.mount_point);
  out.Begin("quayfs_info", "gauge", "The daemon of a mount");
  out.Line(fmt::format("store=\"{}\",version=\"{}\",state=\"{}\"", Escaped(facts.store), Version(),
                       facts.leaving ? "leaving" : "serving"),
           1);
  out.Gauge("quayfs_uptime_seconds", "Since the mount", facts.uptime_seconds);
  out.Gauge("quayfs_resident_bytes", "Memory of the daemon", facts.resident_bytes);
  out.Gauge("quayfs_open_files", "Files that programs have open", facts.pending.open_files);
  out.Gauge("quayfs_known_inodes", "Files and directories that are known",
            facts.pending.known_inodes);
  WritePending(facts, &out);
  WriteCache(facts, &out);
  if (facts.requests != nullptr) WriteRequests(*facts.requests, &out);
  WriteOperations(facts, &out);
  return out.Take();
}

std::string MergeMetrics(const std::vector<std::string>& texts) {
  std::vector<std::string> order;
  std::map<std::string, std::pair<std::string, std::string>> metrics;  // head, lines
  for (const std::string& text : texts) {
    std::string name;
    for (const std::string_view line : Split(text, '\n')) {
      if (line.empty()) continue;
      if (line[0] != '#') {
        metrics[name].second.append(line) += '\n';
        continue;
      }
      const auto words = Split(line, ' ');
      if (words.size() < 3) continue;
      name = words[2];
      auto& [head, lines] = metrics[name];
      if (head.empty()) order.push_back(name);
      if (head.find(line) == std::string::npos) head.append(line) += '\n';
    }
  }
  std::string merged;
  for (const std::string& name : order) merged += metrics[name].first + metrics[name].second;
  return merged;
}

uint64_t ResidentBytes() {
  std::ifstream file("/proc/self/statm");
  uint64_t total = 0;
  uint64_t resident = 0;
  if (!(file >> total >> resident)) return 0;
  return resident * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
}

}  // namespace quayfs::program
