// SPDX-License-Identifier: Apache-2.0
//
// What an object store is to the rest of quayfs: one bucket, and the operations that every store
// has in some form.
//
// It mirrors object stores, not files: a call is about one request (a few, where a vendor needs
// them), a write appears whole or not at all, and preconditions are part of the call. Each
// implementation is held to tests/conformance.
//
// - Blocking: every method blocks the calling thread for as long as CallOptions allows. Retries
// happen inside.
// - Thread safety: every method may be called by any number of threads at once.
// - Memory: no method's memory use depends on the size of an object.
// - Errors: see each method; every method may also fail with kUnavailable, kThrottled, kTimedOut,
// kCancelled,
//   kPermissionDenied, kUnauthenticated, kUntrusted, kClockSkew, kWrongRegion, kCorrupt (a reply
//   that breaks its own rules), kIo (local store), kInternal. A write that fails with kUnavailable
//   or kTimedOut may have happened.

#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/byte_range.h"
#include "base/call.h"
#include "base/clock.h"
#include "base/result.h"

namespace quayfs {

/// User metadata: lower-case names without the vendor's prefix (x-amz-meta-), values any bytes. A
/// store encodes values so that none can break out of a header, and gives back what was stored by
/// quayfs byte for byte.
using UserMetadata = std::map<std::string, std::string>;

/// What travels with an object besides its bytes. Empty strings are not sent.
struct ObjectProperties {
  std::string content_type;
  std::string cache_control;
  std::string content_disposition;
  std::string content_encoding;
  std::string content_language;
  std::string expires;
  UserMetadata metadata;
};

/// One version of an object. `etag` is opaque and kept exactly as the store sent it, quotes
/// included; compare with SameEtag.
struct ObjectInfo {
  std::string key;
  uint64_t size = 0;
  std::string etag;
  WallTime last_modified{};
  std::string storage_class;  // "" if the store did not say
};

struct ObjectHead {
  ObjectInfo info;
  ObjectProperties properties;
};

/// True if both name the same version: quotes, a weak prefix and the case of hex digits do not
/// matter. "" equals nothing.
bool SameEtag(std::string_view a, std::string_view b);

/// What must hold at the destination for a write or delete to happen. Failing it is kChanged
/// (kAlreadyExists for kIfAbsent); a store whose Capabilities do not list the condition answers
/// kNotSupported instead of ignoring it.
struct Condition {
  enum class Kind { kNone, kIfAbsent, kIfEtag };
  Kind kind = Kind::kNone;
  std::string etag;

  static Condition None() { return {}; }
  static Condition IfAbsent() { return {Kind::kIfAbsent, {}}; }
  static Condition IfEtag(std::string etag) { return {Kind::kIfEtag, std::move(etag)}; }
};

/// Where the bytes of a write come from. A retry reads from the start again, so reads are by offset
/// and repeatable. Called from any one thread at a time.
class DataSource {
 public:
  virtual ~DataSource() = default;
  virtual uint64_t size() const = 0;
  /// Fills `out` completely; [offset, offset + out.size()) lies within size(). An error here fails
  /// the write with it.
  virtual Status Read(uint64_t offset, std::span<std::byte> out) const = 0;
};

/// Reads from memory that the caller keeps alive.
class MemorySource final : public DataSource {
 public:
  explicit MemorySource(std::span<const std::byte> data) : data_(data) {}
  explicit MemorySource(std::string_view text)
      : data_(std::as_bytes(std::span(text.data(), text.size()))) {}
  uint64_t size() const override { return data_.size(); }
  Status Read(uint64_t offset, std::span<std::byte> out) const override;

