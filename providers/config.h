// SPDX-License-Identifier: Apache-2.0
//
// How to open an object store: plain data, filled in by the program from a mount config. See
// providers/open.h.

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "providers/credentials/sources.h"
#include "s3/config.h"

namespace quayfs {

/// Every field is what the user said; empty or absent means "the profile decides". protocol.md 4
/// and 5 have the meanings.
struct StoreConfig {
  std::string provider = "s3";  // a name of providers/profiles.h, or "local"
  std::string bucket;           // for "local": a directory
  std::string region;           // id or human name
  std::string zone;             // qingstor
  std::string endpoint;         // http://... or https://..., [host][:port][/base]
  std::string storage_class;    // human or wire name
  std::string acl;
  std::string bucket_acl;
  std::string sse;
  std::string sse_kms_key_id;
  std::string sse_customer_key;  // base64 of 32 bytes
  bool requester_pays = false;
  s3::Credentials credentials;
  CredentialRules credential_rules;  // in place of `credentials`, or to renew them
  bool anonymous = false;            // sign nothing although no key is given
  // Kodo's native API beside S3: moves, and creation that never replaces (protocol.md 1.6).
  bool native = false;
  std::string native_endpoint;     // of the resource manager; "" for that of the region
  std::string native_bucket;       // if the bucket has another name there
  std::string discovery_endpoint;  // of the service that knows the regions of buckets; see kodo/
  std::string scratch_prefix;      // below it objects may lie for a moment; "" or ends with '/'
  bool create_bucket = false;      // if it is not there: with bucket_acl (else acl), in region

  // Extended parameters (protocol.md 4.2 to 4.6).
  std::optional<s3::SignatureVersion> signature_version;
  std::optional<bool> path_style;
  std::optional<s3::RetryMode> retry_mode;
  std::optional<int64_t> retry_interval_ms;
  std::optional<int64_t> retry_count;
  bool allow_insecure_tls = false;
  std::string certificate_thumbprint;  // normalised hex
  std::optional<bool> client_multipart;
  std::optional<bool> unsigned_payload;

  std::string ca_file;
  std::string client_certificate;
  std::string client_key;
  std::string proxy;
  bool ipv6 = true;
  uint64_t upload_limit = 0;  // bytes per second
  uint64_t download_limit = 0;
  size_t max_connections = 128;
  std::optional<Duration> connect_timeout;  // HttpConfig::connect_timeout
  std::optional<Duration> stall_timeout;    // HttpConfig::low_speed_time
  std::vector<s3::HttpHeader> extra_headers;
};

}  // namespace quayfs
