// SPDX-License-Identifier: Apache-2.0
//
// QingStor's own API on the same store (protocol.md 2). What both protocols do alike is done by the
// S3 handlers, with the names translated; what differs is here: JSON documents, listings in an
// order of their own, moves, completion, zones. Harsher than the documents where they are silent:
// no ETag comes with a copy, a part copy or a completion, a move forgets the content type, and
// conditions of writes are ignored.

#pragma once

#include <functional>
#include <string>

#include "base/clock.h"
#include "tests/server/routing.h"
#include "tests/server/s3_service.h"
#include "tests/server/server.h"
#include "tests/server/store.h"

namespace quayfs::testserver {

/// Thread-safe. Handle blocks while it reads the request's body.
class QingStorService {
 public:
  QingStorService(const ServerConfig& config, Store& store, S3Service& s3);

  Reply Handle(S3Request& request);
  Reply ErrorReply(const S3Error& error, const S3Request& request) const;

 private:
  Outcome<Reply> HandleChecked(S3Request& request);
  Outcome<Reply> Dispatch(S3Request& request);
  /// By the S3 handler of that name, with everything translated. `status` of a success.
  Outcome<Reply> AsS3(S3Request& request, const std::string& operation, int status);
  Problem CheckZone(const S3Request& request) const;
  Problem CheckCustomerKey(S3Request& request) const;

  Outcome<Reply> ListBuckets(S3Request& request);
  Outcome<Reply> LocateBucket(S3Request& request);
  Outcome<Reply> ListObjects(S3Request& request);
  Outcome<Reply> DeleteObjects(S3Request& request);
  Outcome<Reply> MoveObject(S3Request& request);
  Outcome<Reply> CreateUpload(S3Request& request);
  Outcome<Reply> CompleteUpload(S3Request& request);
  Outcome<Reply> ListParts(S3Request& request);
  Outcome<Reply> ListUploads(S3Request& request);
  int64_t NowSeconds() const;

  const ServerConfig& config_;
  Store& store_;
  S3Service& s3_;
};

/// Which bucket, key and operation a request to QingStor means. Operations are named as in S3,
/// besides MoveObject and LocateBucket.
Route RouteQingStor(const RequestHead& head, const Query& query, const ServerConfig& config);

}  // namespace quayfs::testserver
