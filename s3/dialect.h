// SPDX-License-Identifier: Apache-2.0
//
// How a protocol of the S3 family is spelled: the names of its headers and parameters, its
// documents, and its signature where that is its own. What to send, when to repeat it and what a
// reply proves is the client's business and the same for all of them (s3/client.h).
//
// S3 itself is S3Dialect() below; a service with an API of its own brings another one. A dialect is
// immutable and lives as long as the program. Thread-safe, no request is sent.

#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "base/result.h"
#include "s3/config.h"
#include "s3/http.h"
#include "s3/types.h"
#include "s3/uri.h"
#include "s3/xml.h"

namespace quayfs::s3 {

/// "" where the protocol has no such thing.
struct DialectNames {
  // Headers.
  std::string_view metadata_prefix;
  std::string_view storage_class;
  std::string_view acl;
  std::string_view sse;
  std::string_view sse_kms_key_id;
  std::string_view customer_key;  // begins the three of SSE-C: algorithm, key, key-MD5
  std::string_view request_payer;
  std::string_view request_id;
  std::string_view copy_source;
  std::string_view copy_source_if_match;
  std::string_view copy_source_range;
  std::string_view copy_source_customer_key;  // as customer_key
  std::string_view move_source;
  std::string_view metadata_directive;
  std::string_view metadata_replace;  // its value
  // Query parameters.
  std::string_view upload_id;
  std::string_view part_number;
  // Content-Type of the documents that the client sends.
  std::string_view document_type;
};

/// What a listing asks for, in the client's terms.
struct ListQuestion {
  const ListRequest& request;
  std::string position;  // "" for the beginning, else ListReply::next
  ListVersion version = ListVersion::kV2;
  bool url_encode = false;
};

/// What an own signature covers besides the request itself.
struct SigningPlace {
  const Credentials& credentials;
  std::string host_bucket;  // the bucket if the host names it, else ""
  WallTime time;
};

class Dialect {
 public:
  virtual ~Dialect() = default;

  virtual const DialectNames& names() const = 0;

  // ---- Requests.

  /// Whether the path of a bucket ends with '/' in path style.
  virtual bool bucket_path_ends_with_slash() const = 0;
  /// A key as it stands in a path.
  virtual std::string EncodeKey(std::string_view key) const = 0;
  /// False: the client signs, with the version of its config. Otherwise the two below are used.
  virtual bool has_own_signature() const = 0;
  virtual void Sign(HttpRequest* request, const SigningPlace& place) const = 0;
  /// In the query; `expires` is Unix seconds.
  virtual void Presign(HttpRequest* request, const SigningPlace& place, int64_t expires) const = 0;

  virtual std::vector<QueryParameter> ListQuery(const ListQuestion& question) const = 0;
  virtual std::vector<QueryParameter> PartsQuery(const std::string& upload_id,
                                                 int marker) const = 0;
  /// The markers are those of the last UploadsReply, "" for the beginning.
  virtual std::vector<QueryParameter> UploadsQuery(const std::string& prefix,
                                                   const std::string& key_marker,
                                                   const std::string& upload_marker,
                                                   bool url_encode) const = 0;
  virtual std::string WriteDelete(const std::vector<std::string>& keys) const = 0;
  virtual std::string WriteComplete(const std::vector<PartInfo>& parts) const = 0;
  /// The ETag that a completion announces, "" for none.
  virtual std::string AnnouncedEtag(const std::vector<PartInfo>& parts) const = 0;
  /// The body of a request to create the bucket, "" for none.
  virtual std::string WriteCreateBucket(std::string_view region) const = 0;
  /// Whether the multi-object delete can carry it.
  virtual bool DocumentCarriesKey(std::string_view key) const = 0;

  // ---- Replies. kCorrupt for what cannot be read.

  /// A copy and a completion answer with a document that must be read before it is a success
  /// (protocol.md 3.7); otherwise with headers alone.
  virtual bool writes_answer_in_documents() const = 0;
  /// Whether `body` is a document of this protocol at all.
  virtual bool IsDocument(std::string_view body, size_t limit) const = 0;
  virtual std::optional<ErrorDocument> ParseError(std::string_view body) const = 0;
  virtual Result<ListReply> ParseList(std::string_view body, const ListRequest& request,
                                      ListVersion asked) const = 0;
  virtual Result<std::string> ParseInitiate(std::string_view body) const = 0;
  /// An ETag of "" where the service does not say.
  virtual Result<CopyReply> ParseCopy(std::string_view body, const HttpHeaders& headers) const = 0;
  virtual Result<std::string> ParseComplete(std::string_view body,
                                            const HttpHeaders& headers) const = 0;
  virtual Result<PartsReply> ParseParts(std::string_view body) const = 0;
  virtual Result<UploadsReply> ParseUploads(std::string_view body,
                                            std::string_view prefix) const = 0;
  virtual Result<DeleteReply> ParseDelete(std::string_view body) const = 0;
  virtual Result<std::vector<std::string>> ParseBuckets(std::string_view body) const = 0;

  // ---- Where the bucket is.

  /// Whether a wrong region could be behind the failure. `about_bucket`: the request named no
  /// object.
  virtual bool MayBeElsewhere(const Error& error, bool about_bucket) const = 0;
  /// The region that the reply to a HEAD of the bucket tells, "" if it does not.
  virtual std::string RegionOfReply(int status, const HttpHeaders& headers,
                                    std::string_view bucket) const = 0;
};

/// Amazon's S3 and what is compatible with it (protocol.md 3).
const Dialect& S3Dialect();

}  // namespace quayfs::s3
