// SPDX-License-Identifier: Apache-2.0
//
// One HTTP/1.1 request and its reply, over libcurl's multi interface. Knows nothing of S3: no
// signing, no retries, no meaning of status codes. A seam: tests give the S3 client an HttpClient
// of their own.
//
// - The path and query are sent byte for byte as given (they are what was signed); redirects are
// never followed; no cookies,
//   no netrc, no proxy unless configured, no Accept-Encoding.
// - One HttpClient has one trust setting and one connection pool (protocol.md 0.1); connections are
// reused.
// - Do() blocks its caller; any number of threads may call it at once. Transfers run on one loop
// thread owned by the client.

#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/call.h"
#include "base/clock.h"
#include "base/result.h"

namespace quayfs::s3 {

struct HttpHeader {
  std::string name;
  std::string value;
};
/// In order of sending or arrival; names compare without case.
class HttpHeaders {
 public:
  /// Adds one more; REQUIRES: neither holds CR, LF or NUL.
  void Add(std::string_view name, std::string_view value);
  /// Replaces all of that name.
  void Set(std::string_view name, std::string_view value);
  void Remove(std::string_view name);
  /// The first of that name, or "".
  std::string_view Get(std::string_view name) const;
  bool Has(std::string_view name) const;
  const std::vector<HttpHeader>& all() const { return headers_; }

 private:
  std::vector<HttpHeader> headers_;
};

/// The request body. Read from the client's loop thread while Do() runs, in pieces of up to 256
/// KiB; must not block for long. Reads are by offset because a reused connection that turns out to
/// be dead makes libcurl start again.
class RequestBody {
 public:
  virtual ~RequestBody() = default;
  virtual uint64_t size() const = 0;
  virtual Status Read(uint64_t offset, std::span<std::byte> out) const = 0;
};

/// Takes the reply as it arrives, on the client's loop thread, the body in pieces of up to 16 KiB;
/// must not block for long. An error returned from either ends the transfer and is what Do()
/// returns.
class ResponseHandler {
 public:
  virtual ~ResponseHandler() = default;
  /// Once, when the final headers are complete (1xx are skipped).
  virtual Status OnHeaders(int status, const HttpHeaders& headers) = 0;
  virtual Status OnData(std::span<const std::byte> data) = 0;
};

struct HttpRequest {
  std::string method;  // "GET", "HEAD", "PUT", "POST", "DELETE", ...
  std::string scheme;  // "http" or "https"
  std::string host;    // name or address, IPv6 without brackets
  uint16_t port = 0;   // 0: the scheme's own
  std::string path;    // begins with '/', already percent-encoded
  std::string query;   // without '?', already percent-encoded; "" for none
  /// Host is set by the client unless given; Content-Length, Connection and Transfer-Encoding
  /// always are.
  HttpHeaders headers;
  const RequestBody* body = nullptr;  // null: no body (PUT and POST then send Content-Length: 0)
  /// False: never put on the wire a second time. Otherwise a request that was sent over a reused
  /// connection which turned out to be dead, without a byte of a reply, is sent again at once (a
  /// POST at most once).
  bool repeatable = true;
  /// In place of HttpConfig::low_speed_time if not 0: for requests that the service works on in
  /// silence, such as large copies.
  Duration patience{0};
};

/// What is known of a reply when Do() succeeds: any status is a success here.
struct HttpReply {
  int status = 0;
  HttpHeaders headers;
  Duration time_to_first_byte{0};
  uint64_t body_bytes = 0;
};

struct TlsConfig {
  bool insecure = false;  // skip chain and name checks
  /// Hex digest of the server's leaf certificate, normalised: 40 digits (SHA-1) or 64 (SHA-256).
  /// Replaces the chain and name checks, also when `insecure` is set (protocol.md 4.6).
  std::string thumbprint;
  std::string ca_file;             // "" for the system's
  std::string client_certificate;  // PEM files; "" for none
  std::string client_key;
};

struct HttpConfig {
  Duration connect_timeout = std::chrono::seconds(15);
  /// A transfer that moves fewer than `low_speed_bytes` per second for this long is given up; 0 =
  /// never.
  Duration low_speed_time = std::chrono::seconds(30);
  uint64_t low_speed_bytes = 1;
  size_t max_connections_per_host = 128;
  size_t max_idle_connections = 64;
  bool ipv6 = true;
  std::string
      proxy;  // "http://host:port", "socks5h://..."; "" for none, whatever the environment says
  /// Budgets that all transfers of the client share, first come first served in turns; 0 = no
  /// limit. A transfer that waits for its turn is not slow in the sense of `low_speed_time`.
  uint64_t upload_bytes_per_second = 0;
  uint64_t download_bytes_per_second = 0;
  std::string user_agent = "quayfs";
  TlsConfig tls;
};

/// Thread-safe.
class HttpClient {
 public:
  virtual ~HttpClient() = default;
  /// Errors: kUnavailable (resolve, connect, reset, short body), kTimedOut (deadline, connect
  /// timeout, low speed), kCancelled, kUntrusted (certificate or thumbprint; never worth a retry),
  /// kInvalidArgument, kCorrupt (reply headers beyond reason), or what `handler` or the body
  /// returned. ServiceDetail::request_not_sent tells that the request was certainly not carried
  /// out. `handler` is not called again after Do() has returned.
  virtual Result<HttpReply> Do(const HttpRequest& request, ResponseHandler& handler,
                               const CallOptions& call) = 0;
};

/// Starts the loop thread. kInvalidArgument for a config libcurl refuses (unreadable CA file, bad
/// proxy). Destroying the client while calls are in Do() is a programming error.
Result<std::unique_ptr<HttpClient>> MakeHttpClient(const HttpConfig& config);

/// Collects a body up to `limit` bytes; more is kCorrupt.
class BodyCollector final : public ResponseHandler {
 public:
  explicit BodyCollector(size_t limit = 64 * 1024) : limit_(limit) {}
  Status OnHeaders(int status, const HttpHeaders& headers) override;
  Status OnData(std::span<const std::byte> data) override;
  const std::string& body() const { return body_; }

 private:
  const size_t limit_;
  std::string body_;
};

}  // namespace quayfs::s3
