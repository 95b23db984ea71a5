// SPDX-License-Identifier: Apache-2.0
//
// The XML of S3: replies into structs, requests into text. Facts: protocol.md 3.6, 3.7. Pure
// functions.
//
// A reply that is not what it should be (wrong root element, a number that is none, a key outside
// the requested prefix, a truncated page that leads nowhere) is kCorrupt. Times that cannot be read
// are left at zero.

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "s3/config.h"
#include "s3/types.h"

namespace quayfs::s3 {

inline constexpr size_t kXmlReplyLimit = 16u << 20;  // bytes
inline constexpr size_t kXmlErrorLimit = 64u << 10;  // bytes

/// An <Error> document; fields that were not there are empty.
struct ErrorDocument {
  std::string code;
  std::string message;
  std::string request_id;
  std::string region;
  std::string endpoint;
  std::string server_time;
};
/// The document if `body` is one, also inside <ErrorResponse>; nothing if it is anything else.
std::optional<ErrorDocument> ParseError(std::string_view body);

/// A page of either list version.
struct ListReply {
  std::vector<ObjectInfo> objects;
  std::vector<std::string> common_prefixes;
  bool truncated = false;
  /// Where the next page begins, "" unless truncated: NextContinuationToken or, in a V1 reply,
  /// NextMarker or the greater of the last key and the last common prefix.
  std::string next;
  bool is_v1 = false;  // the reply is one of ListObjects V1, whatever was asked
};
/// `asked` tells how to read a reply that says nothing of its version. Names are decoded only if
/// the reply says that they are encoded.
Result<ListReply> ParseList(std::string_view body, const ListRequest& request, ListVersion asked);

struct CopyReply {
  std::string etag;
  WallTime last_modified{};
};
/// CopyObjectResult or CopyPartResult.
Result<CopyReply> ParseCopy(std::string_view body);

/// The upload id of an InitiateMultipartUploadResult.
Result<std::string> ParseInitiate(std::string_view body);

/// The ETag of a CompleteMultipartUploadResult, "" if it has none.
Result<std::string> ParseComplete(std::string_view body);

struct PartsReply {
  std::vector<PartInfo> parts;
  bool truncated = false;
  int next_marker = 0;
};
Result<PartsReply> ParseParts(std::string_view body);

struct UploadsReply {
  std::vector<UploadInfo> uploads;  // all of them begin with the requested prefix
  bool truncated = false;
  std::string next_key_marker;
  std::string next_upload_id_marker;
};
Result<UploadsReply> ParseUploads(std::string_view body, std::string_view prefix);

struct DeleteReply {
  struct Failure {
    std::string key;
    std::string code;
    std::string message;
  };
  std::vector<std::string> deleted;
  std::vector<Failure> failures;
};
Result<DeleteReply> ParseDelete(std::string_view body);

/// Names of a ListAllMyBucketsResult.
Result<std::vector<std::string>> ParseBuckets(std::string_view body);

/// Text for an element or attribute: & < > " as names, CR and other control characters as numeric
/// references.
std::string EscapeXml(std::string_view text);

/// Whether `key` survives a DeleteObjects request: valid UTF-8, characters that XML 1.0 has, no CR,
/// LF or tab, no blank at either end (parsers may trim those). Other keys are deleted one by one.
bool XmlCarriesKey(std::string_view key);

std::string WriteComplete(const std::vector<PartInfo>& parts);
std::string WriteDelete(const std::vector<std::string>& keys);
std::string WriteCreateBucket(std::string_view region);

}  // namespace quayfs::s3