 private:
  std::span<const std::byte> data_;
};

/// Where the bytes of a read go, in order, as they arrive; only ever bytes of the object itself,
/// never of an error reply. After a broken transfer the store resumes where it stopped (pinned to
/// the same ETag) or fails; bytes are never repeated. Called from any one thread at a time, not
/// always the one that called Get.
class DataSink {
 public:
  virtual ~DataSink() = default;
  /// An error here ends the transfer and is what Get returns.
  virtual Status Write(std::span<const std::byte> data) = 0;
};

class StringSink final : public DataSink {
 public:
  Status Write(std::span<const std::byte> data) override;
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

struct GetRequest {
  std::string key;
  /// Absent: the whole object. A range that begins at or beyond the end of the object is
  /// kInvalidArgument; one that ends beyond it is cut.
  std::optional<ByteRange> range;
  /// If set, an object with another ETag is kChanged and no byte reaches the sink.
  std::string if_match;
};

struct PartInfo {
  int number = 0;  // 1-based, whatever the vendor counts from
  std::string etag;
  uint64_t size = 0;
};

struct UploadInfo {
  std::string key;
  std::string upload_id;
  WallTime initiated{};
};

struct ListRequest {
  std::string prefix;
  std::string delimiter;  // "" or "/"
  std::string token;      // "" for the first page, else ListPage::next_token, opaque
  int max_keys = 1000;
};

struct ListPage {
  std::vector<ObjectInfo> objects;
  std::vector<std::string>
      common_prefixes;     // each begins with ListRequest::prefix and ends with the delimiter
  std::string next_token;  // "" when this was the last page. A page may be empty and not the last.
};

struct DeleteOutcome {
  std::string key;
  Status status;  // a key that was not there is success
};

/// What the store really honours. Declared by the vendor's profile, corrected by probes and
/// replies; never inferred from a 2xx. Values do not change during the life of a store object
/// except from "supported" to "not supported".
struct Capabilities {
  bool put_if_absent = false;
  bool put_if_match = false;
  bool complete_if_absent = false;
  bool complete_if_match = false;
  bool delete_if_match = false;
  bool copy_if_absent = false;  // condition on the destination
  /// The version that Copy is to copy costs no request of its own to make sure of.
  bool copy_if_source_match = false;
  bool multipart = true;
  bool part_copy = true;
  bool copy = true;
  bool move = false;
  bool batch_delete = true;
  int batch_delete_max = 1000;
  bool list_in_byte_order = true;
  bool list_has_metadata = false;
  uint64_t part_size_min = 5ull << 20;  // bytes; the last part may be smaller
  uint64_t part_size_max = 5ull << 30;  // bytes
  int parts_max = 10000;
  bool equal_parts = false;               // all parts but the last must have the same size
  uint64_t put_size_max = 5ull << 30;     // bytes in a single Put
  uint64_t copy_size_max = 5ull << 30;    // bytes in a single Copy
  uint64_t object_size_max = 5ull << 40;  // bytes
  uint64_t metadata_size_max = 2048;      // bytes of names and values together
  int key_size_max = 1024;                // bytes
};

/// Room in a store, in bytes.
struct StoreSpace {
  uint64_t total = 0;
  uint64_t free = 0;  // to us
};

class ObjectStore {
 public:
  virtual ~ObjectStore() = default;

  /// A short name for logs: "s3://bucket" or "local:/srv/objects".
  virtual const std::string& name() const = 0;
  virtual Capabilities capabilities() const = 0;
  /// Absent: the store has no bounds, or does not tell them. Asks no network.
  virtual std::optional<StoreSpace> Space() const { return std::nullopt; }

  /// The bucket can be reached with these credentials: kNotFound if there is none, kWrongRegion if
  /// it lives elsewhere and the store could not follow.
  virtual Status CheckBucket(const CallOptions& call) = 0;

  /// kNotFound.
  virtual Result<ObjectHead> Head(const std::string& key, const CallOptions& call) = 0;

  /// Streams into `sink` and returns the head of what was read; info.size is the size of the whole
  /// object. kNotFound, kChanged, kInvalidArgument (range), kArchived.
  virtual Result<ObjectHead> Get(const GetRequest& request, DataSink& sink,
                                 const CallOptions& call) = 0;

