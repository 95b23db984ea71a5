// SPDX-License-Identifier: Apache-2.0
//
// AWS Signature Version 4 for S3 (protocol.md 3.1). Pure functions.

#pragma once

#include <string>
#include <vector>

#include "tests/server/auth.h"

namespace quayfs::testserver {

/// The path is decoded and encoded again once; the query loses its signature, if it carries one.
std::string V4CanonicalRequest(const RequestHead& head, const Query& query,
                               const std::vector<std::string>& signed_headers,
                               const std::string& payload_hash);
std::string V4StringToSign(const std::string& timestamp, const std::string& scope,
                           const std::string& canonical_request);
/// The raw signing key. `date` is YYYYMMDD.
std::string V4SigningKey(const std::string& secret, const std::string& date,
                         const std::string& region, const std::string& service = "s3");
std::string V4Sign(const std::string& signing_key, const std::string& string_to_sign);  // hex

/// The signature of one chunk of an aws-chunked body, and of its trailers.
std::string V4ChunkSignature(const ChunkAuth& auth, const std::string& previous,
                             const std::string& chunk_sha256_hex);
std::string V4TrailerSignature(const ChunkAuth& auth, const std::string& previous,
                               const std::string& trailer_sha256_hex);

Outcome<Identity> VerifyV4Header(const AuthTarget& target, const AuthContext& context);
Outcome<Identity> VerifyV4Query(const AuthTarget& target, const AuthContext& context);

}  // namespace quayfs::testserver
