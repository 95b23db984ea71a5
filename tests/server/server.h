// SPDX-License-Identifier: Apache-2.0
//
// An S3 endpoint on loopback for tests: keeps buckets in a directory or in memory, verifies
// signatures with code of its own (not quayfs's), is stricter than real services, and misbehaves on
// command.
//
// Runs in the test's process (Server::Start) or as the program quayfs-testserver. Thread-safe.

#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace quayfs::testserver {

/// What to do to requests instead of, or on top of, answering them.
enum class FaultKind {
  kStatus,          // answer `status` with error code `code` instead of doing anything
  kResetBefore,     // close with RST before a byte of the reply; the request is not carried out
  kResetInRequest,  // RST after half of the request body has been read; not carried out
  kResetInReply,    // carried out; RST after half of the reply body
  kLostReply,       // carried out; RST before a byte of the reply
  kTruncateBody,    // Content-Length says more than is sent, then a clean close
  kExtraBytes,      // more body bytes than Content-Length says
  kWrongRange,      // a ranged GET answers 206 with another offset
  kIgnoreRange,     // a ranged GET answers 200 with the whole object
  kSlowDrip,        // the reply body at `bytes_per_second`
  kBlackHole,       // read the request, never answer, keep the connection
  kErrorIn200,      // carried out or not (`carry_out`), then 200 with an <Error> body
  kCorruptBody,     // one bit of the reply body flipped
  kWrongEtag,       // the reply's ETag is another one
  kRedirect,        // 307 to `location`
};

struct Fault {
  FaultKind kind = FaultKind::kStatus;
  // Which requests: every field that is set must match.
  std::string method;     // "" = any
  std::string operation;  // such as "PutObject", "UploadPart", "ListObjectsV2"; "" = any
  std::string key_contains;
  int skip = 0;            // let this many matching requests pass first
  int count = 1;           // then hit this many; -1 = all from then on
  double probability = 1;  // of those, by the server's seeded generator
  // How.
  int status = 503;
  std::string code = "SlowDown";
  std::string retry_after;  // header value, "" for none
  std::string location;
  uint64_t bytes_per_second = 1;
  bool carry_out = false;
};

/// One finished (or broken off) request.
struct RequestRecord {
  uint64_t number = 0;
  std::string method;
  std::string operation;
  std::string bucket;
  std::string key;
  std::string query;
  int status = 0;              // 0 if no reply was sent
  uint64_t request_bytes = 0;  // of the body
  uint64_t reply_bytes = 0;
  std::map<std::string, std::string>
      headers;  // of the request, lower-case names; without Authorization
  std::chrono::steady_clock::time_point started;
  std::chrono::steady_clock::time_point finished;
  std::string fault;  // name of the fault that hit it, "" if none
};

struct Account {
  std::string access_key_id;
  std::string secret_access_key;
  std::string session_token;  // if set, required
};

/// Which protocol is spoken. kQingStor: QingStor's own API; `region` is the zone, and listings have
/// an order of their own (protocol.md 2).
/// kKodo: an S3 gateway with Kodo's habits (protocol.md 1.3, 1.4: conditions of writes are ignored
/// with a success, no encoding-type, IncorrectRegion, its own classes and limits), and on the same
/// port the native API's move, delete, stat and batch (1.6).
enum class Protocol { kS3, kQingStor, kKodo };

