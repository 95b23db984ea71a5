// SPDX-License-Identifier: Apache-2.0

#include "tests/server/auth_v4.h"

#include <algorithm>
#include <chrono>

#include "base/hash.h"
#include "base/text.h"

namespace quayfs::testserver {
namespace {

constexpr char kAlgorithm[] = "AWS4-HMAC-SHA256";
constexpr char kEmptySha256[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
constexpr uint64_t kLongestExpiry = 604800;

/// The claims of a signature, from either place.
struct Claims {
  std::string access_key_id;
  std::string date;  // of the scope
  std::string region;
  std::string scope;  // without the access key
  std::vector<std::string> signed_headers;
  std::string signature;
  std::string timestamp;
};

std::string NormalValue(std::string_view value) {
  std::string normal;
  bool blank = false;
  for (const char c : TrimBlanks(value)) {
    if (c == ' ' && blank) continue;
    blank = c == ' ';
    normal += c;
  }
  return normal;
}

std::string CanonicalHeader(const RequestHead& head, const std::string& name) {
  std::string line = name + ":";
  bool first = true;
  for (const auto& [field, value] : head.headers.fields()) {
    if (field != name) continue;
    if (!first) line += ",";
    line += NormalValue(value);
    first = false;
  }
  return line + "\n";
}

std::string CanonicalQuery(const Query& query) {
  std::vector<std::pair<std::string, std::string>> pairs;
  for (const auto& [name, value] : query.pairs()) {
    if (name == "X-Amz-Signature") continue;
    pairs.emplace_back(PercentEncode(name, false), PercentEncode(value, false));
  }
  std::sort(pairs.begin(), pairs.end());
  std::string text;
  for (const auto& [name, value] : pairs) {
    if (!text.empty()) text += "&";
    text.append(name).append("=").append(value);
  }
  return text;
}

bool IsHexDigest(const std::string& text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

S3Error Malformed(bool in_query, std::string message) {
  return {400, in_query ? "AuthorizationQueryParametersError" : "AuthorizationHeaderMalformed",
          std::move(message)};
}

Problem ParseScope(const std::string& credential, const AuthContext& context, bool in_query,
                   Claims* claims) {
  // The access key may contain slashes, the scope has exactly four elements.
  std::vector<std::string_view> pieces = Split(credential, '/');
  if (pieces.size() < 5) return Malformed(in_query, "the credential has no complete scope");
  const size_t first = pieces.size() - 4;
  claims->date = pieces[first];
  claims->region = pieces[first + 1];
  const std::string_view service = pieces[first + 2];
  const std::string_view end = pieces[first + 3];
  claims->access_key_id =
      credential.substr(0, credential.size() - claims->date.size() - claims->region.size() -
                               service.size() - end.size() - 4);
  claims->scope = credential.substr(claims->access_key_id.size() + 1);
  if (service != context.service) {
    return Malformed(in_query, "the scope's service must be " + context.service);
  }
  if (end != "aws4_request") return Malformed(in_query, "the scope must end in aws4_request");
  if (claims->region != context.region && !context.tells_region) {
    return S3Error(400, "IncorrectRegion", "the request is for another region");
  }
  if (claims->region != context.region) {
    return Malformed(in_query, "the region '" + claims->region + "' is wrong; expecting '" +
                                   context.region + "'")
        .With("Region", context.region)
        .WithHeader("x-amz-bucket-region", context.region);
  }
  return std::nullopt;
}

Problem ParseSignedHeaders(std::string_view list, bool in_query, Claims* claims) {
  for (const std::string_view name : Split(list, ';')) {
    if (name.empty() || ToLower(name) != name) {
      return Malformed(in_query, "signed headers must be in lower case");
    }
    claims->signed_headers.emplace_back(name);
  }
  const auto& names = claims->signed_headers;
  const bool sorted = std::is_sorted(names.begin(), names.end()) &&
                      std::adjacent_find(names.begin(), names.end()) == names.end();
  if (!sorted) return Malformed(in_query, "signed headers must be sorted, each once");
  return std::nullopt;
}

Outcome<Claims> ParseAuthorization(const std::string& value, const AuthContext& context) {
  Claims claims;
  bool has_credential = false;
  bool has_headers = false;
  std::string_view rest = std::string_view(value).substr(sizeof(kAlgorithm) - 1);
  if (rest.empty() || rest.front() != ' ')
    return Malformed(false, "malformed Authorization header");
  for (std::string_view field : Split(rest, ',')) {
    field = TrimBlanks(field);
    const size_t equals = field.find('=');
    if (equals == std::string_view::npos) return Malformed(false, "a field without a value");
    const std::string_view name = field.substr(0, equals);
    const std::string content(field.substr(equals + 1));
    if (name == "Credential") {
      has_credential = true;
      if (Problem problem = ParseScope(content, context, false, &claims)) return *problem;
    } else if (name == "SignedHeaders") {
      has_headers = true;
      if (Problem problem = ParseSignedHeaders(content, false, &claims)) return *problem;
    } else if (name == "Signature") {
      claims.signature = content;
    } else {
      return Malformed(false, "unknown field in the Authorization header");
    }
  }
  if (!has_credential || !has_headers || claims.signature.empty()) {
    return Malformed(false, "Credential, SignedHeaders and Signature are all needed");
  }
  return claims;
}

/// host and every x-amz-* header that was sent must be covered.
Problem CheckCoverage(const RequestHead& head, const std::vector<std::string>& signed_headers) {
  const auto covered = [&](const std::string& name) {
    return std::binary_search(signed_headers.begin(), signed_headers.end(), name);
  };
  std::string missing;
  if (!covered("host")) missing = "host";
  for (const auto& [name, value] : head.headers.fields()) {
    if (!name.starts_with("x-amz-") || covered(name)) continue;
    if (!missing.empty()) missing += ", ";
    missing += name;
  }
  if (missing.empty()) return std::nullopt;
  return S3Error(403, "AccessDenied", "there were headers that must be signed and are not")
      .With("HeadersNotSigned", missing);
}

Outcome<Identity> ParsePayload(const std::string& hash) {
  Identity identity;
  if (hash == "UNSIGNED-PAYLOAD") {
    identity.payload = PayloadKind::kUnsigned;
  } else if (hash == "STREAMING-AWS4-HMAC-SHA256-PAYLOAD") {
    identity.payload = PayloadKind::kChunksSigned;
  } else if (hash == "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER") {
    identity.payload = PayloadKind::kChunksTrailer;
  } else if (hash == "STREAMING-UNSIGNED-PAYLOAD-TRAILER") {
    identity.payload = PayloadKind::kChunksUnsigned;
  } else if (IsHexDigest(hash)) {
    identity.payload = PayloadKind::kSha256;
    identity.payload_sha256 = hash;
  } else {
    return S3Error(400, "InvalidArgument", "x-amz-content-sha256 must be a digest or a known word")
        .With("ArgumentName", "x-amz-content-sha256")
        .With("ArgumentValue", hash);
  }
  return identity;
}

Outcome<Identity> CheckSignature(const AuthTarget& target, const Account& account,
                                 const Claims& claims, const std::string& payload_hash,
                                 const std::string& service) {
  const std::string canonical =
      V4CanonicalRequest(target.head, target.query, claims.signed_headers, payload_hash);
  const std::string to_sign = V4StringToSign(claims.timestamp, claims.scope, canonical);
  const std::string key =
      V4SigningKey(account.secret_access_key, claims.date, claims.region, service);
  if (!ConstantTimeEqual(V4Sign(key, to_sign), claims.signature)) {
    return SignatureMismatch(claims.access_key_id, to_sign, canonical);
  }
  Outcome<Identity> identity = ParsePayload(payload_hash);
  if (!identity) return identity;
  identity->access_key_id = claims.access_key_id;
  identity->chunks = {key, claims.timestamp, claims.scope, claims.signature};
  return identity;
}

Problem CheckExpiry(const AuthContext& context, const Query& query, WallTime date) {
  const Result<uint64_t> expires = ParseUint(query.Get("X-Amz-Expires"));
  if (!expires || *expires < 1 || *expires > kLongestExpiry) {
    return Malformed(true, "X-Amz-Expires must be 1 to 604800");
  }
  if (date > context.now + std::chrono::minutes(15)) {
    return S3Error(403, "AccessDenied", "the request is not yet valid")
        .With("ServerTime", FormatIsoExtended(context.now));
  }
  if (context.now > date + std::chrono::seconds(*expires)) {
    return S3Error(403, "AccessDenied", "the request has expired")
        .With("ServerTime", FormatIsoExtended(context.now));
  }
  return std::nullopt;
}

}  // namespace

std::string V4CanonicalRequest(const RequestHead& head, const Query& query,
                               const std::vector<std::string>& signed_headers,
                               const std::string& payload_hash) {
  std::string text = head.method + "\n";
  text += PercentEncode(PercentDecode(head.raw_path, false), true) + "\n";
  text += CanonicalQuery(query) + "\n";
  std::string names;
  for (const std::string& name : signed_headers) {
    text += CanonicalHeader(head, name);
    if (!names.empty()) names += ";";
    names += name;
  }
  return text + "\n" + names + "\n" + payload_hash;
}

std::string V4StringToSign(const std::string& timestamp, const std::string& scope,
                           const std::string& canonical_request) {
  return std::string(kAlgorithm) + "\n" + timestamp + "\n" + scope + "\n" +
         HexEncode(Sha256(canonical_request));
}

std::string V4SigningKey(const std::string& secret, const std::string& date,
                         const std::string& region, const std::string& service) {
  const std::string date_key = HmacSha256("AWS4" + secret, date);
  const std::string region_key = HmacSha256(date_key, region);
  return HmacSha256(HmacSha256(region_key, service), "aws4_request");
}

std::string V4Sign(const std::string& signing_key, const std::string& string_to_sign) {
  return HexEncode(HmacSha256(signing_key, string_to_sign));
}

std::string V4ChunkSignature(const ChunkAuth& auth, const std::string& previous,
                             const std::string& chunk_sha256_hex) {
  return V4Sign(auth.key, "AWS4-HMAC-SHA256-PAYLOAD\n" + auth.timestamp + "\n" + auth.scope + "\n" +
                              previous + "\n" + kEmptySha256 + "\n" + chunk_sha256_hex);
}

std::string V4TrailerSignature(const ChunkAuth& auth, const std::string& previous,
                               const std::string& trailer_sha256_hex) {
  return V4Sign(auth.key, "AWS4-HMAC-SHA256-TRAILER\n" + auth.timestamp + "\n" + auth.scope + "\n" +
                              previous + "\n" + trailer_sha256_hex);
}

Outcome<Identity> VerifyV4Header(const AuthTarget& target, const AuthContext& context) {
  const HeaderList& headers = target.head.headers;
  const Outcome<Claims> parsed = ParseAuthorization(headers.Get("authorization"), context);
  if (!parsed) return parsed.error();
  Claims claims = *parsed;
  const std::string* date = headers.Find("x-amz-date");
  if (date == nullptr) return S3Error(403, "AccessDenied", "x-amz-date is missing");
  const Result<WallTime> time = ParseIso(*date);
  if (!time || date->size() != 16) return S3Error(403, "AccessDenied", "x-amz-date is malformed");
  claims.timestamp = *date;
  if (claims.date != date->substr(0, 8)) {
    return Malformed(false, "the scope's date is not the date of x-amz-date");
  }
  const std::string* payload_hash = headers.Find("x-amz-content-sha256");
  if (payload_hash == nullptr) {
    return S3Error(400, "InvalidRequest", "x-amz-content-sha256 is missing");
  }
  const Outcome<Account> account =
      FindAccount(context, claims.access_key_id, headers.Get("x-amz-security-token"));
  if (!account) return account.error();
  if (Problem problem = CheckSkew(context, *time, *date)) return *problem;
  if (Problem problem = CheckCoverage(target.head, claims.signed_headers)) return *problem;
  return CheckSignature(target, *account, claims, *payload_hash, context.service);
}

Outcome<Identity> VerifyV4Query(const AuthTarget& target, const AuthContext& context) {
  const Query& query = target.query;
  for (const char* name : {"X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires",
                           "X-Amz-SignedHeaders", "X-Amz-Signature"}) {
    if (!query.Has(name)) return Malformed(true, std::string(name) + " is missing");
  }
  if (query.Get("X-Amz-Algorithm") != kAlgorithm) return Malformed(true, "unknown algorithm");
  Claims claims;
  if (Problem problem = ParseScope(query.Get("X-Amz-Credential"), context, true, &claims)) {
    return *problem;
  }
  if (Problem problem = ParseSignedHeaders(query.Get("X-Amz-SignedHeaders"), true, &claims)) {
    return *problem;
  }
  claims.signature = query.Get("X-Amz-Signature");
  claims.timestamp = query.Get("X-Amz-Date");
  const Result<WallTime> time = ParseIso(claims.timestamp);
  if (!time || claims.timestamp.size() != 16 || claims.timestamp.substr(0, 8) != claims.date) {
    return Malformed(true, "X-Amz-Date is malformed or not the date of the scope");
  }
  const Outcome<Account> account =
      FindAccount(context, claims.access_key_id, query.Get("X-Amz-Security-Token"));
  if (!account) return account.error();
  if (Problem problem = CheckExpiry(context, query, *time)) return *problem;
  if (Problem problem = CheckCoverage(target.head, claims.signed_headers)) return *problem;
  const std::string* payload_hash = target.head.headers.Find("x-amz-content-sha256");
  return CheckSignature(target, *account, claims,
                        payload_hash == nullptr ? "UNSIGNED-PAYLOAD" : *payload_hash,
                        context.service);
}

}  // namespace quayfs::testserver
