// SPDX-License-Identifier: Apache-2.0
//
// The cache directory of one mount and the files in it.

#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/disk.h"
#include "base/executor.h"
#include "base/result.h"
#include "cache/file_data.h"
#include "cache/state/state_db.h"
#include "cache/zero_objects.h"
#include "providers/object_store.h"

namespace quayfs {

struct CacheConfig {
  std::string directory;  // made if missing, mode 0700; refused if others may write to it
  std::string identity;  // of the bucket (endpoint, bucket, prefix); another one's state is refused
  uint64_t size_limit = 10ull << 30;  // bytes of clean data kept; dirty data is never dropped
  /// Bytes that may wait for the bucket before writers have to (cache/dirty_budget.h); 0: any
  /// number.
  uint64_t dirty_limit = 16ull << 30;
  /// How long a full disk is waited for without anything leaving it.
  Duration disk_patience = std::chrono::minutes(1);
  /// What has come in is checksummed together, this long after the first of it (C5).
  Duration sum_delay = std::chrono::seconds(1);
  /// Of what is changed in place after a seal, so much around it is kept at once (C3), aligned: a
  /// flush costs more than the bytes.
  uint64_t keep_block = 256ull << 10;
  uint64_t put_size_max = 8ull << 20;  // larger contents go as multipart, where the store has it
  uint64_t part_size = 16ull << 20;  // of the first parts; they grow so that 5 TiB fit into 10,000
  uint64_t fetch_block = 128ull << 10;     // random reads fetch at least this much, aligned
  uint64_t fetch_part = 8ull << 20;        // one ranged GET of a sequential reader
  uint64_t read_ahead_max = 64ull << 20;   // per open handle
  size_t transfers = 32;                   // requests in flight for contents
  size_t upload_concurrency = 0;           // parts of one file in flight; 0: as `transfers` allows
  uint64_t snapshot_memory = 64ull << 20;  // bytes of small files in memory while being sent
  ZeroTuning zeros;                        // how holes get into the bucket
};

struct CacheStats {
  uint64_t clean_bytes = 0;
  uint64_t dirty_bytes = 0;
  uint64_t files = 0;
  uint64_t uploads_in_flight = 0;
  uint64_t sent_bytes = 0;  // of contents, that the store has taken since the cache was opened
};

/// A file whose content an earlier mount has left behind: newer than the bucket, or published
/// without the owner's having noted it.
struct RestoredFile {
  uint64_t inode = 0;
  FileDataState state;  // state.base is what the content was published as, or comes from
  WallTime changed_at{};
  /// C3: the machine has been restarted since, and what was written after the last seal cannot be
  /// trusted. The file is as it was when it was sealed; absent a usable seal, as it was found.
  /// The bytes as found have been copied to `set_aside` ("" if nothing was lost).
  std::string set_aside;
  bool usable = true;  // false: there is no state that may be published; only `set_aside`
};

/// Thread-safe. Outlives every FileData it made.
class Cache {
 public:
  using OpenState = std::function<Result<std::unique_ptr<StateDb>>(const std::string& directory,
                                                                   const StateIdentity& identity)>;

  virtual ~Cache() = default;

  /// Locks the directory against a second daemon (kBusy says who has it), opens its database and
  /// takes up what an earlier mount has left. What the three cannot be trusted with is refused, and
  /// left as it is. `store`, `disk` and `clock` outlive the cache.
  static Result<std::unique_ptr<Cache>> Open(const CacheConfig& config, ObjectStore& store,
                                             Disk& disk, Clock& clock = SystemClock());
  /// The same with a database that is open already, of whatever make.
  static Result<std::unique_ptr<Cache>> OpenWith(const CacheConfig& config, ObjectStore& store,
                                                 Disk& disk, Clock& clock,
                                                 const OpenState& open_state);

  /// An empty file without a base; `inode` names its local file. Replaces a leftover of that
  /// number.
  virtual Result<std::shared_ptr<FileData>> Create(uint64_t inode) = 0;
  /// A file that shows `base`, which must exist. Bytes cached for that inode earlier in this mount
  /// are used if they belong to the same version. The same inode is the same FileData as long as
  /// anybody holds it. A file that was let go while it was dirty comes back as it was, whatever
  /// `base` says: see FileData::state().
  virtual Result<std::shared_ptr<FileData>> Open(uint64_t inode, const BaseVersion& base) = 0;
  /// The inode is gone for good: drops what is cached once nobody holds its FileData any more,
  /// dirty or not.
  virtual void Remove(uint64_t inode) = 0;

  /// What an earlier mount left, found by Open(). Each is to be claimed by Restore(), or given up
  /// by Remove(), before its number is used otherwise.
  virtual std::vector<RestoredFile> restored() const = 0;
  /// Also takes up a file without a base that was let go while it was dirty. kNotFound: nothing of
  /// that number is there, or nothing that is usable.
  virtual Result<std::shared_ptr<FileData>> Restore(uint64_t inode) = 0;

  /// The mount's database; the owner of names and attributes keeps them there too. Outlives
  /// nothing: valid as long as the cache.
  virtual StateDb* state() = 0;

  /// Whether contents of `size` bytes are published by a single PUT; larger ones by a multipart
  /// upload.
  virtual bool FitsOnePut(uint64_t size) const = 0;

  virtual CacheStats stats() const = 0;

  /// `hurry` is called with true when so much waits for the bucket that writers are held back: what
  /// is dirty should be published soon, files that are open too. With false when that is over.
  /// Called by whoever writes, without locks; returns at once. To be set, and taken back (null),
  /// while nobody writes.
  virtual void OnPressure(std::function<void(bool)> hurry) = 0;
};

}  // namespace quayfs
