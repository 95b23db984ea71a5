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
//
// Locks: mutex_ guards the inode table and everything in inodes; it is held for steps in memory and
// on the local disk, never across a request. Gates (fs/gates.h) order what takes longer. A method
// whose name ends in Locked needs mutex_. Every operation that needs the network takes its gates
// first and looks at the table again after each request.

#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/mutex.h"
#include "fs/file_system.h"
#include "fs/gates.h"
#include "fs/inode_table.h"

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

  Result<Entry> Lookup(const OpContext& context, Ino parent, std::string_view name) override;
  void Forget(Ino ino, uint64_t lookups) override;
  Result<Entry> MakeNode(const OpContext& context, Ino parent, std::string_view name, mode_t mode,
                         dev_t rdev) override;
  Result<Entry> MakeDirectory(const OpContext& context, Ino parent, std::string_view name,
                              mode_t mode) override;
  Result<Entry> MakeSymlink(const OpContext& context, Ino parent, std::string_view name,
                            std::string_view target) override;
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
  Result<OpenDirectory*> OpenDir(const OpContext& context, Ino ino) override;
  Status ReadDir(const OpContext& context, OpenDirectory& directory, uint64_t offset, bool plus,
                 const std::function<bool(const DirectoryEntry&, uint64_t)>& take) override;
  Status FsyncDir(const OpContext& context, OpenDirectory& directory) override;
  void ReleaseDir(OpenDirectory* directory) override;
  Result<FileSystemStats> StatFs(const OpContext& context) override;
  Status SyncAll(const OpContext& context) override;
  PendingWork pending() const override;

 private:
  struct Found {
    Ino ino = 0;  // 0: no such name
    mode_t mode = 0;
  };
  enum class LockedLookup { kFound, kAbsent, kAskBucket };

  // core.cc
  Status MayWait(const OpContext& context) const;
  Status CheckWritable() const;
  Status CheckName(std::string_view name) const;
  bool FreshLocked(SteadyTime when) const QUAY_REQUIRES(mutex_);
  Duration RemainingLocked(SteadyTime when) const QUAY_REQUIRES(mutex_);
  Result<Inode*> FindLocked(Ino ino) QUAY_REQUIRES(mutex_);
  Result<Inode*> FindDirectoryLocked(Ino ino) QUAY_REQUIRES(mutex_);
  Entry EntryOfLocked(Inode& inode, bool count_lookup) QUAY_REQUIRES(mutex_);
  Attributes AttributesOfLocked(const Inode& inode) const QUAY_REQUIRES(mutex_);
  void TouchLocked(Inode& inode, bool contents) QUAY_REQUIRES(mutex_);
  void SettleErased() QUAY_EXCLUDES(mutex_);
  /// Runs `fn` (which must finish its own waiting) and notes its failure for `quayfs status`.
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
  void EndListingLocked(Inode& directory) QUAY_REQUIRES(mutex_);
  void GoneLocked(Inode& inode) QUAY_REQUIRES(mutex_);

  // directory.cc
  Status BeginReading(const OpContext& context, OpenDirectory& handle);
  Status ReadPage(const OpContext& context, OpenDirectory& handle);
  void FetchAhead(OpenDirectory& handle);
  Result<bool> TakeDots(Ino ino, uint64_t offset,
                        const std::function<bool(const DirectoryEntry&, uint64_t)>& take);
  bool DescribeItem(OpenDirectory& handle, uint64_t index, bool plus, DirectoryEntry* entry);

  // attributes.cc
  Status PublishAttributes(const OpContext& context, Ino ino);
  Status WriteMarker(const OpContext& context, Ino ino);
  Status Resize(const OpContext& context, Ino ino, uint64_t size, OpenFile* file);
  void ApplyChangeLocked(Inode& inode, const AttributeChange& change, bool* publish)
      QUAY_REQUIRES(mutex_);
  ObjectProperties PropertiesLocked(const Inode& inode) const QUAY_REQUIRES(mutex_);
  std::string MarkerKeyLocked(const Inode& inode, const std::string& key) const
      QUAY_REQUIRES(mutex_);

  // files.cc
  Result<std::shared_ptr<FileData>> DataLocked(Inode& inode) QUAY_REQUIRES(mutex_);
  Result<Opened> OpenLocked(Inode& inode, int flags) QUAY_REQUIRES(mutex_);
  Status Revalidate(const OpContext& context, Ino ino);
  Status PublishFile(const OpContext& context, Ino ino);
  struct Elsewhere {
    std::string key;
    std::string expected_etag;  // of the object there, "" if there should be none
  };
  Status PublishGated(const OpContext& context, Ino ino, const Elsewhere* elsewhere = nullptr);
  Status ResolveConflict(const OpContext& context, Ino ino, const std::shared_ptr<FileData>& data,
                         const PublishRequest& refused, uint64_t seq, const Error& error);
  Status KeepBoth(const OpContext& context, Ino ino, const std::shared_ptr<FileData>& data,
                  const PublishRequest& refused, uint64_t seq);
  Result<Condition> ConditionFor(const OpContext& context, const std::string& key,
                                 const std::string& expected, uint64_t size) const;
  /// Takes in what a publication has put into the bucket.
  void PublishedLocked(Inode& inode, const PublishRequest& request, const ObjectInfo& written,
                       uint64_t seq) QUAY_REQUIRES(mutex_);
  void DropDataLocked(Inode& inode) QUAY_REQUIRES(mutex_);
  std::string ConflictNameLocked(const Inode& inode) const QUAY_REQUIRES(mutex_);

  // nodes.cc
  /// The attributes and the key that a new entry gets.
  Result<std::string> PrepareNodeLocked(const OpContext& context, Ino parent, std::string_view name,
                                        mode_t mode, Attributes* attributes) QUAY_REQUIRES(mutex_);
  Result<Entry> MakeObject(const OpContext& context, Ino parent, std::string_view name, mode_t mode,
                           dev_t rdev, std::string_view body);
  Status RequireAbsent(const OpContext& context, Ino parent, std::string_view name);
  /// A directory that only exists because of what is in it gets a marker before its last entry
  /// goes.
  Status KeepDirectory(const OpContext& context, Ino directory);
  /// Somebody still reads a file whose object is about to go: makes sure that its bytes stay within
  /// reach.
  Status KeepContents(const OpContext& context, Ino ino);
  Status RemoveObject(const OpContext& context, Ino ino);
  void RemovedLocked(Inode& inode) QUAY_REQUIRES(mutex_);
  Status RequireEmpty(const OpContext& context, Ino ino);

  // rename.cc
  struct RenamePlan {
    Ino source = 0;
    Ino target = 0;  // 0: the new name is free
    bool directory = false;
    Ino parent = 0;
    Ino new_parent = 0;
    std::string new_name;
  };
  struct CopiedObject {
    std::string from;
    std::string to;
    std::string etag;  // of the copy
    uint64_t size = 0;
  };
  Result<RenamePlan> PlanRename(const OpContext& context, Ino parent, std::string_view name,
                                Ino new_parent, std::string_view new_name, RenameFlags flags);
  Result<std::string> NewKeyLocked(const RenamePlan& plan) QUAY_REQUIRES(mutex_);
  Status RenameFile(const OpContext& context, const RenamePlan& plan);
  Status RenameObject(const OpContext& context, Ino ino, const std::string& from,
                      const std::string& to);
  Status RenameDirectory(const OpContext& context, const RenamePlan& plan);
  Result<std::vector<CopiedObject>> CopyTree(const OpContext& context, const std::string& from,
                                             const std::string& to);
  void FinishRenameLocked(const RenamePlan& plan) QUAY_REQUIRES(mutex_);
  void RebaseTreeLocked(Inode& directory, const std::string& from, const std::string& to,
                        const std::vector<CopiedObject>& copied) QUAY_REQUIRES(mutex_);
  Result<ObjectInfo> CopyObject(const OpContext& context, const std::string& from,
                                const std::string& etag, uint64_t size, const std::string& to);
  Status DeleteAll(const OpContext& context, const std::vector<std::string>& keys);

  const FileSystemConfig config_;
  ObjectStore& store_;
  Cache& cache_;
  Executor& background_;
  Clock& clock_;

  mutable Mutex mutex_{LockRank::kNamespace};
  InodeTable table_ QUAY_GUARDED_BY(mutex_);
  std::string last_error_ QUAY_GUARDED_BY(mutex_);
  uint64_t conflicts_ QUAY_GUARDED_BY(mutex_) = 0;
  uint64_t open_files_ QUAY_GUARDED_BY(mutex_) = 0;

  SharedGate tree_;    // exclusive while a directory is being renamed
  Gates directories_;  // by inode: its names are being changed
  Gates files_;        // by inode: its object is being written, copied or removed
  Gates heads_;        // by inode: its attributes are being asked for

  // Attribute requests nobody waits for.
  Mutex prefetch_mutex_{LockRank::kHandles};
  CondVar prefetch_done_;
  size_t prefetching_ QUAY_GUARDED_BY(prefetch_mutex_) = 0;
  std::stop_source prefetch_stop_;
};

}  // namespace quayfs
