// SPDX-License-Identifier: Apache-2.0
//
// The S3 client: one bucket at one endpoint, a method per S3 operation. It signs, sends, retries,
// checks what comes back and turns it into the types of s3/types.h. It knows nothing of files and
// keeps no object data.
//
// - Thread safety: every method may be called by any number of threads at once. Shared state is
// small: the region learned from
//   replies, the clock offset, what the service was found not to support, and the retry quota.
// - Blocking: every method blocks until it is done, CallOptions says otherwise, or the retry policy
// gives up.
// - Memory: bodies are streamed; XML replies are limited to 16 MiB, error bodies to 64 KiB.
// - Errors: codes of base/error.h by the table in s3/errors.h, with the key in the message and the
// service's answer in
//   Error::detail. A reply that breaks its own rules (length, range, ETag, XML) is kCorrupt.
// - Repetition (protocol.md 3.12): a request that may have been carried out is repeated only where
// that is harmless.
//   Where it is not, the client finds out what happened before it goes on: see Put, CreateUpload
//   and CompleteUpload.
//
// Protocol facts: protocol.md 3, 4.3 to 4.7, 5.

#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/call.h"
#include "base/clock.h"
#include "base/result.h"
#include "s3/config.h"
#include "s3/http.h"
#include "s3/retry.h"
#include "s3/types.h"

namespace quayfs::s3 {

/// kInvalidArgument, naming the field, for a config that no request could be made from: no host or
/// bucket, a header that would break out of its line, an SSE-C key that is not 32 bytes or would
/// travel in the clear, a session without a key.
Status CheckClientConfig(const ClientConfig& config);

class Client {
 public:
  /// REQUIRES: CheckClientConfig(config) is OK. `http` and `clock` outlive the client.
  Client(ClientConfig config, HttpClient& http, Clock& clock);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // ---- The bucket.

  /// The bucket is there and these credentials may look at it: kNotFound, kPermissionDenied,
  /// kWrongRegion.
  Status HeadBucket(const CallOptions& call);
  /// The region the bucket lives in as the service tells it, "" if it does not. Works without
  /// permission for the bucket.
  Result<std::string> BucketRegion(const CallOptions& call);
  /// Success if the bucket is ours afterwards. `acl` may be "".
  Status CreateBucket(const std::string& acl, const CallOptions& call);
  /// Names of the buckets these credentials own.
  Result<std::vector<std::string>> ListBuckets(const CallOptions& call);

  // ---- Objects.

  /// kNotFound.
  Result<ObjectHead> Head(const std::string& key, const CallOptions& call);

  /// Streams into `sink`; the returned info.size is the size of the whole object. A broken transfer
  /// goes on where it stopped, pinned to the same ETag; without an ETag to pin it fails. kNotFound,
  /// kChanged, kInvalidArgument (range), kArchived.
  Result<ObjectHead> Get(const GetRequest& request, ByteSink& sink, const CallOptions& call);

  /// kAlreadyExists (kIfAbsent), kChanged (kIfEtag), kNotSupported (the service refuses
  /// conditions), kTooLarge. When the reply to a conditional Put was lost and the repetition is
  /// refused, the object is looked at: if it is what was sent, that is success.
  Result<ObjectInfo> Put(const PutRequest& request, const CallOptions& call);

  /// Server-side copy within the bucket. info.size is 0: the service does not say. kNotFound: no
  /// source. kChanged: `source_etag` or the condition.
  Result<ObjectInfo> Copy(const CopyRequest& request, const CallOptions& call);

  /// Server-side rename within the bucket, where the dialect has one (kNotSupported elsewhere).
  /// The source is looked at first, so that a lost reply leaves no doubt: afterwards the
  /// destination holds that version and the source is gone, or nothing has happened. kNotFound: no
  /// source.
  Result<ObjectInfo> Move(const MoveRequest& request, const CallOptions& call);

  /// Success if the object is gone afterwards. kChanged with a condition.
  Status Delete(const std::string& key, const Condition& condition, const CallOptions& call);

  /// Any number of keys, 1000 per request; one by one those whose names XML cannot carry, and all
  /// of them once the service was seen to have no multi-object delete. Outcomes in the order of
  /// `keys`. The Result itself fails only if nothing could be sent. After the first request that
  /// fails as a whole, the rest get the same error.
  Result<std::vector<DeleteOutcome>> DeleteMany(const std::vector<std::string>& keys,
                                                const CallOptions& call);

  // ---- Multipart uploads. kNotFound: no such upload (any more).

  /// If the reply to a first attempt was lost, uploads for the same key begun in that moment, and
  /// not known to this client, are aborted once a later attempt has succeeded.
  Result<std::string> CreateUpload(const std::string& key, const ObjectProperties& properties,
                                   const CallOptions& call);
  Result<PartInfo> UploadPart(const UploadPartRequest& request, const CallOptions& call);
  Result<PartInfo> CopyPart(const CopyPartRequest& request, const CallOptions& call);
  /// info.size is the sum of the parts. After an unclear failure, or when the upload is gone, the
  /// object is looked at before anything is sent again. It counts as this upload's only on
  /// evidence: the ETag that this client was told for one of its last thousand completions, or that
  /// the parts must give; or size, number of parts and time, for an upload that this client began.
  /// Otherwise kNotFound, and the caller uploads again. Limits: where ETags are not digests, an
  /// upload that an earlier process began or completed is not recognised; nor is an object that
  /// somebody has replaced since, wherever.
  Result<ObjectInfo> CompleteUpload(const CompleteRequest& request, const CallOptions& call);
  /// Success if the upload is gone afterwards.
  Status AbortUpload(const std::string& key, const std::string& upload_id, const CallOptions& call);
  /// All parts, ascending.
  Result<std::vector<PartInfo>> ListParts(const std::string& key, const std::string& upload_id,
                                          const CallOptions& call);
  /// All unfinished uploads whose key begins with `prefix`.
  Result<std::vector<UploadInfo>> ListUploads(const std::string& prefix, const CallOptions& call);

  // ---- Listing.

  /// One page. Asks in the configured version; a service that answers a V2 request with a V1 reply
  /// is remembered as V1-only.
  Result<ListPage> List(const ListRequest& request, const CallOptions& call);

  // ---- Without a request.

  /// A URL that anybody may GET for `lifetime` (1 second to 7 days; kInvalidArgument otherwise, or
  /// when anonymous).
  Result<std::string> PresignGet(const std::string& key, std::chrono::seconds lifetime) const;

  /// What has been learned so far.
  std::string region() const;
  bool batch_delete_supported() const;
  ListVersion list_version() const;
  /// The server's clock minus ours, as used for signing; 0 until a difference of more than five
  /// minutes was seen.
  Duration clock_offset() const;
  /// Attempts, retries and throttling replies so far; for status and for adapting concurrency.
  RetryCounters retry_counters() const;
  const ClientConfig& config() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace quayfs::s3
