// SPDX-License-Identifier: Apache-2.0
//
// AWS Signature Version 4 for S3: header form, query form (presigned URLs) and the chunk signatures
// of aws-chunked bodies. quayfs does not send aws-chunked bodies; that chain is here for the tests
// that pin the whole algorithm down. Protocol facts and known answers: protocol.md 3.1 and 7.1.
//
// The path of a request is signed exactly as it is sent: encoded once, nothing normalised. The
// service that a scope names is "s3" unless said otherwise ("sts" for AssumeRole).

#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "s3/config.h"
#include "s3/http.h"

namespace quayfs::s3 {

inline constexpr std::string_view kUnsignedPayload = "UNSIGNED-PAYLOAD";
inline constexpr std::string_view kEmptyPayloadHash =
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

inline constexpr std::string_view kS3Service = "s3";

/// Lower-case names of those headers that this client signs: host, content-md5, content-type,
/// range, and all x-amz-*. Others may be rewritten on the way and are left out. Sorted, each once.
std::vector<std::string> HeadersToSign(const HttpHeaders& headers);

/// Every pair encoded, "=" always there, sorted by name, then value.
std::string CanonicalQuery(std::string_view query);

/// The canonical request. `signed_headers` are lower-case, sorted, and present in the request.
std::string CanonicalRequestV4(const HttpRequest& request,
                               const std::vector<std::string>& signed_headers,
                               std::string_view payload_hash);

/// "20130524/us-east-1/s3/aws4_request".
std::string ScopeV4(WallTime time, std::string_view region, std::string_view service = kS3Service);

/// `canonical_request` is hashed in here.
std::string StringToSignV4(WallTime time, std::string_view region,
                           std::string_view canonical_request,
                           std::string_view service = kS3Service);

/// The raw key for one day and region.
std::string SigningKeyV4(std::string_view secret, WallTime time, std::string_view region,
                         std::string_view service = kS3Service);

/// Hex.
std::string SignatureV4(std::string_view signing_key, std::string_view string_to_sign);

/// Signs with one pair of keys. Thread-safe; keeps the signing key of the last day and region.
class SignerV4 {
 public:
  explicit SignerV4(Credentials credentials, std::string service = std::string(kS3Service))
      : credentials_(std::move(credentials)), service_(std::move(service)) {}

  /// Sets x-amz-date, x-amz-content-sha256, the session token if there is one, and Authorization.
  /// REQUIRES: Host is set. `also` names further headers to sign.
  void Sign(HttpRequest* request, std::string_view region, WallTime time,
            std::string_view payload_hash, const std::vector<std::string>& also = {}) const;

  /// Adds the query parameters of a presigned URL; only Host is signed. REQUIRES: Host is set, 1 s
  /// <= lifetime <= 7 days.
  void Presign(HttpRequest* request, std::string_view region, WallTime time,
               std::chrono::seconds lifetime) const;

  std::string SigningKey(WallTime time, std::string_view region) const;

 private:
  const Credentials credentials_;
  const std::string service_;
  mutable Mutex mutex_{LockRank::kLeaf};
  mutable std::string cached_for_ QUAY_GUARDED_BY(mutex_);  // scope
  mutable std::string cached_key_ QUAY_GUARDED_BY(mutex_);
};

/// The chain of signatures of an aws-chunked body: each covers its predecessor, beginning with the
/// header's (the seed).
class ChunkChainV4 {
 public:
  ChunkChainV4(std::string signing_key, WallTime time, std::string_view region, std::string seed);
  /// The signature of the next chunk; the last chunk is empty.
  std::string NextChunk(std::string_view data);
  /// After the last chunk: `trailer` is "name:value\n" per trailing header.
  std::string Trailer(std::string_view trailer);

 private:
  std::string Advance(std::string_view string_to_sign);

  const std::string key_;
  const std::string date_and_scope_;  // two lines
  std::string previous_;
};

}  // namespace quayfs::s3
