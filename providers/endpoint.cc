// SPDX-License-Identifier: Apache-2.0

#include "providers/endpoint.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include "base/text.h"

namespace quayfs {
namespace {

Error Bad(std::string_view text, std::string_view what) {
  return {Code::kInvalidArgument, fmt::format("'{}' {}", text, what)};
}

bool IsAddress(const std::string& host) {
  in6_addr address;  // large enough for both
  return inet_pton(AF_INET, host.c_str(), &address) == 1 ||
         inet_pton(AF_INET6, host.c_str(), &address) == 1;
}

bool IsHostName(std::string_view host) {
  if (host.empty() || host.size() > 253) return false;
  for (const std::string_view label : Split(host, '.')) {
    if (label.empty() || label.size() > 63 || label.front() == '-' || label.back() == '-') {
      return false;
    }
    if (label.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-_") !=
        std::string_view::npos) {
      return false;
    }
  }
  return true;
}

/// "host", "host:port", "[v6]", "[v6]:port".
Status ParseAuthority(std::string_view authority, std::string_view text, Endpoint* endpoint) {
  std::string_view port;
  bool has_port = false;
  if (authority.starts_with('[')) {
    const size_t close = authority.find(']');
    if (close == std::string_view::npos) return Bad(text, "has a '[' without a ']'");
    endpoint->host = ToLower(authority.substr(1, close - 1));
    std::string_view rest = authority.substr(close + 1);
    if (!rest.empty() && rest.front() != ':') return Bad(text, "has text behind ']'");
    has_port = !rest.empty();
    if (has_port) port = rest.substr(1);
    in6_addr address;
    if (inet_pton(AF_INET6, endpoint->host.c_str(), &address) != 1) {
      return Bad(text, "has no IPv6 address between '[' and ']'");
    }
  } else {
    const size_t colon = authority.find(':');
    endpoint->host = ToLower(authority.substr(0, colon));
    has_port = colon != std::string_view::npos;
    if (has_port) port = authority.substr(colon + 1);
    if (endpoint->host.empty()) return Bad(text, "names no host");
    if (!IsHostName(endpoint->host))
      return Bad(text, "has a host that is not a name or an address");
  }
  if (!has_port) return {};
  const auto number = ParseUint(port);
  if (!number || *number == 0 || *number > 65535) {
    return Bad(text, "has a port that is not a number from 1 to 65535");
  }
  const uint16_t usual = endpoint->scheme == "https" ? 443 : 80;
  endpoint->port = *number == usual ? uint16_t{0} : static_cast<uint16_t>(*number);
  return {};
}

Result<Endpoint> Parse(std::string_view text) {
  const size_t scheme_end = text.find("://");
  Endpoint endpoint;
  if (scheme_end != std::string_view::npos) endpoint.scheme = ToLower(text.substr(0, scheme_end));
  if (endpoint.scheme != "http" && endpoint.scheme != "https") {
    return Bad(text, "must begin with http:// or https://");
  }
  const std::string_view rest = text.substr(scheme_end + 3);
  for (const char c : rest) {
    if (c == '?') return Bad(text, "must have no query ('?')");
    if (c == '#') return Bad(text, "must have no fragment ('#')");
    if (c == '@') return Bad(text, "must have no user name or password ('@')");
    if (static_cast<unsigned char>(c) <= 0x20 || static_cast<unsigned char>(c) >= 0x7f ||
        c == '\\') {
      return Bad(text, "has a character that a URL can not have");
    }
  }
  const size_t slash = rest.find('/');
  QUAY_TRY(ParseAuthority(rest.substr(0, slash), text, &endpoint));
  if (slash != std::string_view::npos) endpoint.base_path = std::string(rest.substr(slash));
  while (endpoint.base_path.ends_with('/')) endpoint.base_path.pop_back();
  return endpoint;
}

}  // namespace

bool Endpoint::is_address() const { return IsAddress(host); }

Result<Endpoint> ParseEndpoint(std::string_view text, std::string_view field) {
  auto endpoint = Parse(TrimBlanks(text));
  if (endpoint) return endpoint;
  return Error(Code::kInvalidArgument, fmt::format("{}: {}", field, endpoint.error().message()));
}

bool IsHostLabel(std::string_view bucket) {
  return bucket.find('.') == std::string_view::npos && bucket.find('_') == std::string_view::npos &&
         IsHostName(bucket);
}

}  // namespace quayfs
