// SPDX-License-Identifier: Apache-2.0

#include "cache/cache.h"

#include <utility>

#include "base/mutex.h"
#include "cache/cache_context.h"
#include "cache/cache_directory.h"
#include "cache/file_core.h"
#include "cache/left_clean.h"
#include "cache/left_files.h"

namespace quayfs {
namespace {

class CacheImpl;

constexpr size_t kSealsAtOnce = 500;
// What has come in just before the end may be fetched again; the end is not to wait for long.
constexpr std::chrono::seconds kSumsAtEnd(2);

/// What callers hold: a claim on a FileCore.
class FileHandle final : public FileData {
 public:
  FileHandle(CacheImpl& cache, uint64_t inode, std::shared_ptr<FileCore> core)
      : cache_(cache), inode_(inode), core_(std::move(core)) {
    core_->Attach();
  }
  ~FileHandle() override;
  FileHandle(const FileHandle&) = delete;
  FileHandle& operator=(const FileHandle&) = delete;

  FileCore& core() { return *core_; }

  uint64_t size() const override { return core_->size(); }
  bool dirty() const override { return core_->dirty(); }
  WallTime changed_at() const override { return core_->changed_at(); }
  FileDataState state() const override { return core_->state(); }
  Result<size_t> Read(uint64_t offset, std::span<std::byte> out, ReadPattern& pattern,
                      bool may_block, const CallOptions& call) override {
    return core_->Read(offset, out, pattern, may_block, call);
  }
  Status Write(uint64_t offset, std::span<const std::byte> data) override {
    return core_->Write(offset, data);
  }
  Status WriteWhenRoom(uint64_t offset, std::span<const std::byte> data, bool may_block,
                       const CallOptions& call) override {
    return core_->WriteWhenRoom(offset, data, may_block, call);
  }
  uint64_t DropClean() override { return core_->DropAllClean(); }
  void Unlinked() override { core_->Unlinked(); }
  Status Truncate(uint64_t size) override { return core_->Truncate(size); }
  Status Zero(ByteRange range) override { return core_->Zero(range); }
  Result<std::optional<uint64_t>> Seek(uint64_t offset, bool hole) override {
    return core_->Seek(offset, hole);
  }
  Status SyncLocal() override { return core_->SyncLocal(); }
  void AllowStreaming(const std::string& key, const ObjectProperties& properties) override {
    core_->AllowStreaming(key, properties);
  }
  std::optional<UploadUnderWay> upload() const override { return core_->upload(); }
  Status Settle(const CallOptions& call) override { return core_->SettleNow(call); }
  void AbandonUpload() override { core_->AbandonUpload(); }
  Result<ObjectInfo> Publish(const PublishRequest& request, const CallOptions& call) override {
    return core_->Publish(request, call);
  }
  void Rebase(const BaseVersion& base) override { core_->Rebase(base); }
  void Replace(const BaseVersion& base) override { core_->Replace(base); }

 private:
  CacheImpl& cache_;
  const uint64_t inode_;
  const std::shared_ptr<FileCore> core_;
};

RestoredFile Describe(const LeftFile& left) {
  uint64_t dirty_bytes = 0;
  for (const ByteRange& range : left.dirty) dirty_bytes += range.length();
  RestoredFile file;
  file.inode = left.row.ino;
  file.state = {left.row.size,     left.row.generation,
                dirty_bytes,       0,
                left.row.modified, {left.row.base.key, left.row.base.etag, left.row.base.size}};
  file.changed_at = WallTime(Duration(left.row.changed_at));
  file.set_aside = left.set_aside;
  file.usable = left.usable;
  return file;
}

class CacheImpl final : public Cache {
 public:
  CacheImpl(const CacheConfig& config, ObjectStore& store, Disk& disk, Clock& clock,
            CacheDirectory directory, std::unique_ptr<StateDb> state)
      : directory_(std::move(directory)),
        state_(std::move(state)),
        context_(config, store, disk, clock, *state_),
        left_clean_(std::make_shared<LeftClean>(config.directory, disk, *state_, context_.budget,
                                                context_.sums)) {}

