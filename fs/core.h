// SPDX-License-Identifier: Apache-2.0
//
// The implementation of FileSystem; private to fs/. One class, its methods spread over files by
// subject:
//
//   core.cc        construction, statfs, sync, small shared steps
//   lookup.cc      names to inodes, attributes from HEAD, what listings say
//   directory.cc   reading directories
//   attributes.cc  getattr, setattr
//   files.cc       open, read, write, publication, conflicts
//   nodes.cc       create, mkdir, symlink, unlink, rmdir
//   rename.cc      rename
//   exchange.cc    rename that exchanges two names
//   warm.cc        what is brought into the cache, or dropped from it, because somebody says so
//   space.cc       fallocate, holes
//   copy_whole.cc  a file copied by the store
//   links.cc       hard links
//   xattrs.cc      extended attributes and access control lists
//   persist.cc     what of all this is in the state database, and how a mount begins with it
//   schedule.cc    the reconciler's turns: when which inode is worked for, waiting for it
//   reconcile.cc   the reconciler's steps: what the bucket needs to show one inode as it is
//   conflicts.cc   what somebody else has changed meanwhile
//   removals.cc    objects that have to go
//   outage.cc      what changes while the store is away
//
// A change is made in the table and committed to the state database, and then acknowledged (C1);
// the bucket follows. The table is the truth for what this mount has changed, the bucket for the
// rest; an inode that needs_work() is never changed by what a listing says.
//
// Locks: mutex_ guards the inode table and everything in inodes, the queue and the removals; it is
// held for steps in memory and on the local disk, never across a request. A method whose name ends
// in Locked needs mutex_. Whoever looks at the bucket looks at the table again after each request.
// What may not happen at the same time in the bucket is kept apart by `running` (one piece of work
// per inode, fs/work_queue.h) and by busy_keys_ (one writer per key).

#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/executor.h"
#include "base/mutex.h"
#include "cache/state/state_db.h"
#include "fs/attribute_codec.h"
#include "fs/burst.h"
#include "fs/copy_range.h"
#include "fs/file_system.h"
#include "fs/gates.h"
#include "fs/inode_table.h"
#include "fs/link_record.h"
#include "fs/work_queue.h"

namespace quayfs {

struct OpenFile {
  Ino ino = 0;
  int flags = 0;
  bool writable = false;
  std::shared_ptr<FileData> data;
  ReadPattern pattern;  // guarded by `data`
};

class Core final : public FileSystem {
 public:
  Core(const FileSystemConfig& config, ObjectStore& store, Cache& cache, Executor& background,
       Clock& clock);
  ~Core() override;

  Status LoadRoot(const CallOptions& call);
  void StartWork();

  Result<Entry> Lookup(const OpContext& context, Ino parent, std::string_view name) override;
  void Forget(Ino ino, uint64_t lookups) override;
  Result<Entry> MakeNode(const OpContext& context, Ino parent, std::string_view name, mode_t mode,
                         dev_t rdev) override;
  Result<Entry> MakeDirectory(const OpContext& context, Ino parent, std::string_view name,
                              mode_t mode) override;
  Result<Entry> MakeSymlink(const OpContext& context, Ino parent, std::string_view name,
                            std::string_view target) override;
  Result<Entry> Link(const OpContext& context, Ino ino, Ino new_parent,
                     std::string_view new_name) override;
  Status Unlink(const OpContext& context, Ino parent, std::string_view name) override;
  Status RemoveDirectory(const OpContext& context, Ino parent, std::string_view name) override;
  Status Rename(const OpContext& context, Ino parent, std::string_view name, Ino new_parent,
                std::string_view new_name, RenameFlags flags) override;
  Result<Entry> GetAttributes(const OpContext& context, Ino ino) override;
  Result<Entry> SetAttributes(const OpContext& context, Ino ino, const AttributeChange& change,
                              OpenFile* file) override;
  Result<std::string> ReadLink(const OpContext& context, Ino ino) override;
  Result<Opened> Open(const OpContext& context, Ino ino, int flags) override;
  Result<Created> Create(const OpContext& context, Ino parent, std::string_view name, mode_t mode,
                         int flags) override;
  Result<size_t> Read(const OpContext& context, OpenFile& file, uint64_t offset,
                      std::span<std::byte> out) override;
  Result<size_t> Write(const OpContext& context, OpenFile& file, uint64_t offset,
                       std::span<const std::byte> data) override;
  Status Flush(const OpContext& context, OpenFile& file) override;
  Status Fsync(const OpContext& context, OpenFile& file) override;
  Status Release(const OpContext& context, OpenFile* file) override;
  Status Allocate(const OpContext& context, OpenFile& file,
                  const AllocateRequest& request) override;
  Result<std::optional<uint64_t>> Seek(const OpContext& context, OpenFile& file, uint64_t offset,
                                       bool hole) override;
  Result<size_t> CopyRange(const OpContext& context, OpenFile& from, OpenFile& to,
                           const CopyRequest& request) override;
  Result<std::string> GetXattr(const OpContext& context, Ino ino, std::string_view name) override;
  Result<std::vector<std::string>> ListXattrs(const OpContext& context, Ino ino) override;
  Status SetXattr(const OpContext& context, Ino ino, std::string_view name, std::string_view value,
                  XattrMode mode) override;
  Status RemoveXattr(const OpContext& context, Ino ino, std::string_view name) override;
  Result<OpenDirectory*> OpenDir(const OpContext& context, Ino ino) override;
  Status ReadDir(const OpContext& context, OpenDirectory& directory, uint64_t offset, bool plus,
                 const std::function<bool(const DirectoryEntry&, uint64_t)>& take) override;
  Status FsyncDir(const OpContext& context, OpenDirectory& directory) override;
  void ReleaseDir(OpenDirectory* directory) override;
  Result<FileSystemStats> StatFs(const OpContext& context) override;
  Status SyncAll(const OpContext& context) override;
  PendingWork pending() const override;
  Status Prefetch(const OpContext& context, Ino ino,
                  const std::function<void(uint64_t)>& got) override;
  Result<uint64_t> Evict(const OpContext& context, Ino ino) override;
  void SetOutdatedListener(std::function<void(const Outdated&)> listener) override {
    MutexLock lock(mutex_);
    tell_outdated_ = std::move(listener);
  }

