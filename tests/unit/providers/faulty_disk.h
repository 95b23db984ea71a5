// SPDX-License-Identifier: Apache-2.0
//
// A Disk that fails at the n-th operation, or dies there and loses what was not synced. For tests
// of crash safety; works on real files below one directory. Thread-compatible.

#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/disk.h"

namespace quayfs {

enum class DiskFault {
  kNone,
  kError,    // one operation fails with kIo, without effect; the rest works
  kFull,     // as kError, with kNoSpace
  kKilled,   // that operation and all after it fail: the process is gone, the machine goes on
  kPowerCut  // as kKilled; then PowerCut() takes away what was not synced
};

class FaultyDisk final : public Disk {
 public:
  /// `stash` is a directory on the same file system for what may have to be brought back.
  FaultyDisk(DiskFault fault, int64_t at, std::string stash);

  Result<std::unique_ptr<DiskFile>> Open(const std::string& path, OpenMode mode) override;
  Result<std::unique_ptr<DiskFile>> OpenTemporary(const std::string& directory) override;
  Status MakeDirectory(const std::string& path) override;
  Status RemoveFile(const std::string& path) override;
  Status RemoveDirectory(const std::string& path) override;
  Status Rename(const std::string& from, const std::string& to) override;
  Status Link(const std::string& from, const std::string& to) override;
  Status SyncDirectory(const std::string& path) override;
  Result<std::vector<DiskEntry>> List(const std::string& path) const override;
  Result<DiskStat> Stat(const std::string& path) const override;
  Result<DiskSpace> Space(const std::string& path) const override;

  /// Whether the n-th operation was reached.
  bool struck() const { return struck_; }
  /// Loses the data of files written and not synced, and all but the first `keep` changes of
  /// directories that were not synced. Says how many such changes there were.
  size_t PowerCut(size_t keep);

 private:
  friend class FaultyFile;
  struct Pending {
    std::string directory;          // whose sync makes it last
    std::string removed_directory;  // that this change removed, "" if none
    std::function<void()> undo;
  };

  /// Counts an operation; an error if it is to fail.
  Status Step() const;
  std::string NewStashName();
  void Remember(Pending change) { pending_.push_back(std::move(change)); }
  void MadeDurable(const std::string& directory);

  const DiskFault fault_;
  const int64_t at_;
  const std::string stash_;
  mutable int64_t count_ = 0;
  mutable bool struck_ = false;
  int64_t stashed_ = 0;
  std::vector<Pending> pending_;
  std::set<uint64_t> unsynced_inodes_;
};

}  // namespace quayfs
