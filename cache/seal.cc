// SPDX-License-Identifier: Apache-2.0
//
// FileCore: to the disk for good.
//
// C2: a seal is the extents and the size of one generation, committed when its bytes have reached
// the disk. Writers go on meanwhile; what they change in place before that spoils the seal, and it
// is tried again, in the end with the writers waiting. What they add beside it is not part of it.
// Of what they change in place afterwards the former bytes are kept (kept_bytes.h).

#include <utility>

#include "cache/cache_directory.h"
#include "cache/file_core.h"
#include "cache/kept_bytes.h"

namespace quayfs {
namespace {

constexpr int kFreeRounds = 3;  // before writers have to wait

}  // namespace

/// What is being sealed.
struct FileCore::Sealing {
  SealRow row;
  std::shared_ptr<DiskFile> file;  // null: there are no bytes
  bool sync_name = false;
  uint64_t bases = 0;
};

void FileCore::TakeSeal(std::optional<SealRow> seal) {
  const bool same = seal && seal_ && seal->generation == seal_->generation;
  if (!same) DropKept();
  kept_end_ = same                                      ? kept_end_
              : seal && seal->bytes == SealBytes::kKept ? std::nullopt
                                                        : std::optional<uint64_t>(0);
  seal_ = std::move(seal);
  ExtentSet in_place;
  if (seal_) {
    for (const ByteRange& range : seal_->dirty) {
      if (!same) in_place.Add(range);
      for (const ByteRange& still : sealed_.Within(range)) in_place.Add(still);
    }
  }
  sealed_ = std::move(in_place);
}

// Nothing needs it once its seal has gone for good.
void FileCore::DropKept() {
  if (seal_ && seal_->bytes == SealBytes::kKept && !seal_stuck_) {
    Ignore(context_.disk.RemoveFile(KeptFile(context_.config.directory, inode_)));
  }
}

Status FileCore::KeepSealed(ByteRange range) {
  if (!seal_ || !sealed_.Overlaps(range)) return {};
  const uint64_t block = context_.config.keep_block;
  const ByteRange around{range.begin / block * block, (range.end + block - 1) / block * block};
  const std::vector<ByteRange> keep = sealed_.Within(around);
  QUAY_ASSIGN(const std::shared_ptr<DiskFile> file, OpenLocal());
  QUAY_TRY(KeepBytes(context_.disk, context_.config.directory, inode_, seal_->generation, *file,
                     keep, &kept_end_));
  if (seal_->bytes != SealBytes::kKept) {
    // Before the first changed byte can be on the disk, and after the first kept one is.
    QUAY_TRY(context_.state.Apply(StateBatch().SealKept(inode_), Persist::kSurvivesPowerCut));
    seal_->bytes = SealBytes::kKept;
  }
  for (const ByteRange& kept : keep) sealed_.Remove(kept);
  return {};
}

bool FileCore::NeedsSeal() const {
  if (removed_ || !extents_.modified()) return false;
  return !seal_ || seal_->generation != extents_.generation();
}

Result<FileCore::Sealing> FileCore::BeginSeal() {
  if (!broken_.empty()) {
    return Error(Code::kIo, "the cache disk lost bytes of this file; write them again");
  }
  Sealing sealing;
  if (on_disk_) {
    QUAY_ASSIGN(sealing.file, OpenLocal());
    sealing.sync_name = !name_synced_;
  }
  const ContentRow row = RowNow();
  sealing.row.ino = inode_;
  sealing.row.size = row.size;
  sealing.row.base_limit = row.base_limit;
  sealing.row.generation = row.generation;
  sealing.row.base = row.base;
  sealing.row.dirty = extents_.dirty().ranges();
  sealing.bases = bases_;
  sealing_ = true;
  touched_in_seal_.Clear();
  return sealing;
}

Status FileCore::FlushForSeal(const Sealing& sealing) {
  if (sealing.file == nullptr) return {};
  QUAY_TRY(sealing.file->SyncData());
  if (!sealing.sync_name) return {};
  QUAY_TRY(context_.disk.SyncDirectory(directory_));
  return context_.disk.SyncDirectory(DataRoot(context_.config.directory));
}

Result<bool> FileCore::FinishSeal(const Sealing& sealing, const Status& flushed) {
  sealing_ = false;
  changed_.NotifyAll();
  if (!flushed) {
    // Which of the bytes have been lost is not known: those that no seal vouches for.
    for (const ByteRange& range : sealing.row.dirty) broken_.Add(range);
    if (seal_) {
      for (const ByteRange& range : sealed_.ranges()) broken_.Remove(range);
    }
    return flushed.error();
  }
  if (sealing.file != nullptr) name_synced_ = true;
  if (removed_ || !extents_.modified()) return true;
  if (sealing.bases != bases_) return false;
  for (const ByteRange& range : sealing.row.dirty) {
    if (touched_in_seal_.Overlaps(range)) return false;
  }
  return true;
}

Status FileCore::SyncLocal() {
  for (int round = 1;; ++round) {
    MutexLock lock(mutex_);
    while (sealing_) changed_.Wait(mutex_);
    if (!NeedsSeal()) return {};
    QUAY_ASSIGN(const Sealing sealing, BeginSeal());
    seal_pauses_writers_ = round > kFreeRounds;
    lock.Unlock();
    Status flushed = FlushForSeal(sealing);
    lock.Lock();
    seal_pauses_writers_ = false;
    QUAY_ASSIGN(const bool sealed, FinishSeal(sealing, std::move(flushed)));
    if (!sealed) continue;
    if (removed_ || !extents_.modified()) return {};
    StateBatch batch;
    const ContentRow row = RowNow();
    AddContent(batch, row, DirtyChange::kNone, {});
    batch.PutSeal(sealing.row);
    // Under the lock: no byte of the seal may change before it is there to be marked.
    QUAY_TRY(ApplyContent(std::move(batch), row, Persist::kSurvivesPowerCut));
    TakeSeal(sealing.row);
    return {};
  }
}

Result<bool> FileCore::SealInto(StateBatch* batch) {
  MutexLock lock(mutex_);
  while (sealing_) changed_.Wait(mutex_);
  if (!NeedsSeal()) return false;
  QUAY_ASSIGN(const Sealing sealing, BeginSeal());
  lock.Unlock();
  Status flushed = FlushForSeal(sealing);
  lock.Lock();
  QUAY_ASSIGN(const bool sealed, FinishSeal(sealing, std::move(flushed)));
  if (!sealed || removed_ || !extents_.modified()) return false;
  AddContent(*batch, RowNow(), DirtyChange::kNone, {});
  batch->PutSeal(sealing.row);
  return true;
}

}  // namespace quayfs
