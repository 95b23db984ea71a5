// SPDX-License-Identifier: Apache-2.0

#include "tests/server/auth_qs.h"

#include <algorithm>
#include <chrono>
#include <set>

#include "base/hash.h"
#include "base/text.h"

namespace quayfs::testserver {
namespace {

bool IsCovered(const std::string& parameter) {
  static const std::set<std::string> plain = {
      "acl",     "append",  "cname",     "cors",         "delete",      "image",     "lifecycle",
      "logging", "mirror",  "policy",    "notification", "part_number", "position",  "replication",
      "stats",   "uploads", "upload_id", "versioning",   "versions",    "version_id"};
  static const std::set<std::string> replies = {"expires",          "cache-control",
                                                "content-type",     "content-language",
                                                "content-encoding", "content-disposition"};
  constexpr std::string_view kResponse = "response-";
  if (parameter.starts_with(kResponse)) return replies.contains(parameter.substr(kResponse.size()));
  return plain.contains(parameter);
}

std::string HeaderLines(const HeaderList& headers) {
  std::vector<std::string> names;
  for (const auto& [name, value] : headers.fields()) {
    const bool known = std::find(names.begin(), names.end(), name) != names.end();
    if (name.rfind("x-qs-", 0) == 0 && !known) names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  std::string lines;
  for (const std::string& name : names) lines += name + ":" + headers.Joined(name, ",") + "\n";
  return lines;
}

std::string Resource(const AuthTarget& target) {
  std::string path = target.head.raw_path.empty() ? "/" : target.head.raw_path;
  if (!target.host_bucket.empty()) path = "/" + target.host_bucket + path;
  std::vector<std::string> items;
  for (const auto& [name, value] : target.query.pairs()) {
    if (IsCovered(name)) items.push_back(value.empty() ? name : name + "=" + value);
  }
  std::sort(items.begin(), items.end());
  for (size_t i = 0; i < items.size(); ++i) path.append(i == 0 ? "?" : "&").append(items[i]);
  return path;
}

Outcome<Identity> Compare(const AuthTarget& target, const Account& account, const std::string& date,
                          const std::string& signature) {
  const std::string to_sign = QsStringToSign(target, date);
  if (!ConstantTimeEqual(QsSign(account.secret_access_key, to_sign), signature)) {
    return SignatureMismatch(account.access_key_id, to_sign, "");
  }
  Identity identity;
  identity.access_key_id = account.access_key_id;
  return identity;
}

Outcome<Identity> VerifyHeader(const AuthTarget& target, const AuthContext& context) {
  const HeaderList& headers = target.head.headers;
  const std::string authorization = headers.Get("authorization");
  const size_t colon = authorization.find(':');
  if (!authorization.starts_with("QS ") || colon == std::string::npos) {
    return S3Error(401, "SignatureDoesNotMatch", "Authorization must be QS KEY:SIGNATURE");
  }
  const bool own_date = headers.Has("x-qs-date");
  const std::string date = headers.Get(own_date ? "x-qs-date" : "date");
  const Result<WallTime> time = ParseHttpDate(date);
  if (!time) return S3Error(400, "InvalidArgument", "Date is missing or malformed");
  const Outcome<Account> account = FindAccount(context, authorization.substr(3, colon - 3), "");
  if (!account) return account.error();
  if (Problem problem = CheckSkew(context, *time, date)) return *problem;
  return Compare(target, *account, own_date ? "" : date, authorization.substr(colon + 1));
}

Outcome<Identity> VerifyQuery(const AuthTarget& target, const AuthContext& context) {
  const Query& query = target.query;
  const Result<uint64_t> expires = ParseUint(query.Get("expires"));
  if (!expires || !query.Has("access_key_id")) {
    return S3Error(400, "InvalidArgument", "access_key_id, expires and signature are all needed");
  }
  const Outcome<Account> account = FindAccount(context, query.Get("access_key_id"), "");
  if (!account) return account.error();
  const auto now = std::chrono::duration_cast<std::chrono::seconds>(context.now.time_since_epoch());
  if (now.count() > static_cast<int64_t>(*expires)) {
    return S3Error(403, "RequestTimeTooSkewed", "the request has expired");
  }
  return Compare(target, *account, query.Get("expires"), query.Get("signature"));
}

}  // namespace

std::string QsStringToSign(const AuthTarget& target, const std::string& date) {
  const HeaderList& headers = target.head.headers;
  std::string text = target.head.method + "\n";
  text += headers.Get("content-md5") + "\n";
  text += headers.Get("content-type") + "\n";
  text += date + "\n";
  text += HeaderLines(headers);
  return text + Resource(target);
}

std::string QsSign(const std::string& secret, const std::string& string_to_sign) {
  return Base64Encode(HmacSha256(secret, string_to_sign));
}

Outcome<Identity> AuthenticateQs(const AuthTarget& target, const AuthContext& context) {
  const bool in_query = target.query.Has("signature");
  if (target.head.headers.Has("authorization")) {
    if (in_query) return S3Error(400, "InvalidArgument", "signed twice");
    return VerifyHeader(target, context);
  }
  if (in_query) return VerifyQuery(target, context);
  if (!context.allow_anonymous) return S3Error(403, "AccessDenied", "the request is not signed");
  Identity identity;
  identity.anonymous = true;
  return identity;
}

}  // namespace quayfs::testserver
