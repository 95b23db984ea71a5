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

constexpr long kReceiveBuffer = 128 * 1024;
constexpr long kSendBuffer = 256 * 1024;
constexpr long kReceiveBufferMin = 4 * 1024;
constexpr size_t kHeaderBytesMax = 256 * 1024;

CurlTransfer& Self(void* user) { return *static_cast<CurlTransfer*>(user); }

size_t HeaderCallback(char* data, size_t size, size_t count, void* user) {
  return Self(user).OnHeaderLine({data, size * count});
}

size_t BodyCallback(char* data, size_t size, size_t count, void* user) {
  return Self(user).OnBody(std::as_bytes(std::span(data, size * count)));
}

size_t UploadCallback(char* out, size_t size, size_t count, void* user) {
  return Self(user).FillUpload(std::as_writable_bytes(std::span(out, size * count)));
}

int SeekCallback(void* user, curl_off_t offset, int origin) {
  return origin == SEEK_SET ? Self(user).SeekUpload(offset) : CURL_SEEKFUNC_FAIL;
}

int BeforeRequestCallback(void* user, char* peer, char* local, int peer_port, int local_port) {
  return Self(user).OnBeforeRequest({peer, peer_port, local, local_port});
}

// The next two outlive the transfer that opens a connection: their user is the client's table.
curl_socket_t OpenSocketCallback(void* user, curlsocktype /*purpose*/, curl_sockaddr* address) {
  const int fd =
      static_cast<SocketTable*>(user)->Open(address->family, address->socktype, address->protocol);
  return fd < 0 ? CURL_SOCKET_BAD : fd;
}

int CloseSocketCallback(void* user, curl_socket_t fd) {
  static_cast<SocketTable*>(user)->Close(fd);
  return 0;
}

CURLcode TlsContextCallback(CURL* /*easy*/, void* context, void* user) {
  return Self(user).OnTlsContext(context);
}

/// libcurl wants a long; anything beyond is "for ever" in practice.
long Milliseconds(Duration duration) {
  const auto count = std::chrono::duration_cast<std::chrono::milliseconds>(duration).count();
  return static_cast<long>(std::clamp<int64_t>(count, 1, std::numeric_limits<int32_t>::max()));
}

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

// --- The caller's side
// ----------------------------------------------------------------------------

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

// --- Options
// --------------------------------------------------------------------------------------

// In parentheses, past the macro of the same name, which can only check options that are literals.
template <typename T>
void CurlTransfer::Set(CURLoption option, T value) {
  const CURLcode code = (curl_easy_setopt)(easy_, option, value);
  if (code != CURLE_OK && option_error_ == CURLE_OK) option_error_ = code;
}

template <typename T>
void CurlTransfer::SetUnlessEmpty(CURLoption option, const T& value) {
  if (!value.empty()) Set(option, value.c_str());
}

Status CurlTransfer::Prepare(CURL* easy) {
  easy_ = easy;
  error_text_[0] = '\0';
  header_list_.reset();
  fresh_connection_ = spoiled_;
  last_good_ = last_check_ = std::chrono::steady_clock::now();
  SetConnectionOptions();
  if (request_.scheme == "https") SetTlsOptions();
  SetMethod();
  SetCallbacks();
  QUAY_TRY(SetHeaders());
  if (option_error_ != CURLE_OK) {
    return MakeError(Code::kInternal, fmt::format("{}: libcurl refuses an option ({})", target_,
                                                  curl_easy_strerror(option_error_)));
  }
  return {};
}

