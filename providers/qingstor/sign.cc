// SPDX-License-Identifier: Apache-2.0

#include "providers/qingstor/sign.h"

#include <algorithm>
#include <array>
#include <map>
#include <utility>
#include <vector>

#include "base/hash.h"
#include "base/text.h"
#include "s3/uri.h"

namespace quayfs::qingstor {
namespace {

// The query parameters that the resource includes, sorted. Those of a listing are not among them.
constexpr std::array<std::string_view, 26> kSigned = {
    "acl",
    "append",
    "cname",
    "cors",
    "delete",
    "image",
    "lifecycle",
    "logging",
    "mirror",
    "notification",
    "part_number",
    "policy",
    "position",
    "replication",
    "response-cache-control",
    "response-content-disposition",
    "response-content-encoding",
    "response-content-language",
    "response-content-type",
    "response-expires",
    "stats",
    "upload_id",
    "uploads",
    "version_id",
    "versioning",
    "versions",
};

std::string CanonicalHeaders(const s3::HttpHeaders& headers) {
  std::map<std::string, std::string> lines;
  for (const s3::HttpHeader& header : headers.all()) {
    std::string name = ToLower(header.name);
    if (!name.starts_with("x-qs-")) continue;
    const std::string_view value = TrimBlanks(header.value);
    const auto [line, is_new] = lines.emplace(std::move(name), value);
    if (!is_new) line->second.append(",").append(value);
  }
  std::string text;
  for (const auto& [name, value] : lines) text.append(name).append(":").append(value).append("\n");
  return text;
}

std::string CanonicalResource(const s3::HttpRequest& request, std::string_view host_bucket) {
  std::string text;
  if (!host_bucket.empty()) text.append("/").append(host_bucket);
  text += request.path.empty() ? "/" : request.path;
  std::vector<std::pair<std::string, std::string>> items;
  for (const s3::QueryParameter& parameter : s3::DecodeQuery(request.query)) {
    if (!std::binary_search(kSigned.begin(), kSigned.end(), parameter.name)) continue;
    items.emplace_back(parameter.name, parameter.value.value_or(""));
  }
  std::sort(items.begin(), items.end());
  char separator = '?';
  for (const auto& [name, value] : items) {
    text += separator + name;
    if (!value.empty()) text += "=" + value;  // decoded
    separator = '&';
  }
  return text;
}

}  // namespace

std::string StringToSign(const s3::HttpRequest& request, std::string_view host_bucket,
                         std::string_view date_slot) {
  const s3::HttpHeaders& headers = request.headers;
  std::string text = request.method;
  text.append("\n").append(headers.Get("content-md5"));
  text.append("\n").append(headers.Get("content-type"));
  text.append("\n").append(date_slot);
  text.append("\n").append(CanonicalHeaders(headers));
  return text + CanonicalResource(request, host_bucket);
}

std::string Signature(std::string_view secret, std::string_view string_to_sign) {
  return Base64Encode(HmacSha256(secret, string_to_sign));
}

void Sign(s3::HttpRequest* request, const s3::Credentials& credentials,
          std::string_view host_bucket, WallTime time) {
  std::string date;
  if (!request->headers.Has("x-qs-date")) {
    date = FormatHttpDate(time);
    request->headers.Set("Date", date);
  }
  const std::string text = StringToSign(*request, host_bucket, date);
  request->headers.Set("Authorization", "QS " + credentials.access_key_id + ":" +
                                            Signature(credentials.secret_access_key, text));
}

void Presign(s3::HttpRequest* request, const s3::Credentials& credentials,
             std::string_view host_bucket, int64_t expires) {
  const std::string slot = std::to_string(expires);
  const std::string text = StringToSign(*request, host_bucket, slot);
  std::vector<s3::QueryParameter> query = s3::DecodeQuery(request->query);
  query.push_back({"access_key_id", credentials.access_key_id});
  query.push_back({"expires", slot});
  query.push_back({"signature", Signature(credentials.secret_access_key, text)});
  request->query = s3::EncodeQuery(query);
}

}  // namespace quayfs::qingstor
