// SPDX-License-Identifier: Apache-2.0
//
// `quayfs prefetch` and `quayfs evict` within the daemon: goes through files and folders, and
// brings what they hold into the cache, or drops it from there.
//
// Files are named by the inode numbers that the caller has got from stat(2): whatever bytes their
// names have, they are those that the caller meant.

#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "base/executor.h"
#include "base/result.h"
#include "fs/file_system.h"
#include "fs/program/progress.h"

namespace quayfs::program {

struct WalkResult {
  uint64_t files = 0;  // that were gone through
  uint64_t bytes = 0;  // that they hold; or, of an eviction, that were dropped
};

/// One walk. progress() may be called by other threads meanwhile.
class CacheWalk {
 public:
  /// `executor` runs several files at a time, and must not be the one that the walk itself runs on.
  CacheWalk(FileSystem& file_system, Executor& executor)
      : file_system_(file_system), executor_(executor) {}

  /// Everything at and below `inodes`; symbolic links are not followed. kNoSpace, without having
  /// fetched anything: it is more than `cache_limit` bytes, and would push itself out again. A file
  /// that cannot be fetched fails it, after the others have been tried.
  Result<WalkResult> Prefetch(const std::vector<Ino>& inodes, uint64_t cache_limit,
                              const CallOptions& call);
  Result<WalkResult> Evict(const std::vector<Ino>& inodes, const CallOptions& call);

  /// What is left to do counts as not done, bytes that have come as sent.
  SyncProgress progress() const;

 private:
  struct File {
    Ino ino = 0;
    uint64_t size = 0;
    uint64_t lookups = 0;  // that are owed
  };
  class Gathering;
  Result<std::vector<File>> Gather(const std::vector<Ino>& inodes, const CallOptions& call);
  Result<WalkResult> RunAll(const std::vector<Ino>& inodes, uint64_t limit, const CallOptions& call,
                            bool fetch);
  OpContext Context(const CallOptions& call) const;

  FileSystem& file_system_;
  Executor& executor_;
  std::atomic<uint64_t> files_left_ = 0;
  std::atomic<uint64_t> bytes_left_ = 0;
  std::atomic<uint64_t> bytes_done_ = 0;
};

}  // namespace quayfs::program
