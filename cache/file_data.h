// SPDX-License-Identifier: Apache-2.0
//
// The contents of one file: a sparse file on the local disk, what of it is valid, what of it is
// newer than the bucket, and how both are brought together. Knows keys, ETags and bytes; knows
// nothing of names, inodes' attributes or handles.
//
// Every byte of [0, size) is in one state:
//
//   state    local file holds  the base holds   becomes
//   missing  nothing (a hole)  the byte         clean by a fetch; dirty by a write
//   clean    the byte          the same byte    missing by eviction; dirty by a write
//   dirty    the byte          something else,  clean by a publication of the generation that it
//                              or nothing       belongs to
//
// Invariants: dirty and clean are disjoint; every byte at or beyond `base_limit` (how much of the
// base object the file still shows: its size, less what truncation cut off) is dirty; a hole that a
// truncate or a write beyond the end made is dirty zeros. Dirty bytes are never evicted (C4). Clean
// bytes belong to exactly one (key, ETag, size).
//
// A generation counts content changes. A publication puts exactly one generation into the bucket:
// parts that were changed while they were being sent are sent again before the upload is completed.

#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "base/byte_range.h"
#include "base/call.h"
#include "base/clock.h"
#include "base/result.h"
#include "providers/object_store.h"

namespace quayfs {

/// The object version that a file's unchanged bytes come from. An empty etag means none: a new
/// file.
struct BaseVersion {
  std::string key;
  std::string etag;
  uint64_t size = 0;
  bool exists() const { return !etag.empty(); }
};

/// Whether both are the same bytes under the same key: of BaseVersion and StoredVersion.
template <typename A, typename B>
bool SameVersion(const A& a, const B& b) {
  return a.key == b.key && a.size == b.size && SameEtag(a.etag, b.etag);
}

/// What a reader of one open handle did last; makes sequential reads recognisable. Owned by the
/// handle; guarded by FileData.
struct ReadPattern {
  uint64_t next_offset = 0;
  uint64_t window = 0;     // bytes of read-ahead granted so far
  uint64_t grows_at = 0;   // the window grows when the reader gets here
  uint64_t ahead_end = 0;  // read-ahead has been asked for up to here
  int sequential_reads = 0;
};

struct PublishRequest {
  std::string key;  // where to
  ObjectProperties properties;
  Condition condition;
};

/// A multipart upload of the content that has been begun, ahead of a publication or by one that
/// failed. A publication with the same key and properties goes on with it; any other one gives it
/// up.
struct UploadUnderWay {
  std::string key;
  ObjectProperties properties;
  uint64_t sent_bytes = 0;  // that need not be sent again
};

bool SameProperties(const ObjectProperties& a, const ObjectProperties& b);

struct FileDataState {
  uint64_t size = 0;
  uint64_t generation = 0;
  uint64_t dirty_bytes = 0;
  uint64_t cached_bytes = 0;  // clean
  bool dirty = false;         // the bucket's base is not this content
  BaseVersion base;
  std::string unsettled_key;   // where a publication may have left an object; "" nowhere
  uint64_t written_bytes = 0;  // of the dirty ones, those that are not holes
};

/// Thread-safe. Made by Cache (cache/cache.h).
class FileData {
 public:
  virtual ~FileData() = default;

  virtual uint64_t size() const = 0;
  virtual bool dirty() const = 0;
  virtual FileDataState state() const = 0;
  /// When the contents last changed, as far as that is recorded: what RestoredFile::changed_at
  /// would say if this process ended now. The epoch if there is no record.
  virtual WallTime changed_at() const = 0;

  /// Reads up to out.size() bytes; fewer only at the end of the file. Missing bytes are fetched,
  /// pinned to the base's ETag; returns as soon as the wanted bytes have arrived, while read-ahead
  /// goes on. With `may_block` false, kWouldBlock instead of waiting (the fetch is started all the
  /// same). kChanged: the base object is not that version any more. kNotFound: it is gone.
  virtual Result<size_t> Read(uint64_t offset, std::span<std::byte> out, ReadPattern& pattern,
                              bool may_block, const CallOptions& call) = 0;

  /// Never touches the network. kNoSpace, kQuota, kIo, kTooLarge; after a failure nothing of `data`
  /// counts as written.
  virtual Status Write(uint64_t offset, std::span<const std::byte> data) = 0;
  /// The same for whoever may be held back while too much waits for the bucket, or while the disk
  /// is full and something leaves it (cache/dirty_budget.h). With `may_block` false kWouldBlock
  /// instead of waiting. kCancelled, kTimedOut.
  virtual Status WriteWhenRoom(uint64_t offset, std::span<const std::byte> data, bool may_block,
                               const CallOptions& call) = 0;
  virtual Status Truncate(uint64_t size) = 0;
  /// `range`, cut at the end of the file, reads as zeros and takes no room on the local disk. Never
  /// touches the network.
  virtual Status Zero(ByteRange range) = 0;
  /// Where, from `offset` on, the next hole or the next data begins; the end of the file is a hole.
  /// What is not local counts as data. Nothing if `offset` is not within the file, or there is no
  /// more data.
  virtual Result<std::optional<uint64_t>> Seek(uint64_t offset, bool hole) = 0;
  /// Drops the clean bytes that nobody is using right now; returns how many there were.
  virtual uint64_t DropClean() = 0;
  /// It will not be published any more: its bytes wait for nothing, and hold nobody back.
  virtual void Unlinked() = 0;

  /// The local file's data reaches the disk (a seal, once there is a state database).
  virtual Status SyncLocal() = 0;

  /// While a file grows by sequential writes, and shows nothing of a base, its finished parts may
  /// be sent ahead to `key`, with these properties. Without this call nothing is sent before
  /// Publish. Calling it again with another key or properties drops what was sent ahead.
  virtual void AllowStreaming(const std::string& key, const ObjectProperties& properties) = 0;

  virtual std::optional<UploadUnderWay> upload() const = 0;
  /// Gives up what was sent ahead. REQUIRES: no publication is under way.
  virtual void AbandonUpload() = 0;

  /// Makes the object at request.key hold the present content: one PUT for small files, else a
  /// multipart upload in which unchanged ranges of the base are part-copied. Sends content even if
  /// nothing is dirty. On success the base is the new version, and bytes that were not written
  /// meanwhile are clean. One publication at a time; a second caller waits. On failure everything
  /// stays dirty and nothing in the bucket has changed (or it is unclear: kUnavailable, kTimedOut,
  /// kCancelled; then the next publication finds out first, and takes our own late success for what
  /// it is when it tests `condition`). kChanged / kAlreadyExists by the condition, or because the
  /// base to copy from has changed. kIo if the local disk has lost bytes of the file; they must be
  /// written again first.
  virtual Result<ObjectInfo> Publish(const PublishRequest& request, const CallOptions& call) = 0;

  /// Finds out what has become of an unclear publication, if there is one: state().base tells. Not
  /// while another thread publishes. kUnavailable and the like: it is still unclear.
  virtual Status Settle(const CallOptions& call) = 0;

  /// The same bytes now lie at `base` (after a server-side copy, move or metadata change): cached
  /// bytes stay valid.
  virtual void Rebase(const BaseVersion& base) = 0;

  /// Someone else replaced the object: drops clean bytes and shows `base` from now on. REQUIRES:
  /// !dirty().
  virtual void Replace(const BaseVersion& base) = 0;
};

}  // namespace quayfs