void CurlTransfer::SetConnectionOptions() {
  const HttpConfig& config = settings_.config;
  Set(CURLOPT_URL, url_.c_str());
  Set(CURLOPT_PATH_AS_IS, 1L);
  Set(CURLOPT_PROTOCOLS_STR, "http,https");
  Set(CURLOPT_REDIR_PROTOCOLS_STR, "https");  // an empty list is refused; none is followed anyway
  Set(CURLOPT_FOLLOWLOCATION, 0L);
  Set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  Set(CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
  Set(CURLOPT_PROXY, config.proxy.c_str());  // "" also turns the environment's off
  Set(CURLOPT_NOPROXY, "");
  Set(CURLOPT_HEADEROPT, static_cast<long>(CURLHEADER_SEPARATE));
  Set(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
  Set(CURLOPT_NOSIGNAL, 1L);
  // A resolver that hangs must not hang the loop when its transfer is ended.
  Set(CURLOPT_QUICK_EXIT, 1L);
  Set(CURLOPT_CONNECTTIMEOUT_MS, Milliseconds(config.connect_timeout));
  Set(CURLOPT_IPRESOLVE,
      static_cast<long>(config.ipv6 ? CURL_IPRESOLVE_WHATEVER : CURL_IPRESOLVE_V4));
  Set(CURLOPT_TCP_NODELAY, 1L);
  Set(CURLOPT_TCP_KEEPALIVE, 1L);
  Set(CURLOPT_TCP_KEEPIDLE, 30L);
  Set(CURLOPT_TCP_KEEPINTVL, 15L);
  Set(CURLOPT_BUFFERSIZE,
      std::max(kReceiveBufferMin, static_cast<long>(settings_.download.PieceSize(kReceiveBuffer))));
  Set(CURLOPT_UPLOAD_BUFFERSIZE, kSendBuffer);
  SetUnlessEmpty(CURLOPT_USERAGENT, config.user_agent);
  if (config.max_idle_connections == 0) Set(CURLOPT_FORBID_REUSE, 1L);
  if (fresh_connection_) Set(CURLOPT_FRESH_CONNECT, 1L);
  Set(CURLOPT_SHARE, settings_.share);
}

void CurlTransfer::SetTlsOptions() {
  const TlsConfig& tls = settings_.config.tls;
  Set(CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  if (settings_.pin) {
    // protocol.md 4.6: the peer is verified, by our own callback; a name of it would be one check
    // too many.
    Set(CURLOPT_SSL_VERIFYPEER, 1L);
    Set(CURLOPT_SSL_VERIFYHOST, 0L);
    Set(CURLOPT_SSL_CTX_FUNCTION, &TlsContextCallback);
    Set(CURLOPT_SSL_CTX_DATA, static_cast<void*>(this));
  } else {
    Set(CURLOPT_SSL_VERIFYPEER, tls.insecure ? 0L : 1L);
    Set(CURLOPT_SSL_VERIFYHOST, tls.insecure ? 0L : 2L);
  }
  // With a directory of certificates libcurl reads all of them again for each connection; with one
  // file it keeps them.
  if (settings_.no_chain) {
    Set(CURLOPT_CAINFO, static_cast<const char*>(nullptr));
    Set(CURLOPT_CAPATH, static_cast<const char*>(nullptr));
  } else if (!settings_.ca_file.empty()) {
    Set(CURLOPT_CAINFO, settings_.ca_file.c_str());
    Set(CURLOPT_CAPATH, static_cast<const char*>(nullptr));
  }
  SetUnlessEmpty(CURLOPT_SSLCERT, tls.client_certificate);
  SetUnlessEmpty(CURLOPT_SSLKEY, tls.client_key);
}

void CurlTransfer::SetMethod() {
  const std::string& method = request_.method;
  const auto size = static_cast<curl_off_t>(request_.body == nullptr ? 0 : request_.body->size());
  if (method == "POST") {
    Set(CURLOPT_POST, 1L);
    Set(CURLOPT_POSTFIELDSIZE_LARGE, size);
    if (size == 0) Set(CURLOPT_POSTFIELDS, "");
  } else if (method == "PUT" || request_.body != nullptr) {
    Set(CURLOPT_UPLOAD, 1L);
    Set(CURLOPT_INFILESIZE_LARGE, size);
    if (method != "PUT") Set(CURLOPT_CUSTOMREQUEST, method.c_str());
  } else if (method == "HEAD") {
    Set(CURLOPT_NOBODY, 1L);
  } else {
    Set(CURLOPT_HTTPGET, 1L);
    if (method != "GET") Set(CURLOPT_CUSTOMREQUEST, method.c_str());
  }
}

void CurlTransfer::SetCallbacks() {
  void* self = this;
  Set(CURLOPT_ERRORBUFFER, error_text_.data());
  Set(CURLOPT_HEADERFUNCTION, &HeaderCallback);
  Set(CURLOPT_HEADERDATA, self);
  Set(CURLOPT_WRITEFUNCTION, &BodyCallback);
  Set(CURLOPT_WRITEDATA, self);
  Set(CURLOPT_READFUNCTION, &UploadCallback);
  Set(CURLOPT_READDATA, self);
  Set(CURLOPT_SEEKFUNCTION, &SeekCallback);
  Set(CURLOPT_SEEKDATA, self);
  Set(CURLOPT_OPENSOCKETFUNCTION, &OpenSocketCallback);
  Set(CURLOPT_OPENSOCKETDATA, static_cast<void*>(&settings_.sockets));
  Set(CURLOPT_CLOSESOCKETFUNCTION, &CloseSocketCallback);
  Set(CURLOPT_CLOSESOCKETDATA, static_cast<void*>(&settings_.sockets));
  Set(CURLOPT_PREREQFUNCTION, &BeforeRequestCallback);
  Set(CURLOPT_PREREQDATA, self);
  Set(CURLOPT_PRIVATE, self);
}

Status CurlTransfer::SetHeaders() {
  std::vector<std::string> lines;
  lines.reserve(request_.headers.all().size() + 3);
  for (const HttpHeader& header : request_.headers.all()) {
    if (IsTransportHeader(header.name)) continue;
    // libcurl takes "Name:" for an order to leave the header out, and "Name;" for one without a
    // value.
    lines.push_back(header.value.empty() ? header.name + ";" : header.name + ": " + header.value);
  }
  // What libcurl would add of itself, and what a signature does not know about.
  for (const char* name : {"Expect", "Accept", "Content-Type"}) {
    if (!request_.headers.Has(name)) lines.push_back(std::string(name) + ":");
  }
  for (const std::string& line : lines) {
    curl_slist* longer = curl_slist_append(header_list_.get(), line.c_str());
    if (longer == nullptr) return MakeError(Code::kInternal, "out of memory");
    // The longer list has taken the shorter one over, and mostly is the same pointer.
    static_cast<void>(header_list_.release());
    header_list_.reset(longer);
  }
  Set(CURLOPT_HTTPHEADER, header_list_.get());
  return {};
}

// --- Callbacks
// ------------------------------------------------------------------------------------

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

// --- Speed
// ----------------------------------------------------------------------------------------

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

// --- Results
// --------------------------------------------------------------------------------------

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