 private:
  struct Found {
    Ino ino = 0;  // 0: no such name
    mode_t mode = 0;
  };
  enum class LockedLookup { kFound, kAbsent, kAskBucket };

  // core.cc
  void ReleaseAll() QUAY_EXCLUDES(mutex_);
  Status MayWait(const OpContext& context) const;
  Status CheckWritable() const;
  Status CheckName(std::string_view name) const;
  /// The inode whose name stands for `key`; nullptr if none is known.
  Inode* AtKeyLocked(const std::string& key) QUAY_REQUIRES(mutex_);
  bool FreshLocked(SteadyTime when) const QUAY_REQUIRES(mutex_);
  Duration RemainingLocked(SteadyTime when) const QUAY_REQUIRES(mutex_);
  Result<Inode*> FindLocked(Ino ino) QUAY_REQUIRES(mutex_);
  Result<Inode*> FindDirectoryLocked(Ino ino) QUAY_REQUIRES(mutex_);
  Entry EntryOfLocked(Inode& inode, bool count_lookup) QUAY_REQUIRES(mutex_);
  Attributes AttributesOfLocked(const Inode& inode) const QUAY_REQUIRES(mutex_);
  void TouchLocked(Inode& inode, bool contents) QUAY_REQUIRES(mutex_);
  /// `recorded`: FileData::changed_at, after the write.
  void TouchWrittenLocked(Inode& inode, WallTime recorded) QUAY_REQUIRES(mutex_);
  /// Something was made or removed in it.
  void TouchFolderLocked(Inode& folder) QUAY_REQUIRES(mutex_);
  void SettleErased() QUAY_EXCLUDES(mutex_);
  /// Keeps a failure for `quayfs status`.
  void NoteFailureLocked(const Error& error) QUAY_REQUIRES(mutex_);
  void NoteFailure(const Error& error) QUAY_EXCLUDES(mutex_);
  bool posix() const { return config_.metadata == MetadataMode::kPosix; }

  // lookup.cc
  Result<Found> FindChild(const OpContext& context, Ino parent, std::string_view name);
  LockedLookup LookupLocked(Inode& directory, std::string_view name, Found* found)
      QUAY_REQUIRES(mutex_);
  Status AskBucketForName(const OpContext& context, Ino parent, std::string_view name);
  Status ProbeName(const OpContext& context, Ino parent, std::string_view name,
                   const std::string& directory_key);
  Status EnsureAttributes(const OpContext& context, Ino ino);
  Status EnsureOwnAttributes(const OpContext& context, Ino ino);
  Status FetchAttributes(const OpContext& context, Ino ino);
  void PrefetchSiblings(Ino ino);
  void ApplyHeadLocked(Inode& inode, const ObjectHead& head) QUAY_REQUIRES(mutex_);
  void ApplyDefaultsLocked(Inode& inode) QUAY_REQUIRES(mutex_);
  void ApplyVersionLocked(Inode& inode, const std::string& key, const ObjectInfo& info)
      QUAY_REQUIRES(mutex_);
  /// What one listing page says of a directory; returns the inodes it shows, in order. 0 for what
  /// must not be shown.
  std::vector<Ino> ApplyPageLocked(Inode& directory, const std::string& directory_key,
                                   const ListPage& page, SteadyTime started) QUAY_REQUIRES(mutex_);
  Ino SeenLocked(Inode& directory, const std::string& name, const std::string& key,
                 const ObjectInfo* object, SteadyTime started) QUAY_REQUIRES(mutex_);
  void FinishListingLocked(Inode& directory, SteadyTime started) QUAY_REQUIRES(mutex_);
  void BeginListingLocked(Inode& directory) QUAY_REQUIRES(mutex_);
  void EndListingLocked(Inode* directory) QUAY_REQUIRES(mutex_);
  void GoneLocked(Inode& inode) QUAY_REQUIRES(mutex_);
  /// What a listing shows at `key` is not to be shown: this mount has removed or moved it away.
  bool HiddenLocked(Inode& directory, const std::string& key, const ObjectInfo* object,
                    SteadyTime started) QUAY_REQUIRES(mutex_);
  /// Something at `key`, or below it if it ends with '/', was removed after `started`.
  bool RemovedSinceLocked(const std::string& key, SteadyTime started) const QUAY_REQUIRES(mutex_);

