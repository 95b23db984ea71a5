// SPDX-License-Identifier: Apache-2.0

#include <optional>

#include "base/byte_range.h"
#include "base/hash.h"
#include "base/text.h"
#include "tests/server/s3_service.h"
#include "tests/server/xml.h"

namespace quayfs::testserver {
namespace {

/// "bytes=FIRST-LAST", both given and inside the object.
Outcome<ByteRange> ParseCopyRange(const std::string& header, uint64_t size) {
  if (header.empty()) return ByteRange{0, size};
  const S3Error malformed(400, "InvalidArgument",
                          "x-amz-copy-source-range must be bytes=FIRST-LAST");
  if (!header.starts_with("bytes=")) return malformed;
  const std::string_view spec = std::string_view(header).substr(6);
  const size_t dash = spec.find('-');
  if (dash == std::string_view::npos) return malformed;
  const Result<uint64_t> first = ParseUint(spec.substr(0, dash));
  const Result<uint64_t> last = ParseUint(spec.substr(dash + 1));
  if (!first || !last || *last < *first) return malformed;
  if (*last >= size) {
    return S3Error(400, "InvalidArgument", "the range is not inside the source")
        .With("ArgumentValue", header);
  }
  return ByteRange{*first, *last + 1};
}

Outcome<std::string> Md5OfBlob(const Blob& blob) {
  Hasher hasher(HashKind::kMd5);
  BlobReader reader(blob);
  std::vector<char> buffer(1 << 20);
  while (true) {
    const Result<size_t> count = reader.Read(buffer);
    if (!count) return S3Error::Internal(count.error().message());
    if (*count == 0) return hasher.Finish();
    hasher.Update(std::string_view(buffer.data(), *count));
  }
}

Reply CopyReply(const char* root, const std::string& etag, int64_t modified) {
  XmlWriter xml(root);
  xml.Element("LastModified", XmlDate(modified)).Element("ETag", Quoted(etag));
  return XmlReply(xml.Finish());
}

/// What the copy keeps: the source's headers, or those of the request.
Outcome<std::map<std::string, std::string>> HeadersOfCopy(
    const S3Request& request, const Object& source,
    const std::map<std::string, std::string>& from_request) {
  const std::string directive = request.Header("x-amz-metadata-directive");
  if (directive == "REPLACE") return from_request;
  if (!directive.empty() && directive != "COPY") {
    return S3Error(400, "InvalidArgument", "x-amz-metadata-directive must be COPY or REPLACE");
  }
  std::map<std::string, std::string> headers = source.headers;
  // Never copied: class, ACL and encryption are those of the request.
  for (const char* name : {"x-amz-storage-class", "x-amz-acl", "x-amz-server-side-encryption"}) {
    headers.erase(name);
    const auto found = from_request.find(name);
    if (found != from_request.end()) headers[name] = found->second;
  }
  return headers;
}

}  // namespace

Outcome<ObjectPtr> S3Service::CopySource(const S3Request& request) const {
  // '+' counts as a space, as in AWS: a client must encode it.
  const std::string header = request.Header("x-amz-copy-source");
  const size_t question = header.find('?');
  if (question != std::string::npos && header.substr(question) != "?versionId=null") {
    return S3Error(501, "NotImplemented", "versions are not kept here");
  }
  std::string source = PercentDecode(header.substr(0, question), true);
  if (source.starts_with("/")) source.erase(0, 1);
  const size_t slash = source.find('/');
  if (slash == std::string::npos || slash == 0 || slash + 1 == source.size()) {
    return S3Error(400, "InvalidArgument", "x-amz-copy-source must be BUCKET/KEY, percent-encoded")
        .With("ArgumentName", "x-amz-copy-source")
        .With("ArgumentValue", header);
  }
  Outcome<ObjectPtr> object = store_.Find(source.substr(0, slash), source.substr(slash + 1));
  if (!object) return object;
  if (Problem problem = CheckReadConditions(request.head.headers, "x-amz-copy-source-", **object)) {
    return *problem;
  }
  if (IsArchived(**object)) {
    return S3Error(403, "InvalidObjectState", "the source must be restored before it can be read");
  }
  return object;
}

Outcome<std::string> S3Service::CopiedEtag(const Object& source) {
  if (config_.fast_etag) return NewEtag("", source.body.size());
  // A copy is a single upload: it gets the MD5 of the whole even if the source came in parts.
  if (source.etag.find('-') == std::string::npos) return source.etag;
  const Outcome<std::string> md5 = Md5OfBlob(source.body);
  if (!md5) return md5.error();
  return NewEtag(*md5, source.body.size());
}

Outcome<Reply> S3Service::CopyObject(S3Request& request) {
  const Outcome<std::string> nothing = ReceiveText(request.payload(), 0);
  if (!nothing) return nothing.error();
  const std::string& bucket = request.route.bucket;
  const std::string& key = request.route.key;
  if (Problem problem = store_.CheckBucket(bucket)) return *problem;
  const Outcome<ObjectPtr> source = CopySource(request);
  if (!source) return source.error();
  Outcome<std::map<std::string, std::string>> from_request = NewObjectHeaders(request);
  if (!from_request) return from_request.error();
  Outcome<std::map<std::string, std::string>> headers =
      HeadersOfCopy(request, **source, *from_request);
  if (!headers) return headers.error();
  const Outcome<ObjectPtr> existing = store_.Find(bucket, key);
  const bool replaces = request.Header("x-amz-metadata-directive") == "REPLACE" ||
                        request.head.headers.Has("x-amz-storage-class") ||
                        request.head.headers.Has("x-amz-server-side-encryption");
  if (existing && *existing == *source && !replaces) {
    return S3Error(400, "InvalidRequest", "copying an object onto itself must change something");
  }
  if ((*source)->body.size() > config_.copy_size_max) {
    return S3Error(400, "InvalidRequest",
                   "the source is larger than the maximum for a copy: " +
                       std::to_string(config_.copy_size_max));
  }
  const Outcome<std::string> etag = CopiedEtag(**source);
  if (!etag) return etag.error();
  Object object;
  object.key = key;
  object.body = (*source)->body;
  object.headers = std::move(*headers);
  object.etag = *etag;
  object.modified = NowSeconds();
  Reply reply = CopyReply("CopyObjectResult", object.etag, object.modified);
  if (Problem problem = store_.Put(bucket, std::move(object), ConditionOf(request)))
    return *problem;
  return reply;
}

Outcome<Reply> S3Service::UploadPartCopy(S3Request& request) {
  if (!config_.part_copy) return S3Error(501, "NotImplemented", "part copies are not offered");
  const Outcome<std::string> nothing = ReceiveText(request.payload(), 0);
  if (!nothing) return nothing.error();
  const Outcome<int> number = PartNumber(request);
  if (!number) return number.error();
  const std::string id = request.query.Get("uploadId");
  const Outcome<Upload> upload = store_.FindUpload(request.route.bucket, request.route.key, id);
  if (!upload) return upload.error();
  const Outcome<ObjectPtr> source = CopySource(request);
  if (!source) return source.error();
  const Outcome<ByteRange> range =
      ParseCopyRange(request.Header("x-amz-copy-source-range"), (*source)->body.size());
  if (!range) return range.error();
  if (range->length() > config_.part_size_max) {
    return S3Error(400, "EntityTooLarge", "the part is too large");
  }
  Part part;
  part.body = (*source)->body.Slice(range->begin, range->length());
  if (WantsMd5()) {
    const Outcome<std::string> md5 = Md5OfBlob(part.body);
    if (!md5) return md5.error();
    part.md5 = *md5;
  }
  part.etag = NewEtag(part.md5, part.body.size());
  part.modified = NowSeconds();
  Reply reply = CopyReply("CopyPartResult", part.etag, part.modified);
  if (Problem problem =
          store_.AddPart(request.route.bucket, request.route.key, id, *number, std::move(part))) {
    return *problem;
  }
  return reply;
}

}  // namespace quayfs::testserver