  ~CacheImpl() override {
    context_.closing = true;
    context_.orphans.Stop();
    const std::vector<std::shared_ptr<FileCore>> cores = Cores();
    for (const auto& core : cores) core->Stop();
    SealAll(cores);
    context_.sums.Stop();
    context_.sums.Finish({cores.begin(), cores.end()},
                         std::chrono::steady_clock::now() + kSumsAtEnd);
  }

  void TakeUp(LeftFiles left) {
    context_.sums.CountRows(left.clean_rows);
    for (const auto& [inode, bytes] : left.clean) left_clean_->Add(inode, bytes);
    for (auto& [key, upload_id] : left.orphans)
      context_.orphans.Add(std::move(key), std::move(upload_id));
    MutexLock lock(mutex_);
    for (const LeftFile& file : left.files) {
      restored_.emplace(file.row.ino, Describe(file));
      if (file.usable) files_[file.row.ino].core = std::make_shared<FileCore>(context_, file);
    }
    std::vector<std::pair<std::shared_ptr<FileCore>, std::vector<BlockSum>>> clean;
    for (LeftFile& file : left.files) {
      if (!file.clean.empty()) clean.emplace_back(files_[file.row.ino].core, std::move(file.clean));
    }
    lock.Unlock();
    for (const auto& [core, sums] : clean) core->Claim(sums);
    context_.budget.Enforce();
  }

  std::vector<RestoredFile> restored() const override {
    MutexLock lock(mutex_);
    std::vector<RestoredFile> all;
    for (const auto& [inode, file] : restored_) all.push_back(file);
    return all;
  }

  Result<std::shared_ptr<FileData>> Restore(uint64_t inode) override {
    {
      MutexLock lock(mutex_);
      if (!files_.contains(inode))
        return Error(Code::kNotFound, "nothing of this file was left in the cache");
      restored_.erase(inode);
    }
    return Hold(inode, BaseVersion{});
  }

  StateDb* state() override { return state_.get(); }

  Result<std::shared_ptr<FileData>> Create(uint64_t inode) override {
    Remove(inode);
    return Hold(inode, BaseVersion{});
  }

  Result<std::shared_ptr<FileData>> Open(uint64_t inode, const BaseVersion& base) override {
    if (!base.exists())
      return Error(Code::kInvalidArgument, "a file cannot show an object without an ETag");
    return Hold(inode, base);
  }

  void Remove(uint64_t inode) override {
    left_clean_->Drop(inode);
    std::shared_ptr<FileCore> core;
    bool left = false;
    {
      MutexLock lock(mutex_);
      left = restored_.erase(inode) > 0;
      auto it = files_.find(inode);
      if (it == files_.end()) {
        lock.Unlock();
        // A row that stays is offered again by the next mount.
        if (left) Ignore(state_->Apply(StateBatch().DropContent(inode), Persist::kSurvivesKill));
        return;
      }
      core = std::move(it->second.core);
      files_.erase(it);
    }
    core->MarkRemoved();
  }

  bool FitsOnePut(uint64_t size) const override {
    const Capabilities capabilities = context_.store.capabilities();
    return !capabilities.multipart ||
           size <= std::min(context_.upload.put_size_max, capabilities.put_size_max);
  }

  void OnPressure(std::function<void(bool)> hurry) override {
    context_.dirty.OnPressure(std::move(hurry));
  }

  CacheStats stats() const override {
    CacheStats stats;
    stats.clean_bytes = context_.budget.bytes();
    stats.dirty_bytes = context_.dirty.bytes();
    stats.uploads_in_flight = context_.uploads_in_flight;
    stats.sent_bytes = context_.sent_bytes;
    MutexLock lock(mutex_);
    stats.files = files_.size();
    return stats;
  }

  /// The last claim on `core` is gone.
  void Released(uint64_t inode, const std::shared_ptr<FileCore>& core) {
    const bool disposable = core->disposable();
    MutexLock lock(mutex_);
    auto it = files_.find(inode);
    if (it == files_.end() || it->second.core != core) return;
    // Somebody may have taken it up again since.
    if (disposable && it->second.handle.expired()) files_.erase(it);
  }

