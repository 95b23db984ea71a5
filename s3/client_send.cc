// SPDX-License-Identifier: Apache-2.0
//
// Client::Impl, the part that sends: route, signature, exchange, corrections.

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "base/text.h"
#include "s3/client_impl.h"
#include "s3/errors.h"
#include "s3/sign_v2.h"

namespace quayfs::s3 {
namespace {

constexpr Duration kSkewWorthCorrecting = std::chrono::minutes(5);
constexpr size_t kErrorBodyRead =
    1u << 20;  // of an error reply; beyond that the connection is given up
constexpr size_t kUploadsRemembered = 10'000;
constexpr size_t kCompletedRemembered = 1'000;
// The slowest that a service copies.
constexpr uint64_t kWorkBytesOfSecond = 1u << 20;

Duration TimeOfWork(uint64_t bytes) {
  constexpr uint64_t kSecondsMax = 24 * 3600;
  return std::chrono::seconds(std::min(bytes / kWorkBytesOfSecond, kSecondsMax));
}

// Collects the body, or streams it if it is that of a success.
class ReplyReader final : public ResponseHandler {
 public:
  ReplyReader(size_t limit, SuccessBody* stream) : limit_(limit), stream_(stream) {}

  Status OnHeaders(int status, const HttpHeaders& headers) override {
    reply_.status = status;
    reply_.headers = headers;
    return success() && stream_ != nullptr ? stream_->Begin(status, headers) : Status();
  }

  Status OnData(std::span<const std::byte> data) override {
    if (success() && stream_ != nullptr) return stream_->Write(data);
    seen_ += data.size();
    if (success() && seen_ > limit_) {
      return Error(Code::kCorrupt, fmt::format("the reply is longer than {} bytes", limit_));
    }
    if (!success() && seen_ > kErrorBodyRead) {
      overlong_error_ = true;
      return Error(Code::kCorrupt, "the error reply is too long");
    }
    const size_t room = (success() ? limit_ : kXmlErrorLimit) - reply_.body.size();
    reply_.body.append(reinterpret_cast<const char*>(data.data()), std::min(room, data.size()));
    return {};
  }

  /// The status says enough although the transfer was broken off here.
  bool overlong_error() const { return overlong_error_; }
  Reply Take() { return std::move(reply_); }

 private:
  bool success() const { return reply_.status >= 200 && reply_.status < 300; }

