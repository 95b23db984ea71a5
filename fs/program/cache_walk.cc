// SPDX-License-Identifier: Apache-2.0

#include "fs/program/cache_walk.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "base/mutex.h"
#include "base/text.h"

namespace quayfs::program {
namespace {

constexpr size_t kFilesAtOnce = 16;

/// The first error of many, and how many there were. Thread-safe.
class Failures {
 public:
  void Add(const Error& error) {
    const MutexLock lock(mutex_);
    if (!first_) first_ = error;
    ++count_;
  }
  Status Outcome(size_t files) const {
    const MutexLock lock(mutex_);
    if (!first_) return {};
    return Error(first_->code(), fmt::format("{} of {} file{} failed; the first: {}", count_, files,
                                             files == 1 ? "" : "s", first_->message()));
  }

 private:
  mutable Mutex mutex_{LockRank::kLeaf};
  std::optional<Error> first_ QUAY_GUARDED_BY(mutex_);
  size_t count_ QUAY_GUARDED_BY(mutex_) = 0;
};

}  // namespace

/// Finds the files below some inodes, folder by folder. Owes the lookups of what it has found, and
/// pays them if nobody takes the files.
class CacheWalk::Gathering {
 public:
  Gathering(FileSystem& file_system, const OpContext& context)
      : file_system_(file_system), context_(context) {}
  ~Gathering() {
    for (const File& file : files_) GiveBack(file);
    for (const File& folder : folders_) GiveBack(folder);
  }
  Gathering(const Gathering&) = delete;
  Gathering& operator=(const Gathering&) = delete;

  Status AddStart(Ino ino) {
    QUAY_ASSIGN(const Entry entry, file_system_.GetAttributes(context_, ino));
    Note(ino, entry.attributes, 0);
    return {};
  }

  Status Run() {
    while (!folders_.empty()) {
      if (context_.call.cancel.stop_requested())
        return Error(Code::kCancelled, "nobody waits any more");
      const File folder = folders_.back();
      folders_.pop_back();
      const Status read = ReadFolder(folder.ino);
      GiveBack(folder);
      QUAY_TRY(read);
    }
    return {};
  }

  std::vector<File> Take() { return std::exchange(files_, {}); }

 private:
  void GiveBack(const File& file) {
    if (file.lookups > 0) file_system_.Forget(file.ino, file.lookups);
  }

  void Note(Ino ino, const Attributes& attributes, uint64_t lookups) {
    const File found{ino, attributes.size, lookups};
    const bool known = !seen_.insert(ino).second;
    if (!known && S_ISDIR(attributes.mode)) {
      folders_.push_back(found);
    } else if (!known && S_ISREG(attributes.mode)) {
      files_.push_back(found);
    } else {
      GiveBack(found);
    }
  }

  Status ReadFolder(Ino ino) {
    QUAY_ASSIGN(OpenDirectory * directory, file_system_.OpenDir(context_, ino));
    std::vector<std::string> unknown;
    const Status read = file_system_.ReadDir(context_, *directory, 0, /*plus=*/true,
                                             [&](const DirectoryEntry& entry, uint64_t) {
                                               if (entry.name == "." || entry.name == "..")
                                                 return true;
                                               if (entry.full) {
                                                 Note(entry.ino, entry.full->attributes, 1);
                                               } else {
                                                 unknown.push_back(entry.name);
                                               }
                                               return true;
                                             });
    file_system_.ReleaseDir(directory);
    QUAY_TRY(read);
    for (const std::string& name : unknown) {
      QUAY_ASSIGN(const Entry entry, file_system_.Lookup(context_, ino, name));
      if (entry.ino != 0) Note(entry.ino, entry.attributes, 1);
    }
    return {};
  }

  FileSystem& file_system_;
  const OpContext context_;
  std::set<Ino> seen_;
  std::vector<File> folders_;
  std::vector<File> files_;
};

OpContext CacheWalk::Context(const CallOptions& call) const {
  OpContext context;
  context.uid = ::geteuid();
  context.gid = ::getegid();
  context.pid = ::getpid();
  context.call = call;
  return context;
}

Result<std::vector<CacheWalk::File>> CacheWalk::Gather(const std::vector<Ino>& inodes,
                                                       const CallOptions& call) {
  Gathering gathering(file_system_, Context(call));
  for (const Ino ino : inodes) QUAY_TRY(gathering.AddStart(ino));
  QUAY_TRY(gathering.Run());
  return gathering.Take();
}

SyncProgress CacheWalk::progress() const {
  SyncProgress progress;
  progress.files = files_left_;
  progress.bytes = bytes_left_;
  progress.sent = bytes_done_;
  return progress;
}

Result<WalkResult> CacheWalk::RunAll(const std::vector<Ino>& inodes, uint64_t limit,
                                     const CallOptions& call, bool fetch) {
  QUAY_ASSIGN(const std::vector<File> files, Gather(inodes, call));
  uint64_t all = 0;
  for (const File& file : files) all += file.size;
  const auto give_back = [&](const File& file) {
    if (file.lookups > 0) file_system_.Forget(file.ino, file.lookups);
  };
  if (fetch && all > limit) {
    std::for_each(files.begin(), files.end(), give_back);
    return Error(Code::kNoSpace,
                 fmt::format("they hold {}, and the cache keeps {}: name less, or raise cache.size",
                             FormatSize(all), FormatSize(limit)));
  }
  files_left_ = files.size();
  if (fetch) bytes_left_ = all;
  Failures failures;
  const OpContext context = Context(call);
  const Status ran = ParallelFor(executor_, files.size(), kFilesAtOnce, [&](size_t i) -> Status {
    const File& file = files[i];
    uint64_t left = file.size;
    const auto got = [&](uint64_t bytes) {
      bytes_done_ += bytes;
      bytes_left_ -= std::min(left, bytes);
      left -= std::min(left, bytes);
    };
    if (call.cancel.stop_requested()) {
      failures.Add(Error(Code::kCancelled, "nobody waits any more"));
    } else if (fetch) {
      const Status done = file_system_.Prefetch(context, file.ino, got);
      // What has been removed meanwhile is nobody's failure.
      if (!done && !done.Is(Code::kNotFound)) failures.Add(done.error());
      bytes_left_ -= left;
    } else {
      const auto dropped = file_system_.Evict(context, file.ino);
      if (dropped) bytes_done_ += *dropped;
      if (!dropped && !dropped.Is(Code::kNotFound)) failures.Add(dropped.error());
    }
    --files_left_;
    give_back(file);
    return {};
  });
  QUAY_TRY(ran);
  QUAY_TRY(failures.Outcome(files.size()));
  return WalkResult{files.size(), bytes_done_};
}

Result<WalkResult> CacheWalk::Prefetch(const std::vector<Ino>& inodes, uint64_t cache_limit,
                                       const CallOptions& call) {
  return RunAll(inodes, cache_limit, call, true);
}

Result<WalkResult> CacheWalk::Evict(const std::vector<Ino>& inodes, const CallOptions& call) {
  return RunAll(inodes, 0, call, false);
}

}  // namespace quayfs::program
