// SPDX-License-Identifier: Apache-2.0
//
// The file system core: POSIX operations over an object store and a cache. Knows nothing of FUSE;
// every operation is a plain method that returns a Result, and the adapter (fs/fuse) is a thin
// translation on top.
//
// - Thread safety: every method may be called by any number of threads at once.
// - Blocking: see OpContext::may_block. Methods without a context never block on the network.
// - Permissions are the kernel's business (the adapter mounts with default_permissions); what is
// checked here is what the
//   kernel cannot know.
// - Errors are Codes; fs/errno.h turns them into errno values.
//
// A change is acknowledged when the local state database has it; the bucket follows by itself.
// Fsync, SyncAll and, if so configured, Flush wait for the bucket.

#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/executor.h"
#include "base/result.h"
#include "cache/cache.h"
#include "fs/config.h"
#include "fs/types.h"
#include "providers/object_store.h"

namespace quayfs {

/// An open file or directory. Made by Open/Create/OpenDirectory, given back to
/// Release/ReleaseDirectory exactly once, after all other calls with it have returned, or left to
/// the file system's destructor. Opaque to callers.
struct OpenFile;
struct OpenDirectory;

struct Opened {
  OpenFile* file = nullptr;
  bool keep_cache = false;  // what the kernel has cached of this file is still right
};

struct Created {
  Entry entry;
  Opened opened;
};

/// fallocate(2): the file is at least that long afterwards, unless the size is to be kept; with
/// `zero` the range within it reads as zeros.
struct AllocateRequest {
  uint64_t offset = 0;
  uint64_t length = 0;
  bool keep_size = false;
  bool zero = false;
};

struct CopyRequest {
  uint64_t from_offset = 0;
  uint64_t offset = 0;
  uint64_t length = 0;
};

enum class XattrMode { kAny, kCreate, kReplace };

struct RenameFlags {
  bool no_replace = false;
  bool exchange = false;
};

/// What is under way, for `quayfs status`.
struct PendingWork {
  uint64_t files = 0;     // files and directories that the bucket does not show as they are
  uint64_t bytes = 0;     // contents the bucket does not have
  uint64_t removals = 0;  // objects still to be removed
  uint64_t in_flight = 0;
  Duration oldest{};  // how long the oldest of them has been waiting
  bool store_away = false;
  struct Retried {
    std::string path;
    std::string error;
    uint64_t failures = 0;
  };
  std::vector<Retried> retried;  // at most ten
  uint64_t open_files = 0;
  uint64_t known_inodes = 0;
  uint64_t conflicts = 0;  // since the mount
  /// Keys of the copies that were kept beside somebody else's version, by this mount and earlier
  /// ones, until they are renamed or removed. At most a hundred.
  std::vector<std::string> conflict_files;
  std::string last_error;  // "" if none
};

/// What the kernel was told and should ask for again, though it is not due: the name `name` in the
/// directory `ino`, or, if that is empty, the attributes of `ino` (what it has of the contents then
/// goes by them).
struct Outdated {
  Ino ino = 0;
  std::string name;
};

class FileSystem {
 public:
  virtual ~FileSystem() = default;

  /// `store`, `cache`, `background` and `clock` outlive the file system. Sends a few requests: the
  /// bucket must be there and listable. `background` runs work nobody waits for (attribute
  /// prefetch).
  static Result<std::unique_ptr<FileSystem>> Open(const FileSystemConfig& config,
                                                  ObjectStore& store, Cache& cache,
                                                  Executor& background, Clock& clock,
                                                  const CallOptions& call);

  /// `listener` is called under locks: it must not block, nor call back. An empty one ends that.
  virtual void SetOutdatedListener(std::function<void(const Outdated&)> /*listener*/) {}

  // Names. Lookup of a missing name is success with ino 0.
  virtual Result<Entry> Lookup(const OpContext& context, Ino parent, std::string_view name) = 0;
  virtual void Forget(Ino ino, uint64_t lookups) = 0;
  virtual Result<Entry> MakeNode(const OpContext& context, Ino parent, std::string_view name,
                                 mode_t mode, dev_t rdev) = 0;
  virtual Result<Entry> MakeDirectory(const OpContext& context, Ino parent, std::string_view name,
                                      mode_t mode) = 0;
  virtual Result<Entry> MakeSymlink(const OpContext& context, Ino parent, std::string_view name,
                                    std::string_view target) = 0;
  /// A further name for a file. kNotPermitted: it is a directory.
  virtual Result<Entry> Link(const OpContext& context, Ino ino, Ino new_parent,
                             std::string_view new_name) = 0;
  virtual Status Unlink(const OpContext& context, Ino parent, std::string_view name) = 0;
  virtual Status RemoveDirectory(const OpContext& context, Ino parent, std::string_view name) = 0;
  virtual Status Rename(const OpContext& context, Ino parent, std::string_view name, Ino new_parent,
                        std::string_view new_name, RenameFlags flags) = 0;

