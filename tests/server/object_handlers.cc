// SPDX-License-Identifier: Apache-2.0

#include <algorithm>
#include <array>

#include "base/byte_range.h"
#include "base/text.h"
#include "tests/server/s3_service.h"

namespace quayfs::testserver {
namespace {

constexpr std::array<std::string_view, 6> kOverrides = {"cache-control",    "content-disposition",
                                                        "content-encoding", "content-language",
                                                        "content-type",     "expires"};

/// A single "bytes=" range; none if the header is to be ignored (malformed, several ranges, no
/// header).
struct Wanted {
  bool present = false;
  bool satisfiable = false;
  ByteRange range;
};

Wanted ParseRange(const std::string& header, uint64_t size) {
  Wanted wanted;
  if (!header.starts_with("bytes=")) return wanted;
  const std::string_view spec = TrimBlanks(std::string_view(header).substr(6));
  const size_t dash = spec.find('-');
  if (dash == std::string_view::npos || spec.find(',') != std::string_view::npos) return wanted;
  const Result<uint64_t> first = ParseUint(spec.substr(0, dash));
  const Result<uint64_t> last = ParseUint(spec.substr(dash + 1));
  if (dash == 0) {
    if (!last) return wanted;
    wanted.present = true;
    wanted.satisfiable = *last > 0 && size > 0;
    wanted.range = {size - std::min(size, *last), size};
    return wanted;
  }
  const bool open_end = dash + 1 == spec.size();
  if (!first || (!open_end && (!last || *last < *first))) return wanted;
  wanted.present = true;
  wanted.satisfiable = *first < size;
  if (!wanted.satisfiable) return wanted;
  const uint64_t end = open_end || *last >= size ? size : *last + 1;
  wanted.range = {*first, end};
  return wanted;
}

/// The same number of bytes from somewhere else, if the object is long enough for that.
ByteRange Misplaced(ByteRange range, uint64_t size) {
  if (range.begin > 0) return {range.begin - 1, range.end - 1};
  if (range.end < size) return {range.begin + 1, range.end + 1};
  return size > 1 ? ByteRange{1, size} : range;
}

std::string ContentRange(ByteRange range, uint64_t size) {
  return "bytes " + std::to_string(range.begin) + "-" + std::to_string(range.end - 1) + "/" +
         std::to_string(size);
}

void SetObjectHeaders(const Object& object, Reply* reply) {
  reply->Set("ETag", Quoted(object.etag));
  reply->Set("Last-Modified", HttpDate(object.modified));
  reply->Set("Accept-Ranges", "bytes");
  for (const auto& [name, value] : object.headers) {
    if (name != "x-amz-acl") reply->Set(name, value);
  }
  if (object.restored) reply->Set("x-amz-restore", "ongoing-request=\"false\"");
}

Problem ApplyOverrides(const S3Request& request, Reply* reply) {
  for (const std::string_view name : kOverrides) {
    const std::string* value = request.query.Find("response-" + std::string(name));
    if (value == nullptr) continue;
    if (request.identity.anonymous) {
      return S3Error(400, "InvalidRequest",
                     "response headers can only be chosen in signed requests");
    }
    reply->Set(name, *value);
  }
  return std::nullopt;
}

Problem CheckSize(uint64_t size, uint64_t limit) {
  if (size <= limit) return std::nullopt;
  return S3Error(400, "EntityTooLarge", "the body is larger than one request may carry")
      .With("ProposedSize", std::to_string(size))
      .With("MaxSizeAllowed", std::to_string(limit));
}

}  // namespace

Outcome<Reply> S3Service::PutObject(S3Request& request) {
  const std::string& bucket = request.route.bucket;
  const std::string& key = request.route.key;
  Object object;
  object.key = key;
  const WriteCondition condition = ConditionOf(request);
  if (Problem problem = store_.CheckCondition(bucket, key, condition)) return *problem;
  Outcome<std::map<std::string, std::string>> headers = NewObjectHeaders(request);
  if (!headers) return headers.error();
  object.headers = std::move(*headers);
  const Outcome<uint64_t> length = PayloadLength(request.payload());
  if (!length) return length.error();
  if (Problem problem = CheckSize(*length, config_.put_size_max)) return *problem;
  Outcome<ReceivedBlob> received = ReceiveBlob(request.payload(), store_.chunks(), WantsMd5());
  if (!received) return received.error();
  object.body = std::move(received->blob);
  object.etag = NewEtag(received->md5, object.body.size());
  object.modified = NowSeconds();
  Reply reply;
  reply.Set("ETag", Quoted(object.etag));
  const auto encryption = object.headers.find("x-amz-server-side-encryption");
  if (encryption != object.headers.end()) reply.Set(encryption->first, encryption->second);
  if (Problem problem = store_.Put(bucket, std::move(object), condition)) return *problem;
  return reply;
}

Outcome<Reply> S3Service::HeadObject(S3Request& request) {
  S3Request plain = request;
  plain.wrong_range = false;
  return GetObject(plain);
}

Outcome<Reply> S3Service::GetObject(S3Request& request) {
  const Outcome<ObjectPtr> found = store_.Find(request.route.bucket, request.route.key);
  if (!found) return found.error();
  const Object& object = **found;
  const HeaderList& headers = request.head.headers;
  if (Problem problem = CheckReadConditions(headers, "", object)) return *problem;
  if (request.head.method == "GET" && IsArchived(object)) {
    return S3Error(403, "InvalidObjectState", "the object must be restored before it can be read")
        .With("StorageClass", StorageClassOf(object));
  }
  Reply reply;
  SetObjectHeaders(object, &reply);
  if (Problem problem = ApplyOverrides(request, &reply)) return *problem;
  const std::string* if_range = headers.Find("if-range");
  const bool ranges =
      !request.ignore_range && (if_range == nullptr || EtagMatches(*if_range, object.etag));
  const uint64_t size = object.body.size();
  const Wanted wanted = ranges ? ParseRange(headers.Get("range"), size) : Wanted();
  if (!wanted.present) {
    reply.blob = object.body;
    return reply;
  }
  if (!wanted.satisfiable) {
    return S3Error(416, "InvalidRange", "the range lies behind the end of the object")
        .With("RangeRequested", headers.Get("range"))
        .With("ActualObjectSize", std::to_string(size))
        .WithHeader("Content-Range", "bytes */" + std::to_string(size));
  }
  const ByteRange range = request.wrong_range ? Misplaced(wanted.range, size) : wanted.range;
  reply.status = 206;
  reply.Set("Content-Range", ContentRange(range, size));
  reply.blob = object.body.Slice(range.begin, range.length());
  return reply;
}

Outcome<Reply> S3Service::RestoreObject(S3Request& request) {
  const Outcome<std::string> body = ReceiveText(request.payload(), 64 << 10);
  if (!body) return body.error();
  const Outcome<ObjectPtr> found = store_.Find(request.route.bucket, request.route.key);
  if (!found) return found.error();
  Object object = **found;
  Reply reply;
  if (object.restored) return reply;
  if (!IsArchived(object)) {
    return S3Error(403, "InvalidObjectState", "only archived objects can be restored")
        .With("StorageClass", StorageClassOf(object));
  }
  object.restored = true;
  const std::string etag = object.etag;
  if (Problem problem = store_.Put(request.route.bucket, std::move(object), {etag, ""})) {
    return *problem;
  }
  reply.status = 202;
  return reply;
}

}  // namespace quayfs::testserver
