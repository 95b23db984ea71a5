// SPDX-License-Identifier: Apache-2.0
//
// The inside of the S3 client: an operation becomes a signed request, is sent, and its reply is
// judged. Internal to s3/client*.cc.
//
// One request of the caller goes through these steps; a loop goes back to where the arrow says:
//
//   Retrier::Run -> Exchange -> Prepare (address, sign) -> Do -> judge
//        ^              ^                                      |
//        |              +-- corrected: clock, credentials,      |   each at most once per request
//        |                  region ----------------------------+
//        +-- worth a retry ------------------------------------+   within the retry policy

#pragma once

#include <atomic>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/mutex.h"
#include "s3/client.h"
#include "s3/credential_keeper.h"
#include "s3/dialect.h"
#include "s3/retry.h"
#include "s3/sign_v4.h"
#include "s3/uri.h"
#include "s3/xml.h"

namespace quayfs::s3 {

/// One S3 request before it has an address and a signature.
struct Operation {
  /// kDiscovery: the bucket, asked for at ClientConfig::service_host and without a signature.
  enum class Scope { kObject, kBucket, kService, kDiscovery };

  std::string doing;  // "read object 'a/b'": follows "cannot" in messages
  std::string method;
  Scope scope = Scope::kObject;
  std::string key;  // empty unless kObject
  std::vector<QueryParameter> query;
  HttpHeaders headers;
  const RequestBody* body = nullptr;
  std::string payload_hash{kEmptyPayloadHash};
  size_t reply_limit = kXmlErrorLimit;
  /// A 2xx without a well-formed document is a failure (copy, part copy, complete;
  /// protocol.md 3.7).
  bool reply_must_be_document = false;
  /// The service may work on it for minutes without a byte: ClientConfig::work_patience applies.
  bool long_work = false;
  std::optional<uint64_t> work_bytes;  // CallOptions'
  /// Nothing below the retry policy may send it again: the meaning of a refusal depends on whether
  /// an earlier sending may have been carried out (protocol.md 3.12).
  bool sent_once = false;
};

struct Reply {
  int status = 0;
  HttpHeaders headers;
  std::string body;
};

/// Takes the body of a 2xx as it arrives.
class SuccessBody {
 public:
  virtual ~SuccessBody() = default;
  virtual Status Begin(int status, const HttpHeaders& headers) = 0;
  virtual Status Write(std::span<const std::byte> data) = 0;
};

/// What was already changed about one request of the caller.
struct Corrections {
  bool clock = false;
  bool region = false;
  bool credentials = false;
};

/// What a Put, Copy or Complete whose reply was lost should have made; see Impl::Recognise.
struct Expected {
  std::string key;
  std::optional<uint64_t> size;
  std::string etag;  // the ETag it must have, "" if that cannot be known
  const ObjectProperties* properties = nullptr;
  WallTime since{};  // by our clock: it cannot be older
};

struct BodyDigest {
  std::string sha256;  // hex, "" if not asked for
  std::string md5;     // raw, "" if not asked for
};

class Client::Impl {
 public:
  Impl(ClientConfig config, HttpClient& http, Clock& clock);

  const ClientConfig config;
  const Dialect& dialect;
  HttpClient& http;
  Clock& clock;
  Retrier retrier;
  std::atomic<bool> batch_delete{true};
  std::atomic<bool> list_v2;

  // ---- Sending.

  /// One attempt, with corrections. The error of a reply is that of s3/errors.h; of a transfer,
  /// that of HttpClient.
  Result<Reply> Exchange(const Operation& operation, SuccessBody* stream, Corrections* corrections,
                         const CallOptions& call);
  /// With retries.
  Result<Reply> Run(const Operation& operation, const CallOptions& call);
  /// A HEAD of the bucket, for the region it tells.
  Result<std::string> LookUpRegion(const CallOptions& call);

  // ---- Building.

  Operation ObjectOperation(std::string_view verb, std::string_view method,
                            const std::string& key) const;
  Operation BucketOperation(std::string_view doing, std::string_view method) const;
  std::vector<QueryParameter> PartQuery(const std::string& upload_id, int number) const;
  /// The headers of everything that makes an object: properties, storage class, ACL, encryption.
  /// kInvalidArgument.
  Status AddObjectHeaders(const ObjectProperties& properties, HttpHeaders* headers) const;
  Status AddCondition(const Condition& condition, HttpHeaders* headers) const;
  void AddCustomerKey(HttpHeaders* headers) const;
  /// The three headers of SSE-C, whose names begin with `prefix`.
  void AddCustomerKeyAs(std::string_view prefix, HttpHeaders* headers) const;
  void AddCopySource(const std::string& source_key, const std::string& source_etag,
                     HttpHeaders* headers) const;
  /// Sets body, payload hash and, if asked for, Content-MD5, reading the body once if a digest is
  /// needed.
  Result<BodyDigest> AddBody(const RequestBody* body, bool md5_header, Operation* operation) const;
  /// The same for a small document made here; always hashed.
  void AddDocument(const MemoryBody* body, std::string_view text, Operation* operation) const;
  /// The ETag that the service gives this body, "" if that cannot be known.
  std::string Md5Etag(const RequestBody& body, const BodyDigest& digest) const;
  /// A request with its signature in the query; nothing is sent.
  Result<HttpRequest> PresignedGet(const std::string& key, std::chrono::seconds lifetime);

