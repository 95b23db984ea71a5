// SPDX-License-Identifier: Apache-2.0

#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace quayfs {

/// The URL of a service, taken apart (protocol.md 4.1).
struct Endpoint {
  std::string scheme;     // "http" or "https"
  std::string host;       // lower case; IPv6 without brackets
  uint16_t port = 0;      // 0: not given, or the scheme's own
  std::string base_path;  // "" or "/something", without a '/' at the end

  bool is_address() const;  // IPv4 or IPv6 rather than a name
};

/// Scheme (without regard to case), host, optional port, optional base path. kInvalidArgument, with
/// what is wrong, for anything else: another scheme or none, user information, a query, a fragment.
/// The message begins with `field`.
Result<Endpoint> ParseEndpoint(std::string_view text, std::string_view field = "endpoint");

/// Whether a bucket's name can be a label of a host name covered by a wildcard certificate.
bool IsHostLabel(std::string_view bucket);

}  // namespace quayfs
