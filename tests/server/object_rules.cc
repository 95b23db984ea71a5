// SPDX-License-Identifier: Apache-2.0
//
// Rules that several handlers share: what a new object keeps, conditions, dates.

#include <algorithm>
#include <array>

#include "base/text.h"
#include "tests/server/s3_service.h"

namespace quayfs::testserver {
namespace {

constexpr size_t kMetadataMax = 2048;
constexpr std::string_view kMetaPrefix = "x-amz-meta-";
constexpr std::array<std::string_view, 6> kKeptHeaders = {"content-type",        "cache-control",
                                                          "content-disposition", "content-encoding",
                                                          "content-language",    "expires"};
constexpr std::array<std::string_view, 7> kCannedAcls = {
    "private",       "public-read",       "public-read-write",        "authenticated-read",
    "aws-exec-read", "bucket-owner-read", "bucket-owner-full-control"};

/// Content-Encoding without aws-chunked, which belongs to the transfer.
std::string WithoutAwsChunked(const std::string& encoding) {
  std::string kept;
  for (const std::string_view piece : Split(encoding, ',')) {
    if (EqualsIgnoreCase(TrimBlanks(piece), "aws-chunked")) continue;
    if (!kept.empty()) kept += ",";
    kept += TrimBlanks(piece);
  }
  return kept;
}

Problem AddMetadata(const HeaderList& headers, std::map<std::string, std::string>* kept) {
  size_t total = 0;
  for (const auto& [name, value] : headers.fields()) {
    if (!name.starts_with(kMetaPrefix) || kept->contains(name)) continue;
    const std::string joined = headers.Joined(name, ",");
    total += name.size() - kMetaPrefix.size() + joined.size();
    (*kept)[name] = joined;
  }
  if (total <= kMetadataMax) return std::nullopt;
  return S3Error(400, "MetadataTooLarge", "user metadata is limited to 2 KB")
      .With("Size", std::to_string(total))
      .With("MaxSizeAllowed", std::to_string(kMetadataMax));
}

Problem CheckEncryption(const std::string& encryption) {
  if (encryption.empty() || encryption == "AES256" || encryption == "aws:kms") return std::nullopt;
  return S3Error(400, "InvalidArgument", "unknown server-side encryption");
}

WallTime FromSeconds(int64_t seconds) { return WallTime(std::chrono::seconds(seconds)); }

S3Error ConditionFailed(const char* condition) {
  return S3Error(412, "PreconditionFailed", "a condition of the request does not hold")
      .With("Condition", condition);
}

/// Whether the object was modified after the date in the header; none without a valid date.
std::optional<bool> ModifiedSince(const HeaderList& headers, const std::string& name,
                                  const Object& object) {
  const std::string* date = headers.Find(name);
  if (date == nullptr) return std::nullopt;
  const Result<WallTime> since = ParseHttpDate(*date);
  if (!since) return std::nullopt;
  return FromSeconds(object.modified) > *since;
}

}  // namespace

std::string Quoted(const std::string& etag) { return "\"" + etag + "\""; }

Reply XmlReply(std::string xml) {
  Reply reply;
  reply.Set("Content-Type", "application/xml");
  reply.text = std::move(xml);
  return reply;
}

std::string HttpDate(int64_t seconds) { return FormatHttpDate(FromSeconds(seconds)); }

std::string XmlDate(int64_t seconds) { return FormatIsoExtended(FromSeconds(seconds)); }

std::string StorageClassOf(const Object& object) {
  const auto found = object.headers.find("x-amz-storage-class");
  return found == object.headers.end() ? "STANDARD" : found->second;
}

bool IsArchived(const Object& object) {
  const std::string storage_class = StorageClassOf(object);
  return !object.restored && (storage_class == "GLACIER" || storage_class == "DEEP_ARCHIVE");
}

Problem CheckReadConditions(const HeaderList& headers, const std::string& prefix,
                            const Object& object) {
  const bool copy = !prefix.empty();
  const std::string* match = headers.Find(prefix + "if-match");
  const std::string* none_match = headers.Find(prefix + "if-none-match");
  if (match != nullptr) {
    if (!EtagMatches(*match, object.etag)) return ConditionFailed("If-Match");
  } else if (ModifiedSince(headers, prefix + "if-unmodified-since", object).value_or(false)) {
    return ConditionFailed("If-Unmodified-Since");
  }
  bool unchanged = false;
  if (none_match != nullptr) {
    unchanged = EtagMatches(*none_match, object.etag);
  } else {
    unchanged = !ModifiedSince(headers, prefix + "if-modified-since", object).value_or(true);
  }
  if (!unchanged) return std::nullopt;
  if (copy) return ConditionFailed("If-None-Match");
  return S3Error(304, "NotModified", "")
      .WithHeader("ETag", Quoted(object.etag))
      .WithHeader("Last-Modified", HttpDate(object.modified));
}

WriteCondition S3Service::ConditionOf(const S3Request& request) const {
  if (!config_.conditional_writes) return {};
  return {request.Header("if-match"), request.Header("if-none-match")};
}

Outcome<std::map<std::string, std::string>> S3Service::NewObjectHeaders(
    const S3Request& request) const {
  const HeaderList& headers = request.head.headers;
  std::map<std::string, std::string> kept;
  if (Problem problem = AddMetadata(headers, &kept)) return *problem;
  for (const std::string_view name : kKeptHeaders) {
    if (headers.Has(name)) kept[std::string(name)] = headers.Get(name);
  }
  if (kept.contains("content-encoding")) {
    kept["content-encoding"] = WithoutAwsChunked(kept["content-encoding"]);
    if (kept["content-encoding"].empty()) kept.erase("content-encoding");
  }
  if (kept["content-type"].empty()) kept["content-type"] = "binary/octet-stream";
  const std::string storage_class = headers.Get("x-amz-storage-class");
  if (!storage_class.empty()) {
    const auto& known = config_.storage_classes;
    if (std::find(known.begin(), known.end(), storage_class) == known.end()) {
      return S3Error(400, "InvalidStorageClass", "the storage class is not one of this service")
          .With("StorageClassRequested", storage_class);
    }
    if (storage_class != "STANDARD") kept["x-amz-storage-class"] = storage_class;
  }
  const std::string acl = headers.Get("x-amz-acl");
  if (!acl.empty() && std::find(kCannedAcls.begin(), kCannedAcls.end(), acl) == kCannedAcls.end()) {
    return S3Error(400, "InvalidArgument", "unknown canned ACL").With("ArgumentValue", acl);
  }
  if (!acl.empty()) kept["x-amz-acl"] = acl;
  const std::string encryption = headers.Get("x-amz-server-side-encryption");
  if (Problem problem = CheckEncryption(encryption)) return *problem;
  if (!encryption.empty()) kept["x-amz-server-side-encryption"] = encryption;
  return kept;
}

}  // namespace quayfs::testserver
