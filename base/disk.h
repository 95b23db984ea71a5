// SPDX-License-Identifier: Apache-2.0
//
// The local disk as a seam. Production code that must survive a full disk, an I/O error or a power
// cut reaches files only through a Disk, so that a test can stand in. Errors carry the Code for the
// errno (kNoSpace, kQuota, kReadOnly, kNotFound, kAlreadyExists, kNotEmpty, kPermissionDenied,
// kIo).

#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/byte_range.h"
#include "base/result.h"

namespace quayfs {

/// An open regular file. Methods may be called by several threads at once; overlapping writes give
/// one or the other.
class DiskFile {
 public:
  virtual ~DiskFile() = default;
  /// Reads until `out` is full or the file ends; returns the bytes read.
  virtual Result<size_t> Read(uint64_t offset, std::span<std::byte> out) const = 0;
  /// Writes all of `data` or fails.
  virtual Status Write(uint64_t offset, std::span<const std::byte> data) = 0;
  virtual Status Truncate(uint64_t size) = 0;
  /// Gives the blocks of `range` back and leaves zeros; the size stays. Falls back to writing zeros
  /// where holes are not supported.
  virtual Status PunchHole(ByteRange range) = 0;
  virtual Result<uint64_t> Size() const = 0;
  /// Data (and the metadata needed to read it) reaches the disk before this returns. After a
  /// failure the file's unsynced contents must be taken as lost.
  virtual Status SyncData() = 0;
  /// The descriptor, for calls that need one (sendfile, reflink); -1 if there is none.
  virtual int fd() const = 0;
};

enum class OpenMode {
  kRead,
  kReadWrite,        // must exist
  kCreateExclusive,  // read-write, must not exist
  kCreateOrOpen,     // read-write
};

struct DiskEntry {
  std::string name;
  bool is_directory = false;
};

struct DiskStat {
  uint64_t size = 0;
  bool is_directory = false;
  bool is_regular = false;
  int64_t mtime_ns = 0;
  int64_t ctime_ns = 0;
  uint64_t inode = 0;
};

struct DiskSpace {
  uint64_t total_bytes = 0;
  uint64_t available_bytes = 0;  // to us
};

/// Thread-safe. Paths are byte strings and may be relative to the process's working directory.
class Disk {
 public:
  virtual ~Disk() = default;
  /// Never follows a symbolic link in the last component. Files are made with mode 0600.
  virtual Result<std::unique_ptr<DiskFile>> Open(const std::string& path, OpenMode mode) = 0;
  /// A file without a name in `directory`; it is gone when closed.
  virtual Result<std::unique_ptr<DiskFile>> OpenTemporary(const std::string& directory) = 0;
  virtual Status MakeDirectory(
      const std::string& path) = 0;  // mode 0700; kAlreadyExists if anything is there
  virtual Status RemoveFile(const std::string& path) = 0;
  virtual Status RemoveDirectory(const std::string& path) = 0;                // kNotEmpty
  virtual Status Rename(const std::string& from, const std::string& to) = 0;  // replaces a file
  /// Gives `from` a second name; kAlreadyExists if `to` is there.
  virtual Status Link(const std::string& from, const std::string& to) = 0;
  virtual Status SyncDirectory(const std::string& path) = 0;
  virtual Result<std::vector<DiskEntry>> List(
      const std::string& path) const = 0;  // without . and .., any order
  virtual Result<DiskStat> Stat(
      const std::string& path) const = 0;  // does not follow a symbolic link
  virtual Result<DiskSpace> Space(const std::string& path) const = 0;
};

/// The real one. Never destroyed. Opening a symbolic link gives kTooManySymlinks, a directory
/// kIsDirectory, and anything else that is not a regular file kInvalidArgument, without waiting for
/// a pipe's other end.
Disk& SystemDisk();

/// Overwrites what `range` covers of the file with zeros; the size stays. What PunchHole does where
/// holes are not supported.
Status WriteZeros(DiskFile& file, ByteRange range);

namespace internal {
/// What SystemDisk().OpenTemporary does on file systems without O_TMPFILE: a random name, removed
/// at once.
Result<std::unique_ptr<DiskFile>> OpenTemporaryByName(const std::string& directory);
}  // namespace internal

}  // namespace quayfs
