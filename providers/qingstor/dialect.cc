// SPDX-License-Identifier: Apache-2.0

#include "providers/qingstor/dialect.h"

#include <algorithm>

#include "base/text.h"
#include "providers/qingstor/documents.h"
#include "providers/qingstor/sign.h"
#include "s3/errors.h"

namespace quayfs::qingstor {
namespace {

using s3::CopyReply;
using s3::DeleteReply;
using s3::ErrorDocument;
using s3::HttpHeaders;
using s3::HttpRequest;
using s3::ListReply;
using s3::ListRequest;
using s3::PartInfo;
using s3::PartsReply;
using s3::QueryParameter;
using s3::SigningPlace;
using s3::UploadsReply;

constexpr int kListLimit = 1000;
constexpr int kUploadsLimit = 200;

constexpr s3::DialectNames kNames = {
    .metadata_prefix = "x-qs-meta-",
    .storage_class = "x-qs-storage-class",
    .acl = "",
    .sse = "",
    .sse_kms_key_id = "",
    .customer_key = "x-qs-encryption-customer-",
    .request_payer = "",
    .request_id = "x-qs-request-id",
    .copy_source = "x-qs-copy-source",
    .copy_source_if_match = "x-qs-copy-source-if-match",
    .copy_source_range = "x-qs-copy-range",
    .copy_source_customer_key = "x-qs-copy-source-encryption-customer-",
    .move_source = "x-qs-move-source",
    .metadata_directive = "x-qs-metadata-directive",
    .metadata_replace = "replace",
    .upload_id = "upload_id",
    .part_number = "part_number",
    .document_type = "application/json",
};

/// The ETag of a reply that has no document to tell it.
std::string EtagOf(const HttpHeaders& headers) {
  return std::string(TrimBlanks(headers.Get("etag")));
}

/// The host of a URL, without its port.
std::string_view HostOfUrl(std::string_view url) {
  const size_t scheme = url.find("://");
  if (scheme == std::string_view::npos) return "";
  url.remove_prefix(scheme + 3);
  return url.substr(0, url.find_first_of("/?:"));
}

bool IsRedirect(int status) {
  return status == 301 || status == 302 || status == 307 || status == 308;
}

class QingStor final : public s3::Dialect {
 public:
  const s3::DialectNames& names() const override { return kNames; }

  // ---- Requests.

  bool bucket_path_ends_with_slash() const override { return false; }

  std::string EncodeKey(std::string_view key) const override {
    // The service's rule for paths keeps '=' besides '/'.
    std::string encoded = PercentEncode(key, true);
    size_t at = 0;
    while ((at = encoded.find("%3D", at)) != std::string::npos) encoded.replace(at, 3, "=");
    return encoded;
  }

  bool has_own_signature() const override { return true; }
  void Sign(HttpRequest* request, const SigningPlace& place) const override {
    qingstor::Sign(request, place.credentials, place.host_bucket, place.time);
  }
  void Presign(HttpRequest* request, const SigningPlace& place, int64_t expires) const override {
    qingstor::Presign(request, place.credentials, place.host_bucket, expires);
  }

  std::vector<QueryParameter> ListQuery(const s3::ListQuestion& question) const override {
    const ListRequest& request = question.request;
    std::vector<QueryParameter> query = {
        {"limit", std::to_string(std::min(request.max_keys, kListLimit))}};
    if (!request.prefix.empty()) query.push_back({"prefix", request.prefix});
    if (!request.delimiter.empty()) query.push_back({"delimiter", request.delimiter});
    if (!question.position.empty()) query.push_back({"marker", question.position});
    return query;
  }

  std::vector<QueryParameter> PartsQuery(const std::string& upload_id, int marker) const override {
    std::vector<QueryParameter> query = {{"upload_id", upload_id},
                                         {"limit", std::to_string(kListLimit)}};
    if (marker != 0) query.push_back({"part_number_marker", std::to_string(marker)});
    return query;
  }

