// SPDX-License-Identifier: Apache-2.0

#include "s3/curl_transfer.h"

#include <fmt/format.h>
#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <limits>

#include "base/check.h"
#include "s3/curl_error.h"
#include "s3/http_request.h"

namespace quayfs::s3 {
namespace {

constexpr size_t kHeaderBytesMax = 256 * 1024;

}  // namespace

CurlTransfer::CurlTransfer(uint64_t id, const HttpRequest& request, ResponseHandler& handler,
                           CurlSettings& settings)
    : id_(id),
      request_(request),
      handler_(handler),
      settings_(settings),
      target_(HostAndPort(request)),
      pool_key_(request.scheme + "://" + target_),
      url_(RequestUrl(request)) {}

// --- The caller's side ---

bool CurlTransfer::Wait(const std::optional<SteadyTime>& deadline) {
  MutexLock lock(mutex_);
  while (!done_) {
    if (!deadline) {
      done_changed_.Wait(mutex_);
    } else if (!done_changed_.WaitUntil(mutex_, *deadline)) {
      return done_;
    }
  }
  return true;
}

Result<HttpReply> CurlTransfer::TakeResult() {
  MutexLock lock(mutex_);
  QUAY_CHECK(result_.has_value());
  return *std::move(result_);
}

void CurlTransfer::Complete(Result<HttpReply> result) {
  // The waiter may destroy this object as soon as the lock is free, so the notification happens
  // under it.
  MutexLock lock(mutex_);
  result_.emplace(std::move(result));
  done_ = true;
  done_changed_.NotifyOne();
}

// --- Callbacks ---

size_t CurlTransfer::OnHeaderLine(std::string_view line) {
  const size_t size = line.size();
  header_bytes_ += size;
  if (header_bytes_ > kHeaderBytesMax) {
    local_error_ = MakeError(Code::kCorrupt, target_ + ": the reply's headers are too large");
    return 0;
  }
  if (headers_complete_) return size;  // trailers after a chunked body
  while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) line.remove_suffix(1);
  if (line.empty()) {
    // The end of an interim reply is not the end of the headers.
    if (reply_.status < 200) return size;
    return FinishHeaders() == 0 ? 0 : size;
  }
  if (const int status = ParseStatusLine(line); status != 0) {
    reply_.status = status;
    reply_.headers = HttpHeaders();
    return size;
  }
  const HeaderLine header = ParseHeaderLine(line);
  if (header.name.empty()) return size;
  if (header.value.find('\0') != std::string_view::npos ||
      header.value.find('\r') != std::string_view::npos) {
    local_error_ = MakeError(Code::kCorrupt, target_ + ": the reply's headers hold control bytes");
    return 0;
  }
  reply_.headers.Add(header.name, header.value);
  return size;
}

size_t CurlTransfer::FinishHeaders() {
  headers_complete_ = true;
  Status taken = handler_.OnHeaders(reply_.status, reply_.headers);
  if (taken) return 1;
  local_error_ = taken.error();
  return 0;
}

void CurlTransfer::Pause(std::vector<uint64_t>* queue) {
  paused_ = true;
  paused_since_check_ = true;
  queue->push_back(id_);
}

size_t CurlTransfer::OnBody(std::span<const std::byte> data) {
  if (settings_.download.limited()) {
    if (!settings_.download.Open(std::chrono::steady_clock::now())) {
      Pause(&settings_.paused_downloads);
      return CURL_WRITEFUNC_PAUSE;
    }
    settings_.download.Spend(data.size());
  }
  reply_.body_bytes += data.size();
  Status taken = handler_.OnData(data);
  if (taken) return data.size();
  local_error_ = taken.error();
  return CURL_WRITEFUNC_ERROR;
}

size_t CurlTransfer::FillUpload(std::span<std::byte> out) {
  const uint64_t size = request_.body == nullptr ? 0 : request_.body->size();
  if (upload_offset_ >= size) return 0;
  size_t count = static_cast<size_t>(std::min<uint64_t>(out.size(), size - upload_offset_));
  if (settings_.upload.limited()) {
    if (!settings_.upload.Open(std::chrono::steady_clock::now())) {
      Pause(&settings_.paused_uploads);
      return CURL_READFUNC_PAUSE;
    }
    count = std::min(count, settings_.upload.PieceSize(count));
    settings_.upload.Spend(count);
  }
  Status filled = request_.body->Read(upload_offset_, out.first(count));
  if (!filled) {
    local_error_ = filled.error();
    return CURL_READFUNC_ABORT;
  }
  upload_offset_ += count;
  return count;
}

int CurlTransfer::SeekUpload(curl_off_t offset) {
  if (offset < 0) return CURL_SEEKFUNC_FAIL;
  upload_offset_ = static_cast<uint64_t>(offset);
  return CURL_SEEKFUNC_OK;
}

/// True for a connection that was idle and has bytes, or an end, to read. libcurl would take the
/// bytes for the beginning of the reply to the request that it is about to send, although they were
/// sent before: left over from a longer body than announced, or a server's farewell.
bool CurlTransfer::ConnectionIsSpoiled() const {
  long new_connections = 0;
  curl_easy_getinfo(easy_, CURLINFO_NUM_CONNECTS, &new_connections);
  if (new_connections > 0) return false;
  if (socket_ < 0) return true;
  pollfd waiting{.fd = socket_, .events = POLLIN, .revents = 0};
  if (::poll(&waiting, 1, 0) != 0) return true;
  curl_tlssessioninfo* tls = nullptr;
  return curl_easy_getinfo(easy_, CURLINFO_TLS_SSL_PTR, &tls) == CURLE_OK && tls != nullptr &&
         tls->backend == CURLSSLBACKEND_OPENSSL && tls->internals != nullptr &&
         TlsHasUnreadBytes(static_cast<const ssl_st*>(tls->internals));
}

