// SPDX-License-Identifier: Apache-2.0

#include "tests/server/auth_v2.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <map>

#include "base/hash.h"
#include "base/text.h"

namespace quayfs::testserver {
namespace {

// protocol.md 3.4, in byte order.
constexpr std::array<std::string_view, 38> kSubResources = {"accelerate",
                                                            "acl",
                                                            "analytics",
                                                            "cors",
                                                            "defaultObjectAcl",
                                                            "delete",
                                                            "inventory",
                                                            "lifecycle",
                                                            "location",
                                                            "logging",
                                                            "metrics",
                                                            "notification",
                                                            "object-lock",
                                                            "partNumber",
                                                            "policy",
                                                            "replication",
                                                            "requestPayment",
                                                            "response-cache-control",
                                                            "response-content-disposition",
                                                            "response-content-encoding",
                                                            "response-content-language",
                                                            "response-content-type",
                                                            "response-expires",
                                                            "restore",
                                                            "select",
                                                            "select-type",
                                                            "storageClass",
                                                            "tagging",
                                                            "torrent",
                                                            "uploadId",
                                                            "uploads",
                                                            "versionId",
                                                            "versioning",
                                                            "versions",
                                                            "website"};

bool IsSubResource(std::string_view name) {
  return !name.empty() &&
         std::find(kSubResources.begin(), kSubResources.end(), name) != kSubResources.end();
}

std::string CanonicalAmzHeaders(const HeaderList& headers) {
  std::map<std::string, std::string> lines;
  for (const auto& [name, value] : headers.fields()) {
    if (!name.starts_with("x-amz-")) continue;
    const auto [line, fresh] = lines.emplace(name, value);
    if (!fresh) line->second += "," + value;
  }
  std::string text;
  for (const auto& [name, value] : lines) text.append(name).append(":").append(value).append("\n");
  return text;
}

std::string CanonicalResource(const AuthTarget& target) {
  std::string text;
  if (!target.host_bucket.empty()) text = "/" + target.host_bucket;
  text += target.head.raw_path;
  std::vector<std::pair<std::string, std::string>> signed_pairs;
  for (const auto& pair : target.query.pairs()) {
    if (IsSubResource(pair.first)) signed_pairs.push_back(pair);
  }
  std::sort(signed_pairs.begin(), signed_pairs.end());
  char separator = '?';
  for (const auto& [name, value] : signed_pairs) {
    text += separator + name;
    if (!value.empty()) text += "=" + value;
    separator = '&';
  }
  return text;
}

/// RFC 1123 with "GMT" or "+0000".
Result<WallTime> ParseDate(std::string text) {
  if (text.ends_with(" +0000")) text = text.substr(0, text.size() - 5) + "GMT";
  return ParseHttpDate(text);
}

Outcome<Identity> CheckSignature(const AuthTarget& target, const Account& account,
                                 const std::string& date, const std::string& signature) {
  const std::string to_sign = V2StringToSign(target, date);
  if (!ConstantTimeEqual(V2Sign(account.secret_access_key, to_sign), signature)) {
    return SignatureMismatch(account.access_key_id, to_sign, "");
  }
  Identity identity;
  identity.access_key_id = account.access_key_id;
  return identity;
}

}  // namespace

std::string V2StringToSign(const AuthTarget& target, const std::string& date) {
  const HeaderList& headers = target.head.headers;
  return target.head.method + "\n" + headers.Get("content-md5") + "\n" +
         headers.Get("content-type") + "\n" + date + "\n" + CanonicalAmzHeaders(headers) +
         CanonicalResource(target);
}

std::string V2Sign(const std::string& secret, const std::string& string_to_sign) {
  return Base64Encode(HmacSha1(secret, string_to_sign));
}

Outcome<Identity> VerifyV2Header(const AuthTarget& target, const AuthContext& context) {
  const HeaderList& headers = target.head.headers;
  const std::string authorization = headers.Get("authorization").substr(4);
  const size_t colon = authorization.rfind(':');
  if (colon == std::string::npos || colon == 0) {
    return S3Error(400, "InvalidArgument", "the Authorization header has no signature");
  }
  const std::string* amz_date = headers.Find("x-amz-date");
  const std::string* date = amz_date != nullptr ? amz_date : headers.Find("date");
  if (date == nullptr) return S3Error(403, "AccessDenied", "Date or x-amz-date is needed");
  const Result<WallTime> time = ParseDate(*date);
  if (!time) return S3Error(403, "AccessDenied", "the date is malformed");
  const Outcome<Account> account =
      FindAccount(context, authorization.substr(0, colon), headers.Get("x-amz-security-token"));
  if (!account) return account.error();
  if (Problem problem = CheckSkew(context, *time, *date)) return *problem;
  return CheckSignature(target, *account, amz_date != nullptr ? "" : *date,
                        authorization.substr(colon + 1));
}

Outcome<Identity> VerifyV2Query(const AuthTarget& target, const AuthContext& context) {
  const Query& query = target.query;
  const std::string* key = query.Find("AWSAccessKeyId");
  const std::string* expires = query.Find("Expires");
  const std::string* signature = query.Find("Signature");
  if (key == nullptr || expires == nullptr || signature == nullptr) {
    return S3Error(403, "AccessDenied", "AWSAccessKeyId, Expires and Signature are all needed");
  }
  const Result<uint64_t> seconds = ParseUint(*expires);
  if (!seconds) return S3Error(403, "AccessDenied", "Expires is malformed");
  const auto now = std::chrono::duration_cast<std::chrono::seconds>(context.now.time_since_epoch());
  const Outcome<Account> account =
      FindAccount(context, *key, target.head.headers.Get("x-amz-security-token"));
  if (!account) return account.error();
  if (now.count() > static_cast<int64_t>(*seconds)) {
    return S3Error(403, "AccessDenied", "the request has expired")
        .With("ServerTime", FormatIsoExtended(context.now));
  }
  return CheckSignature(target, *account, *expires, *signature);
}

}  // namespace quayfs::testserver
