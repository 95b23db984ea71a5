// SPDX-License-Identifier: Apache-2.0

#include "s3/uri.h"

#include <arpa/inet.h>

#include <algorithm>
#include <utility>

#include "base/text.h"
#include "s3/dialect.h"

namespace quayfs::s3 {
namespace {

bool IsLowerAlnum(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

uint16_t DefaultPort(std::string_view scheme) { return scheme == "http" ? 80 : 443; }

// What the user wrote may be encoded or not; either way it is sent in the canonical encoding.
std::string BasePath(const ClientConfig& config) {
  std::string_view base = config.base_path;
  while (!base.empty() && base.back() == '/') base.remove_suffix(1);
  if (base.empty()) return "";
  std::string encoded = PercentEncode(PercentDecode(base, false), true);
  return encoded.front() == '/' ? encoded : "/" + encoded;
}

bool IsDnsName(std::string_view bucket) {
  for (const std::string_view label : Split(bucket, '.')) {
    if (!IsDnsLabel(label)) return false;
  }
  return true;
}

}  // namespace

std::string EncodeQuery(const std::vector<QueryParameter>& parameters) {
  std::vector<std::pair<std::string, std::optional<std::string>>> encoded;
  encoded.reserve(parameters.size());
  for (const QueryParameter& parameter : parameters) {
    std::optional<std::string> value;
    if (parameter.value) value = PercentEncode(*parameter.value, false);
    encoded.emplace_back(PercentEncode(parameter.name, false), std::move(value));
  }
  std::stable_sort(encoded.begin(), encoded.end());
  std::string query;
  for (const auto& [name, value] : encoded) {
    if (!query.empty()) query += '&';
    query += name;
    if (value) {
      query += '=';
      query += *value;
    }
  }
  return query;
}

std::vector<QueryParameter> DecodeQuery(std::string_view query) {
  std::vector<QueryParameter> parameters;
  if (query.empty()) return parameters;
  for (const std::string_view piece : Split(query, '&')) {
    if (piece.empty()) continue;
    const size_t equals = piece.find('=');
    QueryParameter parameter;
    parameter.name = PercentDecode(piece.substr(0, equals), false);
    if (equals != std::string_view::npos)
      parameter.value = PercentDecode(piece.substr(equals + 1), false);
    parameters.push_back(std::move(parameter));
  }
  return parameters;
}

bool IsIpAddress(std::string_view host) {
  const std::string text(host);
  unsigned char buffer[sizeof(in6_addr)];
  return inet_pton(AF_INET, text.c_str(), buffer) == 1 ||
         inet_pton(AF_INET6, text.c_str(), buffer) == 1;
}

bool IsDnsLabel(std::string_view bucket) {
  if (bucket.empty() || bucket.size() > 63) return false;
  if (!IsLowerAlnum(bucket.front()) || !IsLowerAlnum(bucket.back())) return false;
  return std::all_of(bucket.begin(), bucket.end(),
                     [](char c) { return IsLowerAlnum(c) || c == '-'; });
}

AddressingStyle EffectiveStyle(const ClientConfig& config) {
  if (config.style == AddressingStyle::kPath || IsIpAddress(config.host))
    return AddressingStyle::kPath;
  if (config.port != 0 && config.port != DefaultPort(config.scheme)) return AddressingStyle::kPath;
  if (!IsDnsName(config.bucket)) return AddressingStyle::kPath;
  if (config.scheme == "https" && config.bucket.find('.') != std::string::npos)
    return AddressingStyle::kPath;
  return AddressingStyle::kVirtualHost;
}

std::string HostHeaderValue(std::string_view scheme, std::string_view host, uint16_t port) {
  std::string value = ToLower(host);
  if (value.find(':') != std::string::npos) value = "[" + value + "]";
  if (port != 0 && port != DefaultPort(scheme)) value += ":" + std::to_string(port);
  return value;
}

std::string HostForRegion(std::string_view host, std::string_view old_region,
                          std::string_view new_region) {
  if (IsIpAddress(host)) return std::string(host);
  if (host == "s3.amazonaws.com" || host == "s3-external-1.amazonaws.com") {
    return "s3." + std::string(new_region) + ".amazonaws.com";
  }
  std::string result;
  bool replaced = false;
  for (const std::string_view label : Split(host, '.')) {
    if (!result.empty()) result += '.';
    if (!replaced && !old_region.empty() && label == old_region) {
      result += new_region;
      replaced = true;
    } else if (!replaced && !old_region.empty() && label == "s3-" + std::string(old_region)) {
      result += "s3-" + std::string(new_region);
      replaced = true;
    } else {
      result += label;
    }
  }
  return result;
}

bool IsRegionName(std::string_view region) {
  return !region.empty() && region.size() <= 64 &&
         std::all_of(region.begin(), region.end(),
                     [](char c) { return IsLowerAlnum(c) || c == '-'; });
}

Address ObjectAddress(const ClientConfig& config, std::string_view service_host,
                      std::string_view key) {
  Address address;
  address.host = std::string(service_host);
  address.path = BasePath(config);
  if (EffectiveStyle(config) == AddressingStyle::kVirtualHost) {
    address.host = config.bucket + "." + address.host;
    address.path += '/';
  } else {
    address.path += '/';
    address.path += PercentEncode(config.bucket, false);
    if (!key.empty() || config.dialect->bucket_path_ends_with_slash()) address.path += '/';
  }
  address.path += config.dialect->EncodeKey(key);
  return address;
}

Address ServiceAddress(const ClientConfig& config, std::string_view service_host) {
  return Address{std::string(service_host), BasePath(config) + "/"};
}

}  // namespace quayfs::s3
