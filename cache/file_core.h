// SPDX-License-Identifier: Apache-2.0
//
// One file of the cache: its local file, the state of its bytes, and what is under way to and from
// the store. It outlives the FileData that callers hold: with none of them it is parked, without an
// open descriptor, keeping what it has for the next one.
//
// One lock guards all of it; it is never held across a call of the store. It is held across local
// writes (so that "which bytes" and "the bytes" change together), not across the local reads of
// readers and uploads.
//
// file_core.cc: local reads and writes, eviction, parking.   holes.cc: what takes no room.
// record.cc: what the database is told of them.   seal.cc: to the disk for good.   fetch.cc: from
// the store.   publish.cc, multipart.cc: to it.   stream.cc: ahead of that.

#pragma once

#include <atomic>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "cache/cache_context.h"
#include "cache/clean_sums.h"
#include "cache/file_data.h"
#include "cache/file_extents.h"
#include "cache/left_files.h"
#include "cache/read_plan.h"
#include "cache/unsettled.h"
#include "cache/upload_session.h"

namespace quayfs {

/// Thread-safe. Always held by a shared_ptr: tasks in flight keep it alive.
class FileCore final : public Evictable,
                       public Summable,
                       public std::enable_shared_from_this<FileCore> {
 public:
  /// Shows `base`; a new, empty file if there is none. The local file is made when it is first
  /// needed.
  FileCore(CacheContext& context, uint64_t inode, const BaseVersion& base);
  /// What an earlier mount has left.
  FileCore(CacheContext& context, const LeftFile& left);
  ~FileCore() override;
  FileCore(const FileCore&) = delete;
  FileCore& operator=(const FileCore&) = delete;

  // As in FileData.
  uint64_t size() const;
  bool dirty() const;
  FileDataState state() const;
  WallTime changed_at() const;
  Result<size_t> Read(uint64_t offset, std::span<std::byte> out, ReadPattern& pattern,
                      bool may_block, const CallOptions& call);
  Status Write(uint64_t offset, std::span<const std::byte> data);
  Status WriteWhenRoom(uint64_t offset, std::span<const std::byte> data, bool may_block,
                       const CallOptions& call);
  Status Truncate(uint64_t size);
  Status Zero(ByteRange range);
  Result<std::optional<uint64_t>> Seek(uint64_t offset, bool hole);
  uint64_t DropAllClean();
  void Unlinked();
  Status SyncLocal();
  void AllowStreaming(const std::string& key, const ObjectProperties& properties);
  std::optional<UploadUnderWay> upload() const;
  void AbandonUpload();
  Status SettleNow(const CallOptions& call);
  Result<ObjectInfo> Publish(const PublishRequest& request, const CallOptions& call);
  void Rebase(const BaseVersion& base);
  void Replace(const BaseVersion& base);

  /// A FileData begins / ends to use this. Detach calls off what is under way for it and closes the
  /// local file.
  void Attach();
  void Detach();
  /// Shows `base` unless it does so already or is dirty.
  void Show(const BaseVersion& base);
  /// The local file loses its name; nothing is kept once it is detached.
  void MarkRemoved();
  /// The mount ends: calls off what is under way, without giving anything up.
  void Stop();
  /// Adds a seal of what is newer than the bucket to `batch`, its bytes being on the disk.
  /// REQUIRES: nobody writes. False if there is nothing to seal.
  Result<bool> SealInto(StateBatch* batch);
  /// Detached, and holds nothing that is worth keeping.
  bool disposable() const;

  void Evict(ByteRange range) override;

  /// C5: clean bytes that an earlier mount has left, of what the file shows; to be checked when
  /// they are read. TakeLeftClean: the local file is only known by this row.
  void Claim(const std::vector<BlockSum>& sums);
  void TakeLeftClean(const CleanRow& row);
  bool SumInto(StateBatch* batch) override;

 private:
  /// Bytes of the file that somebody is using or waiting for: they are not evicted. Guarded by
  /// mutex_.
  struct Use {
    ByteRange range;
    bool waited_for = false;
    CondVar wake;  // all of `range` is readable, or something it waits for has failed
  };
  using UseRef = std::shared_ptr<Use>;

  /// One GET. Guarded by mutex_ unless it says otherwise.
  struct Fetch {
    ByteRange range;   // constant
    BaseVersion base;  // constant
    ExtentSet owed;    // what it may still fill. A write takes its bytes out of it.
    bool done = false;
    std::optional<Error> error;
    std::stop_source stop;                   // thread-safe
    std::atomic<uint64_t> awaited_until{0};  // somebody waits for bytes up to here
  };
  using FetchRef = std::shared_ptr<Fetch>;
  class FetchSink;

  using SessionRef = std::shared_ptr<UploadSession>;
  struct PublishRun;

  // ---- the local file (file_core.cc)
  Result<std::shared_ptr<DiskFile>> OpenLocal() QUAY_REQUIRES(mutex_);
  void CloseLocal() QUAY_REQUIRES(mutex_);
  /// Removes what a failed write or truncate left beyond the end, so that growing shows zeros.
  Status TrimLocal() QUAY_REQUIRES(mutex_);
  Status WriteLocked(uint64_t offset, std::span<const std::byte> data) QUAY_REQUIRES(mutex_);
  Status TruncateLocked(uint64_t size) QUAY_REQUIRES(mutex_);
  Status ZeroLocked(ByteRange range) QUAY_REQUIRES(mutex_);
  using Saved = std::vector<std::pair<uint64_t, std::vector<std::byte>>>;  // offset, bytes
  Saved SaveDirty(const DiskFile& file, ByteRange range) QUAY_REQUIRES(mutex_);
  void UndoWrite(DiskFile& file, ByteRange range, const Saved& before) QUAY_REQUIRES(mutex_);
  /// Everything that must know of a change of content.
  void NoteChange(const FileExtents::Change& change) QUAY_REQUIRES(mutex_);
  void DropClean(ByteRange range) QUAY_REQUIRES(mutex_);
  void NoteDirtyBytes() QUAY_REQUIRES(mutex_);
  /// Closes the local file, and removes it if nothing in it is worth keeping.
  void Park() QUAY_REQUIRES(mutex_);
  void RemoveLocal() QUAY_REQUIRES(mutex_);
  void ResumeUpload(const UploadRow& upload, const std::vector<PartRow>& parts)
      QUAY_REQUIRES(mutex_);
  /// What became of the last publication does not matter any more.
  void ForgetUnsettled() QUAY_REQUIRES(mutex_);
  void ReplaceLocked(const BaseVersion& base, std::vector<std::stop_source>* stops)
      QUAY_REQUIRES(mutex_);
  /// Empties the local file, all of whose bytes are missing now.
  void TruncateForNewBase() QUAY_REQUIRES(mutex_);
  /// Runs `operation`; when the disk is full, gives clean bytes back and tries again. Takes no lock
  /// itself.
  Status WithRoom(const std::function<Status()>& operation);

  /// Drops the clean bytes of `range` that nobody is using; returns how many.
  uint64_t DropUnused(ByteRange range);

  // ---- checksums of clean blocks (sums.cc)
  ByteRange BlockRange(uint64_t block) const QUAY_REQUIRES(mutex_);
  void NoteSums() QUAY_REQUIRES(mutex_);
  /// The bytes of `range` are not those of a clean block any more.
  void DropSums(ByteRange range) QUAY_REQUIRES(mutex_);
  /// Before the base gets another size: its last block ends elsewhere.
  void DropSumsForSize(uint64_t base_size) QUAY_REQUIRES(mutex_);
  /// Before bytes count as missing.
  void CheckSums(ByteRange range) QUAY_REQUIRES(mutex_);
  void ClaimLocked(const std::vector<BlockSum>& sums) QUAY_REQUIRES(mutex_);
  std::vector<uint64_t> UnsummedBlocks(uint64_t* from) const QUAY_REQUIRES(mutex_);
  bool SumSome(uint64_t* from);

  // ---- what the database is told (record.cc)
  ContentRow RowNow() const QUAY_REQUIRES(mutex_);
  /// What must be known before bytes of `range` may change: that they do not belong any more to a
  /// part that has been sent (C7), or to a publication whose outcome is unclear.
  StateBatch BeforeChange(ByteRange range) const QUAY_REQUIRES(mutex_);
  void NoteBeforeChange(ByteRange range) QUAY_REQUIRES(mutex_);
  Status TellBeforeWrite(ByteRange range) QUAY_REQUIRES(mutex_);
  /// C1: the bytes of `range` have been written, and count as soon as this succeeds.
  Status TellWrite(ByteRange range) QUAY_REQUIRES(mutex_);
  /// Before the bytes are cut off, and after a hole has been made.
  Status TellTruncate(uint64_t size) QUAY_REQUIRES(mutex_);
  /// Adds what makes the database's row `row`, and its dirty extents what `change` makes of them.
  enum class DirtyChange { kNone, kAdd, kCut, kAll };
  void AddContent(StateBatch& batch, const ContentRow& row, DirtyChange change,
                  ByteRange range) const QUAY_REQUIRES(mutex_);
  /// Applies a batch that AddContent has been used on.
  Status ApplyContent(StateBatch batch, const ContentRow& row, Persist persist)
      QUAY_REQUIRES(mutex_);
  /// What was published is the base now; `cleaned` became clean by it.
  void TellPublished(const std::vector<ByteRange>& cleaned) QUAY_REQUIRES(mutex_);
  /// That again, if it failed; to be called before a byte of the local file changes or goes: after
  /// a kill those that are clean now would count as dirty.
  Status TellAgain() QUAY_REQUIRES(mutex_);
  /// The base is another one, with the same bytes.
  void TellRebased() QUAY_REQUIRES(mutex_);
  /// C7: an upload, a part of it, and that it is being completed or a PUT sent, before any of them
  /// is relied on.
  Status TellUpload(const UploadSession& session) QUAY_REQUIRES(mutex_);
  Status TellPart(const UploadSession& session, PartRecord& record) QUAY_REQUIRES(mutex_);
  void AddPart(StateBatch& batch, const PartRecord& record) const QUAY_REQUIRES(mutex_);
  Status TellAttempt(const Unsettled& attempt, uint64_t generation, const UploadSession* session)
      QUAY_REQUIRES(mutex_);
  /// A PUT is known not to have happened.
  void TellAttemptFailed() QUAY_REQUIRES(mutex_);
  /// The upload is nobody's any more: it is to be aborted.
  void TellOrphan(const std::string& key, const std::string& upload_id) QUAY_REQUIRES(mutex_);
  Result<std::string> CreateUpload(const UploadSession& session, const CallOptions& call,
                                   std::string* unknown) QUAY_EXCLUDES(mutex_);
  void ForgetUnknown(const std::string& key, const std::string& unknown);

  // ---- to the disk for good (seal.cc)
  struct Sealing;
  bool NeedsSeal() const QUAY_REQUIRES(mutex_);
  /// C3: before bytes of `range` may change, those of the seal are put where a power cut finds
  /// them.
  Status KeepSealed(ByteRange range) QUAY_REQUIRES(mutex_);
  /// The database's seal is this one now, for good.
  void TakeSeal(std::optional<SealRow> seal) QUAY_REQUIRES(mutex_);
  void DropKept() QUAY_REQUIRES(mutex_);
  Result<Sealing> BeginSeal() QUAY_REQUIRES(mutex_);
  Status FlushForSeal(const Sealing& sealing);
  /// False if what was to be sealed has changed meanwhile.
  Result<bool> FinishSeal(const Sealing& sealing, const Status& flushed) QUAY_REQUIRES(mutex_);

  UseRef AddUse(ByteRange range) QUAY_REQUIRES(mutex_);
  void RemoveUse(const UseRef& use) QUAY_REQUIRES(mutex_);
  void WakeUses(ByteRange range) QUAY_REQUIRES(mutex_);
  void WakeAllUses() QUAY_REQUIRES(mutex_);

  // ---- from the store (fetch.cc)
  Status WaitReadable(const UseRef& use, bool may_block, const CallOptions& call)
      QUAY_REQUIRES(mutex_);
  /// The first error among `mine` that keeps `missing` from arriving; forgets those that do not
  /// matter.
  std::optional<Error> FetchFailure(const std::vector<ByteRange>& missing,
                                    std::vector<FetchRef>* mine) QUAY_REQUIRES(mutex_);
  void StartFetches(ByteRange wanted, uint64_t piece, Transfers::Lane lane) QUAY_REQUIRES(mutex_);
  void RunFetch(const FetchRef& fetch);
  Status FillFrom(const FetchRef& fetch, uint64_t offset, std::span<const std::byte> data);
  void AbandonFetches(std::vector<std::stop_source>* stops) QUAY_REQUIRES(mutex_);
  Result<size_t> ReadAround(uint64_t offset, std::span<std::byte> out, const CallOptions& call);

  // ---- holes (holes.cc)
  /// Dirty ranges of at least `least` bytes that take no room in the local file.
  Result<ExtentSet> Holes(uint64_t least) QUAY_REQUIRES(mutex_);
  /// Finds those that an earlier mount has left.
  void RestoreHoles() QUAY_REQUIRES(mutex_);
  /// No byte of `range` takes room in the local file.
  bool IsHole(ByteRange range) QUAY_REQUIRES(mutex_);

  // ---- to the store (publish.cc, multipart.cc). Empty optional: the file has changed so much that
  // it needs another kind of plan.
  using Published = std::optional<ObjectInfo>;
  Result<UploadPlan> PlanNow() QUAY_REQUIRES(mutex_);
  Result<ObjectInfo> PublishAlone(PublishRequest request, const CallOptions& call);
  Result<Published> PutFromMemory(UploadPlan::Kind kind, const PublishRequest& request,
                                  const CallOptions& call);
  /// `request` may get another condition, as by ResolveUnsettled.
  Result<Published> PutFromFile(PublishRequest* request, const CallOptions& call);
  Result<Published> PutFromCopy(const PublishRequest& request, const CallOptions& call);
  /// The file is still what GatherWhole has gathered.
  bool StillWhole(uint64_t size) const QUAY_REQUIRES(mutex_);
  /// Before a byte of the local file changes that a publication may be reading.
  void StopSending() QUAY_REQUIRES(mutex_);
  Result<Published> PutAndSettle(const PublishRequest& request, const DataSource& source,
                                 const CallOptions& call);
  Result<ObjectInfo> TellPut(const Unsettled& attempt);
  /// `started` tells whether the store was asked at all.
  Result<ObjectInfo> SendPut(const PublishRequest& request, const DataSource& source,
                             const CallOptions& call, bool* started);
  /// The whole file is readable and in use; returns its size, or nothing if it is not of `kind` any
  /// more.
  Result<std::optional<uint64_t>> GatherWhole(UploadPlan::Kind kind, UseRef* use,
                                              const CallOptions& call);
  Status SnapshotWhole(std::span<std::byte> out) QUAY_REQUIRES(mutex_);

  /// Ends what BeginPublication began, or keeps `attempt` for later if the outcome is unclear
  /// (settle.cc).
  Result<ObjectInfo> Settle(Unsettled attempt, Result<ObjectInfo> sent, const CallOptions& call);
  void Commit(const std::string& key, const std::string& etag) QUAY_REQUIRES(mutex_);
  void TakeLater(const BaseVersion& base) QUAY_REQUIRES(mutex_);
  /// Finds out what became of an unclear publication. The result is there if that leaves nothing to
  /// do; otherwise `request` may have another condition.
  Result<Published> ResolveUnsettled(PublishRequest* request, const CallOptions& call);
  Result<std::shared_ptr<DiskFile>> PrivateCopy(const std::vector<ByteRange>& ranges,
                                                uint64_t* length);
  void PauseWriters() QUAY_REQUIRES(mutex_);
  void ResumeWriters() QUAY_REQUIRES(mutex_);

  enum class Round { kReady, kAgain, kOtherPlan };
  Result<Published> PutMultipart(const PublishRequest& request, const CallOptions& call);
  Result<SessionRef> OpenSession(const PublishRequest& request, const CallOptions& call,
                                 bool* adopted);
  Result<Published> RunSession(PublishRun& run);
  Result<Round> SendRound(PublishRun& run);
  Result<Round> SendFrozen(PublishRun& run);
  Result<Round> PauseReadable(PublishRun& run);
  Status SendParts(PublishRun& run);
  Status SendPart(PublishRun& run, const PlannedPart& part, UseRef* use) QUAY_REQUIRES(mutex_);
  /// True if the part has to be posted; waits for an earlier request under its number.
  Result<bool> PartNeeded(PublishRun& run, const PlannedPart& part) QUAY_REQUIRES(mutex_);
  Status WaitIdle(PublishRun& run) QUAY_REQUIRES(mutex_);
  Result<ObjectInfo> Complete(PublishRun& run);

  struct PartTask;
  Status PostPart(PartTask task) QUAY_REQUIRES(mutex_);
  void RunPart(const PartTask& task);
  bool HoldsCandidate(const PartTask& task);
  Result<PartInfo> SendZeros(const PartTask& task, const CallOptions& call, bool* sent_bytes);
  void PartFinished(const PartTask& task, Result<PartInfo> result);

  // ---- ahead of publication (stream.cc)
  void PumpStream() QUAY_REQUIRES(mutex_);
  void BeginStream() QUAY_REQUIRES(mutex_);
  void RunCreate(const SessionRef& session);
  /// Ends an attempt, but not the upload: another session will go on with it.
  void PauseSession(const SessionRef& session, std::vector<std::stop_source>* stops)
      QUAY_REQUIRES(mutex_);
  /// Asks the store which parts it has of an upload that an earlier mount began.
  Status VerifySession(const SessionRef& session, const CallOptions& call);
  void TakeListing(UploadSession& session, const std::vector<PartInfo>& listed)
      QUAY_REQUIRES(mutex_);
  /// Ends a session that nobody will complete; the upload is aborted in the background.
  void AbandonSession(const SessionRef& session, std::vector<std::stop_source>* stops)
      QUAY_REQUIRES(mutex_);
  /// REQUIRES: TellOrphan.
  void PostAbort(const std::string& key, const std::string& upload_id);

  CacheContext& context_;
  const uint64_t inode_;
  const std::string directory_;  // of the local file
  const std::string path_;

  mutable Mutex mutex_{LockRank::kFileData};
  CondVar changed_;  // publications, pauses, sessions; readers have their own
  FileExtents extents_ QUAY_GUARDED_BY(mutex_);
  BaseVersion base_ QUAY_GUARDED_BY(mutex_);
  /// Dirty bytes that a failed write destroyed and that could not be put back. Never served, never
  /// published.
  ExtentSet broken_ QUAY_GUARDED_BY(mutex_);

  std::shared_ptr<DiskFile> file_ QUAY_GUARDED_BY(mutex_);  // null when closed
  bool on_disk_ QUAY_GUARDED_BY(mutex_) = false;            // the name path_ is ours
  uint64_t local_length_ QUAY_GUARDED_BY(mutex_) =
      0;  // of the local file; the rest up to size is zeros
  bool trim_pending_ QUAY_GUARDED_BY(mutex_) = false;  // there may be rubbish beyond the size
  uint64_t noted_dirty_ QUAY_GUARDED_BY(mutex_) = 0;   // our share of the budget

  /// The database holds our row, with these extents, size, base and base_limit. False: it may hold
  /// an old one, and has to be told everything next time. True only if modified.
  bool told_ QUAY_GUARDED_BY(mutex_) = false;
  bool maybe_told_ QUAY_GUARDED_BY(mutex_) = false;  // there may be a row, ours or an old one
  bool untold_ QUAY_GUARDED_BY(mutex_) = false;      // TellPublished failed (TellAgain)
  uint64_t told_generation_ QUAY_GUARDED_BY(mutex_) = 0;
  /// The database says that this generation is being published.
  std::optional<uint64_t> attempt_ QUAY_GUARDED_BY(mutex_);
  /// C2: the seal in the database, and which of its bytes are still in place; what the others were
  /// is in the log beside the local file.
  std::optional<SealRow> seal_ QUAY_GUARDED_BY(mutex_);
  ExtentSet sealed_ QUAY_GUARDED_BY(mutex_);
  std::optional<uint64_t> kept_end_ QUAY_GUARDED_BY(mutex_);  // of the log; absent: not known
  /// The seal in the database speaks of bytes that are clean now, and could not be told so: the
  /// local file is not changed any more.
  bool seal_stuck_ QUAY_GUARDED_BY(mutex_) = false;
  bool sealing_ QUAY_GUARDED_BY(mutex_) = false;  // by one thread at a time
  bool seal_pauses_writers_ QUAY_GUARDED_BY(mutex_) = false;
  ExtentSet touched_in_seal_ QUAY_GUARDED_BY(mutex_);  // changed since BeginSeal
  uint64_t bases_ QUAY_GUARDED_BY(mutex_) = 0;         // how often the base has changed
  /// The store has refused to copy from it: that version is not there any more.
  std::optional<BaseVersion> lost_base_ QUAY_GUARDED_BY(mutex_);
  bool name_synced_ QUAY_GUARDED_BY(mutex_) = false;  // path_ is on the disk for good
  WallTime told_at_ QUAY_GUARDED_BY(mutex_){};

  /// C5. A block that has not been checked is missing, and counted by the budget all the same.
  struct Sum {
    uint32_t crc = 0;
    bool checked = false;
  };
  std::map<uint64_t, Sum> sums_ QUAY_GUARDED_BY(mutex_);  // by block
  size_t unchecked_ QUAY_GUARDED_BY(mutex_) = 0;          // of them
  bool sums_changed_ QUAY_GUARDED_BY(mutex_) = false;     // the row is out of date
  bool sum_queued_ QUAY_GUARDED_BY(mutex_) = false;
  bool has_row_ QUAY_GUARDED_BY(mutex_) = false;

  int handles_ QUAY_GUARDED_BY(mutex_) = 0;
  bool removed_ QUAY_GUARDED_BY(mutex_) = false;
  bool unlinked_ QUAY_GUARDED_BY(mutex_) = false;
  std::list<UseRef> uses_ QUAY_GUARDED_BY(mutex_);
  std::list<FetchRef> fetches_ QUAY_GUARDED_BY(mutex_);

  bool publishing_ QUAY_GUARDED_BY(mutex_) = false;
  bool commit_in_flight_ QUAY_GUARDED_BY(mutex_) = false;  // the base may change any moment
  bool writers_paused_ QUAY_GUARDED_BY(mutex_) = false;
  /// The local file itself is the body of a PUT: set before any byte of it changes, so that none
  /// that has changed is sent. Null: it is not. Also read by the request's own thread.
  std::shared_ptr<std::atomic<bool>> sending_ QUAY_GUARDED_BY(mutex_);
  std::optional<Unsettled> unsettled_ QUAY_GUARDED_BY(mutex_);
  SessionRef session_ QUAY_GUARDED_BY(mutex_);  // sent ahead, or in the hands of a publication

  struct StreamTarget {
    std::string key;
    ObjectProperties properties;
  };
  std::optional<StreamTarget> stream_ QUAY_GUARDED_BY(mutex_);
  bool stream_halted_ QUAY_GUARDED_BY(mutex_) =
      false;  // the writer is not sequential, or the store failed
  uint64_t stream_at_ QUAY_GUARDED_BY(mutex_) =
      0;  // nothing to send ahead before the file is larger than this
};

}  // namespace quayfs
