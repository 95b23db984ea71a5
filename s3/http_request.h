// SPDX-License-Identifier: Apache-2.0
//
// The parts of sending a request that need no libcurl: checking it, and spelling its URL. Internal
// to the HTTP client. Pure functions.

#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "s3/http.h"

namespace quayfs::s3 {

/// kInvalidArgument for anything that could not be sent exactly as it stands: a path or query with
/// bytes that need encoding, a host that is not one, a header that would break out of its line.
Status CheckRequest(const HttpRequest& request);

uint16_t EffectivePort(const HttpRequest& request);

/// "https://host:9000/path?query", IPv6 hosts in brackets. REQUIRES: CheckRequest passed.
std::string RequestUrl(const HttpRequest& request);

/// "host:port", for messages and as the key of a connection pool.
std::string HostAndPort(const HttpRequest& request);

/// True for names that the client itself decides about, so that a caller's value is not sent.
bool IsTransportHeader(std::string_view name);

/// One line of a reply's header block, without its line end.
struct HeaderLine {
  std::string_view name;
  std::string_view value;  // without blanks around it
};
/// Empty name: not a header.
HeaderLine ParseHeaderLine(std::string_view line);

/// The status of "HTTP/1.1 200 OK"; 0 if that is not what `line` is.
int ParseStatusLine(std::string_view line);

}  // namespace quayfs::s3
