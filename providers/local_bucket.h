// SPDX-License-Identifier: Apache-2.0
//
// The files of a local store: how a body and its trailer get into the bucket's directory whole or
// not at all, and stay there through a crash. Knows paths and records, nothing of keys' meaning or
// of conditions.
//
// Publishing is: write a temporary file, fdatasync, take the bucket's lock, look, rename into
// place, release, fsync the directory. The lock is a mutex in this process and flock(2) on
// .quayfs-bucket against others; it is held for the few system calls between looking and renaming,
// never while data is written or synced. Reads take no lock: an open file is one version for as
// long as it is open.
//
// Thread-safe. Blocking: on the disk, and on the lock as long as CallOptions allows.

#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/call.h"
#include "base/clock.h"
#include "base/disk.h"
#include "base/mutex.h"
#include "base/result.h"
#include "providers/local_record.h"
#include "providers/object_store.h"

namespace quayfs {

/// Names of the store's own entries in the bucket's directory. No key's path begins with a dot.
inline constexpr std::string_view kLocalLockName = ".quayfs-bucket";
inline constexpr std::string_view kLocalTemporaryName = ".quayfs-tmp";
inline constexpr std::string_view kLocalUploadsName = ".quayfs-uploads";

class LocalBucket {
 public:
  /// `disk` and `clock` outlive the bucket. Touches nothing.
  LocalBucket(std::string root, Disk& disk, Clock& clock);
  LocalBucket(const LocalBucket&) = delete;
  LocalBucket& operator=(const LocalBucket&) = delete;

  const std::string& root() const { return root_; }
  Disk& disk() const { return disk_; }
  Clock& clock() const { return clock_; }
  /// The path of an entry given relative to the bucket's directory.
  std::string Absolute(std::string_view relative) const;
  /// kTimedOut or kCancelled once `call` says so.
  Status CheckCall(const CallOptions& call) const;

  // ---- Reading.

  struct OpenObject {
    std::unique_ptr<DiskFile> file;
    LocalRecord record;
  };
  /// kNotFound, kCorrupt.
  Result<OpenObject> Open(const std::string& relative) const;
  /// The record alone; nothing if there is no such file.
  Result<std::optional<LocalRecord>> Peek(const std::string& relative) const;

  // ---- Writing.

  /// A file that nobody sees yet; it goes away unless it is published.
  class Temporary {
   public:
    Temporary(LocalBucket& bucket, std::string path, std::unique_ptr<DiskFile> file);
    ~Temporary();
    Temporary(Temporary&&) noexcept;
    Temporary& operator=(Temporary&&) = delete;
    Temporary(const Temporary&) = delete;

    uint64_t size() const { return size_; }
    Status AppendSource(const DataSource& data, const CallOptions& call);
    /// Bytes of another file; shares blocks or copies in the kernel where it can.
    Status AppendFile(const DiskFile& from, ByteRange range, const CallOptions& call);
    /// Appends the trailer for a body of size() bytes and syncs. Nothing may be appended after it.
    Status Finish(LocalRecord& record);

   private:
    friend class LocalBucket;
    Status AppendByReading(const DiskFile& from, ByteRange range, const CallOptions& call);

    LocalBucket* bucket_;
    std::string path_;
    std::unique_ptr<DiskFile> file_;
    uint64_t size_ = 0;
  };
  Result<Temporary> MakeTemporary(const CallOptions& call);

  /// Holds the bucket's lock while it lives. To be destroyed by the thread that got it.
  class Guard {
   public:
    explicit Guard(LocalBucket& bucket) : bucket_(&bucket) {}
    ~Guard();
    Guard(Guard&& other) noexcept : bucket_(std::exchange(other.bucket_, nullptr)) {}
    Guard& operator=(Guard&&) = delete;
    Guard(const Guard&) = delete;

   private:
    LocalBucket* bucket_;
  };
  Result<Guard> Lock(const CallOptions& call);

  // Under the lock; the caller makes the change last with Persist() after releasing it.
  Status Publish(Temporary& temporary, const std::string& relative, const Guard& guard);
  /// Replaces a file at `to`, and makes the directories above it.
  Status Rename(const std::string& from, const std::string& to, const Guard& guard);
  /// The file is gone afterwards, with the directories above it that are empty, but not the
  /// bucket's own.
  Status Remove(const std::string& relative, const Guard& guard);

  /// Takes the directory `relative`, which holds files only, out of sight at once, and says where
  /// it is now: "" if there was none.
  Status Discard(const std::string& relative, const Guard& guard, std::string* discarded);
  /// Removes what Discard put aside. Best effort: what is left goes when somebody next opens the
  /// folder.
  void RemoveDiscarded(const std::string& discarded);

  /// What was done to the entry `relative`, and to the directories above it, reaches the disk.
  Status Persist(const std::string& relative);

  /// A new version's name, never used before: quotes included.
  static std::string NewEtag();

 private:
  /// Takes flock(2); false if another process has it.
  Result<bool> TryLockFile() QUAY_REQUIRES(mutex_);
  Status PrepareFolder() QUAY_REQUIRES(mutex_);
  Status CheckVersion() QUAY_REQUIRES(mutex_);
  void RemoveAbandonedTemporaries();
  void Unlock();
  Status MakeParents(const std::string& relative);
  Status SyncNewParents(const std::string& relative);

  const std::string root_;
  Disk& disk_;
  Clock& clock_;
  Mutex mutex_{LockRank::kProvider};
  std::unique_ptr<DiskFile> lock_file_ QUAY_GUARDED_BY(mutex_);
  bool prepared_ QUAY_GUARDED_BY(mutex_) = false;

  // Directories made by this process whose own entry may not have reached the disk.
  Mutex new_mutex_{LockRank::kLeaf};
  // The number tells one making of a name from the next.
  std::map<std::string, uint64_t> new_directories_ QUAY_GUARDED_BY(new_mutex_);
  uint64_t made_directories_ QUAY_GUARDED_BY(new_mutex_) = 0;
};

}  // namespace quayfs
