// SPDX-License-Identifier: Apache-2.0

#include "s3/sign_v4.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/hash.h"
#include "base/text.h"
#include "s3/uri.h"

namespace quayfs::s3 {
namespace {

constexpr std::string_view kAlgorithm = "AWS4-HMAC-SHA256";

// Blanks at the ends are cut and inner runs become one.
std::string FoldBlanks(std::string_view value) {
  std::string folded;
  for (const char c : TrimBlanks(value)) {
    const bool blank = c == ' ' || c == '\t';
    if (blank && !folded.empty() && folded.back() == ' ') continue;
    folded += blank ? ' ' : c;
  }
  return folded;
}

std::string JoinNames(const std::vector<std::string>& names) {
  std::string joined;
  for (const std::string& name : names) {
    if (!joined.empty()) joined += ';';
    joined += name;
  }
  return joined;
}

std::string CanonicalHeader(const HttpHeaders& headers, const std::string& name) {
  std::string line = name + ":";
  bool first = true;
  for (const HttpHeader& header : headers.all()) {
    if (!EqualsIgnoreCase(header.name, name)) continue;
    if (!first) line += ',';
    first = false;
    line += FoldBlanks(header.value);
  }
  return line + "\n";
}

std::string Day(WallTime time) { return FormatIsoBasic(time).substr(0, 8); }

}  // namespace

std::vector<std::string> HeadersToSign(const HttpHeaders& headers) {
  std::vector<std::string> names;
  for (const HttpHeader& header : headers.all()) {
    std::string name = ToLower(header.name);
    if (name == "host" || name == "content-md5" || name == "content-type" || name == "range" ||
        name.starts_with("x-amz-")) {
      names.push_back(std::move(name));
    }
  }
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

std::string CanonicalQuery(std::string_view query) {
  std::vector<QueryParameter> parameters = DecodeQuery(query);
  for (QueryParameter& parameter : parameters) {
    if (!parameter.value) parameter.value = "";
  }
  return EncodeQuery(parameters);
}

std::string CanonicalRequestV4(const HttpRequest& request,
                               const std::vector<std::string>& signed_headers,
                               std::string_view payload_hash) {
  std::string canonical =
      request.method + "\n" + request.path + "\n" + CanonicalQuery(request.query) + "\n";
  for (const std::string& name : signed_headers)
    canonical += CanonicalHeader(request.headers, name);
  canonical += "\n" + JoinNames(signed_headers) + "\n";
  canonical += payload_hash;
  return canonical;
}

std::string ScopeV4(WallTime time, std::string_view region, std::string_view service) {
  std::string scope = Day(time) + "/";
  scope += region;
  scope += '/';
  scope += service;
  scope += "/aws4_request";
  return scope;
}

std::string StringToSignV4(WallTime time, std::string_view region,
                           std::string_view canonical_request, std::string_view service) {
  std::string text(kAlgorithm);
  text += "\n" + FormatIsoBasic(time) + "\n" + ScopeV4(time, region, service) + "\n";
  text += HexEncode(Sha256(canonical_request));
  return text;
}

std::string SigningKeyV4(std::string_view secret, WallTime time, std::string_view region,
                         std::string_view service) {
  std::string key = HmacSha256("AWS4" + std::string(secret), Day(time));
  key = HmacSha256(key, region);
  key = HmacSha256(key, service);
  return HmacSha256(key, "aws4_request");
}

std::string SignatureV4(std::string_view signing_key, std::string_view string_to_sign) {
  return HexEncode(HmacSha256(signing_key, string_to_sign));
}

std::string SignerV4::SigningKey(WallTime time, std::string_view region) const {
  const std::string scope = ScopeV4(time, region, service_);
  {
    MutexLock lock(mutex_);
    if (cached_for_ == scope) return cached_key_;
  }
  std::string key = SigningKeyV4(credentials_.secret_access_key, time, region, service_);
  MutexLock lock(mutex_);
  cached_for_ = scope;
  cached_key_ = key;
  return key;
}

void SignerV4::Sign(HttpRequest* request, std::string_view region, WallTime time,
                    std::string_view payload_hash, const std::vector<std::string>& also) const {
  QUAY_CHECK(request->headers.Has("host"));
  request->headers.Set("x-amz-date", FormatIsoBasic(time));
  request->headers.Set("x-amz-content-sha256", payload_hash);
  if (!credentials_.session_token.empty()) {
    request->headers.Set("x-amz-security-token", credentials_.session_token);
  }
  std::vector<std::string> names = HeadersToSign(request->headers);
  names.insert(names.end(), also.begin(), also.end());
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());

  const std::string to_sign =
      StringToSignV4(time, region, CanonicalRequestV4(*request, names, payload_hash), service_);
  std::string value(kAlgorithm);
  value += " Credential=" + credentials_.access_key_id + "/" + ScopeV4(time, region, service_);
  value += ",SignedHeaders=" + JoinNames(names);
  value += ",Signature=" + SignatureV4(SigningKey(time, region), to_sign);
  request->headers.Set("Authorization", value);
}

void SignerV4::Presign(HttpRequest* request, std::string_view region, WallTime time,
                       std::chrono::seconds lifetime) const {
  QUAY_CHECK(request->headers.Has("host"));
  QUAY_CHECK(lifetime >= std::chrono::seconds(1) && lifetime <= std::chrono::hours(24 * 7));
  std::vector<QueryParameter> query = DecodeQuery(request->query);
  query.push_back({"X-Amz-Algorithm", std::string(kAlgorithm)});
  query.push_back(
      {"X-Amz-Credential", credentials_.access_key_id + "/" + ScopeV4(time, region, service_)});
  query.push_back({"X-Amz-Date", FormatIsoBasic(time)});
  query.push_back({"X-Amz-Expires", std::to_string(lifetime.count())});
  query.push_back({"X-Amz-SignedHeaders", "host"});
  if (!credentials_.session_token.empty()) {
    query.push_back({"X-Amz-Security-Token", credentials_.session_token});
  }
  request->query = EncodeQuery(query);
  const std::string canonical = CanonicalRequestV4(*request, {"host"}, kUnsignedPayload);
  request->query +=
      "&X-Amz-Signature=" +
      SignatureV4(SigningKey(time, region), StringToSignV4(time, region, canonical, service_));
}

ChunkChainV4::ChunkChainV4(std::string signing_key, WallTime time, std::string_view region,
                           std::string seed)
    : key_(std::move(signing_key)),
      date_and_scope_(FormatIsoBasic(time) + "\n" + ScopeV4(time, region) + "\n"),
      previous_(std::move(seed)) {}

std::string ChunkChainV4::Advance(std::string_view string_to_sign) {
  previous_ = SignatureV4(key_, string_to_sign);
  return previous_;
}

std::string ChunkChainV4::NextChunk(std::string_view data) {
  std::string text = "AWS4-HMAC-SHA256-PAYLOAD\n" + date_and_scope_ + previous_ + "\n";
  text += kEmptyPayloadHash;
  text += "\n" + HexEncode(Sha256(data));
  return Advance(text);
}

std::string ChunkChainV4::Trailer(std::string_view trailer) {
  return Advance("AWS4-HMAC-SHA256-TRAILER\n" + date_and_scope_ + previous_ + "\n" +
                 HexEncode(Sha256(trailer)));
}

}  // namespace quayfs::s3