  /// Writes a whole object and returns its version. kAlreadyExists, kChanged, kTooLarge,
  /// kNotSupported, kNoSpace, kQuota.
  virtual Result<ObjectInfo> Put(const std::string& key, const DataSource& data,
                                 const ObjectProperties& properties, const Condition& condition,
                                 const CallOptions& call) = 0;

  /// Multipart upload. Parts may be sent in any order and in parallel; sending a number again
  /// replaces that part. kNotFound from the later calls: the upload is not (or no longer) there.
  virtual Result<std::string> CreateUpload(const std::string& key,
                                           const ObjectProperties& properties,
                                           const CallOptions& call) = 0;
  virtual Result<PartInfo> UploadPart(const std::string& key, const std::string& upload_id,
                                      int number, const DataSource& data,
                                      const CallOptions& call) = 0;
  /// A part made of bytes of an existing object. kChanged if `source_etag` is not empty and
  /// differs.
  virtual Result<PartInfo> CopyPart(const std::string& key, const std::string& upload_id,
                                    int number, const std::string& source_key,
                                    const std::string& source_etag, ByteRange source_range,
                                    const CallOptions& call) = 0;
  /// `parts` in ascending order of number, and all that were uploaded: some services refuse to
  /// leave one out. Safe to call again after an unclear failure: it finds out whether the first
  /// call had succeeded. The returned info.size is the sum of the parts.
  virtual Result<ObjectInfo> CompleteUpload(const std::string& key, const std::string& upload_id,
                                            const std::vector<PartInfo>& parts,
                                            const Condition& condition,
                                            const CallOptions& call) = 0;
  /// Success if the upload is gone afterwards, whoever removed it.
  virtual Status AbortUpload(const std::string& key, const std::string& upload_id,
                             const CallOptions& call) = 0;
  /// All parts the store has, ascending. kNotFound.
  virtual Result<std::vector<PartInfo>> ListParts(const std::string& key,
                                                  const std::string& upload_id,
                                                  const CallOptions& call) = 0;
  /// All unfinished uploads whose key begins with `prefix`.
  virtual Result<std::vector<UploadInfo>> ListUploads(const std::string& prefix,
                                                      const CallOptions& call) = 0;

  /// One page; pages come in any order and callers must not rely on any. A directory marker equal
  /// to the prefix is listed.
  virtual Result<ListPage> List(const ListRequest& request, const CallOptions& call) = 0;

  /// Success if the object is gone afterwards. kChanged with a condition.
  virtual Status Delete(const std::string& key, const Condition& condition,
                        const CallOptions& call) = 0;
  /// Any number of keys, in as few requests as the store allows; one outcome per key, in the order
  /// given. The Result itself fails only if nothing could be sent.
  virtual Result<std::vector<DeleteOutcome>> DeleteMany(const std::vector<std::string>& keys,
                                                        const CallOptions& call) = 0;

  /// Server-side copy. Without `properties` the source's own travel along; with them they replace
  /// all of the source's. Source and destination may be the same key if `properties` are given.
  /// `source_etag` as in CopyPart; where the service does not check it, the store looks before and
  /// after, and kChanged may mean that the destination holds another whole version of the source.
  /// info.size is 0 where the service does not say. kTooLarge above Capabilities::copy_size_max:
  /// use CopyPart.
  virtual Result<ObjectInfo> Copy(const std::string& source_key, const std::string& source_etag,
                                  const std::string& key,
                                  const std::optional<ObjectProperties>& properties,
                                  const Condition& condition, const CallOptions& call) = 0;
  /// Server-side rename that replaces the destination; kNotSupported unless Capabilities::move.
  virtual Result<ObjectInfo> Move(const std::string& source_key, const std::string& key,
                                  const CallOptions& call) = 0;
};

}  // namespace quayfs
