// SPDX-License-Identifier: Apache-2.0

#include "providers/kodo/sign.h"

#include <algorithm>
#include <cctype>
#include <map>

#include "base/hash.h"
#include "base/text.h"

namespace quayfs::kodo {
namespace {

constexpr std::string_view kJsonType = "application/json";
constexpr std::string_view kOwnHeaders = "x-qiniu-";

std::string PathAndQuery(const s3::HttpRequest& request) {
  return request.query.empty() ? request.path : request.path + "?" + request.query;
}

/// "x-qiniu-date" as "X-Qiniu-Date".
std::string Capitalised(std::string name) {
  bool begins = true;
  for (char& c : name) {
    if (begins && c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    begins = c == '-';
  }
  return name;
}

}  // namespace

std::string UrlSafeBase64(std::string_view raw) {
  std::string text = Base64Encode(raw);
  std::replace(text.begin(), text.end(), '+', '-');
  std::replace(text.begin(), text.end(), '/', '_');
  return text;
}

std::string EncodedEntry(std::string_view bucket, std::string_view key) {
  return UrlSafeBase64(std::string(bucket) + ":" + std::string(key));
}

std::string SignText(const s3::Credentials& keys, std::string_view text) {
  return keys.access_key_id + ":" + UrlSafeBase64(HmacSha1(keys.secret_access_key, text));
}

std::string QboxText(const s3::HttpRequest& request, std::string_view body) {
  std::string text = PathAndQuery(request) + "\n";
  if (request.headers.Get("content-type") == kFormType) text += body;
  return text;
}

std::string QiniuText(const s3::HttpRequest& request, std::string_view body) {
  std::string type(request.headers.Get("content-type"));
  if (type.empty()) type = kFormType;
  std::string text = request.method + " " + PathAndQuery(request) + "\n";
  text.append("Host: ").append(request.headers.Get("host")).append("\n");
  text.append("Content-Type: ").append(type).append("\n");
  // Of several headers with one name, the first counts.
  std::map<std::string, std::string> own;
  for (const s3::HttpHeader& header : request.headers.all()) {
    const std::string name = ToLower(header.name);
    if (name.starts_with(kOwnHeaders) && name.size() > kOwnHeaders.size())
      own.emplace(Capitalised(name), header.value);
  }
  for (const auto& [name, value] : own) text.append(name).append(": ").append(value).append("\n");
  text += "\n";
  if (type == kFormType || type == kJsonType) text += body;
  return text;
}

void Sign(s3::HttpRequest* request, const s3::Credentials& keys, std::string_view body) {
  if (!request->headers.Has("content-type")) request->headers.Set("Content-Type", kFormType);
  request->headers.Set("Authorization", "Qiniu " + SignText(keys, QiniuText(*request, body)));
}

}  // namespace quayfs::kodo