  const size_t limit_;
  SuccessBody* const stream_;
  Reply reply_;
  size_t seen_ = 0;
  bool overlong_error_ = false;
};

}  // namespace

bool MayHaveHappened(const Error& error) {
  const ServiceDetail& detail = error.detail();
  if (detail.http_status == 0) {
    if (detail.request_not_sent) return false;
    return error.code() == Code::kUnavailable || error.code() == Code::kTimedOut ||
           error.code() == Code::kCorrupt;
  }
  if (detail.http_status < 500) return false;
  const RetryableReply* row = FindRetryableReply(detail.http_status, detail.service_code);
  return row != nullptr && !row->refused;
}

// A reply with status 2xx that is a failure all the same.
bool Client::Impl::HidesError(const Operation& operation, const Reply& reply) const {
  const std::string_view body = TrimBlanks(reply.body);
  if (operation.reply_must_be_document) {
    return body.empty() || !dialect.IsDocument(body, operation.reply_limit) ||
           dialect.ParseError(body).has_value();
  }
  return !body.empty() && body.size() <= kXmlErrorLimit && dialect.ParseError(body).has_value();
}

Error Client::Impl::ServiceError(const Operation& operation, const Reply& reply) const {
  return MakeServiceError({reply.status, &reply.headers, reply.body, clock.Now(), dialect},
                          operation.doing);
}

Client::Impl::Impl(ClientConfig client_config, HttpClient& http_client, Clock& wall_clock)
    : config(std::move(client_config)),
      dialect(*config.dialect),
      http(http_client),
      clock(wall_clock),
      retrier(config.retry, wall_clock),
      list_v2(config.list_version == ListVersion::kV2),
      keeper_(config.credentials, config.credential_source, wall_clock),
      region_(config.region),
      host_(config.host) {}

std::string Client::Impl::region() const {
  MutexLock lock(mutex_);
  return region_;
}

Duration Client::Impl::offset() const {
  MutexLock lock(mutex_);
  return offset_;
}

Result<Client::Impl::Route> Client::Impl::CurrentRoute(const CallOptions& call) {
  Route route;
  QUAY_ASSIGN(route.signing, keeper_.Current(call));
  MutexLock lock(mutex_);
  route.region = region_;
  route.host = host_;
  route.offset = offset_;
  return route;
}

void Client::Impl::RememberUpload(const std::string& upload_id, WallTime created) {
  MutexLock lock(mutex_);
  if (uploads_.size() >= kUploadsRemembered) {
    const auto oldest =
        std::min_element(uploads_.begin(), uploads_.end(),
                         [](const auto& a, const auto& b) { return a.second < b.second; });
    uploads_.erase(oldest);
  }
  uploads_[upload_id] = created;
}

void Client::Impl::ForgetUpload(const std::string& upload_id) {
  MutexLock lock(mutex_);
  uploads_.erase(upload_id);
}

std::optional<WallTime> Client::Impl::UploadCreated(const std::string& upload_id) const {
  MutexLock lock(mutex_);
  const auto found = uploads_.find(upload_id);
  return found == uploads_.end() ? std::nullopt : std::optional<WallTime>(found->second);
}

void Client::Impl::RememberCompleted(const std::string& upload_id, const std::string& etag) {
  if (etag.empty()) return;
  MutexLock lock(mutex_);
  if (!completed_.insert_or_assign(upload_id, etag).second) return;
  completed_order_.push_back(upload_id);
  if (completed_order_.size() <= kCompletedRemembered) return;
  completed_.erase(completed_order_.front());
  completed_order_.pop_front();
}

std::string Client::Impl::CompletedEtag(const std::string& upload_id) const {
  MutexLock lock(mutex_);
  const auto found = completed_.find(upload_id);
  return found == completed_.end() ? "" : found->second;
}

WallTime Client::Impl::ServerMoment(WallTime local) const {
  return local + Duration(server_ahead_ns_.load(std::memory_order_relaxed)) -
         std::chrono::seconds(3);
}

void Client::Impl::NoteServerTime(const HttpHeaders& headers) {
  const Result<WallTime> date = ParseHttpDate(headers.Get("date"));
  if (date) server_ahead_ns_.store((*date - clock.Now()).count(), std::memory_order_relaxed);
}

bool Client::Impl::payload_unsigned() const {
  return config.force_unsigned_payload || (config.unsigned_payload && config.scheme == "https");
}

HttpRequest Client::Impl::Prepare(const Operation& operation, const Route& route) const {
  HttpRequest request;
  request.method = operation.method;
  request.scheme = config.scheme;
  request.port = config.port;
  const std::string& service = config.service_host.empty() ? route.host : config.service_host;
  Address address;
  switch (operation.scope) {
    case Operation::Scope::kService:
      address = ServiceAddress(config, service);
      break;
    case Operation::Scope::kDiscovery:
      address = ServiceAddress(config, service);
      address.path += PercentEncode(config.bucket, false);
      break;
    case Operation::Scope::kBucket:
    case Operation::Scope::kObject:
      address = ObjectAddress(config, route.host, operation.key);
      break;
  }
  request.host = std::move(address.host);
  request.path = std::move(address.path);
  request.query = EncodeQuery(operation.query);
  request.headers = operation.headers;
  request.headers.Set("Host", HostHeaderValue(config.scheme, request.host, config.port));
  for (const HttpHeader& header : config.extra_headers)
    request.headers.Set(header.name, header.value);
  const std::string_view payer = dialect.names().request_payer;
  if (config.requester_pays && !payer.empty() && operation.scope != Operation::Scope::kService) {
    request.headers.Set(payer, "requester");
  }
  request.body = operation.body;
  request.repeatable = !operation.sent_once;
  // A low_speed_time of 0 is endless patience already.
  if (operation.long_work && config.http.low_speed_time > Duration(0) &&
      config.http.low_speed_bytes > 0) {
    Duration work = config.work_patience;
    if (operation.work_bytes) {
      work = std::min(work, config.http.low_speed_time + TimeOfWork(*operation.work_bytes));
    }
    request.patience = std::max(config.http.low_speed_time, work);
  }
  Sign(operation, route, &request);
  return request;
}

void Client::Impl::Sign(const Operation& operation, const Route& route,
                        HttpRequest* request) const {
  if (config.anonymous() || operation.scope == Operation::Scope::kDiscovery) return;
  const Credentials& keys = route.signing->keys;
  const WallTime now = clock.Now() + route.offset;
  const bool about_bucket = operation.scope != Operation::Scope::kService;
  if (dialect.has_own_signature()) {
    const bool named = about_bucket && EffectiveStyle(config) == AddressingStyle::kVirtualHost;
    dialect.Sign(request, {keys, named ? config.bucket : "", now});
  } else if (config.signature == SignatureVersion::kV2) {
    const bool in_host = about_bucket && EffectiveStyle(config) == AddressingStyle::kVirtualHost;
    SignV2(request, keys, in_host ? config.bucket : "", now);
  } else {
    route.signing->v4.Sign(request, route.region, now, operation.payload_hash);
  }
}

Result<HttpRequest> Client::Impl::PresignedGet(const std::string& key,
                                               std::chrono::seconds lifetime) {
  QUAY_ASSIGN(const Route route, CurrentRoute({}));
  const Credentials& keys = route.signing->keys;
  HttpRequest request;
  request.method = "GET";
  request.scheme = config.scheme;
  request.port = config.port;
  Address address = ObjectAddress(config, route.host, key);
  request.host = std::move(address.host);
  request.path = std::move(address.path);
  request.headers.Set("Host", HostHeaderValue(config.scheme, request.host, config.port));
  const WallTime now = clock.Now() + route.offset;
  const bool in_host = EffectiveStyle(config) == AddressingStyle::kVirtualHost;
  const auto expires =
      std::chrono::duration_cast<std::chrono::seconds>((now + lifetime).time_since_epoch());
  if (dialect.has_own_signature()) {
    dialect.Presign(&request, {keys, in_host ? config.bucket : "", now}, expires.count());
  } else if (config.signature == SignatureVersion::kV2) {
    PresignV2(&request, keys, in_host ? config.bucket : "", expires.count());
  } else {
    route.signing->v4.Presign(&request, route.region, now, lifetime);
  }
  return request;
}

Result<Reply> Client::Impl::Send(const Operation& operation, const Route& route,
                                 SuccessBody* stream, const CallOptions& call) {
  const HttpRequest request = Prepare(operation, route);
  ReplyReader reader(operation.reply_limit, stream);
  const Result<HttpReply> done = http.Do(request, reader, call);
  Reply reply = reader.Take();
  if (!done && !reader.overlong_error()) {
    Log(LogLevel::kDebug, "s3.transfer_failed",
        {{"method", request.method}, {"path", request.path}, {"error", done.error().message()}});
    return done.error().WithContext("cannot " + operation.doing);
  }
  NoteServerTime(reply.headers);
  if (LogEnabled(LogLevel::kDebug)) {
    Log(LogLevel::kDebug, "s3.request",
        {{"method", request.method},
         {"path", request.path},
         {"status", reply.status},
         {"request_id", reply.headers.Get(dialect.names().request_id)}});
  }
  return reply;
}

Result<Reply> Client::Impl::Exchange(const Operation& operation, SuccessBody* stream,
                                     Corrections* corrections, const CallOptions& call) {
  for (;;) {
    Result<Route> current = CurrentRoute(call);
    if (!current) return current.error().WithContext("cannot " + operation.doing);
    const Route& route = *current;
    QUAY_ASSIGN(Reply reply, Send(operation, route, stream, call));
    const bool success = reply.status >= 200 && reply.status < 300;
    if (success && (stream != nullptr || !HidesError(operation, reply))) return reply;
    const Error error = ServiceError(operation, reply);
    if (!Correct(operation, error, reply, route, corrections, call)) return error;
  }
}

Result<Reply> Client::Impl::Run(const Operation& operation, const CallOptions& call) {
  Corrections corrections;
  return retrier.Run(RetryTraits{}, call, [&](int /*attempt*/) -> Result<Reply> {
    return Exchange(operation, nullptr, &corrections, call);
  });
}

bool Client::Impl::Correct(const Operation& operation, const Error& error, const Reply& reply,
                           const Route& route, Corrections* corrections, const CallOptions& call) {
  if (!corrections->clock && MayBeClockSkew(error.detail()) && CorrectClock(error, reply, route)) {
    corrections->clock = true;
    return true;
  }
  if (!corrections->credentials && CorrectCredentials(error, route, call)) {
    corrections->credentials = true;
    return true;
  }
  const bool about_bucket = operation.scope == Operation::Scope::kBucket;
  if (!corrections->region && config.follow_region && dialect.MayBeElsewhere(error, about_bucket)) {
    corrections->region = true;
    return CorrectRegion(error, route, call);
  }
  return false;
}

// A wrong secret looks like a wrong clock to some services: only a clock that really is off is
// corrected.
bool Client::Impl::CorrectClock(const Error& error, const Reply& reply, const Route& route) {
  const std::optional<WallTime> server = ServerTime(reply.headers, reply.body, dialect);
  if (!server || config.anonymous()) return false;
  const WallTime local = clock.Now();
  const Duration off = *server - (local + route.offset);
  if (off <= kSkewWorthCorrecting && off >= -kSkewWorthCorrecting) return false;
  {
    MutexLock lock(mutex_);
    offset_ = *server - local;
  }
  Log(LogLevel::kDebug, "s3.clock_corrected",
      {{"seconds", std::chrono::duration_cast<std::chrono::seconds>(*server - local).count()},
       {"code", error.detail().service_code}});
  return true;
}

// Credentials that have come to an end, or were replaced by their owner. The reply to a HEAD has no
// code; there only those that can come to an end are suspected.
bool Client::Impl::CorrectCredentials(const Error& error, const Route& route,
                                      const CallOptions& call) {
  if (config.credential_source == nullptr) return false;
  const std::string& code = error.detail().service_code;
  const int status = error.detail().http_status;
  const bool without_code = code.empty() && (status == 400 || status == 401 || status == 403) &&
                            !route.signing->keys.session_token.empty();
  if (error.code() != Code::kUnauthenticated && !without_code) return false;
  return keeper_.Replace(route.signing, call);
}

bool Client::Impl::CorrectRegion(const Error& error, const Route& route, const CallOptions& call) {
  if (region() != route.region) return true;  // another request has learned it meanwhile
  std::string region = error.detail().region;
  if (!IsRegionName(region)) {
    const Result<std::string> looked_up = LookUpRegion(call);
    if (!looked_up) return false;
    region = *looked_up;
  }
  if (!IsRegionName(region) || region == route.region) return false;
  MutexLock lock(mutex_);
  host_ = HostForRegion(host_, region_, region);
  region_ = region;
  return true;
}

Result<std::string> Client::Impl::LookUpRegion(const CallOptions& call) {
  Operation operation = BucketOperation("ask for the region of the bucket", "HEAD");
  if (!config.service_host.empty()) operation.scope = Operation::Scope::kDiscovery;
  QUAY_ASSIGN(const Route route, CurrentRoute(call));
  QUAY_ASSIGN(const Reply reply, Send(operation, route, nullptr, call));
  if (reply.status >= 500 || reply.status == 429) {
    return ServiceError(operation, reply);
  }
  std::string region = dialect.RegionOfReply(reply.status, reply.headers, config.bucket);
  if (!IsRegionName(region)) region.clear();
  return region;
}

}  // namespace quayfs::s3
