// SPDX-License-Identifier: Apache-2.0

#include "s3/request_counters.h"

#include <chrono>
#include <utility>

#include "base/text.h"

namespace quayfs::s3 {
namespace {

std::atomic<uint64_t> retries_of_process{0};

constexpr int kTooManyRequests = 429;
constexpr int kServiceUnavailable = 503;

/// Whether the query has a parameter of this name.
bool Has(std::string_view query, std::string_view name) {
  for (const std::string_view parameter : Split(query, '&')) {
    if (parameter.substr(0, parameter.find('=')) == name) return true;
  }
  return false;
}

bool IsCopy(const HttpRequest& request) {
  return request.headers.Has("x-amz-copy-source") || request.headers.Has("x-qs-copy-source") ||
         request.headers.Has("x-qs-move-source");
}

RequestKind KindOfGet(const HttpRequest& request) {
  if (Has(request.query, "uploads")) return RequestKind::kListUploads;
  if (Has(request.query, "uploadId") || Has(request.query, "upload_id"))
    return RequestKind::kListParts;
  if (Has(request.query, "list-type") || Has(request.query, "prefix") ||
      Has(request.query, "delimiter"))
    return RequestKind::kList;
  return RequestKind::kGet;
}

RequestKind KindOfPost(const HttpRequest& request) {
  if (Has(request.query, "uploads")) return RequestKind::kCreateUpload;
  if (Has(request.query, "delete")) return RequestKind::kDeleteMany;
  if (Has(request.query, "uploadId") || Has(request.query, "upload_id"))
    return RequestKind::kCompleteUpload;
  return RequestKind::kOther;
}

RequestKind KindOfPut(const HttpRequest& request) {
  const bool part = Has(request.query, "partNumber") || Has(request.query, "part_number");
  if (part) return IsCopy(request) ? RequestKind::kCopyPart : RequestKind::kUploadPart;
  return IsCopy(request) ? RequestKind::kCopy : RequestKind::kPut;
}

/// Hands everything on, and remembers the status and how much came.
class CountingHandler final : public ResponseHandler {
 public:
  explicit CountingHandler(ResponseHandler& next) : next_(next) {}
  Status OnHeaders(int status, const HttpHeaders& headers) override {
    status_ = status;
    return next_.OnHeaders(status, headers);
  }
  Status OnData(std::span<const std::byte> data) override {
    received_ += data.size();
    return next_.OnData(data);
  }
  int status() const { return status_; }
  uint64_t received() const { return received_; }

 private:
  ResponseHandler& next_;
  int status_ = 0;
  uint64_t received_ = 0;
};

class CountedClient final : public HttpClient {
 public:
  CountedClient(std::unique_ptr<HttpClient> client, RequestCounters& counters)
      : client_(std::move(client)), counters_(counters) {}

  Result<HttpReply> Do(const HttpRequest& request, ResponseHandler& handler,
                       const CallOptions& call) override {
    CountingHandler counting(handler);
    const SteadyTime begun = std::chrono::steady_clock::now();
    auto reply = client_->Do(request, counting, call);
    const uint64_t sent = request.body == nullptr || !reply ? 0 : request.body->size();
    counters_.Count(KindOf(request), counting.status(), std::chrono::steady_clock::now() - begun,
                    sent, counting.received());
    return reply;
  }

 private:
  const std::unique_ptr<HttpClient> client_;
  RequestCounters& counters_;
};

}  // namespace

std::string_view RequestKindName(RequestKind kind) {
  constexpr std::array<std::string_view, kRequestKinds> kNames = {"get",
                                                                  "head",
                                                                  "put",
                                                                  "copy",
                                                                  "list",
                                                                  "delete",
                                                                  "delete_many",
                                                                  "create_upload",
                                                                  "upload_part",
                                                                  "copy_part",
                                                                  "complete_upload",
                                                                  "abort_upload",
                                                                  "list_parts",
                                                                  "list_uploads",
                                                                  "other"};
  return kNames[static_cast<size_t>(kind)];
}

RequestKind KindOf(const HttpRequest& request) {
  if (request.method == "GET") return KindOfGet(request);
  if (request.method == "HEAD") return RequestKind::kHead;
  if (request.method == "PUT") return KindOfPut(request);
  if (request.method == "POST") return KindOfPost(request);
  if (request.method != "DELETE") return RequestKind::kOther;
  const bool upload = Has(request.query, "uploadId") || Has(request.query, "upload_id");
  return upload ? RequestKind::kAbortUpload : RequestKind::kDelete;
}

void RequestCounters::Count(RequestKind kind, int status, Duration latency, uint64_t sent,
                            uint64_t received) {
  Kind& counted = kinds_[static_cast<size_t>(kind)];
  const auto digit = static_cast<size_t>(status / 100);
  const size_t status_class = digit < kStatusClasses ? digit : 0;
  counted.replies[status_class].fetch_add(1, std::memory_order_relaxed);
  const double seconds = std::chrono::duration<double>(latency).count();
  for (size_t i = 0; i < kLatencyBounds.size(); ++i) {
    if (seconds > kLatencyBounds[i]) continue;
    counted.latencies[i].fetch_add(1, std::memory_order_relaxed);
    break;
  }
  const auto nanoseconds = std::chrono::duration_cast<std::chrono::nanoseconds>(latency).count();
  counted.latency_ns.fetch_add(static_cast<uint64_t>(nanoseconds), std::memory_order_relaxed);
  counted.sent_bytes.fetch_add(sent, std::memory_order_relaxed);
  counted.received_bytes.fetch_add(received, std::memory_order_relaxed);
  if (status == kTooManyRequests || status == kServiceUnavailable)
    throttled_.fetch_add(1, std::memory_order_relaxed);
}

void RequestCounters::CountRetry() { retries_of_process.fetch_add(1, std::memory_order_relaxed); }

uint64_t RequestCounters::retries() { return retries_of_process.load(std::memory_order_relaxed); }

std::unique_ptr<HttpClient> CountRequests(std::unique_ptr<HttpClient> client,
                                          RequestCounters& counters) {
  return std::make_unique<CountedClient>(std::move(client), counters);
}

}  // namespace quayfs::s3
