// SPDX-License-Identifier: Apache-2.0
//
// Buckets, objects and unfinished multipart uploads: what the server keeps, with the rules that
// must hold atomically (conditions, the bucket is empty, an upload is completed once). Knows
// nothing of HTTP. With a journal the contents survive the process; without one they live in
// memory.
//
// Thread-safe. Calls do not block on anything but the journal's local writes.

#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "tests/server/blob.h"
#include "tests/server/s3_error.h"

namespace quayfs::testserver {

/// Immutable once it is stored.
struct Object {
  std::string key;
  Blob body;
  std::map<std::string, std::string> headers;  // lower-case names, without etag and last-modified
  std::string etag;                            // without quotes
  int64_t modified = 0;                        // Unix seconds by the server's clock
  bool restored = false;                       // an archived object that may be read
};
using ObjectPtr = std::shared_ptr<const Object>;

struct Part {
  Blob body;
  std::string etag;  // without quotes
  std::string md5;   // raw
  int64_t modified = 0;
};

/// A copy of an upload's state.
struct Upload {
  std::string id;
  std::string key;
  std::map<std::string, std::string> headers;
  int64_t initiated = 0;
  std::map<int, std::shared_ptr<const Part>> parts;
};

/// ETag conditions of a write, "" = none; quotes are optional, "*" means any object.
struct WriteCondition {
  std::string if_match;
  std::string if_none_match;
  Problem Check(const ObjectPtr& existing) const;
};

/// True if `condition` ("*", an ETag, or several with commas) names `etag`.
bool EtagMatches(std::string_view condition, std::string_view etag);

struct ListQuery {
  std::string prefix;
  std::string delimiter;
  std::string
      after;  // resume after this key or common prefix; of a shuffled listing, a token that it gave
  size_t max = 1000;
};

struct ListEntry {
  std::string name;  // a key, or a common prefix
  ObjectPtr object;  // null for a common prefix
};

struct ListPage {
  std::vector<ListEntry> entries;
  bool truncated = false;
  std::string next;  // what `after` must be to go on; "" if not truncated
};

class Journal;

class Store {
 public:
  /// `journal` may be null. With `shuffle_seed` listings have an order of their own.
  Store(std::unique_ptr<ChunkStore> chunks, std::unique_ptr<Journal> journal,
        std::optional<uint64_t> shuffle_seed);
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  ChunkStore& chunks() { return *chunks_; }

  Problem CreateBucket(const std::string& bucket, int64_t now);
  Problem DeleteBucket(const std::string& bucket);
  Problem CheckBucket(const std::string& bucket) const;
  std::map<std::string, int64_t> Buckets() const;  // name -> created

  Outcome<ObjectPtr> Find(const std::string& bucket, const std::string& key) const;
  /// Fails early where Put would: before a body is read.
  Problem CheckCondition(const std::string& bucket, const std::string& key,
                         const WriteCondition& condition) const;
  Problem Put(const std::string& bucket, Object object, const WriteCondition& condition);
  /// Deleting what is not there succeeds, unless the condition wants it.
  Problem Delete(const std::string& bucket, const std::string& key,
                 const WriteCondition& condition);
  Outcome<ListPage> List(const std::string& bucket, const ListQuery& query) const;
  std::vector<std::string> Keys(const std::string& bucket) const;

  Problem CreateUpload(const std::string& bucket, Upload upload);
  Outcome<Upload> FindUpload(const std::string& bucket, const std::string& key,
                             const std::string& id) const;
  Problem AddPart(const std::string& bucket, const std::string& key, const std::string& id,
                  int number, Part part);
  /// Publishes `object` and forgets the upload, or neither.
  Problem CompleteUpload(const std::string& bucket, const std::string& id, Object object,
                         const WriteCondition& condition);
  Problem AbortUpload(const std::string& bucket, const std::string& key, const std::string& id);
  /// Sorted by key, then by time of initiation. Without their parts.
  Outcome<std::vector<Upload>> Uploads(const std::string& bucket) const;

 private:
  friend class JournalReplay;
  struct Bucket {
    int64_t created = 0;
    std::map<std::string, ObjectPtr> objects;
    std::map<std::string, Upload> uploads;
  };

  const Bucket* FindBucket(const std::string& bucket) const QUAY_REQUIRES(mutex_);
  Bucket* FindBucket(const std::string& bucket) QUAY_REQUIRES(mutex_);
  Upload* FindUploadLocked(const std::string& bucket, const std::string& key, const std::string& id)
      QUAY_REQUIRES(mutex_);
  Problem Write(const std::string& line) QUAY_REQUIRES(mutex_);

  // Destroyed first of all, so that chunks know that their objects stay (see chunk_stores.cc):
  // declared last.
  const std::optional<uint64_t> shuffle_seed_;
  mutable Mutex mutex_{LockRank::kTestServer};
  std::map<std::string, Bucket> buckets_ QUAY_GUARDED_BY(mutex_);
  std::unique_ptr<Journal> journal_ QUAY_GUARDED_BY(mutex_);
  std::unique_ptr<ChunkStore> chunks_;
};

/// A store in memory.
std::unique_ptr<Store> MakeMemoryStore(std::optional<uint64_t> shuffle_seed);
/// A store below `directory`, which is made if need be and locked against a second server. What an
/// earlier one left there is found again.
Result<std::unique_ptr<Store>> OpenDirectoryStore(const std::string& directory,
                                                  std::optional<uint64_t> shuffle_seed);

}  // namespace quayfs::testserver
