// SPDX-License-Identifier: Apache-2.0

#include "s3/http_request.h"

#include <algorithm>

#include "base/text.h"

namespace quayfs::s3 {
namespace {

bool IsTokenByte(char c) {
  // RFC 9110 5.6.2.
  constexpr std::string_view kOthers = "!#$%&'*+-.^_`|~";
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         kOthers.find(c) != std::string_view::npos;
}

bool IsToken(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), IsTokenByte);
}

/// Visible ASCII only, without the bytes that end this part of a URL.
bool IsUrlPart(std::string_view text, std::string_view terminators) {
  return std::all_of(text.begin(), text.end(), [&](char c) {
    return c > 0x20 && c < 0x7f && terminators.find(c) == std::string_view::npos;
  });
}

bool IsHost(std::string_view host) {
  return !host.empty() && host.size() <= 255 && IsUrlPart(host, "/?#@[]\\<>\"'{}|^`% ");
}

Status CheckHeaders(const HttpHeaders& headers) {
  for (const HttpHeader& header : headers.all()) {
    if (!IsToken(header.name)) {
      return Error(Code::kInvalidArgument, "'" + header.name + "' is not a header name");
    }
    // The value is not shown: it may be a secret.
    if (header.value.find_first_of(std::string_view("\r\n\0", 3)) != std::string::npos) {
      return Error(Code::kInvalidArgument,
                   "the value of header '" + header.name + "' holds a line break or NUL");
    }
  }
  return {};
}

}  // namespace

Status CheckRequest(const HttpRequest& request) {
  if (!IsToken(request.method)) {
    return Error(Code::kInvalidArgument, "'" + request.method + "' is not an HTTP method");
  }
  if (request.scheme != "http" && request.scheme != "https") {
    return Error(Code::kInvalidArgument, "'" + request.scheme + "' is neither http nor https");
  }
  if (!IsHost(request.host)) {
    return Error(Code::kInvalidArgument, "'" + request.host + "' is not a host name or address");
  }
  if (request.path.empty() || request.path[0] != '/' || !IsUrlPart(request.path, "?#")) {
    return Error(Code::kInvalidArgument, "'" + request.path + "' is not an encoded path");
  }
  if (!IsUrlPart(request.query, "#")) {
    return Error(Code::kInvalidArgument, "the query is not percent-encoded");
  }
  return CheckHeaders(request.headers);
}

uint16_t EffectivePort(const HttpRequest& request) {
  if (request.port != 0) return request.port;
  return request.scheme == "https" ? 443 : 80;
}

namespace {

std::string BracketedHost(const std::string& host) {
  return host.find(':') == std::string::npos ? host : "[" + host + "]";
}

}  // namespace

std::string RequestUrl(const HttpRequest& request) {
  std::string url;
  url.reserve(request.host.size() + request.path.size() + request.query.size() + 32);
  url += request.scheme;
  url += "://";
  url += BracketedHost(request.host);
  if (request.port != 0) {
    url += ':';
    url += std::to_string(request.port);
  }
  url += request.path;
  if (!request.query.empty()) {
    url += '?';
    url += request.query;
  }
  return url;
}

std::string HostAndPort(const HttpRequest& request) {
  return BracketedHost(request.host) + ":" + std::to_string(EffectivePort(request));
}

bool IsTransportHeader(std::string_view name) {
  return EqualsIgnoreCase(name, "Content-Length") || EqualsIgnoreCase(name, "Connection") ||
         EqualsIgnoreCase(name, "Transfer-Encoding");
}

HeaderLine ParseHeaderLine(std::string_view line) {
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos) return {};
  const std::string_view name = line.substr(0, colon);
  if (!IsToken(name)) return {};
  return {name, TrimBlanks(line.substr(colon + 1))};
}

int ParseStatusLine(std::string_view line) {
  if (!line.starts_with("HTTP/")) return 0;
  const size_t blank = line.find(' ');
  if (blank == std::string_view::npos) return 0;
  const std::string_view digits = line.substr(blank + 1, 3);
  if (digits.size() != 3) return 0;
  const auto status = ParseUint(digits);
  return status.ok() ? static_cast<int>(*status) : 0;
}

}  // namespace quayfs::s3
