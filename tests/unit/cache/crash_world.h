// SPDX-License-Identifier: Apache-2.0
//
// A machine whose power can fail, or whose daemon can be killed, at every single operation on its
// disk. The disk is in memory and knows what has been synced; the state database is a real one,
// rebuilt after each crash from the changes that have survived.

#pragma once

#include <algorithm>
#include <atomic>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/disk.h"
#include "base/mutex.h"
#include "cache/state/state_db.h"
#include "cache/state/state_open.h"
#include "tests/unit/cache/forwarding_db.h"

namespace quayfs {

/// Counts operations, and ends them all at a chosen one.
class Power {
 public:
  enum class Step { kRuns, kLast, kOff };

  /// The operation of that number (from 0 on) is the last one: it may or may not happen.
  void CutAt(int operation) { cut_ = operation; }
  void CutNow() { cut_ = 0; }
  void Restore() {
    cut_ = -1;
    next_ = 0;
  }
  bool off() const { return cut_ >= 0 && next_ > cut_; }
  int operations() const { return next_; }

  Step Take() {
    const int number = next_++;
    const int cut = cut_;
    if (cut < 0 || number < cut) return Step::kRuns;
    return number == cut ? Step::kLast : Step::kOff;
  }
  static Error Failure() { return {Code::kIo, "the power is off"}; }

 private:
  std::atomic<int> next_{0};
  std::atomic<int> cut_{-1};
};

/// What becomes of what was not synced.
enum class Unsynced { kKept, kDropped, kTorn };

class CrashDisk final : public Disk {
 public:
  /// Everything is at or below `root`, which is there for good once it is made.
  CrashDisk(Power& power, std::string root) : power_(power), root_(std::move(root)) {
    names_[root_] = synced_names_[root_] = nullptr;
  }

  /// The disk as the next boot finds it.
  void Crash(Unsynced what, uint64_t seed) {
    MutexLock lock(mutex_);
    std::mt19937_64 random(seed);
    const auto survives = [&] {
      return what == Unsynced::kKept || (what == Unsynced::kTorn && random() % 2 == 0);
    };
    std::set<std::shared_ptr<Node>> nodes;
    for (const auto& [path, node] : names_) nodes.insert(node);
    for (const auto& [path, node] : synced_names_) nodes.insert(node);
    for (const auto& node : nodes) {
      if (node == nullptr) continue;
      std::string bytes = node->synced;
      for (const Change& change : node->pending) ApplyTorn(change, survives, &bytes);
      node->bytes = node->synced = std::move(bytes);
      node->pending.clear();
    }
    std::map<std::string, std::shared_ptr<Node>> names = synced_names_;
    for (const auto& [path, node] : names_) {
      if (!names.contains(path) && survives()) names[path] = node;
    }
    for (auto it = names.begin(); it != names.end();) {
      it = !names_.contains(it->first) && survives() ? names.erase(it) : std::next(it);
    }
    // What lies in a folder that is not there is not there either. Parents sort before children.
    for (auto it = names.begin(); it != names.end();) {
      const bool lost =
          Parent(it->first).size() > root_.size() && !names.contains(Parent(it->first));
      it = lost ? names.erase(it) : std::next(it);
    }
    names_ = synced_names_ = std::move(names);
  }

  std::optional<std::string> Content(const std::string& path) const {
    MutexLock lock(mutex_);
    const auto it = names_.find(path);
    if (it == names_.end() || it->second == nullptr) return std::nullopt;
    return it->second->bytes;
  }

