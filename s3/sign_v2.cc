// SPDX-License-Identifier: Apache-2.0

#include "s3/sign_v2.h"

#include <algorithm>
#include <array>
#include <map>
#include <vector>

#include "base/hash.h"
#include "base/text.h"
#include "s3/uri.h"

namespace quayfs::s3 {
namespace {

// Sub-resources and reply overrides that the resource includes, sorted.
constexpr std::array<std::string_view, 35> kSubResources = {
    "accelerate",
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
    "website",
};

bool IsSubResource(std::string_view name) {
  return std::binary_search(kSubResources.begin(), kSubResources.end(), name);
}

// A header value over several lines (folded) becomes one line.
std::string Unfold(std::string_view value) {
  std::string line;
  bool folding = false;
  for (const char c : TrimBlanks(value)) {
    if (c == '\r' || c == '\n') {
      folding = true;
      continue;
    }
    if (folding && (c == ' ' || c == '\t')) continue;
    if (folding) line += ' ';
    folding = false;
    line += c;
  }
  return line;
}

std::string CanonicalAmzHeaders(const HttpHeaders& headers) {
  std::map<std::string, std::string> amz;
  for (const HttpHeader& header : headers.all()) {
    const std::string name = ToLower(header.name);
    if (!name.starts_with("x-amz-")) continue;
    const auto [entry, is_new] = amz.emplace(name, Unfold(header.value));
    if (!is_new) entry->second += "," + Unfold(header.value);
  }
  std::string canonical;
  for (const auto& [name, value] : amz) {
    canonical += name;
    canonical += ':';
    canonical += value;
    canonical += '\n';
  }
  return canonical;
}

}  // namespace

std::string CanonicalResourceV2(const HttpRequest& request, std::string_view host_bucket) {
  std::string resource;
  if (!host_bucket.empty()) {
    resource += '/';
    resource += host_bucket;
  }
  resource += request.path;

  std::vector<QueryParameter> included;
  for (QueryParameter& parameter : DecodeQuery(request.query)) {
    if (IsSubResource(parameter.name)) included.push_back(std::move(parameter));
  }
  std::stable_sort(
      included.begin(), included.end(),
      [](const QueryParameter& a, const QueryParameter& b) { return a.name < b.name; });
  char separator = '?';
  for (const QueryParameter& parameter : included) {
    resource += separator;
    separator = '&';
    resource += parameter.name;
    if (parameter.value && !parameter.value->empty()) resource += "=" + *parameter.value;
  }
  return resource;
}

std::string StringToSignV2(const HttpRequest& request, std::string_view host_bucket,
                           std::string_view date_slot) {
  std::string text = request.method + "\n";
  text += TrimBlanks(request.headers.Get("content-md5"));
  text += '\n';
  text += TrimBlanks(request.headers.Get("content-type"));
  text += '\n';
  text += date_slot;
  text += '\n';
  return text + CanonicalAmzHeaders(request.headers) + CanonicalResourceV2(request, host_bucket);
}

std::string SignatureV2(std::string_view secret, std::string_view string_to_sign) {
  return Base64Encode(HmacSha1(secret, string_to_sign));
}

void SignV2(HttpRequest* request, const Credentials& credentials, std::string_view host_bucket,
            WallTime time) {
  std::string date;
  if (!request->headers.Has("x-amz-date")) {
    date = FormatHttpDate(time);
    request->headers.Set("Date", date);
  }
  if (!credentials.session_token.empty()) {
    request->headers.Set("x-amz-security-token", credentials.session_token);
  }
  const std::string to_sign = StringToSignV2(*request, host_bucket, date);
  request->headers.Set("Authorization", "AWS " + credentials.access_key_id + ":" +
                                            SignatureV2(credentials.secret_access_key, to_sign));
}

void PresignV2(HttpRequest* request, const Credentials& credentials, std::string_view host_bucket,
               int64_t expires) {
  // The token is signed as if it were a header, and travels in the query.
  HttpRequest to_sign = *request;
  if (!credentials.session_token.empty()) {
    to_sign.headers.Set("x-amz-security-token", credentials.session_token);
  }
  const std::string slot = std::to_string(expires);
  const std::string signature =
      SignatureV2(credentials.secret_access_key, StringToSignV2(to_sign, host_bucket, slot));
  std::vector<QueryParameter> query = DecodeQuery(request->query);
  query.push_back({"AWSAccessKeyId", credentials.access_key_id});
  query.push_back({"Expires", slot});
  query.push_back({"Signature", signature});
  if (!credentials.session_token.empty())
    query.push_back({"x-amz-security-token", credentials.session_token});
  request->query = EncodeQuery(query);
}

}  // namespace quayfs::s3