  // ---- Judging.

  Result<std::unordered_map<std::string, Status>> DeleteBatch(std::vector<std::string> keys,
                                                              const CallOptions& call);

  bool ExpectsMd5Etag(const HttpHeaders& reply) const;
  /// kCorrupt if the reply's ETag is an MD5 and not that of what was sent.
  Status CheckEtag(const Operation& operation, const BodyDigest& digest, const HttpHeaders& reply,
                   bool worth_a_retry) const;
  Result<ObjectHead> HeadOf(const std::string& key, const CallOptions& call);
  /// Looks at the object. Its info if it can only be what `expected` describes, else nothing.
  std::optional<ObjectInfo> Recognise(const Expected& expected, const CallOptions& call);
  /// The object if it can only be what completing this upload makes, else nothing. Fails if it
  /// could not be looked at.
  Result<std::optional<ObjectInfo>> RecogniseCompleted(const CompleteRequest& request,
                                                       const CallOptions& call);
  /// The moment `local`, three seconds earlier to be safe, by the server's clock as last seen.
  WallTime ServerMoment(WallTime local) const;

  // ---- Learned.

  std::string region() const;
  Duration offset() const;
  /// When uploads that this client began were created, by the server's clock: evidence for
  /// Complete. Bounded.
  void RememberUpload(const std::string& upload_id, WallTime created);
  void ForgetUpload(const std::string& upload_id);
  std::optional<WallTime> UploadCreated(const std::string& upload_id) const;
  /// What completing an upload has made, for a caller that asks again. Bounded.
  void RememberCompleted(const std::string& upload_id, const std::string& etag);
  /// "" if this client has not completed it, or long ago.
  std::string CompletedEtag(const std::string& upload_id) const;

 private:
  /// The learned state that one attempt was made with.
  struct Route {
    std::string region;
    std::string host;
    Duration offset{0};
    std::shared_ptr<const CredentialKeeper::Signing> signing;
  };

  Result<Route> CurrentRoute(const CallOptions& call);
  HttpRequest Prepare(const Operation& operation, const Route& route) const;
  void Sign(const Operation& operation, const Route& route, HttpRequest* request) const;
  /// Any status is a success here.
  Result<Reply> Send(const Operation& operation, const Route& route, SuccessBody* stream,
                     const CallOptions& call);
  void NoteServerTime(const HttpHeaders& headers);
  bool HidesError(const Operation& operation, const Reply& reply) const;
  Error ServiceError(const Operation& operation, const Reply& reply) const;
  bool Correct(const Operation& operation, const Error& error, const Reply& reply,
               const Route& route, Corrections* corrections, const CallOptions& call);
  bool CorrectClock(const Error& error, const Reply& reply, const Route& route);
  bool CorrectCredentials(const Error& error, const Route& route, const CallOptions& call);
  bool CorrectRegion(const Error& error, const Route& route, const CallOptions& call);
  bool payload_unsigned() const;

  CredentialKeeper keeper_;
  std::atomic<int64_t> server_ahead_ns_{0};  // by the last Date header, to about a second
  mutable Mutex mutex_{LockRank::kS3Client};
  std::string region_ QUAY_GUARDED_BY(mutex_);
  std::string host_ QUAY_GUARDED_BY(mutex_);
  Duration offset_ QUAY_GUARDED_BY(mutex_){0};
  std::map<std::string, WallTime> uploads_ QUAY_GUARDED_BY(mutex_);
  std::map<std::string, std::string> completed_ QUAY_GUARDED_BY(mutex_);  // upload id to ETag
  std::deque<std::string> completed_order_ QUAY_GUARDED_BY(mutex_);       // the oldest first
};

/// Whether a request that failed so may all the same have been carried out.
bool MayHaveHappened(const Error& error);

/// The error of a write with a condition: a failed If-None-Match is kAlreadyExists, an If-Match
/// without object kChanged.
Error WithCondition(const Error& error, const Condition& condition);

/// An object's description from the headers of a HEAD or GET; the size is left at 0.
ObjectHead ParseObjectHeaders(const Dialect& dialect, const std::string& key,
                              const HttpHeaders& headers);

/// "32 hex digits" without quotes, or "" if the ETag is nothing like an MD5.
std::string Md5OfEtag(std::string_view etag);

}  // namespace quayfs::s3
