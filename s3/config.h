// SPDX-License-Identifier: Apache-2.0
//
// Everything the S3 client needs to know about one bucket at one endpoint. Plain data; defaults are
// those of protocol.md 4.

#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "s3/http.h"

namespace quayfs::s3 {

class CredentialSource;  // s3/credential_keeper.h
class Dialect;
/// s3/dialect.h
const Dialect& S3Dialect();

/// Held in memory only. An empty access key means anonymous: requests are not signed.
struct Credentials {
  std::string access_key_id;
  std::string secret_access_key;
  std::string session_token;
  bool anonymous() const { return access_key_id.empty(); }
};

enum class SignatureVersion { kV4, kV2 };
enum class AddressingStyle { kPath, kVirtualHost };
enum class RetryMode { kLegacy, kStandard, kAdaptive };

/// protocol.md 3.12 and 4.3. Two layers: `interval`/`count` govern failures without an HTTP status,
/// the mode governs replies; with Standard or Adaptive the mode governs both unless the interval or
/// count was set by the user.
struct RetryConfig {
  RetryMode mode = RetryMode::kStandard;
  std::chrono::milliseconds interval{30000};
  int64_t count = 6;
  bool connection_layer_explicit = false;
};

enum class ListVersion { kV1, kV2 };

struct ClientConfig {
  const Dialect* dialect = &S3Dialect();
  std::string scheme = "https";
  std::string host;  // of the service, without the bucket
  /// Where buckets are listed and looked for without regard to regions; "" for `host`.
  std::string service_host;
  uint16_t port = 0;      // 0: the scheme's own
  std::string base_path;  // "" or "/something", for gateways below a path
  std::string bucket;
  std::string region = "us-east-1";
  Credentials credentials;
  /// In place of `credentials` if set: they come to an end and are renewed.
  std::shared_ptr<CredentialSource> credential_source;
  /// Requests are not signed.
  bool anonymous() const { return credentials.anonymous() && credential_source == nullptr; }
  SignatureVersion signature = SignatureVersion::kV4;
  AddressingStyle style = AddressingStyle::kPath;
  ListVersion list_version = ListVersion::kV2;
  bool list_url_encode = true;
  bool unsigned_payload = false;  // honoured over https only, unless forced
  bool force_unsigned_payload = false;
  bool content_md5 = false;   // on Put and UploadPart, besides what S3 requires
  bool follow_region = true;  // learn the bucket's region from replies
  /// ETags of single Puts and parts are the MD5 of their bytes, and a multipart ETag follows from
  /// those of its parts (unless the encryption says otherwise). Then uploads are verified by it.
  bool etag_is_md5 = false;
  int delete_batch_max = 1000;  // keys in one multi-object delete
  RetryConfig retry;
  HttpConfig http;
  /// In place of HttpConfig::low_speed_time, if that is shorter, for copies, part copies and
  /// completions: the service works on gigabytes there, and not all of them send blanks meanwhile
  /// (protocol.md 3.7). Less where the caller says how much work it is (CallOptions::work_bytes):
  /// low_speed_time, and a second for each MiB.
  Duration work_patience = std::chrono::minutes(10);

  // Sent with every object that is written, "" for not at all.
  std::string storage_class;
  std::string acl;
  std::string sse;  // AES256 or aws:kms
  std::string sse_kms_key_id;
  std::string sse_customer_key;  // 32 raw bytes: SSE-C
  bool requester_pays = false;
  std::vector<HttpHeader> extra_headers;
};

}  // namespace quayfs::s3