  // directory.cc
  Status BeginReading(const OpContext& context, OpenDirectory& handle);
  void TakeSnapshotLocked(const Inode& directory, OpenDirectory& handle) QUAY_REQUIRES(mutex_);
  Status ReadPage(const OpContext& context, OpenDirectory& handle);
  void FetchAhead(OpenDirectory& handle);
  Result<bool> TakeDots(Ino ino, uint64_t offset,
                        const std::function<bool(const DirectoryEntry&, uint64_t)>& take);
  bool DescribeItem(OpenDirectory& handle, uint64_t index, bool plus, DirectoryEntry* entry);

  // attributes.cc
  Status Resize(const OpContext& context, Ino ino, uint64_t size);
  void ApplyChangeLocked(Inode& inode, const AttributeChange& change) QUAY_REQUIRES(mutex_);
  ObjectProperties PropertiesLocked(const Inode& inode) const QUAY_REQUIRES(mutex_);
  std::string MarkerKeyLocked(const Inode& inode, const std::string& key) const
      QUAY_REQUIRES(mutex_);

  // files.cc
  Result<std::shared_ptr<FileData>> DataLocked(Inode& inode) QUAY_REQUIRES(mutex_);
  Result<Opened> OpenLocked(Inode& inode, int flags) QUAY_REQUIRES(mutex_);
  Status Revalidate(const OpContext& context, Ino ino);
  void DropDataLocked(Inode& inode) QUAY_REQUIRES(mutex_);
  void DropSetIdLocked(Inode& inode) QUAY_REQUIRES(mutex_);
  // warm.cc: a file's contents, not to be let go before LetGoOfData.
  Result<std::shared_ptr<FileData>> HoldData(Ino ino);
  void LetGoOfData(Ino ino);
  /// The first error of the work for an inode that no close or fsync has returned yet.
  void StreamLocked(Inode& inode) QUAY_REQUIRES(mutex_);
  bool HasWork(Ino ino) const QUAY_EXCLUDES(mutex_);
  Status UnreportedLocked(Ino ino) QUAY_REQUIRES(mutex_);
  void NoteWrittenLocked(const OpContext& context, const OpenFile& file, uint64_t end)
      QUAY_REQUIRES(mutex_);

  // xattrs.cc
  struct NewNode {
    Attributes attributes;
    std::string target;
    XattrMap xattrs;
  };
  struct Step;
  bool HasXattrsLocked(const Inode& inode) const QUAY_REQUIRES(mutex_);
  Status LoadXattrs(const OpContext& context, Ino ino);
  void NoteXattrsLocked(Inode& inode) QUAY_REQUIRES(mutex_);
  Status CommitXattrsLocked(Inode& inode, const XattrState& values_before,
                            const Attributes& attributes_before) QUAY_REQUIRES(mutex_);
  Status SetAclLocked(const OpContext& context, Inode& inode, const std::string& name,
                      std::string_view value) QUAY_REQUIRES(mutex_);
  void ChangeAclModeLocked(Inode& inode) QUAY_REQUIRES(mutex_);
  void InheritLocked(const OpContext& context, const Inode& directory, NewNode* node)
      QUAY_REQUIRES(mutex_);
  Status PutXattrs(const OpContext& context, Ino ino, const Step& step);
  std::vector<std::string> SideKeysLocked(const Inode& inode) const QUAY_REQUIRES(mutex_);

