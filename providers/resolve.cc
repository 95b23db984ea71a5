// SPDX-License-Identifier: Apache-2.0

#include "providers/resolve.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <utility>

#include "base/hash.h"
#include "base/text.h"
#include "providers/endpoint.h"
#include "providers/qingstor/dialect.h"
#include "s3/client.h"

namespace quayfs {
namespace {

/// protocol.md 4.2: one below the largest 32-bit number.
constexpr int64_t kRetryNumberMax = 2147483646;
constexpr size_t kConnectionsMax = 4096;
constexpr std::string_view kQingStorEndpoint = "https://qingstor.com:443";
/// protocol.md 4.8; the pause between them is this client's choice.
constexpr int64_t kQingStorConnectionRetries = 3;
constexpr auto kQingStorRetryPause = std::chrono::milliseconds(1000);

template <typename... Args>
Error Bad(fmt::format_string<Args...> format, Args&&... args) {
  return {Code::kInvalidArgument, fmt::format(format, std::forward<Args>(args)...)};
}

/// One of `valid`, as written there, without regard to case.
Result<std::string> Choose(std::string_view field, std::string_view text,
                           const std::vector<std::string>& valid) {
  for (const std::string& candidate : valid) {
    if (EqualsIgnoreCase(candidate, text)) return candidate;
  }
  const std::string nearest = NearestName(ToLower(text), valid);
  return Bad("{}: '{}' is not valid{} (valid: {})", field, text,
             nearest.empty() ? "" : fmt::format("; did you mean '{}'?", nearest),
             fmt::join(valid, ", "));
}

class Resolver {
 public:
  explicit Resolver(const StoreConfig& config) : config_(config) {}

  Result<ResolvedStore> Run() {
    QUAY_ASSIGN(named_, FindProfile(config_.provider));
    resolved_.profile = named_;
    QUAY_TRY(Bucket());
    QUAY_TRY(Discovery());
    if (profile().protocol == Protocol::kQingStor) {
      client().dialect = &qingstor::Dialect();
      QUAY_TRY(Zone());
    } else {
      QUAY_TRY(Where());
    }
    QUAY_TRY(Style());
    QUAY_TRY(Credentials());
    QUAY_TRY(ObjectHeaders());
    QUAY_TRY(Encryption());
    QUAY_TRY(Retries());
    QUAY_TRY(Transport());
    CredentialRules rules = config_.credential_rules;
    if (rules.region.empty() && !profile().endpoint.empty()) rules.region = client().region;
    if (profile().id != "aws") rules.region.clear();  // STS is Amazon's
    client().credential_source = MakeCredentialSource(rules, client().http);
    QUAY_TRY(s3::CheckClientConfig(resolved_.client));
    resolved_.capabilities = ProfileCapabilities(profile());
    if (config_.client_multipart == false) {
      resolved_.capabilities.multipart = false;
      resolved_.capabilities.part_copy = false;
    }
    QUAY_TRY(Native(rules));
    return std::move(resolved_);
  }

 private:
  const Profile& profile() const { return *resolved_.profile; }
  s3::ClientConfig& client() { return resolved_.client; }

  Status Bucket();
  Status Where();
  Status WhereGiven();
  Status Zone();
  Status Style();
  Status Credentials();
  Status ObjectHeaders();
  Status Encryption();
  Status Retries();
  Status Transport();
  Status Tls();
  Status Discovery() const;
  Status Native(const CredentialRules& rules);

