// SPDX-License-Identifier: Apache-2.0
//
// The OpenSSL side of the HTTP client: trusting exactly one certificate by its digest
// (protocol.md 4.6), and checking PEM files before the first connection needs them. Knows nothing
// of libcurl.

#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/hash.h"
#include "base/result.h"
#include "s3/http.h"

struct ssl_ctx_st;
struct ssl_st;

namespace quayfs::s3 {

/// The digest that the server's leaf certificate must have. Immutable.
class TlsPin {
 public:
  /// 40 hex digits (SHA-1) or 64 (SHA-256), in either case, nothing else; kInvalidArgument.
  static Result<TlsPin> Parse(std::string_view hex);

  bool Matches(std::string_view certificate_der) const;

 private:
  TlsPin(HashKind kind, std::string digest) : kind_(kind), digest_(std::move(digest)) {}

  HashKind kind_;
  std::string digest_;  // raw
};

/// What the server of one connection showed. Written by the handshake, on the thread that drives
/// it.
struct PinObservation {
  bool checked = false;
  bool matched = false;
  std::string actual_sha256;  // hex, lower case
};

/// Makes handshakes of `context` succeed only with the pinned certificate, whatever its chain, name
/// and dates. The context keeps `observation` alive; `pin` must outlive the context.
Status InstallTlsPin(ssl_ctx_st* context, const TlsPin& pin,
                     std::shared_ptr<PinObservation> observation);

/// Bytes have been received that nobody has asked for yet. On a connection that waits for its next
/// request there must be none.
bool TlsHasUnreadBytes(const ssl_st* session);

/// kInvalidArgument, naming the file, if one of the PEM files cannot be used.
Status CheckTlsFiles(const TlsConfig& config);

}  // namespace quayfs::s3