  // nodes.cc
  /// The attributes of a new entry; fails if it could not have a key.
  Status PrepareNodeLocked(const OpContext& context, const Inode& directory, std::string_view name,
                           mode_t mode, NewNode* node) QUAY_REQUIRES(mutex_);
  Status CheckKeyLocked(const Inode& directory, std::string_view name, bool is_directory)
      QUAY_REQUIRES(mutex_);
  Result<Inode*> AddNodeLocked(Inode& directory, std::string_view name, const NewNode& node)
      QUAY_REQUIRES(mutex_);
  Status EnsureDirectory(const OpContext& context, Ino directory);
  Result<Entry> MakeObject(const OpContext& context, Ino parent, std::string_view name, mode_t mode,
                           dev_t rdev, std::string_view target);
  /// A directory that only exists because of what is in it gets a marker when something goes.
  void KeepDirectoryLocked(Inode& directory, StateBatch* batch) QUAY_REQUIRES(mutex_);
  void KeepLongFolderLocked(Inode& directory, StateBatch* batch) QUAY_REQUIRES(mutex_);
  /// The rows of an inode that is about to be removed, and of what becomes of its object.
  void PlanRemovalLocked(Inode& inode, StateBatch* batch) QUAY_REQUIRES(mutex_);
  /// And the same in memory. The pointer may be dead afterwards.
  void RemoveLocked(Inode& inode) QUAY_REQUIRES(mutex_);
  Status RequireEmpty(const OpContext& context, Ino ino);
  Status RemoveName(const OpContext& context, Ino parent, std::string_view name, bool directory);

  // rename.cc
  struct RenamePlan {
    Ino source = 0;
    Ino target = 0;  // 0: the new name is free
    bool directory = false;
    Ino parent = 0;
    std::string name;
    Ino new_parent = 0;
    std::string new_name;
  };
  Result<RenamePlan> PlanRename(const OpContext& context, Ino parent, std::string_view name,
                                Ino new_parent, std::string_view new_name, RenameFlags flags);
  /// Everything below a directory is in the table afterwards.
  Status KnowTree(const OpContext& context, Ino directory);
  Status KnowDirectory(const OpContext& context, Ino directory);
  bool KnownLocked(const Inode& directory) const QUAY_REQUIRES(mutex_);
  /// True if the table still is what the plan was made from.
  bool StillSoLocked(const RenamePlan& plan) QUAY_REQUIRES(mutex_);
  bool StraysLocked(const Inode& inode) const QUAY_REQUIRES(mutex_);
  Status Exchange(const OpContext& context, Ino parent, std::string_view name, Ino new_parent,
                  std::string_view new_name);
  Status CarryOutExchangeLocked(Inode& from, Inode& one, Inode& into, Inode& other)
      QUAY_REQUIRES(mutex_);
  Status CarryOutRenameLocked(const RenamePlan& plan) QUAY_REQUIRES(mutex_);

  // links.cc
  struct NameDrop {
    Ino victim = 0;  // the inode that goes, with its object
    Ino file = 0;    // whose name it was and who stays under another; 0: none
    // Where the dropped name was, and the victim.
    Ino parent = 0;
    std::string name;
    Ino victim_parent = 0;
    std::string victim_name;
    std::string record;  // a link record that goes as well
    bool stray = false;
    bool stored = false;  // the victim
    // Of the file, before.
    LinkState links;
    Attributes attributes;
    bool dirty = false;
  };
  struct LinkGroup {
    Ino file = 0;
    std::vector<Ino> waiting;  // names whose file has not been seen yet
  };
  /// The file that a name stands for; everything else stands for itself, and so does a name whose
  /// file is not known.
  Inode& FileOfLocked(Inode& named) QUAY_REQUIRES(mutex_);
  std::vector<Ino> NamesLocked(const Inode& file) const QUAY_REQUIRES(mutex_);
  uint32_t LinkCountLocked(const Inode& file) const QUAY_REQUIRES(mutex_);
  void AttachLocked(Inode& name, Inode& file) QUAY_REQUIRES(mutex_);
  void NoteRecordLocked(Inode& file) QUAY_REQUIRES(mutex_);
  void RegisterFileLocked(Inode& file) QUAY_REQUIRES(mutex_);
  void TakeLinksLocked(Inode& inode, const DecodedAttributes& decoded) QUAY_REQUIRES(mutex_);
  Result<LinkRecord> ReadRecord(const OpContext& context, const std::string& id);
  Result<Ino> FindPath(const OpContext& context, std::string_view path);
  Ino MovedFrom(std::string_view path) const;
  Status EnsureLinks(const OpContext& context, Ino ino);
  Status ResolveName(const OpContext& context, Ino ino);
  Status KnowNames(const OpContext& context, Ino ino);
  Status AddNameLocked(Inode& file, Inode& directory, std::string_view new_name)
      QUAY_REQUIRES(mutex_);
  NameDrop PlanDropLocked(Inode& named, StateBatch* batch) QUAY_REQUIRES(mutex_);
  void UndoDropLocked(const NameDrop& drop) QUAY_REQUIRES(mutex_);
  void CarryOutDropLocked(const NameDrop& drop) QUAY_REQUIRES(mutex_);
  void NoteLinksMovedLocked(Inode& inode, StateBatch* batch) QUAY_REQUIRES(mutex_);
  void RestoreLinksLocked() QUAY_REQUIRES(mutex_);