struct ServerConfig {
  Protocol protocol = Protocol::kS3;
  std::string address = "127.0.0.1";
  uint16_t port = 0;  // 0: any free one
  bool tls = false;   // with a self-signed certificate made at start
  /// From now; a negative one has expired already.
  std::chrono::seconds certificate_life = std::chrono::hours(30 * 24);
  std::string directory;  // bodies and metadata below it; "" = in memory
  std::vector<std::string> buckets = {"test"};
  std::vector<Account> accounts = {{"test-key", "test-secret", ""}};
  /// What STS (POST /), the metadata of an instance (/latest/...) and the endpoint of a container
  /// (/container/credentials) give out. With it these are served, and the account is known.
  std::optional<Account> issued;
  std::chrono::seconds issued_life = std::chrono::hours(1);
  bool allow_anonymous = false;
  std::string region = "us-east-1";    // a V4 scope that names another one is refused, as AWS does
  std::string domain = "localhost";    // BUCKET.domain in Host means virtual-host style
  std::chrono::milliseconds delay{0};  // added to each request
  uint64_t part_size_min = 5ull << 20;
  int page_size_max = 1000;
  bool conditional_writes = true;  // false: conditions are ignored with a 200, as Kodo does
  bool list_v2 = true;             // false: list-type=2 is ignored and answered as V1
  bool kodo_move_keeps_metadata = true;
  std::string kodo_bucket;        // the native name of every bucket, if it is another one
  bool batch_delete = true;       // false: 501
  bool part_copy = true;          // false: 501
  bool shuffle_listings = false;  // pages in an order of their own, opaque markers
  std::chrono::seconds clock_offset{
      0};  // of the server's clock; dates more than 15 minutes off are refused
  uint64_t seed = 1;
  bool fast_etag = false;     // ETags from a counter and the length instead of MD5, for benchmarks
  bool encoding_type = true;  // false: encoding-type is ignored in listings, as Kodo does
  uint64_t part_size_max = 5ull << 30;
  int part_count_max = 10000;
  uint64_t put_size_max = 5ull << 30;   // of a single PUT
  uint64_t copy_size_max = 5ull << 30;  // of a single CopyObject
  std::vector<std::string> storage_classes = {"STANDARD",     "REDUCED_REDUNDANCY",  "STANDARD_IA",
                                              "ONEZONE_IA",   "INTELLIGENT_TIERING", "GLACIER",
                                              "DEEP_ARCHIVE", "GLACIER_IR"};
  size_t log_limit = 1000000;  // older requests are forgotten (counts are not)
  std::string log_file;        // one JSON line per request is appended here, "" for none
};

class Server {
 public:
  static Result<std::unique_ptr<Server>> Start(const ServerConfig& config);
  virtual ~Server() = default;  // stops: open connections are closed, threads joined

  virtual uint16_t port() const = 0;
  virtual std::string endpoint() const = 0;          // "http://127.0.0.1:PORT"
  virtual std::string certificate_pem() const = 0;   // of a TLS server
  virtual std::string certificate_sha1() const = 0;  // hex
  virtual std::string certificate_sha256() const = 0;

  virtual void SetDelay(std::chrono::milliseconds delay) = 0;
  virtual void AddFault(const Fault& fault) = 0;
  virtual void ClearFaults() = 0;

  virtual std::vector<RequestRecord> Log() const = 0;
  /// Requests by operation since the last ResetLog.
  virtual std::map<std::string, uint64_t> Counts() const = 0;
  virtual uint64_t Count(const std::string& operation) const = 0;
  virtual void ResetLog() = 0;

  // The bucket's contents, past all protocol.
  virtual std::vector<std::string> Keys(const std::string& bucket) const = 0;
  virtual std::optional<std::string> Body(const std::string& bucket,
                                          const std::string& key) const = 0;
  virtual std::map<std::string, std::string> Headers(const std::string& bucket,
                                                     const std::string& key) const = 0;
  virtual void PutDirect(const std::string& bucket, const std::string& key, const std::string& body,
                         const std::map<std::string, std::string>& headers) = 0;
  virtual void DeleteDirect(const std::string& bucket, const std::string& key) = 0;
  virtual size_t UnfinishedUploads(const std::string& bucket) const = 0;
  /// The largest number of requests that were being served at the same moment since ResetLog.
  virtual int MaxConcurrent() const = 0;
  /// Of requests that are being served now; those of a client that has been killed go on.
  virtual int Concurrent() const = 0;
};

}  // namespace quayfs::testserver
