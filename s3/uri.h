// SPDX-License-Identifier: Apache-2.0
//
// Where a request goes: scheme, host and encoded path for a bucket and key, and the query. What is
// built here is sent and signed byte for byte (protocol.md 3.1, 4.5). Pure functions.

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "s3/config.h"

namespace quayfs::s3 {

/// One query parameter, not yet encoded. Without a value it is a sub-resource such as `uploads`.
struct QueryParameter {
  std::string name;
  std::optional<std::string> value;
};

/// Encoded and sorted by encoded name, then value: "list-type=2&prefix=a%2F", "uploads".
std::string EncodeQuery(const std::vector<QueryParameter>& parameters);

/// The inverse, in the order given.
std::vector<QueryParameter> DecodeQuery(std::string_view query);

/// True for IPv4 and IPv6 literals (the latter without brackets).
bool IsIpAddress(std::string_view host);

/// Whether `bucket` can be a label in front of a host name.
bool IsDnsLabel(std::string_view bucket);

/// The style really used: virtual host only if asked for and possible. IP addresses, explicit
/// ports, names that are no DNS label, and names with a dot over TLS (no wildcard certificate
/// covers them) go into the path.
AddressingStyle EffectiveStyle(const ClientConfig& config);

/// The value of the Host header: lower case, IPv6 in brackets, the port unless it is the scheme's
/// own (or 0).
std::string HostHeaderValue(std::string_view scheme, std::string_view host, uint16_t port);

/// A service host with the label that names `old_region` replaced by `new_region`; for the AWS
/// hosts without a region, with it added. Unchanged if nothing fits.
std::string HostForRegion(std::string_view host, std::string_view old_region,
                          std::string_view new_region);

/// True for what may be put into a scope or a host name as a region: 1 to 64 of [a-z0-9-].
bool IsRegionName(std::string_view region);

struct Address {
  std::string host;  // as for HttpRequest::host, with the bucket in front for virtual-host style
  std::string path;  // encoded, begins with '/'
};

/// `service_host` is config.host, perhaps moved to another region. `key` empty: the bucket itself.
Address ObjectAddress(const ClientConfig& config, std::string_view service_host,
                      std::string_view key);

/// The service, above all buckets.
Address ServiceAddress(const ClientConfig& config, std::string_view service_host);

}  // namespace quayfs::s3