  // persist.cc
  Status LoadState();
  void ReserveNumbersLocked(StateBatch* batch) QUAY_REQUIRES(mutex_);
  void AddLinksLocked(const LinkState& links, InodeRow* row) const QUAY_REQUIRES(mutex_);
  void TakeLinksOfRowLocked(const InodeRow& row, Inode& inode) QUAY_REQUIRES(mutex_);
  void TakeXattrsOfRowLocked(Inode& inode) QUAY_REQUIRES(mutex_);
  void RestoreInodeLocked(const InodeRow& row) QUAY_REQUIRES(mutex_);
  void RestoreContentLocked(const RestoredFile& file) QUAY_REQUIRES(mutex_);
  InodeRow RowLocked(const Inode& inode) const QUAY_REQUIRES(mutex_);
  /// Adds the row of `inode`, and those of directories above it that have none yet.
  void SaveLocked(Inode& inode, StateBatch* batch) QUAY_REQUIRES(mutex_);
  void ForgetRowLocked(Inode& inode, StateBatch* batch) QUAY_REQUIRES(mutex_);
  void MarkStoredLocked(Inode& inode) QUAY_REQUIRES(mutex_);
  /// C1: what is acknowledged afterwards survives a kill. What could not be recorded before goes
  /// first; with an empty batch, that alone. After a failure nothing of `batch` is recorded.
  Status CommitLocked(StateBatch batch, Persist persist = Persist::kSurvivesKill)
      QUAY_REQUIRES(mutex_);
  /// For what has happened in the bucket, so cannot be taken back: a failure is logged, and the
  /// batch goes with the next commit. Until then no further step is taken in the bucket, because
  /// after a kill the database would know nothing of what it rests on.
  void CommitQuietlyLocked(StateBatch batch) QUAY_REQUIRES(mutex_);
  /// For what was learned of the bucket, and can be learned again: a failure is logged.
  void RememberLocked(Inode& inode) QUAY_REQUIRES(mutex_);
  void NoteUnrecordedLocked(const Error& error) QUAY_REQUIRES(mutex_);

  // schedule.cc
  void NoteWorkLocked(Inode& inode) QUAY_REQUIRES(mutex_);
  void NoteFileLocked(Ino ino, SteadyTime now) QUAY_REQUIRES(mutex_);
  void Hurry(bool hurry);
  void ScheduleLoop();
  /// The next item that is due, now running and its inode busy.
  std::optional<Ino> TakeDueLocked(SteadyTime now) QUAY_REQUIRES(mutex_);
  void StartDueLocked(SteadyTime now) QUAY_REQUIRES(mutex_);
  bool PostponedLocked(Ino ino, SteadyTime now) QUAY_REQUIRES(mutex_);
  void Work(Ino first);
  void StartRemovalsLocked(SteadyTime now) QUAY_REQUIRES(mutex_);
  struct Outcome {
    Status status;
    bool blocked = false;  // by a key that somebody else writes, or by `blocker`
    Ino blocker = 0;       // an inode that has to leave the key first
    uint64_t wakes = 0;    // of the queue, when it was blocked
  };
  void FinishWorkLocked(Ino ino, const Outcome& outcome) QUAY_REQUIRES(mutex_);
  /// Returns when the bucket shows the inode as it is, or with what keeps it from that.
  Status SyncInode(const OpContext& context, Ino ino, int depth = 0);
  /// And the directories above it.
  Status SyncPath(const OpContext& context, Ino ino);
  /// Something is due then: the scheduler looks no later.
  void WakeSchedulerLocked(std::optional<SteadyTime> due) QUAY_REQUIRES(mutex_);
  /// Work has ended: whoever waits for it, or for its place, looks again.
  void WakeLocked() QUAY_REQUIRES(mutex_);