  // ---- Disk
  Result<std::unique_ptr<DiskFile>> Open(const std::string& path, OpenMode mode) override {
    MutexLock lock(mutex_);
    const auto it = names_.find(path);
    const bool there = it != names_.end();
    if (there && it->second == nullptr) return Error(Code::kIsDirectory, path);
    if (!there && (mode == OpenMode::kRead || mode == OpenMode::kReadWrite))
      return Error(Code::kNotFound, path);
    if (there && mode == OpenMode::kCreateExclusive) return Error(Code::kAlreadyExists, path);
    if (!there) {
      if (!IsDirectory(Parent(path))) return Error(Code::kNotFound, path);
      const Power::Step step = power_.Take();
      if (step != Power::Step::kOff) names_[path] = std::make_shared<Node>();
      if (step != Power::Step::kRuns) return Power::Failure();
    }
    return std::unique_ptr<DiskFile>(std::make_unique<File>(*this, names_[path]));
  }
  Result<std::unique_ptr<DiskFile>> OpenTemporary(const std::string&) override {
    if (power_.off()) return Power::Failure();
    return std::unique_ptr<DiskFile>(std::make_unique<File>(*this, std::make_shared<Node>()));
  }
  Status MakeDirectory(const std::string& path) override {
    MutexLock lock(mutex_);
    if (names_.contains(path)) return Error(Code::kAlreadyExists, path);
    const Power::Step step = power_.Take();
    if (step != Power::Step::kOff) names_[path] = nullptr;
    return step == Power::Step::kRuns ? Status() : Power::Failure();
  }
  Status RemoveFile(const std::string& path) override {
    MutexLock lock(mutex_);
    if (!names_.contains(path)) return Error(Code::kNotFound, path);
    const Power::Step step = power_.Take();
    if (step != Power::Step::kOff) names_.erase(path);
    return step == Power::Step::kRuns ? Status() : Power::Failure();
  }
  Status RemoveDirectory(const std::string&) override { return Unused(); }
  Status Rename(const std::string&, const std::string&) override { return Unused(); }
  Status Link(const std::string& from, const std::string& to) override {
    MutexLock lock(mutex_);
    if (!names_.contains(from)) return Error(Code::kNotFound, from);
    if (names_.contains(to)) return Error(Code::kAlreadyExists, to);
    const Power::Step step = power_.Take();
    if (step != Power::Step::kOff) names_[to] = names_[from];
    return step == Power::Step::kRuns ? Status() : Power::Failure();
  }
  Status SyncDirectory(const std::string& path) override {
    MutexLock lock(mutex_);
    const Power::Step step = power_.Take();
    if (step == Power::Step::kOff) return Power::Failure();
    for (const auto& [name, node] : names_) {
      if (Parent(name) == path || name == path) synced_names_[name] = node;
    }
    for (auto it = synced_names_.begin(); it != synced_names_.end();) {
      it = Parent(it->first) == path && !names_.contains(it->first) ? synced_names_.erase(it)
                                                                    : std::next(it);
    }
    return step == Power::Step::kRuns ? Status() : Power::Failure();
  }
  Result<std::vector<DiskEntry>> List(const std::string& path) const override {
    MutexLock lock(mutex_);
    std::vector<DiskEntry> entries;
    for (const auto& [name, node] : names_) {
      if (Parent(name) == path) entries.push_back({name.substr(path.size() + 1), node == nullptr});
    }
    return entries;
  }
  Result<DiskStat> Stat(const std::string& path) const override {
    MutexLock lock(mutex_);
    const auto it = names_.find(path);
    if (it == names_.end()) return Error(Code::kNotFound, path);
    DiskStat stat;
    stat.is_directory = it->second == nullptr;
    stat.is_regular = !stat.is_directory;
    stat.size = stat.is_regular ? it->second->bytes.size() : 0;
    return stat;
  }
  Result<DiskSpace> Space(const std::string&) const override { return DiskSpace{1 << 30, 1 << 30}; }

 private:
  static constexpr size_t kSector = 512;

  struct Change {
    enum class Kind { kWrite, kTruncate } kind = Kind::kWrite;
    uint64_t offset = 0;  // or the new size
    std::string bytes;
  };
  struct Node {
    std::string bytes;
    std::string synced;
    std::vector<Change> pending;
  };

  class File final : public DiskFile {
   public:
    File(CrashDisk& disk, std::shared_ptr<Node> node) : disk_(disk), node_(std::move(node)) {}
    Result<size_t> Read(uint64_t offset, std::span<std::byte> out) const override {
      MutexLock lock(disk_.mutex_);
      if (disk_.power_.off()) return Power::Failure();
      if (offset >= node_->bytes.size()) return size_t{0};
      const size_t count = std::min<size_t>(out.size(), node_->bytes.size() - offset);
      std::memcpy(out.data(), node_->bytes.data() + offset, count);
      return count;
    }
    Status Write(uint64_t offset, std::span<const std::byte> data) override {
      std::string bytes(data.size(), '\0');
      std::memcpy(bytes.data(), data.data(), data.size());
      return Do({Change::Kind::kWrite, offset, std::move(bytes)});
    }
    Status Truncate(uint64_t size) override { return Do({Change::Kind::kTruncate, size, ""}); }
    Status PunchHole(ByteRange range) override {
      uint64_t size = 0;
      {
        MutexLock lock(disk_.mutex_);
        size = node_->bytes.size();
      }
      range = range.Intersection({0, size});
      if (range.empty()) return {};
      return Do({Change::Kind::kWrite, range.begin,
                 std::string(static_cast<size_t>(range.length()), '\0')});
    }
    Result<uint64_t> Size() const override {
      MutexLock lock(disk_.mutex_);
      return uint64_t{node_->bytes.size()};
    }
    Status SyncData() override {
      MutexLock lock(disk_.mutex_);
      if (disk_.power_.Take() != Power::Step::kRuns) return Power::Failure();
      node_->synced = node_->bytes;
      node_->pending.clear();
      return {};
    }
    int fd() const override { return -1; }

