// SPDX-License-Identifier: Apache-2.0

#include "providers/kodo/native.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/log.h"
#include "base/text.h"
#include "providers/json_text.h"
#include "providers/kodo/sign.h"
#include "s3/types.h"
#include "s3/uri.h"

namespace quayfs::kodo {
namespace {

using nlohmann::json;

constexpr size_t kReplyMax = 4u << 20;
constexpr int kPartlyDone = 298;
// The service may say nothing while it works on a thousand steps.
constexpr auto kBatchPatience = std::chrono::minutes(2);

// Region ids of S3 whose native name is another one (protocol.md 1.1).
struct RegionName {
  std::string_view s3;
  std::string_view native;
};
constexpr RegionName kRegionNames[] = {
    {"cn-east-1", "z0"},   {"cn-north-1", "z1"},      {"cn-south-1", "z2"},
    {"us-north-1", "na0"}, {"ap-southeast-1", "as0"},
};

// What the native statuses mean, and the HTTP status that the retry policy knows them by.
struct StatusRow {
  int native;
  Code code;
  int http;
};
constexpr StatusRow kStatuses[] = {
    {400, Code::kInvalidArgument, 400},  {401, Code::kUnauthenticated, 401},
    {403, Code::kPermissionDenied, 403}, {404, Code::kNotFound, 404},
    {406, Code::kCorrupt, 400},          {419, Code::kPermissionDenied, 403},
    {573, Code::kThrottled, 503},        {599, Code::kUnavailable, 500},
    {608, Code::kChanged, 409},          {612, Code::kNotFound, 404},
    {614, Code::kAlreadyExists, 409},    {630, Code::kQuota, 400},
    {631, Code::kInvalidArgument, 404},
};

}  // namespace

std::string ResourceHost(std::string_view region) {
  for (const RegionName& row : kRegionNames) {
    if (row.s3 == region) region = row.native;
  }
  return fmt::format("rs-{}.qiniuapi.com", region);
}

std::string S3Region(std::string_view native) {
  for (const RegionName& row : kRegionNames) {
    if (row.native == native) return std::string(row.s3);
  }
  return std::string(native);
}

Error NativeError(int status, std::string_view said, std::string_view doing) {
  const auto* const row = std::find_if(std::begin(kStatuses), std::end(kStatuses),
                                       [&](const StatusRow& r) { return r.native == status; });
  ServiceDetail detail;
  detail.http_status = row != std::end(kStatuses) ? row->http : std::min(status, 500);
  detail.service_code = fmt::format("kodo{}", status);
  Code code = status >= 500 ? Code::kUnavailable : Code::kInvalidArgument;
  if (row != std::end(kStatuses)) code = row->code;
  std::string why = Printable(said);
  if (status == 631) {
    why += "; Kodo's own name of a bucket can differ from its S3 name: set native_bucket";
  }
  return {code, fmt::format("cannot {}: {} (Kodo {})", doing, why, status), std::move(detail)};
}

bool MayHaveBeenMoved(const Error& error) {
  const ServiceDetail& detail = error.detail();
  if (detail.http_status != 0) return detail.http_status >= 500 && error.code() != Code::kThrottled;
  if (detail.request_not_sent) return false;
  return error.code() == Code::kUnavailable || error.code() == Code::kTimedOut ||
         error.code() == Code::kCorrupt;
}

NativeClient::NativeClient(NativeConfig config, s3::HttpClient& http, Clock& clock)
    : config_(std::move(config)),
      http_(http),
      clock_(clock),
      keeper_(config_.credentials, config_.credential_source, clock),
      retrier_(config_.retry, clock),
      moves_([this](const std::vector<NativeStep>& steps, const CallOptions& call) {
        return SendMoves(steps, call);
      }) {}

std::string NativeClient::PathOf(const NativeStep& step) const {
  const std::string entry = EncodedEntry(config_.bucket, step.key);
  if (step.kind == NativeStep::Kind::kDelete) return "/delete/" + entry;
  return fmt::format("/move/{}/{}/force/{}", entry, EncodedEntry(config_.bucket, step.target),
                     step.replace);
}

Result<NativeClient::Answer> NativeClient::PostOnce(const std::string& path,
                                                    const std::string& body, bool repeatable,
                                                    const CallOptions& call) {
  QUAY_ASSIGN(const auto signing, keeper_.Current(call));
  const Duration offset = config_.clock_offset ? config_.clock_offset() : Duration(0);
  s3::HttpRequest request;
  request.method = "POST";
  request.scheme = config_.scheme;
  request.host = config_.host;
  request.port = config_.port;
  request.path = path;
  request.headers.Set("Host", s3::HostHeaderValue(request.scheme, request.host, request.port));
  request.headers.Set("X-Qiniu-Date", FormatIsoBasic(clock_.Now() + offset));
  request.repeatable = repeatable;
  if (path == "/batch") request.patience = kBatchPatience;
  const s3::MemoryBody content{body};
  request.body = &content;
  Sign(&request, signing->keys, body);
  s3::BodyCollector collector(kReplyMax);
  QUAY_ASSIGN(const s3::HttpReply reply, http_.Do(request, collector, call));
  Log(LogLevel::kDebug, "kodo.request", {{"path", path}, {"status", reply.status}});
  return Answer{reply.status, collector.body()};
}

Result<NativeClient::Answer> NativeClient::Post(const std::string& path, const std::string& body,
                                                bool repeatable, const CallOptions& call) {
  const auto attempt = [&](int /*number*/) -> Result<Answer> {
    QUAY_ASSIGN(Answer answer, PostOnce(path, body, repeatable, call));
    if (answer.status >= 200 && answer.status < 300) return answer;
    const json said = json::parse(answer.body, nullptr, false);
    return NativeError(answer.status, TextOf(said, "error"), "ask Kodo's native API");
  };
  return retrier_.Run(s3::RetryTraits{repeatable}, call, attempt);
}

Result<std::vector<Status>> NativeClient::SendMoves(const std::vector<NativeStep>& steps,
                                                    const CallOptions& call) {
  if (steps.size() > 1) return BatchOnce(steps, 0, steps.size(), call);
  QUAY_TRY(Post(PathOf(steps.front()), "", /*repeatable=*/false, call));
  return std::vector<Status>(1);
}

Status NativeClient::Move(const std::string& key, const std::string& target, bool replace,
                          const CallOptions& call) {
  const NativeStep step{NativeStep::Kind::kMove, key, target, replace};
  Status moved = moves_.Move(step, call);
  if (moved) return moved;
  return moved.error().WithContext(
      fmt::format("cannot move object '{}' to '{}'", Printable(key), Printable(target)));
}

Result<std::vector<Status>> NativeClient::BatchOnce(const std::vector<NativeStep>& steps,
                                                    size_t first, size_t count,
                                                    const CallOptions& call) {
  std::string body;
  bool repeatable = true;
  for (size_t i = first; i < first + count; ++i) {
    body += (body.empty() ? "op=" : "&op=") + PercentEncode(PathOf(steps[i]), false);
    repeatable = repeatable && steps[i].kind == NativeStep::Kind::kDelete;
  }
  QUAY_ASSIGN(const Answer answer, Post("/batch", body, repeatable, call));
  const json outcomes = json::parse(answer.body, nullptr, false);
  if (!outcomes.is_array() || outcomes.size() != count) {
    return Error(Code::kCorrupt, fmt::format("Kodo answered a batch of {} with something else "
                                             "(status {}, {} for some failed)",
                                             count, answer.status, kPartlyDone));
  }
  std::vector<Status> statuses;
  statuses.reserve(count);
  for (size_t i = 0; i < count; ++i) {
    const json& outcome = outcomes[i];
    const json code = outcome.is_object() ? outcome.value("code", json()) : json();
    const int status = code.is_number_integer() ? code.get<int>() : 0;
    const NativeStep& step = steps[first + i];
    const bool gone = step.kind == NativeStep::Kind::kDelete && status == 612;
    if ((status >= 200 && status < 300) || gone) {
      statuses.emplace_back();
      continue;
    }
    statuses.emplace_back(NativeError(
        status, TextOf(outcome.value("data", json()), "error"),
        fmt::format("{} object '{}'", step.kind == NativeStep::Kind::kDelete ? "delete" : "move",
                    Printable(step.key))));
  }
  return statuses;
}

Result<std::vector<Status>> NativeClient::Batch(const std::vector<NativeStep>& steps,
                                                const CallOptions& call) {
  std::vector<Status> all;
  all.reserve(steps.size());
  for (size_t first = 0; first < steps.size(); first += kBatchMax) {
    const size_t count = std::min(kBatchMax, steps.size() - first);
    auto done = BatchOnce(steps, first, count, call);
    if (!done && first == 0) return done.error();
    if (!done) {
      // What was sent counts; the rest has the error of the request that failed.
      all.resize(steps.size(), Status(done.error()));
      return all;
    }
    for (Status& status : *done) all.push_back(std::move(status));
  }
  return all;
}

}  // namespace quayfs::kodo