  // reconcile.cc
  struct Step {
    enum class Kind { kDone, kPut, kPublish, kCopy, kAttributes, kPark, kKeep, kRecord, kXattrs };
    Kind kind = Kind::kDone;
    std::string key;            // where the object belongs
    std::string from;           // where it is; "" nowhere
    std::string expected_etag;  // of what is at `key`; "" nothing
    ObjectVersion version;      // of `from`
    bool new_properties = false;
    ObjectProperties properties;
    std::string body;
    std::shared_ptr<FileData> data;
    uint64_t seq = 0;
    Ino keeper = 0;
    std::vector<std::string> busy;         // keys held by this step
    bool keep_from = false;                // `from` is somebody else's object by now
    std::optional<UploadUnderWay> upload;  // goes on with this
    bool detour = false;                   // `key` is not where the object belongs
    bool again = false;                    // how an earlier attempt has ended is not known
    bool stale_properties = false;         // the inode's are newer
    bool from_unclear = false;             // ours, but nobody knows which version
    bool own_rename = false;               // of this inode, not of a directory above it
  };
  Status LearnBeforeMoving(const OpContext& context, Ino ino);
  /// Finds out what became of a copy onto itself (Inode::copying).
  Status SettleCopy(const OpContext& context, Ino ino) QUAY_EXCLUDES(mutex_);
  Outcome Reconcile(const OpContext& context, Ino ino);
  Outcome PlanStepLocked(Inode& inode, Step* step) QUAY_REQUIRES(mutex_);
  void DescribeStepLocked(Inode& inode, Step* step) QUAY_REQUIRES(mutex_);
  void AdoptUploadLocked(Inode& inode, Step* step) QUAY_REQUIRES(mutex_);
  Status NoteWritingLocked(Inode& inode, Step* step) QUAY_REQUIRES(mutex_);
  void NotWrittenLocked(Inode& inode, const std::string& key) QUAY_REQUIRES(mutex_);
  bool Moves(const Step& step) const;
  bool RetypesLocked(const Inode& inode, const Step& step) const QUAY_REQUIRES(mutex_);
  Outcome FindBlockerLocked(const Inode& inode, Step* step) QUAY_REQUIRES(mutex_);
  Status TakeStep(const OpContext& context, Ino ino, Step& step);
  Status PutObject(const OpContext& context, Ino ino, Step& step);
  Status TakeInOwnChange(const OpContext& context, Step& step);
  Status PublishContents(const OpContext& context, Ino ino, Step& step);
  Status CopyTo(const OpContext& context, Ino ino, Step& step);
  Status CopyOntoItself(const OpContext& context, Ino ino, const Step& step);
  Status Park(const OpContext& context, Ino ino, Step& step);
  Status WriteRecord(const OpContext& context, Ino ino, const Step& step);
  Status KeepContents(const OpContext& context, Ino ino);
  std::string DesiredKeyLocked(const Inode& inode) const QUAY_REQUIRES(mutex_);
  /// Takes in what a step has put into the bucket.
  void SettledLocked(Ino ino, const Step& step, const std::string& key,
                     const ObjectVersion& version) QUAY_REQUIRES(mutex_);
  void SetMovedLocked(Inode& inode) QUAY_REQUIRES(mutex_);
  Result<Condition> ConditionFor(const OpContext& context, const std::string& key,
                                 const std::string& expected, uint64_t size) const;
  Result<ObjectInfo> CopyObject(const OpContext& context, const Step& step, const std::string& to,
                                const Condition& condition);
  /// Of the version that the step knows, to a key that may be written again if it was another one.
  Result<ObjectInfo> CopyAndCheck(const OpContext& context, const Step& step,
                                  const Condition& condition);
  Result<ObjectInfo> CopyInParts(const OpContext& context, const Step& step, const std::string& to,
                                 const ObjectProperties& properties);

  // copy_whole.cc
  struct RangeCopy {
    CopyRequest request;  // within the source
    BaseVersion source;
    uint64_t target_size = 0;  // before
    bool whole = false;        // all of the source, and nothing else
  };
  Status CopyWithinStore(const OpContext& context, OpenFile& from, OpenFile& to, RangeCopy* copy);
  Status PlanCopyLocked(const OpenFile& from, const OpenFile& to, RangeCopy* copy, Step* step)
      QUAY_REQUIRES(mutex_);
  Result<ObjectInfo> MakeCopy(const OpContext& context, const Step& step, const RangeCopy& copy);
  Result<ObjectInfo> BuildOfRanges(const OpContext& context, const Step& step,
                                   const RangeCopy& copy);
  Result<PartInfo> SendRangePart(const OpContext& context, const Step& step, const RangeCopy& copy,
                                 const std::string& upload, const RangePart& part, int number);
  /// An object of `count` parts, each made by `send`.
  Result<ObjectInfo> UploadCopies(
      const OpContext& context, const std::string& key, const ObjectProperties& properties,
      const Condition& condition, uint64_t size, size_t count,
      const std::function<Result<PartInfo>(const std::string& upload, size_t index)>& send);
  Status FinishCopyLocked(const OpenFile& to, Step& step, const Result<ObjectInfo>& made)
      QUAY_REQUIRES(mutex_);

