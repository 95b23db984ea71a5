// SPDX-License-Identifier: Apache-2.0
//
// A server on 127.0.0.1 that does to each connection exactly what a test says, byte by byte. Not an
// S3 server: it knows just enough HTTP to read one request. Every connection has a thread and runs
// the test's script on it.

#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "base/unique_fd.h"

struct ssl_ctx_st;
struct ssl_st;

namespace quayfs::s3::testing {

/// A certificate made for one test.
struct TestCertificate {
  std::string certificate_pem;
  std::string key_pem;
  std::string sha1;  // hex of the DER
  std::string sha256;
};

struct CertificateOptions {
  std::string common_name = "localhost";
  std::string alternative_names = "DNS:localhost,IP:127.0.0.1";  // as in an OpenSSL configuration
  std::chrono::seconds valid_from{-3600};                        // relative to now
  std::chrono::seconds valid_until{3600};
};
TestCertificate MakeCertificate(const CertificateOptions& options = {});

/// A request as it came over the wire.
struct RawRequest {
  std::string head;  // up to and with the empty line
  std::string body;  // Content-Length bytes

  std::string request_line() const;
  /// The values of a header, in order; names compare without case.
  std::vector<std::string> header(std::string_view name) const;
  bool has(std::string_view name) const { return !header(name).empty(); }
};

/// One accepted connection. Belongs to its script's thread.
class RawConnection {
 public:
  RawConnection(UniqueFd fd, ssl_ctx_st* tls, uint64_t number);
  ~RawConnection();
  RawConnection(const RawConnection&) = delete;
  RawConnection& operator=(const RawConnection&) = delete;

  /// Counts accepted connections from 0.
  uint64_t number() const { return number_; }
  /// False if the TLS handshake failed; the script is then not run.
  bool usable() const { return usable_; }
  /// How many bytes the script has read off the wire.
  uint64_t bytes_read() const { return bytes_read_; }

  /// False when the peer has closed or the server stops.
  bool ReadHead(RawRequest* request);
  bool ReadBody(RawRequest* request);
  bool ReadRequest(RawRequest* request) { return ReadHead(request) && ReadBody(request); }
  /// Reads and drops up to `count` bytes, counting them; less at the end of the stream.
  uint64_t Drain(uint64_t count);
  bool Write(std::string_view data);
  /// Waits until the peer closes or sends something, or the server stops.
  void WaitForPeer();
  /// Ends the connection with RST instead of FIN.
  void Reset();
  /// Ends the connection with FIN.
  void Close();

 private:
  friend class RawServer;
  long Receive(char* out, size_t size);

  UniqueFd fd_;
  ssl_st* ssl_ = nullptr;
  const uint64_t number_;
  bool usable_ = true;
  uint64_t bytes_read_ = 0;
  std::string buffer_;
};

class RawServer {
 public:
  using Script = std::function<void(RawConnection&)>;

  /// With `certificate` it speaks TLS; with `client_ca` it wants a client certificate, equal to
  /// that one.
  explicit RawServer(Script script, const TestCertificate* certificate = nullptr,
                     const TestCertificate* client_ca = nullptr);
  ~RawServer();
  RawServer(const RawServer&) = delete;
  RawServer& operator=(const RawServer&) = delete;

  uint16_t port() const { return port_; }
  uint64_t accepted() const { return accepted_.load(); }

 private:
  void AcceptLoop();
  void Serve(UniqueFd fd, uint64_t number);

  const Script script_;
  ssl_ctx_st* tls_ = nullptr;
  UniqueFd listener_;
  UniqueFd stop_event_;
  uint16_t port_ = 0;
  std::atomic<uint64_t> accepted_{0};
  Mutex mutex_{LockRank::kTestServer};
  std::vector<int> open_ QUAY_GUARDED_BY(mutex_);
  std::vector<std::thread> threads_ QUAY_GUARDED_BY(mutex_);
  bool stopping_ QUAY_GUARDED_BY(mutex_) = false;
  std::thread accept_thread_;
};

/// Answers every request on a connection with 200, `body`, until the peer goes; requests are handed
/// to `seen` before.
RawServer::Script AnswerAll(const std::string& body,
                            std::function<void(const RawRequest&)> seen = {});

}  // namespace quayfs::s3::testing