  std::vector<QueryParameter> UploadsQuery(const std::string& prefix, const std::string& key_marker,
                                           const std::string& upload_marker,
                                           bool /*url_encode*/) const override {
    std::vector<QueryParameter> query = {{"uploads", std::nullopt},
                                         {"limit", std::to_string(kUploadsLimit)}};
    if (!prefix.empty()) query.push_back({"prefix", prefix});
    if (!key_marker.empty()) query.push_back({"key_marker", key_marker});
    if (!upload_marker.empty()) query.push_back({"upload_id_marker", upload_marker});
    return query;
  }

  std::string WriteDelete(const std::vector<std::string>& keys) const override {
    return qingstor::WriteDelete(keys);
  }
  std::string WriteComplete(const std::vector<PartInfo>& parts) const override {
    return qingstor::WriteComplete(parts);
  }
  // The service computes none for an object made of parts. That of the whole is known where there
  // is one part only.
  std::string AnnouncedEtag(const std::vector<PartInfo>& parts) const override {
    if (parts.size() != 1) return "";
    std::string digits = parts[0].etag;
    std::erase(digits, '"');
    const bool is_md5 =
        digits.size() == 32 && digits.find_first_not_of("0123456789abcdef") == std::string::npos;
    return is_md5 ? "\"" + digits + "\"" : "";
  }
  std::string WriteCreateBucket(std::string_view /*region*/) const override { return ""; }
  bool DocumentCarriesKey(std::string_view key) const override { return JsonCarriesKey(key); }

  // ---- Replies.

  bool writes_answer_in_documents() const override { return false; }
  bool IsDocument(std::string_view body, size_t limit) const override {
    return body.size() <= limit && IsJsonObject(body);
  }
  std::optional<ErrorDocument> ParseError(std::string_view body) const override {
    return qingstor::ParseError(body);
  }
  Result<ListReply> ParseList(std::string_view body, const ListRequest& request,
                              s3::ListVersion /*asked*/) const override {
    return qingstor::ParseList(body, request);
  }
  Result<std::string> ParseInitiate(std::string_view body) const override {
    return qingstor::ParseInitiate(body);
  }
  Result<CopyReply> ParseCopy(std::string_view /*body*/,
                              const HttpHeaders& headers) const override {
    CopyReply reply;
    reply.etag = EtagOf(headers);
    if (const Result<WallTime> now = ParseHttpDate(headers.Get("date"))) reply.last_modified = *now;
    return reply;
  }
  Result<std::string> ParseComplete(std::string_view /*body*/,
                                    const HttpHeaders& headers) const override {
    return EtagOf(headers);
  }
  Result<PartsReply> ParseParts(std::string_view body) const override {
    return qingstor::ParseParts(body);
  }
  Result<UploadsReply> ParseUploads(std::string_view body, std::string_view prefix) const override {
    return qingstor::ParseUploads(body, prefix);
  }
  Result<DeleteReply> ParseDelete(std::string_view body) const override {
    return qingstor::ParseDelete(body);
  }
  Result<std::vector<std::string>> ParseBuckets(std::string_view body) const override {
    return qingstor::ParseBuckets(body);
  }

  // ---- Where the bucket is.

  bool MayBeElsewhere(const Error& error, bool about_bucket) const override {
    const int status = error.detail().http_status;
    if (error.code() == Code::kWrongRegion) return true;
    if (error.detail().service_code == "bucket_not_exists") return true;
    // The reply to a HEAD has no body that could say which of the two is missing.
    if (about_bucket && status == 404) return true;
    return status >= 400 && status < 500 &&
           ToLower(error.message()).find("incorrect zone") != std::string::npos;
  }
  std::string RegionOfReply(int status, const HttpHeaders& headers,
                            std::string_view bucket) const override {
    if (!IsRedirect(status)) return "";
    const std::string host = ToLower(HostOfUrl(headers.Get("location")));
    const std::vector<std::string_view> labels = Split(host, '.');
    const size_t zone = labels[0] == bucket ? 1 : 0;
    return zone + 1 < labels.size() ? std::string(labels[zone]) : "";
  }
};

}  // namespace

const s3::Dialect& Dialect() {
  static const QingStor dialect;
  return dialect;
}

}  // namespace quayfs::qingstor