   private:
    Status Do(Change change) {
      MutexLock lock(disk_.mutex_);
      const Power::Step step = disk_.power_.Take();
      if (step == Power::Step::kOff) return Power::Failure();
      ApplyTorn(
          change, [] { return true; }, &node_->bytes);
      node_->pending.push_back(std::move(change));
      return step == Power::Step::kRuns ? Status() : Power::Failure();
    }

    CrashDisk& disk_;
    const std::shared_ptr<Node> node_;
  };

  template <typename Survives>
  static void ApplyTorn(const Change& change, const Survives& survives, std::string* bytes) {
    if (change.kind == Change::Kind::kTruncate) {
      if (survives()) bytes->resize(change.offset, '\0');
      return;
    }
    for (uint64_t at = change.offset; at < change.offset + change.bytes.size();) {
      const uint64_t end =
          std::min<uint64_t>((at / kSector + 1) * kSector, change.offset + change.bytes.size());
      if (survives()) {
        if (bytes->size() < end) bytes->resize(end, '\0');
        bytes->replace(at, end - at, change.bytes, at - change.offset, end - at);
      }
      at = end;
    }
  }

  static std::string Parent(const std::string& path) {
    const size_t slash = path.find_last_of('/');
    return slash == std::string::npos ? "" : path.substr(0, slash);
  }
  bool IsDirectory(const std::string& path) const QUAY_REQUIRES(mutex_) {
    const auto it = names_.find(path);
    return it != names_.end() && it->second == nullptr;
  }
  static Status Unused() { return Error(Code::kNotSupported, "the cache does not use this"); }

  Power& power_;
  const std::string root_;
  mutable Mutex mutex_{LockRank::kLeaf};
  // Null: a directory.
  std::map<std::string, std::shared_ptr<Node>> names_ QUAY_GUARDED_BY(mutex_);
  std::map<std::string, std::shared_ptr<Node>> synced_names_ QUAY_GUARDED_BY(mutex_);
};

/// All changes that a database has been asked for, and how many of them are on the disk for good.
struct StateLog {
  std::vector<StateBatch> batches;
  size_t flushed = 0;
  size_t acknowledged = 0;
};

/// A database that stops when the power does.
class PoweredDb final : public ForwardingDb {
 public:
  PoweredDb(std::unique_ptr<StateDb> db, Power& power, StateLog& log, bool same_boot, bool is_new)
      : ForwardingDb(std::move(db)),
        power_(power),
        log_(log),
        same_boot_(same_boot),
        is_new_(is_new) {}

  Status Apply(StateBatch batch, Persist persist) override {
    MutexLock lock(mutex_);
    const Power::Step step = power_.Take();
    if (step == Power::Step::kOff) return Power::Failure();
    log_.batches.push_back(batch);
    if (step == Power::Step::kLast) return Power::Failure();
    if (persist == Persist::kSurvivesPowerCut) log_.flushed = log_.batches.size();
    log_.acknowledged = log_.batches.size();
    return ForwardingDb::Apply(std::move(batch), persist);
  }
  bool same_boot() const override { return same_boot_; }
  bool is_new() const override { return is_new_; }

 private:
  Power& power_;
  Mutex mutex_{LockRank::kCacheBudget};  // the real one is taken below it
  StateLog& log_;
  const bool same_boot_;
  const bool is_new_;
};

/// A new database that holds the first `count` changes of `log`, which loses the others.
inline Result<std::unique_ptr<StateDb>> Rebuild(const std::string& directory, StateLog& log,
                                                size_t count) {
  StateOptions options;
  options.sync_file = [](int) { return 0; };
  QUAY_ASSIGN(std::unique_ptr<StateDb> db, OpenStateDb(directory, {"bucket"}, options));
  log.batches.resize(count);
  log.flushed = log.acknowledged = count;
  for (const StateBatch& batch : log.batches) QUAY_TRY(db->Apply(batch, Persist::kSurvivesKill));
  return db;
}

}  // namespace quayfs