  const StoreConfig& config_;
  const Profile* named_ = nullptr;
  ResolvedStore resolved_;
};

Status Resolver::Bucket() {
  if (config_.bucket.empty()) return Bad("bucket: missing");
  const bool valid =
      config_.bucket.size() <= 255 && config_.bucket != "." && config_.bucket != ".." &&
      config_.bucket.find_first_not_of(
          "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._") == std::string::npos;
  if (!valid) {
    return Bad(
        "bucket: '{}' is not a bucket's name (letters, digits, '-', '.', '_'); folders in "
        "it are chosen with prefix",
        config_.bucket);
  }
  client().bucket = config_.bucket;
  return {};
}

/// Scheme, host, port and region.
Status Resolver::Where() {
  if (!config_.endpoint.empty()) return WhereGiven();
  if (profile().endpoint.empty()) {
    return Bad(
        "endpoint: missing; provider '{}' needs the URL of the service, such as "
        "https://s3.example.org:9000",
        config_.provider);
  }
  QUAY_ASSIGN(client().region, ResolveRegion(profile(), config_.region));
  client().scheme = "https";
  client().host = RegionHost(profile(), client().region);
  return {};
}

Status Resolver::WhereGiven() {
  QUAY_ASSIGN(Endpoint endpoint, ParseEndpoint(config_.endpoint));
  std::string region;
  std::optional<RecognisedHost> known = RecogniseHost(endpoint.host);
  const bool is_generic = named_->id == "s3";
  if (known && (is_generic || known->profile == named_)) {
    if (!known->bucket.empty() && !EqualsIgnoreCase(known->bucket, config_.bucket)) {
      return Bad("endpoint: '{}' names the bucket '{}', but bucket is '{}'", config_.endpoint,
                 known->bucket, config_.bucket);
    }
    resolved_.profile = known->profile;
    region = std::move(known->region);
    endpoint.host = std::move(known->host);
  }
  client().scheme = std::move(endpoint.scheme);
  client().host = std::move(endpoint.host);
  client().port = endpoint.port;
  client().base_path = std::move(endpoint.base_path);
  if (profile().https_only && client().scheme != "https") {
    return Bad("endpoint: '{}'; {} speaks https only", config_.endpoint, profile().id);
  }
  if (!config_.region.empty()) {
    QUAY_ASSIGN(client().region, ResolveRegion(profile(), config_.region));
  } else if (!region.empty()) {
    client().region = std::move(region);
  } else if (!profile().default_region.empty()) {
    client().region = std::string(profile().default_region);
  }
  return {};
}

/// QingStor (protocol.md 2.1): the endpoint is that of the service, and the zone goes before it for
/// buckets and objects. An address, a host that begins with the zone, and any host with the zone
/// "none" (a private installation without zones) are used as they are.
Status Resolver::Zone() {
  const std::string& given = config_.zone.empty() ? config_.region : config_.zone;
  const bool no_zone = EqualsIgnoreCase(given, "none");
  Result<std::string> zone_id = ResolveRegion(profile(), no_zone ? "" : given);
  if (!zone_id) {
    // What a region is elsewhere is called a zone here.
    std::string why = zone_id.error().message();
    if (!config_.zone.empty() && why.starts_with("region:")) why.replace(0, 6, "zone");
    return Error(Code::kInvalidArgument, std::move(why));
  }
  client().region = *std::move(zone_id);
  QUAY_ASSIGN(const Endpoint endpoint,
              ParseEndpoint(config_.endpoint.empty() ? kQingStorEndpoint : config_.endpoint));
  client().scheme = endpoint.scheme;
  client().port = endpoint.port;
  client().base_path = endpoint.base_path;
  client().host = endpoint.host;
  const std::string& zone = client().region;
  const bool has_zone = endpoint.host.starts_with(zone + ".");
  const bool is_public =
      endpoint.host == "qingstor.com" || endpoint.host.ends_with(".qingstor.com");
  if (no_zone && is_public) return Bad("zone: 'none' is for private installations");
  if (has_zone) {
    client().service_host = endpoint.host.substr(zone.size() + 1);
  } else if (is_public && endpoint.host != "qingstor.com") {
    return Bad("zone: '{}' is not the zone that the endpoint '{}' names; leave the endpoint out",
               zone, config_.endpoint);
  } else if (!endpoint.is_address() && !no_zone) {
    client().service_host = endpoint.host;
    client().host = zone + "." + endpoint.host;
  }
  client().follow_region = !client().service_host.empty();
  return {};
}

Status Resolver::Style() {
  using s3::AddressingStyle;
  const Endpoint endpoint{client().scheme, client().host, client().port, client().base_path};
  const bool label = IsHostLabel(config_.bucket);
  if (config_.path_style) {
    if (*config_.path_style && !profile().path_style_possible) {
      return Bad("Use_PathStyle: {} needs the bucket in the host name; leave it out", profile().id);
    }
    if (!*config_.path_style && (endpoint.is_address() || !IsHostLabel(ToLower(config_.bucket)))) {
      return Bad("Use_PathStyle: false is not possible with the endpoint {} and the bucket {}",
                 client().host, config_.bucket);
    }
    client().style = *config_.path_style ? AddressingStyle::kPath : AddressingStyle::kVirtualHost;
  } else if (endpoint.is_address() || client().port != 0 || !label) {
    client().style = AddressingStyle::kPath;
  } else {
    client().style = profile().style;
  }
  client().list_version = profile().list_version;
  client().list_url_encode = profile().list_url_encode;
  client().etag_is_md5 = profile().multipart_etag;
  if (profile().batch_delete_max > 0) client().delete_batch_max = profile().batch_delete_max;
  return {};
}

Status Resolver::Credentials() {
  const s3::Credentials& credentials = config_.credentials;
  const bool any = !credentials.access_key_id.empty() || !credentials.secret_access_key.empty() ||
                   !credentials.session_token.empty();
  if (config_.anonymous) {
    if (any) return Bad("anonymous: true, but credentials are given; remove one of the two");
    if (!profile().anonymous) return Bad("anonymous: {} refuses unsigned requests", profile().id);
  } else if (config_.credential_rules.from == CredentialRules::From::kNowhere) {
    if (credentials.access_key_id.empty()) {
      return Bad("access_key_id: missing{}",
                 profile().anonymous ? " (for a public bucket say anonymous = true)" : "");
    }
    if (credentials.secret_access_key.empty()) return Bad("secret_access_key: missing");
  }
  client().credentials = credentials;
  client().signature = config_.signature_version.value_or(s3::SignatureVersion::kV4);
  const bool v2 = client().signature == s3::SignatureVersion::kV2;
  if (config_.signature_version && client().dialect->has_own_signature()) {
    return Bad("SignatureVersion: {} has a signature of its own; leave it out", profile().id);
  }
  if (v2 && !profile().signature_v2) {
    return Bad("SignatureVersion: {} knows version 4 only", profile().id);
  }
  // Version 2 signs no payload at all: there is nothing to leave out.
  client().unsigned_payload = !v2 && config_.unsigned_payload.value_or(profile().unsigned_payload);
  // Without a signed hash that the service checks, Content-MD5 guards the body.
  client().content_md5 = v2 || client().unsigned_payload || profile().content_md5;
  return {};
}

Status Resolver::ObjectHeaders() {
  QUAY_ASSIGN(client().storage_class, ResolveStorageClass(profile(), config_.storage_class));
  static const std::vector<std::string> kAcls = {
      "private",       "public-read",       "public-read-write",         "authenticated-read",
      "aws-exec-read", "bucket-owner-read", "bucket-owner-full-control", "log-delivery-write",
      "default"};
  for (const auto& [field, text] :
       {std::pair<std::string_view, const std::string&>("acl", config_.acl),
        {"bucket_acl", config_.bucket_acl}}) {
    if (text.empty()) continue;
    if (!profile().acl) return Bad("{}: {} has no ACLs; remove it", field, profile().id);
    // "Public Read" is how people see it.
    std::string wire = text;
    std::replace(wire.begin(), wire.end(), ' ', '-');
    QUAY_ASSIGN(wire, Choose(field, wire, kAcls));
    (field == "acl" ? client().acl : resolved_.bucket_acl) = std::move(wire);
  }
  resolved_.create_bucket = config_.create_bucket;
  if (resolved_.bucket_acl.empty()) resolved_.bucket_acl = client().acl;
  if (config_.requester_pays && !profile().requester_pays) {
    return Bad("requester_pays: {} has no such thing; remove it", profile().id);
  }
  client().requester_pays = config_.requester_pays;
  client().extra_headers = config_.extra_headers;
  return {};
}

Status Resolver::Encryption() {
  const bool any =
      !config_.sse.empty() || !config_.sse_kms_key_id.empty() || !config_.sse_customer_key.empty();
  if (!any) return {};
  if (!profile().sse) return Bad("sse: {} has no encryption headers; remove it", profile().id);
  if (profile().sse_customer_key_only && config_.sse_customer_key.empty()) {
    return Bad("sse: {} encrypts with keys of your own only; use credentials.sse_customer_key",
               profile().id);
  }
  if (!config_.sse_customer_key.empty()) {
    if (!config_.sse.empty()) return Bad("sse_customer_key: can not be combined with sse");
    const bool decoded = Base64Decode(config_.sse_customer_key, &client().sse_customer_key);
    client().etag_is_md5 = false;
    if (!decoded || client().sse_customer_key.size() != 32) {
      return Bad(
          "sse_customer_key: must be base64 of 32 bytes; make one with: openssl rand "
          "-base64 32");
    }
    if (client().scheme != "https") {
      return Bad("sse_customer_key: is sent over https only, and the endpoint is {}://{}",
                 client().scheme, client().host);
    }
    return {};
  }
  if (config_.sse.empty()) return Bad("sse_kms_key_id: needs sse = \"aws:kms\"");
  QUAY_ASSIGN(client().sse, Choose("sse", config_.sse, {"AES256", "aws:kms"}));
  if (!config_.sse_kms_key_id.empty() && client().sse != "aws:kms") {
    return Bad("sse_kms_key_id: needs sse = \"aws:kms\"");
  }
  client().sse_kms_key_id = config_.sse_kms_key_id;
  // What is encrypted with such a key has an ETag that is no digest of it.
  if (client().sse == "aws:kms") client().etag_is_md5 = false;
  return {};
}

Status Resolver::Retries() {
  s3::RetryConfig& retry = client().retry;
  // An S3-compatible service without a vendor's name takes the mode of its connection document.
  const bool is_generic = named_->id == "s3";
  retry.mode =
      config_.retry_mode.value_or(is_generic ? s3::RetryMode::kLegacy : s3::RetryMode::kStandard);
  for (const auto& [field, value] : {std::pair<std::string_view, std::optional<int64_t>>(
                                         "RetryInterval", config_.retry_interval_ms),
                                     {"RetryCount", config_.retry_count}}) {
    if (value && (*value < 0 || *value > kRetryNumberMax)) {
      return Bad("{}: {} is not from 0 to {}", field, *value, kRetryNumberMax);
    }
  }
  if (profile().protocol == Protocol::kQingStor) {
    retry.interval = kQingStorRetryPause;
    retry.count = kQingStorConnectionRetries;
    retry.connection_layer_explicit = true;
  }
  if (config_.retry_interval_ms) {
    retry.interval = std::chrono::milliseconds(*config_.retry_interval_ms);
  }
  if (config_.retry_count) retry.count = *config_.retry_count;
  retry.connection_layer_explicit = retry.connection_layer_explicit ||
                                    config_.retry_interval_ms.has_value() ||
                                    config_.retry_count.has_value();
  return {};
}

/// Only looked at: who wants to know a region asks kodo::RegionOfBucket.
Status Resolver::Discovery() const {
  if (config_.discovery_endpoint.empty()) return {};
  if (profile().id != "kodo") {
    return Bad("discovery_endpoint: {} has no such service; remove it", profile().id);
  }
  QUAY_TRY(ParseEndpoint(config_.discovery_endpoint, "discovery_endpoint"));
  return {};
}

Status Resolver::Native(const CredentialRules& rules) {
  if (!config_.native) {
    if (config_.native_endpoint.empty() && config_.native_bucket.empty()) return {};
    return Bad("native: is needed for native_endpoint and native_bucket to mean anything");
  }
  if (profile().id != "kodo") return Bad("native: {} has no such API; remove it", profile().id);
  kodo::NativeConfig native;
  if (!config_.native_endpoint.empty()) {
    QUAY_ASSIGN(Endpoint endpoint, ParseEndpoint(config_.native_endpoint, "native_endpoint"));
    if (!endpoint.base_path.empty()) return Bad("native_endpoint: must have no path");
    native.scheme = std::move(endpoint.scheme);
    native.host = std::move(endpoint.host);
    native.port = endpoint.port;
  } else if (client().host == RegionHost(profile(), client().region)) {
    native.host = kodo::ResourceHost(client().region);
  } else {
    return Bad(
        "native_endpoint: missing; a private installation needs the URL of its resource manager");
  }
  if (!client().http.tls.thumbprint.empty() && native.host != client().host) {
    return Bad("native: Cert_thumbprint knows the certificate of one host only; use ca_file");
  }
  native.bucket = config_.native_bucket.empty() ? client().bucket : config_.native_bucket;
  native.scratch_prefix = config_.scratch_prefix;
  native.credentials = client().credentials;
  // Of its own: a source answers one client.
  native.credential_source = MakeCredentialSource(rules, client().http);
  native.retry = client().retry;
  resolved_.native = std::move(native);
  resolved_.capabilities.move = true;
  resolved_.capabilities.put_if_absent = true;
  return {};
}

Status Resolver::Tls() {
  const bool plain = client().scheme == "http";
  s3::TlsConfig& tls = client().http.tls;
  tls.insecure = config_.allow_insecure_tls;
  if (!config_.certificate_thumbprint.empty()) {
    const std::string digits = ToLower(config_.certificate_thumbprint);
    const bool is_hex = digits.find_first_not_of("0123456789abcdef") == std::string::npos;
    if (!is_hex || (digits.size() != 40 && digits.size() != 64)) {
      return Bad("Cert_thumbprint: must be 40 hex digits (SHA-1) or 64 (SHA-256)");
    }
    if (plain) return Bad("Cert_thumbprint: the endpoint is http://, which has no certificate");
    tls.thumbprint = digits;
  }
  if (config_.client_certificate.empty() != config_.client_key.empty()) {
    return Bad("client_certificate: a certificate and client_key are needed together");
  }
  tls.ca_file = config_.ca_file;
  tls.client_certificate = config_.client_certificate;
  tls.client_key = config_.client_key;
  return {};
}

Status Resolver::Transport() {
  QUAY_TRY(Tls());
  s3::HttpConfig& http = client().http;
  if (config_.max_connections == 0 || config_.max_connections > kConnectionsMax) {
    return Bad("max_connections: {} is not from 1 to {}", config_.max_connections, kConnectionsMax);
  }
  http.max_connections_per_host = config_.max_connections;
  http.max_idle_connections = std::min(http.max_idle_connections, config_.max_connections);
  http.connect_timeout = config_.connect_timeout.value_or(http.connect_timeout);
  http.low_speed_time = config_.stall_timeout.value_or(http.low_speed_time);
  http.ipv6 = config_.ipv6;
  http.proxy = config_.proxy;
  http.upload_bytes_per_second = config_.upload_limit;
  http.download_bytes_per_second = config_.download_limit;
  return {};
}

}  // namespace

Result<ResolvedStore> ResolveStore(const StoreConfig& config) { return Resolver(config).Run(); }

}  // namespace quayfs
