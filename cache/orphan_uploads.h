// SPDX-License-Identifier: Apache-2.0
//
// Multipart uploads of ours that nobody will complete (C7): they cost money until they are aborted.
// Each has its row in the database before it comes here, and loses it when the store says that the
// upload is gone; what the store does not take now is tried again, in this mount or the next.
//
// An upload whose id nobody has learned, because the process or the answer was lost while it was
// being created, is known by its key and the time: its row has a mark with the time in place of
// an id, that begins with the byte 1, as no store's ids do. It is looked for in the store's list of
// the key's uploads. The database knows those that are used; what else was initiated from that time
// until it is looked for is taken to be ours.

#pragma once

#include <deque>
#include <stop_token>
#include <string>
#include <thread>

#include "base/clock.h"
#include "base/mutex.h"
#include "cache/state/state_db.h"
#include "providers/object_store.h"

namespace quayfs {

/// Thread-safe. One thread, which is there only while there is something to do.
class OrphanUploads {
 public:
  OrphanUploads(ObjectStore& store, StateDb& state, Clock& clock)
      : store_(store), state_(state), clock_(clock) {}
  /// Calls off what is under way.
  ~OrphanUploads();
  OrphanUploads(const OrphanUploads&) = delete;
  OrphanUploads& operator=(const OrphanUploads&) = delete;

  /// Aborts it soon. REQUIRES: PutOrphan has been applied, and no part of it is on its way.
  void Add(std::string key, std::string upload_id);

  /// The destructor's work, earlier: nothing is sent from here on.
  void Stop();

 private:
  struct Orphan {
    std::string key;
    std::string upload_id;
    WallTime until{};  // of an unknown one: it was created before
  };

  void Run();
  bool Abort(const Orphan& orphan);
  Status AbortUnknown(const Orphan& orphan, WallTime since, const CallOptions& call);

  ObjectStore& store_;
  StateDb& state_;
  Clock& clock_;
  std::stop_source stop_;
  Mutex mutex_{LockRank::kCacheBudget};
  CondVar changed_;
  std::deque<Orphan> waiting_ QUAY_GUARDED_BY(mutex_);
  bool running_ QUAY_GUARDED_BY(mutex_) = false;
  bool stopped_ QUAY_GUARDED_BY(mutex_) = false;
  std::thread thread_ QUAY_GUARDED_BY(mutex_);
};

struct UploadRecords {
  ObjectStore& store;
  StateDb* state = nullptr;          // null: nothing outlives the process, nor is there a record
  OrphanUploads* orphans = nullptr;  // null: the next mount aborts what is left
};

/// Creates an upload that the database knows of before it is there: if nobody lives to learn its
/// id, the next mount looks for it as `*unknown`. The caller records the id that it gets, and drops
/// the row of `*unknown` in the same transaction or later. Blocks on the network.
Result<std::string> CreateRecorded(const UploadRecords& records, const std::string& key,
                                   const ObjectProperties& properties, WallTime now,
                                   const CallOptions& call, std::string* unknown);

}  // namespace quayfs
