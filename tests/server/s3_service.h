// SPDX-License-Identifier: Apache-2.0
//
// The S3 operations: from a parsed request to a reply. Stricter than real services where they are
// lax. The handlers of one family lie in one file: bucket_handlers.cc, list_handlers.cc,
// object_handlers.cc, copy_handlers.cc, delete_handlers.cc, multipart_handlers.cc.

#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <string>

#include "base/clock.h"
#include "tests/server/auth.h"
#include "tests/server/payload.h"
#include "tests/server/routing.h"
#include "tests/server/server.h"
#include "tests/server/store.h"

namespace quayfs::testserver {

struct S3Request {
  const RequestHead& head;
  const Query& query;
  const Route& route;
  RequestBody& body;
  std::string request_id;
  bool ignore_range = false;  // faults
  bool wrong_range = false;
  Identity identity;  // filled in by S3Service::Handle

  std::string Header(std::string_view name) const { return head.headers.Get(name); }
  PayloadContext payload() const { return {body, head.headers, identity}; }
};

/// Thread-safe. Handle blocks while it reads the request's body.
class S3Service {
 public:
  S3Service(const ServerConfig& config, Store& store, std::function<WallTime()> now);

  Reply Handle(S3Request& request);
  /// One operation for a client that is known already, whatever it is called in the request.
  Outcome<Reply> Perform(const std::string& operation, S3Request& request);
  /// The reply that tells of `error`.
  Reply ErrorReply(const S3Error& error, const S3Request& request) const;

  WallTime Now() const { return now_(); }
  /// An ETag for a single upload.
  std::string NewEtag(const std::string& md5_raw, uint64_t size);

 private:
  using Handler = Outcome<Reply> (S3Service::*)(S3Request&);
  static const std::map<std::string, Handler>& Handlers();

  Outcome<Reply> HandleChecked(S3Request& request);
  int64_t NowSeconds() const;
  bool WantsMd5() const { return !config_.fast_etag; }

  // bucket_handlers.cc
  Outcome<Reply> ListBuckets(S3Request& request);
  Outcome<Reply> CreateBucket(S3Request& request);
  Outcome<Reply> DeleteBucket(S3Request& request);
  Outcome<Reply> HeadBucket(S3Request& request);
  Outcome<Reply> GetBucketLocation(S3Request& request);
  Outcome<Reply> GetBucketVersioning(S3Request& request);
  Outcome<Reply> GetAcl(S3Request& request);
  Outcome<Reply> PutAcl(S3Request& request);

  // list_handlers.cc
  Outcome<Reply> ListObjectsV1(S3Request& request);
  Outcome<Reply> ListObjectsV2(S3Request& request);

  // object_handlers.cc
  Outcome<Reply> PutObject(S3Request& request);
  Outcome<Reply> GetObject(S3Request& request);
  Outcome<Reply> HeadObject(S3Request& request);
  Outcome<Reply> RestoreObject(S3Request& request);

  // copy_handlers.cc
  Outcome<Reply> CopyObject(S3Request& request);
  Outcome<Reply> UploadPartCopy(S3Request& request);
  Outcome<ObjectPtr> CopySource(const S3Request& request) const;
  Outcome<std::string> CopiedEtag(const Object& source);

  // delete_handlers.cc
  Outcome<Reply> DeleteObject(S3Request& request);
  Outcome<Reply> DeleteObjects(S3Request& request);

  // multipart_handlers.cc
  Outcome<Reply> CreateMultipartUpload(S3Request& request);
  Outcome<Reply> UploadPart(S3Request& request);
  Outcome<Reply> CompleteMultipartUpload(S3Request& request);
  Outcome<Reply> AbortMultipartUpload(S3Request& request);
  Outcome<Reply> ListParts(S3Request& request);
  Outcome<Reply> ListMultipartUploads(S3Request& request);
  Outcome<int> PartNumber(const S3Request& request) const;
  Outcome<Object> AssembleParts(const S3Request& request, const Upload& upload,
                                const std::string& body);

  // object_rules.cc
  /// The headers that a new object keeps, checked: metadata, storage class, ACL, encryption.
  Outcome<std::map<std::string, std::string>> NewObjectHeaders(const S3Request& request) const;
  /// None if the server ignores conditions of writes.
  WriteCondition ConditionOf(const S3Request& request) const;

  const ServerConfig& config_;
  Store& store_;
  const std::function<WallTime()> now_;
  std::atomic<uint64_t> etag_counter_{1};
  std::atomic<uint64_t> upload_counter_{1};
};

// object_rules.cc

/// `etag` with its quotes.
std::string Quoted(const std::string& etag);
/// A 200 with `xml` as its body.
Reply XmlReply(std::string xml);
/// Last-Modified of a header; of an XML element.
std::string HttpDate(int64_t seconds);
std::string XmlDate(int64_t seconds);
/// True if the object cannot be read before it is restored.
bool IsArchived(const Object& object);
/// STANDARD unless the object says otherwise.
std::string StorageClassOf(const Object& object);
/// If-Match, If-None-Match, If-Modified-Since and If-Unmodified-Since with `prefix` before their
/// names ("" or "x-amz-copy-source-"). 412, or 304 where that is the answer of a GET.
Problem CheckReadConditions(const HeaderList& headers, const std::string& prefix,
                            const Object& object);

}  // namespace quayfs::testserver
