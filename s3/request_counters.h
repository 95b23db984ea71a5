// SPDX-License-Identifier: Apache-2.0
//
// What is sent to a service, counted by kind: for metrics. A kind is what services bill by, more or
// less, and is told from the request alone, so that every client over HttpClient can be counted.

#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string_view>

#include "base/clock.h"
#include "s3/http.h"

namespace quayfs::s3 {

enum class RequestKind {
  kGet,
  kHead,
  kPut,
  kCopy,
  kList,
  kDelete,
  kDeleteMany,
  kCreateUpload,
  kUploadPart,
  kCopyPart,
  kCompleteUpload,
  kAbortUpload,
  kListParts,
  kListUploads,
  kOther,
};
inline constexpr size_t kRequestKinds = static_cast<size_t>(RequestKind::kOther) + 1;

/// "get", "upload_part", ...
std::string_view RequestKindName(RequestKind kind);
RequestKind KindOf(const HttpRequest& request);

/// Seconds; a latency that is larger than all of them counts in the sum only.
inline constexpr std::array<double, 12> kLatencyBounds = {0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
                                                          0.5,   1,    2.5,   5,    10,  30};
/// Replies by the first digit of their status; 0: no reply came.
inline constexpr size_t kStatusClasses = 6;

/// Thread-safe; only grows.
class RequestCounters {
 public:
  struct Kind {
    std::array<std::atomic<uint64_t>, kStatusClasses> replies{};
    std::array<std::atomic<uint64_t>, kLatencyBounds.size()> latencies{};  // at most this bound
    std::atomic<uint64_t> latency_ns{0};
    std::atomic<uint64_t> sent_bytes{0};      // of bodies
    std::atomic<uint64_t> received_bytes{0};  // of bodies
  };

  /// `status` 0: there was no reply.
  void Count(RequestKind kind, int status, Duration latency, uint64_t sent, uint64_t received);
  const Kind& of(RequestKind kind) const { return kinds_[static_cast<size_t>(kind)]; }
  /// Replies 429 and 503, by which a service asks for patience.
  uint64_t throttled() const { return throttled_.load(std::memory_order_relaxed); }

  // Attempts after the first of each request: of the whole process, which is one mount.
  static void CountRetry();
  static uint64_t retries();

 private:
  std::array<Kind, kRequestKinds> kinds_{};
  std::atomic<uint64_t> throttled_{0};
};

/// Counts what goes through `client`. `counters` outlives it.
std::unique_ptr<HttpClient> CountRequests(std::unique_ptr<HttpClient> client,
                                          RequestCounters& counters);

}  // namespace quayfs::s3
