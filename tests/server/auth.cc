// SPDX-License-Identifier: Apache-2.0

#include "tests/server/auth.h"

#include <chrono>

#include "tests/server/auth_v2.h"
#include "tests/server/auth_v4.h"

namespace quayfs::testserver {

Outcome<Account> FindAccount(const AuthContext& context, const std::string& access_key_id,
                             const std::string& session_token) {
  const Account* known = nullptr;
  for (const Account& account : context.accounts) {
    if (account.access_key_id != access_key_id) continue;
    if (account.session_token == session_token) return account;
    known = &account;
  }
  if (known == nullptr || session_token.empty()) {
    return S3Error(403, "InvalidAccessKeyId", "no such access key, or it needs its session token")
        .With("AWSAccessKeyId", access_key_id);
  }
  return S3Error(400, "InvalidToken", "the session token does not belong to the access key");
}

Problem CheckSkew(const AuthContext& context, WallTime date, const std::string& as_sent) {
  constexpr auto kAllowed = std::chrono::minutes(15);
  const auto difference = context.now - date;
  if (difference <= kAllowed && difference >= -kAllowed) return std::nullopt;
  return S3Error(403, "RequestTimeTooSkewed", "the clocks differ by more than 15 minutes")
      .With("RequestTime", as_sent)
      .With("ServerTime", FormatIsoExtended(context.now).substr(0, 19) + "Z")
      .With("MaxAllowedSkewMilliseconds", "900000");
}

S3Error SignatureMismatch(const std::string& access_key_id, const std::string& string_to_sign,
                          const std::string& canonical_request) {
  S3Error error(403, "SignatureDoesNotMatch",
                "the signature is not the one that was computed here");
  error.details.emplace_back("AWSAccessKeyId", access_key_id);
  error.details.emplace_back("StringToSign", string_to_sign);
  if (!canonical_request.empty()) {
    error.details.emplace_back("CanonicalRequest", canonical_request);
  }
  return error;
}

Outcome<Identity> Authenticate(const AuthTarget& target, const AuthContext& context) {
  const HeaderList& headers = target.head.headers;
  if (headers.Count("authorization") > 1) {
    return S3Error(400, "InvalidArgument", "more than one Authorization header");
  }
  const bool v4_query = target.query.Has("X-Amz-Algorithm") || target.query.Has("X-Amz-Signature");
  const bool v2_query = target.query.Has("Signature") || target.query.Has("AWSAccessKeyId");
  if (const std::string* authorization = headers.Find("authorization")) {
    if (v4_query || v2_query) {
      return S3Error(400, "InvalidArgument",
                     "signed in a header and in the query at the same time");
    }
    if (authorization->starts_with("AWS4-HMAC-SHA256")) return VerifyV4Header(target, context);
    if (authorization->starts_with("AWS ")) return VerifyV2Header(target, context);
    return S3Error(400, "InvalidArgument", "unsupported Authorization type");
  }
  if (v4_query) return VerifyV4Query(target, context);
  if (v2_query) return VerifyV2Query(target, context);
  if (!context.allow_anonymous) return S3Error(403, "AccessDenied", "the request is not signed");
  Identity identity;
  identity.anonymous = true;
  return identity;
}

}  // namespace quayfs::testserver