 private:
  struct Entry {
    std::shared_ptr<FileCore> core;
    std::weak_ptr<FileHandle> handle;
  };

  std::shared_ptr<FileData> Hold(uint64_t inode, const BaseVersion& base) {
    std::optional<CleanRow> left;
    if (base.exists()) left = left_clean_->Take(inode, base);
    while (true) {
      std::shared_ptr<FileHandle> handle;
      std::shared_ptr<FileCore> core;
      {
        MutexLock lock(mutex_);
        Entry& entry = files_[inode];
        if (entry.core == nullptr) entry.core = std::make_shared<FileCore>(context_, inode, base);
        handle = entry.handle.lock();
        core = entry.core;
      }
      if (handle == nullptr) handle = Claim(inode, core);
      if (handle == nullptr) continue;  // it was removed, or taken by somebody else, in between
      if (base.exists()) core->Show(base);
      if (left) core->TakeLeftClean(*left);
      return handle;
    }
  }

  std::shared_ptr<FileHandle> Claim(uint64_t inode, const std::shared_ptr<FileCore>& core) {
    auto handle = std::make_shared<FileHandle>(*this, inode, core);
    MutexLock lock(mutex_);
    auto it = files_.find(inode);
    if (it == files_.end() || it->second.core != core || !it->second.handle.expired())
      return nullptr;
    it->second.handle = handle;
    return handle;
  }

  std::vector<std::shared_ptr<FileCore>> Cores() const {
    std::vector<std::shared_ptr<FileCore>> cores;
    MutexLock lock(mutex_);
    for (const auto& [inode, entry] : files_) cores.push_back(entry.core);
    return cores;
  }

  /// C3: what is left unpublished survives a restart of the machine, too.
  void SealAll(const std::vector<std::shared_ptr<FileCore>>& cores) {
    StateBatch batch;
    size_t seals = 0;
    for (const auto& core : cores) {
      auto sealed = core->SealInto(&batch);
      if (sealed && *sealed) ++seals;
      if (seals < kSealsAtOnce) continue;
      Ignore(state_->Apply(std::exchange(batch, {}), Persist::kSurvivesPowerCut));
      seals = 0;
    }
    if (seals > 0) Ignore(state_->Apply(std::move(batch), Persist::kSurvivesPowerCut));
  }

  CacheDirectory directory_;  // locked as long as we live
  const std::unique_ptr<StateDb> state_;
  CacheContext context_;
  const std::shared_ptr<LeftClean> left_clean_;
  mutable Mutex mutex_{LockRank::kCacheBudget};
  std::map<uint64_t, Entry> files_ QUAY_GUARDED_BY(mutex_);
  std::map<uint64_t, RestoredFile> restored_ QUAY_GUARDED_BY(mutex_);  // and not claimed yet
};

FileHandle::~FileHandle() {
  core_->Detach();
  cache_.Released(inode_, core_);
}

}  // namespace

Result<std::unique_ptr<Cache>> Cache::Open(const CacheConfig& config, ObjectStore& store,
                                           Disk& disk, Clock& clock) {
  return OpenWith(config, store, disk, clock, StateDb::Open);
}

Result<std::unique_ptr<Cache>> Cache::OpenWith(const CacheConfig& config, ObjectStore& store,
                                               Disk& disk, Clock& clock,
                                               const OpenState& open_state) {
  QUAY_ASSIGN(CacheDirectory directory, CacheDirectory::Open(config.directory, disk));
  QUAY_ASSIGN(std::unique_ptr<StateDb> state, open_state(config.directory, {config.identity}));
  QUAY_ASSIGN(LeftFiles left, TakeUpLeftFiles(config.directory, disk, *state, clock));
  auto cache = std::make_unique<CacheImpl>(config, store, disk, clock, std::move(directory),
                                           std::move(state));
  cache->TakeUp(std::move(left));
  return std::unique_ptr<Cache>(std::move(cache));
}

}  // namespace quayfs
