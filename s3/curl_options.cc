// SPDX-License-Identifier: Apache-2.0
//
// The half of CurlTransfer that tells libcurl what to do (protocol.md 0.1).

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <limits>

#include "s3/curl_transfer.h"
#include "s3/http_request.h"

namespace quayfs::s3 {
namespace {

constexpr long kReceiveBuffer = 128 * 1024;
constexpr long kSendBuffer = 256 * 1024;
constexpr long kReceiveBufferMin = 4 * 1024;

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

}  // namespace quayfs::s3
