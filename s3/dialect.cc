// SPDX-License-Identifier: Apache-2.0

#include "s3/dialect.h"

#include <algorithm>

#include "base/text.h"
#include "s3/errors.h"
#include "s3/xml_reader.h"

namespace quayfs::s3 {
namespace {

constexpr DialectNames kNames = {
    .metadata_prefix = "x-amz-meta-",
    .storage_class = "x-amz-storage-class",
    .acl = "x-amz-acl",
    .sse = "x-amz-server-side-encryption",
    .sse_kms_key_id = "x-amz-server-side-encryption-aws-kms-key-id",
    .customer_key = "x-amz-server-side-encryption-customer-",
    .request_payer = "x-amz-request-payer",
    .request_id = "x-amz-request-id",
    .copy_source = "x-amz-copy-source",
    .copy_source_if_match = "x-amz-copy-source-if-match",
    .copy_source_range = "x-amz-copy-source-range",
    .copy_source_customer_key = "x-amz-copy-source-server-side-encryption-customer-",
    .move_source = "",
    .metadata_directive = "x-amz-metadata-directive",
    .metadata_replace = "REPLACE",
    .upload_id = "uploadId",
    .part_number = "partNumber",
    .document_type = "application/xml",
};

class S3 final : public Dialect {
 public:
  const DialectNames& names() const override { return kNames; }

  // SigV2 signs it with the slash, so it is sent with it.
  bool bucket_path_ends_with_slash() const override { return true; }
  std::string EncodeKey(std::string_view key) const override { return PercentEncode(key, true); }
  bool has_own_signature() const override { return false; }
  void Sign(HttpRequest* /*request*/, const SigningPlace& /*place*/) const override {}
  void Presign(HttpRequest* /*request*/, const SigningPlace& /*place*/,
               int64_t /*expires*/) const override {}

  std::vector<QueryParameter> ListQuery(const ListQuestion& question) const override {
    const ListRequest& request = question.request;
    const bool v2 = question.version == ListVersion::kV2;
    std::vector<QueryParameter> query = {
        {"prefix", request.prefix}, {"max-keys", std::to_string(std::min(request.max_keys, 1000))}};
    if (v2) query.push_back({"list-type", "2"});
    if (!request.delimiter.empty()) query.push_back({"delimiter", request.delimiter});
    if (question.url_encode) query.push_back({"encoding-type", "url"});
    if (!question.position.empty()) {
      query.push_back({v2 ? "continuation-token" : "marker", question.position});
    }
    return query;
  }

  std::vector<QueryParameter> PartsQuery(const std::string& upload_id, int marker) const override {
    std::vector<QueryParameter> query = {{"uploadId", upload_id}, {"max-parts", "1000"}};
    if (marker != 0) query.push_back({"part-number-marker", std::to_string(marker)});
    return query;
  }

  std::vector<QueryParameter> UploadsQuery(const std::string& prefix, const std::string& key_marker,
                                           const std::string& upload_marker,
                                           bool url_encode) const override {
    std::vector<QueryParameter> query = {
        {"uploads", std::nullopt}, {"max-uploads", "1000"}, {"prefix", prefix}};
    if (url_encode) query.push_back({"encoding-type", "url"});
    if (!key_marker.empty()) {
      query.push_back({"key-marker", key_marker});
      query.push_back({"upload-id-marker", upload_marker});
    }
    return query;
  }

  std::string WriteDelete(const std::vector<std::string>& keys) const override {
    return s3::WriteDelete(keys);
  }
  std::string WriteComplete(const std::vector<PartInfo>& parts) const override {
    return s3::WriteComplete(parts);
  }
  std::string AnnouncedEtag(const std::vector<PartInfo>& /*parts*/) const override { return ""; }
  std::string WriteCreateBucket(std::string_view region) const override {
    // The service's first region is the one that must not be named.
    return region.empty() || region == "us-east-1" ? "" : s3::WriteCreateBucket(region);
  }
  bool DocumentCarriesKey(std::string_view key) const override { return XmlCarriesKey(key); }

  bool writes_answer_in_documents() const override { return true; }
  bool IsDocument(std::string_view body, size_t limit) const override {
    return XmlDocument::Parse(body, limit).ok();
  }
  std::optional<ErrorDocument> ParseError(std::string_view body) const override {
    return s3::ParseError(body);
  }
  Result<ListReply> ParseList(std::string_view body, const ListRequest& request,
                              ListVersion asked) const override {
    return s3::ParseList(body, request, asked);
  }
  Result<std::string> ParseInitiate(std::string_view body) const override {
    return s3::ParseInitiate(body);
  }
  Result<CopyReply> ParseCopy(std::string_view body,
                              const HttpHeaders& /*headers*/) const override {
    return s3::ParseCopy(body);
  }
  Result<std::string> ParseComplete(std::string_view body,
                                    const HttpHeaders& /*headers*/) const override {
    return s3::ParseComplete(body);
  }
  Result<PartsReply> ParseParts(std::string_view body) const override {
    return s3::ParseParts(body);
  }
  Result<UploadsReply> ParseUploads(std::string_view body, std::string_view prefix) const override {
    return s3::ParseUploads(body, prefix);
  }
  Result<DeleteReply> ParseDelete(std::string_view body) const override {
    return s3::ParseDelete(body);
  }
  Result<std::vector<std::string>> ParseBuckets(std::string_view body) const override {
    return s3::ParseBuckets(body);
  }

  bool MayBeElsewhere(const Error& error, bool /*about_bucket*/) const override {
    return MayBeWrongRegion(error);
  }
  std::string RegionOfReply(int /*status*/, const HttpHeaders& headers,
                            std::string_view /*bucket*/) const override {
    return std::string(headers.Get("x-amz-bucket-region"));
  }
};

}  // namespace

const Dialect& S3Dialect() {
  static const S3 dialect;
  return dialect;
}

}  // namespace quayfs::s3