int CurlTransfer::OnBeforeRequest(const SocketEnds& ends) {
  socket_ = settings_.sockets.Find(ends);
  if (ConnectionIsSpoiled()) {
    spoiled_ = true;
    return CURL_PREREQFUNC_ABORT;
  }
  ++times_sent_;
  // libcurl sends a request again when a reused connection dies without a byte of a reply, up to
  // five times. A PUT or GET may be repeated; a POST gets one more chance, because an idle
  // connection that the server has closed is common.
  constexpr int kLibcurlDecides = std::numeric_limits<int>::max();
  const int most = !request_.repeatable ? 1 : request_.method == "POST" ? 2 : kLibcurlDecides;
  if (times_sent_ <= most) return CURL_PREREQFUNC_OK;
  local_error_ = MakeError(Code::kUnavailable,
                           target_ +
                               ": the connection was closed without a reply, and the request "
                               "must not be sent again");
  return CURL_PREREQFUNC_ABORT;
}

CURLcode CurlTransfer::OnTlsContext(void* ssl_context) {
  pin_seen_ = std::make_shared<PinObservation>();
  Status installed =
      InstallTlsPin(static_cast<ssl_ctx_st*>(ssl_context), *settings_.pin, pin_seen_);
  if (installed) return CURLE_OK;
  local_error_ = installed.error();
  return CURLE_ABORTED_BY_CALLBACK;
}

// --- Speed ---

Duration CurlTransfer::patience() const {
  if (request_.patience > Duration(0)) return request_.patience;
  return settings_.config.low_speed_bytes == 0 ? Duration(0) : settings_.config.low_speed_time;
}

std::optional<SteadyTime> CurlTransfer::next_check() const {
  const Duration whole = patience();
  if (whole <= Duration(0)) return std::nullopt;
  constexpr Duration kShortest = std::chrono::milliseconds(10);
  return last_check_ + std::max(kShortest, whole / 4);
}

/// Bytes that have really crossed the network in either direction, as far as can be known: what the
/// kernel still holds for sending has not.
int64_t CurlTransfer::WirePosition() const {
  curl_off_t uploaded = 0;
  long request_header_bytes = 0;
  curl_easy_getinfo(easy_, CURLINFO_SIZE_UPLOAD_T, &uploaded);
  curl_easy_getinfo(easy_, CURLINFO_REQUEST_SIZE, &request_header_bytes);
  int64_t position = uploaded + request_header_bytes + static_cast<int64_t>(header_bytes_) +
                     static_cast<int64_t>(reply_.body_bytes);
  int unsent = 0;
  if (socket_ >= 0 && settings_.sockets.Has(socket_) && ::ioctl(socket_, SIOCOUTQ, &unsent) == 0) {
    position -= unsent;
  }
  return position;
}

bool CurlTransfer::MovesFastEnough(SteadyTime now) {
  curl_off_t ready_after = 0;
  curl_easy_getinfo(easy_, CURLINFO_PRETRANSFER_TIME_T, &ready_after);
  const int64_t position = WirePosition();
  const int64_t moved = position - last_position_;
  const double seconds = std::chrono::duration<double>(now - last_check_).count();
  const double least =
      std::max(1.0, static_cast<double>(settings_.config.low_speed_bytes) * seconds);
  const bool connecting = ready_after == 0;  // the connect timeout is in charge
  const bool started_again = moved < 0;
  if (connecting || started_again || paused_ || paused_since_check_ ||
      static_cast<double>(moved) >= least) {
    last_good_ = now;
  }
  paused_since_check_ = paused_;
  last_position_ = position;
  last_check_ = now;
  return now - last_good_ < patience();
}

// --- Results ---

Error CurlTransfer::MakeError(Code code, std::string message) const {
  ServiceDetail detail;
  detail.request_not_sent = times_sent_ == 0;
  return Error(code, std::move(message), std::move(detail));
}

Error CurlTransfer::Explain(CURLcode code) {
  if (pin_seen_ != nullptr && pin_seen_->checked && !pin_seen_->matched) {
    return MakeError(Code::kUntrusted,
                     fmt::format("{}: the server's certificate is not the pinned one; its SHA-256 "
                                 "thumbprint is {}",
                                 target_, pin_seen_->actual_sha256));
  }
  CurlFailure failure = ExplainCurlCode(code, target_, error_text_.data());
  return MakeError(failure.code, std::move(failure.message));
}

Result<HttpReply> CurlTransfer::Outcome(CURLcode code) {
  if (local_error_) return *local_error_;
  if (code != CURLE_OK) return Explain(code);
  if (!headers_complete_) {
    return MakeError(Code::kUnavailable, target_ + ": the connection was closed without a reply");
  }
  curl_off_t microseconds = 0;
  curl_easy_getinfo(easy_, CURLINFO_STARTTRANSFER_TIME_T, &microseconds);
  reply_.time_to_first_byte = std::chrono::microseconds(microseconds);
  return std::move(reply_);
}

Error CurlTransfer::Aborted(Code code, std::string_view why) {
  return MakeError(code, fmt::format("{} {}: {}", request_.method, target_, why));
}

}  // namespace quayfs::s3
