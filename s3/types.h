// SPDX-License-Identifier: Apache-2.0
//
// What goes into and comes out of the S3 client (s3/client.h). Plain data, plus the sink of a
// download. The body of an upload is a RequestBody of s3/http.h: sized, read by offset, the same
// bytes every time it is read.

#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/byte_range.h"
#include "base/clock.h"
#include "base/result.h"
#include "s3/http.h"

namespace quayfs::s3 {

/// What travels with an object besides its bytes. Empty strings are not sent. Names in `metadata`
/// have no prefix, are lower case and a token of HTTP; values are any bytes (see
/// s3/metadata_codec.h for how they travel).
struct ObjectProperties {
  std::string content_type;
  std::string cache_control;
  std::string content_disposition;
  std::string content_encoding;
  std::string content_language;
  std::string expires;
  std::map<std::string, std::string> metadata;
};

/// One version of an object. `etag` is kept as the service sent it, quotes included; compare with
/// EtagsMatch.
struct ObjectInfo {
  std::string key;
  uint64_t size = 0;
  std::string etag;
  WallTime last_modified{};
  std::string storage_class;  // "" if the service did not say, which on AWS means STANDARD
};

struct ObjectHead {
  ObjectInfo info;
  ObjectProperties properties;
};

/// True if both name the same version: quotes, a weak prefix and the case of hex digits do not
/// matter. "" equals nothing.
bool EtagsMatch(std::string_view a, std::string_view b);

/// What must hold at the destination of a write or delete. It is sent as If-None-Match: * or
/// If-Match; whether the service honours it is the caller's knowledge (protocol.md 3.8).
struct Condition {
  enum class Kind { kNone, kIfAbsent, kIfEtag };
  Kind kind = Kind::kNone;
  std::string etag;
};

/// Takes the bytes of an object in order, each once, never those of an error reply. Called by one
/// thread at a time, which may be the HTTP client's loop thread: it must not block for long. An
/// error ends the transfer and is what Get returns.
class ByteSink {
 public:
  virtual ~ByteSink() = default;
  virtual Status Write(std::span<const std::byte> data) = 0;
};

/// A RequestBody over memory that the caller keeps alive.
class MemoryBody final : public RequestBody {
 public:
  explicit MemoryBody(std::string_view text) : text_(text) {}
  uint64_t size() const override { return text_.size(); }
  Status Read(uint64_t offset, std::span<std::byte> out) const override;

 private:
  std::string_view text_;
};

struct GetRequest {
  std::string key;
  /// Absent: the whole object. One that ends beyond the object is cut; one that begins at or beyond
  /// its end is kInvalidArgument. Must not be empty.
  std::optional<ByteRange> range;
  std::string if_match;  // "" for whatever version is there
};

struct PutRequest {
  std::string key;
  const RequestBody* body = nullptr;  // null: an empty object
  ObjectProperties properties;
  Condition condition;
};

struct CopyRequest {
  std::string source_key;   // in the same bucket
  std::string source_etag;  // "" for whatever version is there
  std::string key;
  /// Absent: the source's travel along. Given: they replace all of the source's.
  std::optional<ObjectProperties> properties;
  Condition condition;
};

/// `number` is 1-based.
struct PartInfo {
  int number = 0;
  std::string etag;
  uint64_t size = 0;
};

struct UploadPartRequest {
  std::string key;
  std::string upload_id;
  int number = 0;
  const RequestBody* body = nullptr;
};

struct CopyPartRequest {
  std::string key;
  std::string upload_id;
  int number = 0;
  std::string source_key;
  std::string source_etag;  // "" for whatever version is there
  ByteRange source_range;   // not empty, within the source
};

struct MoveRequest {
  std::string source_key;  // in the same bucket
  std::string key;         // replaced if it is there
};

struct CompleteRequest {
  std::string key;
  std::string upload_id;
  std::vector<PartInfo>
      parts;  // ascending numbers; sizes are used to recognise the finished object
  Condition condition;
};

struct UploadInfo {
  std::string key;
  std::string upload_id;
  WallTime initiated{};
};

struct ListRequest {
  std::string prefix;
  std::string delimiter;
  std::string token;  // "" for the first page, else ListPage::next_token
  int max_keys = 1000;
};

struct ListPage {
  std::vector<ObjectInfo> objects;           // every key begins with ListRequest::prefix
  std::vector<std::string> common_prefixes;  // likewise
  std::string next_token;                    // "" on the last page; opaque
};

/// One key of a DeleteMany. A key that was not there is success.
struct DeleteOutcome {
  std::string key;
  Status status;
};

}  // namespace quayfs::s3
