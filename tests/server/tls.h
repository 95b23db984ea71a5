// SPDX-License-Identifier: Apache-2.0
//
// TLS for the test server: a self-signed P-256 certificate made at start, valid for 127.0.0.1, ::1,
// localhost, DOMAIN and *.DOMAIN.

#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "base/result.h"
#include "tests/server/stream.h"

namespace quayfs::testserver {

/// Thread-safe once made.
class TlsContext {
 public:
  /// The certificate is valid from a day before now (or before it expires) for `life` from now.
  static Result<std::unique_ptr<TlsContext>> Make(const std::string& domain,
                                                  std::chrono::seconds life);
  virtual ~TlsContext() = default;

  virtual std::string certificate_pem() const = 0;
  /// Thumbprints of the certificate's DER form, hex in lower case.
  virtual std::string certificate_sha1() const = 0;
  virtual std::string certificate_sha256() const = 0;
  /// The stream does its handshake at the first read.
  virtual std::unique_ptr<Stream> MakeStream(int fd) const = 0;
};

}  // namespace quayfs::testserver