  // conflicts.cc
  Status ResolveConflict(const OpContext& context, Ino ino, Step& step,
                         const PublishRequest& refused, const Error& error);
  Status KeepBoth(const OpContext& context, Ino ino, Step& step, const PublishRequest& refused);
  /// The same for what has nothing to publish: it gets the name of a conflict copy, and the next
  /// step goes there.
  Status GiveWay(const OpContext& context, Ino ino, const Step& step, const Error& error);
  /// What is renamed here was changed by somebody else: theirs goes to the new name.
  Status TakeTheirs(Ino ino, Step& step, const ObjectVersion& made);
  Status CopyTheirs(const OpContext& context, Ino ino, Step& step, const ObjectInfo& theirs,
                    const Condition& condition);
  /// kChanged: somebody else's object lies under the step's key.
  Result<Condition> ConditionForCopy(const OpContext& context, const Step& step) const;
  static bool IsCopyOf(const Step& step, const ObjectHead& there);
  std::string ConflictNameLocked(const Inode& inode, int attempt) const QUAY_REQUIRES(mutex_);
  /// One that nothing has, here or in the bucket. The key goes where `refused` is.
  struct ConflictPlace {
    std::string name;
    std::string key;
  };
  /// Absent if the inode is not at `refused` any more.
  Result<std::optional<ConflictPlace>> FindConflictPlace(const OpContext& context, Ino ino,
                                                         const std::string& refused);
  void TellOutdatedLocked(const Outdated& outdated) QUAY_REQUIRES(mutex_);
  void MoveToConflictPlaceLocked(Inode& inode, const std::string& name, const std::string& refused)
      QUAY_REQUIRES(mutex_);
  /// Kept in the database until it is renamed or removed.
  void NoteConflictLocked(const Inode& inode, const std::string& key) QUAY_REQUIRES(mutex_);
  /// Takes up what earlier mounts have noted; what has been dealt with is dropped by `batch`.
  Status LoadConflictsLocked(StateBatch* batch) QUAY_REQUIRES(mutex_);
  std::vector<std::string> ConflictFilesLocked() const QUAY_REQUIRES(mutex_);

  // outage.cc
  /// Every answer of the store that somebody waits for comes by here.
  template <typename Answer>
  Answer Heard(Answer answer) QUAY_EXCLUDES(mutex_) {
    NoteAnswer(answer.ok() ? std::nullopt : std::optional(answer.error().code()));
    return answer;
  }
  void NoteAnswer(std::optional<Code> failure) QUAY_EXCLUDES(mutex_);
  void SetAwayLocked(bool away) QUAY_REQUIRES(mutex_);
  std::optional<Duration> StartProbeLocked() QUAY_REQUIRES(mutex_);

  // removals.cc
  struct Removal {
    std::string etag;  // "": whatever is there is ours
    uint64_t size = 0;
    Ino keeper = 0;  // removed while open: who may still need its bytes
    SteadyTime added{};
    SteadyTime due{};
    uint64_t failures = 0;
    bool running = false;
    std::optional<Error> error;  // the first
    /// What this inode was writing there when it was removed or renamed: until it is known how that
    /// ended, whatever lies there may be ours. If it did not, the removal is what it was before.
    Ino writer = 0;
    std::string etag_before;
    uint64_t size_before = 0;
  };
  void AddRemovalLocked(const std::string& key, const std::string& etag, uint64_t size, Ino keeper)
      QUAY_REQUIRES(mutex_);
  /// Some object that this mount has removed or moved away still lies at or below `prefix`.
  bool RemovalBelowLocked(const std::string& prefix) const QUAY_REQUIRES(mutex_);
  void HurryRemovalLocked(Removal& removal) QUAY_REQUIRES(mutex_);
  bool KeptOpenLocked(const Removal& removal) QUAY_REQUIRES(mutex_);
  /// The object is about to be replaced, which tells better than a removal whether it is still
  /// ours.
  bool ReplacedLocked(const std::string& key, const Removal& removal) QUAY_REQUIRES(mutex_);
  struct Doomed {
    std::string key;
    std::string etag;
  };
  void RunRemovals(const std::vector<Doomed>& doomed);
  Status KeepReaders(const OpContext& context, const std::vector<Doomed>& doomed);
  /// Leaves out what somebody else has replaced, after noting it.
  Result<std::vector<std::string>> StillOurs(const OpContext& context,
                                             const std::vector<Doomed>& doomed);
  void LeaveToOthersLocked(const std::string& key) QUAY_REQUIRES(mutex_);
  bool ChecksRemoval(const Doomed& doomed) const;
  std::vector<Status> DeleteFew(const OpContext& context, const std::vector<Doomed>& doomed);
  std::vector<Status> DeleteAll(const OpContext& context, const std::vector<std::string>& keys);
  void FinishRemovalsLocked(const std::vector<std::string>& keys,
                            const std::vector<Status>& outcomes) QUAY_REQUIRES(mutex_);
  /// Takes the removals of what the inode may have left behind into the plan and the table.
  void PlanStrayLocked(const Inode& inode, StateBatch* batch) QUAY_REQUIRES(mutex_);
  void AddStrayLocked(Inode& inode) QUAY_REQUIRES(mutex_);
  void NotStrayedLocked(Ino ino, const std::string& key) QUAY_REQUIRES(mutex_);
  struct WaitedRemoval {
    uint64_t failures = 0;
    bool began_before = false;
  };
  bool FailedSinceLocked(Removal& removal, WaitedRemoval* waited) QUAY_REQUIRES(mutex_);
  Status SyncRemovals(const OpContext& context, const std::string& prefix);
  std::optional<SteadyTime> NextRemovalLocked() const QUAY_REQUIRES(mutex_);
  SteadyTime GatheredLocked() const QUAY_REQUIRES(mutex_);
  bool RemovalsRestLocked() const QUAY_REQUIRES(mutex_);
  void RemovalDueLocked(SteadyTime due) QUAY_REQUIRES(mutex_);

