// SPDX-License-Identifier: Apache-2.0
//
// Who sent a request, by its signature: SigV4 or SigV2, in headers or in the query
// (protocol.md 3.1, 3.4). Written against the protocol and the known answers only; shares no code
// with quayfs's signer, so that each checks the other. Pure functions over their arguments.

#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "tests/server/http_message.h"
#include "tests/server/server.h"

namespace quayfs::testserver {

struct AuthContext {
  const std::vector<Account>& accounts;
  std::string region;
  bool allow_anonymous = false;
  WallTime now;                // by the server's clock
  std::string service = "s3";  // that a V4 scope must name
  bool tells_region = true;    // of a scope that names another one; else IncorrectRegion
};

/// How the body is covered by the signature.
enum class PayloadKind {
  kUnsigned,        // not at all
  kSha256,          // its digest is signed
  kChunksSigned,    // aws-chunked, each chunk signed
  kChunksTrailer,   // the same, and signed trailers
  kChunksUnsigned,  // aws-chunked with trailers, no signatures
};

/// What is needed to check the signatures of chunks.
struct ChunkAuth {
  std::string key;  // signing key, raw
  std::string timestamp;
  std::string scope;
  std::string seed;  // the request's signature
};

struct Identity {
  bool anonymous = false;
  std::string access_key_id;
  PayloadKind payload = PayloadKind::kUnsigned;
  std::string payload_sha256;  // hex, of kSha256
  ChunkAuth chunks;            // of kChunksSigned and kChunksTrailer
};

/// What a signature covers of the place that is asked for.
struct AuthTarget {
  const RequestHead& head;
  const Query& query;
  std::string host_bucket;  // the bucket if it is in the Host, else ""
};

Outcome<Identity> Authenticate(const AuthTarget& target, const AuthContext& context);

// Shared by the two versions.

/// The account; fails with InvalidAccessKeyId, or InvalidToken if its session token is another one.
Outcome<Account> FindAccount(const AuthContext& context, const std::string& access_key_id,
                             const std::string& session_token);
/// Fails with RequestTimeTooSkewed if `date` is more than 15 minutes off.
Problem CheckSkew(const AuthContext& context, WallTime date, const std::string& as_sent);
S3Error SignatureMismatch(const std::string& access_key_id, const std::string& string_to_sign,
                          const std::string& canonical_request);

}  // namespace quayfs::testserver