  // Attributes. `file` may be null. The Entry's ino and entry_valid are not used.
  virtual Result<Entry> GetAttributes(const OpContext& context, Ino ino) = 0;
  virtual Result<Entry> SetAttributes(const OpContext& context, Ino ino,
                                      const AttributeChange& change, OpenFile* file) = 0;
  virtual Result<std::string> ReadLink(const OpContext& context, Ino ino) = 0;

  // Files. `flags` are those of open(2).
  virtual Result<Opened> Open(const OpContext& context, Ino ino, int flags) = 0;
  virtual Result<Created> Create(const OpContext& context, Ino parent, std::string_view name,
                                 mode_t mode, int flags) = 0;
  /// Fewer bytes than asked only at the end of the file.
  virtual Result<size_t> Read(const OpContext& context, OpenFile& file, uint64_t offset,
                              std::span<std::byte> out) = 0;
  virtual Result<size_t> Write(const OpContext& context, OpenFile& file, uint64_t offset,
                               std::span<const std::byte> data) = 0;
  /// close(2) of one descriptor: waits for the bucket if the configuration says so; else returns an
  /// earlier upload's error that nobody has been told yet.
  virtual Status Flush(const OpContext& context, OpenFile& file) = 0;
  virtual Status Fsync(const OpContext& context, OpenFile& file) = 0;
  /// The handle is gone afterwards, whatever is returned, except with kWouldBlock.
  virtual Status Release(const OpContext& context, OpenFile* file) = 0;

  virtual Status Allocate(const OpContext& context, OpenFile& file,
                          const AllocateRequest& request) = 0;
  /// lseek(2) with SEEK_HOLE or SEEK_DATA; nothing: ENXIO.
  virtual Result<std::optional<uint64_t>> Seek(const OpContext& context, OpenFile& file,
                                               uint64_t offset, bool hole) = 0;
  /// copy_file_range(2) of a whole file into an empty one, by a copy within the store.
  /// kNotSupported: it is not that, or does not pay; the bytes have to be copied one by one.
  virtual Result<size_t> CopyRange(const OpContext& context, OpenFile& from, OpenFile& to,
                                   const CopyRequest& request) = 0;

  // Extended attributes. kNoAttribute, kAlreadyExists (kCreate), kNoSpace (1 MiB in all),
  // kNotSupported (metadata = "plain").
  virtual Result<std::string> GetXattr(const OpContext& context, Ino ino,
                                       std::string_view name) = 0;
  virtual Result<std::vector<std::string>> ListXattrs(const OpContext& context, Ino ino) = 0;
  virtual Status SetXattr(const OpContext& context, Ino ino, std::string_view name,
                          std::string_view value, XattrMode mode) = 0;
  virtual Status RemoveXattr(const OpContext& context, Ino ino, std::string_view name) = 0;

  // Directories. `offset` 0 is the beginning; afterwards the number of the last entry taken. `take`
  // gets entries in turn until it returns false (that entry was not taken) or there are no more.
  // "." and ".." are included.
  virtual Result<OpenDirectory*> OpenDir(const OpContext& context, Ino ino) = 0;
  virtual Status ReadDir(
      const OpContext& context, OpenDirectory& directory, uint64_t offset, bool plus,
      const std::function<bool(const DirectoryEntry& entry, uint64_t next_offset)>& take) = 0;
  virtual Status FsyncDir(const OpContext& context, OpenDirectory& directory) = 0;
  virtual void ReleaseDir(OpenDirectory* directory) = 0;

  virtual Result<FileSystemStats> StatFs(const OpContext& context) = 0;

  /// Publishes everything that is not in the bucket. The first failure is returned, the rest is
  /// still tried.
  virtual Status SyncAll(const OpContext& context) = 0;
  virtual PendingWork pending() const = 0;

  /// Brings what is missing of a file's contents into the cache; `got` is told how many bytes of it
  /// are there, piece by piece.
  virtual Status Prefetch(const OpContext& /*context*/, Ino /*ino*/,
                          const std::function<void(uint64_t)>& /*got*/) {
    return Error(Code::kNotSupported, "nothing is kept here");
  }
  /// Drops what the cache holds of a file's contents and the bucket has, too; returns how many
  /// bytes that was. What the bucket lacks, or somebody is reading right now, stays.
  virtual Result<uint64_t> Evict(const OpContext& /*context*/, Ino /*ino*/) {
    return Error(Code::kNotSupported, "nothing is kept here");
  }
};

}  // namespace quayfs