  const FileSystemConfig config_;
  ObjectStore& store_;
  Cache& cache_;
  Executor& background_;
  Clock& clock_;

  const KeySpace keys_;

  mutable Mutex mutex_{LockRank::kNamespace};
  InodeTable table_ QUAY_GUARDED_BY(mutex_);
  std::map<std::string, LinkGroup> link_groups_ QUAY_GUARDED_BY(mutex_);  // by id
  std::string last_error_ QUAY_GUARDED_BY(mutex_);
  uint64_t conflicts_ QUAY_GUARDED_BY(mutex_) = 0;
  // Inodes that were kept beside somebody else's version, and their names as such.
  std::map<Ino, std::string> conflict_copies_ QUAY_GUARDED_BY(mutex_);
  std::set<OpenFile*> open_files_ QUAY_GUARDED_BY(mutex_);
  std::set<OpenDirectory*> open_directories_ QUAY_GUARDED_BY(mutex_);
  std::function<void(const Outdated&)> tell_outdated_ QUAY_GUARDED_BY(mutex_);

  Gates heads_;  // by inode: its attributes are being asked for

  // The reconciler.
  StateDb* const state_;
  WorkQueue queue_ QUAY_GUARDED_BY(mutex_);
  Burst burst_ QUAY_GUARDED_BY(mutex_);
  std::map<std::string, Removal> removals_ QUAY_GUARDED_BY(mutex_);
  bool removals_hurry_ QUAY_GUARDED_BY(mutex_) = false;
  std::optional<SteadyTime> removals_next_ QUAY_GUARDED_BY(mutex_);  // none is due earlier
  SteadyTime removals_added_ QUAY_GUARDED_BY(mutex_){};              // the last one
  SteadyTime removals_started_ QUAY_GUARDED_BY(mutex_){};  // the last task; or the first removal
  size_t removals_running_ QUAY_GUARDED_BY(mutex_) = 0;
  /// When objects were removed, while listings that may still show them are under way.
  std::map<std::string, SteadyTime> gone_ QUAY_GUARDED_BY(mutex_);
  size_t listings_ QUAY_GUARDED_BY(mutex_) = 0;
  /// Objects of moved inodes, by where they still lie.
  std::map<std::string, Ino> sources_ QUAY_GUARDED_BY(mutex_);
  std::set<std::string> busy_keys_ QUAY_GUARDED_BY(mutex_);
  bool stopping_ QUAY_GUARDED_BY(mutex_) = false;

  // The store does not answer. Changed under mutex_.
  std::atomic<bool> away_{false};
  std::optional<SteadyTime> probe_due_ QUAY_GUARDED_BY(mutex_);  // absent: one is under way
  Duration probe_pause_ QUAY_GUARDED_BY(mutex_){};
  int urged_ QUAY_GUARDED_BY(mutex_) = 0;         // callers of SyncAll
  bool hurry_ QUAY_GUARDED_BY(mutex_) = false;    // writers are held back by the cache
  Ino reserved_ino_ QUAY_GUARDED_BY(mutex_) = 0;  // the database knows numbers below as given out
  StateBatch backlog_ QUAY_GUARDED_BY(mutex_);    // CommitQuietlyLocked
  std::vector<Ino> newly_stored_ QUAY_GUARDED_BY(mutex_);  // by a batch that is not committed yet
  CondVar work_noted_;                                     // for the scheduler
  /// When the scheduler looks by itself; min() while it is awake or about to be.
  SteadyTime schedule_at_ QUAY_GUARDED_BY(mutex_) = SteadyTime::min();
  CondVar work_done_;  // for whoever waits for work to be done
  std::stop_source work_stop_;

  // Attribute requests nobody waits for.
  Mutex prefetch_mutex_{LockRank::kHandles};
  CondVar prefetch_done_;
  size_t prefetching_ QUAY_GUARDED_BY(prefetch_mutex_) = 0;
  std::stop_source prefetch_stop_;

  // Last: their tasks use the rest.
  ThreadPool workers_;
  std::thread scheduler_;
};

}  // namespace quayfs
