// SPDX-License-Identifier: Apache-2.0
//
// Looking at the certificate that a server shows, without trusting it and without sending anything:
// for people who want to know why it is refused, until when it holds, and what to pin.

#pragma once

#include <cstdint>
#include <string>

#include "base/clock.h"
#include "base/result.h"

namespace quayfs::s3 {

struct TlsFacts {
  std::string subject;  // one line each
  std::string issuer;
  WallTime valid_from{};
  WallTime valid_until{};
  std::string sha1;  // of the leaf's DER, hex in lower case
  std::string sha256;
  /// "" if the chain leads to a trusted authority and the name is right; else what is wrong.
  std::string problem;
  std::string protocol;  // "TLSv1.3"
};

/// Connects directly (no proxy), shakes hands and leaves. `ca_file` "" for the system's. Blocks for
/// `patience` per step at most. kUnavailable, kTimedOut.
Result<TlsFacts> LookAtCertificate(const std::string& host, uint16_t port,
                                   const std::string& ca_file, bool ipv6, Duration patience);

}  // namespace quayfs::s3
