// SPDX-License-Identifier: Apache-2.0

#include "cache/file_core.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/text.h"
#include "cache/attempt_record.h"
#include "cache/cache_directory.h"
#include "cache/local_file.h"

namespace quayfs {
namespace {

bool IsLocalFailure(Code code) {
  return code == Code::kNoSpace || code == Code::kQuota || code == Code::kIo ||
         code == Code::kReadOnly;
}

/// Higher than any generation that an earlier incarnation of a file can have reached: nobody
/// changes a file a million times a second for long.
uint64_t GenerationFloor(const Clock& clock) {
  const int64_t now = clock.Now().time_since_epoch().count();
  return now < 0 ? 0 : static_cast<uint64_t>(now) / 1000;
}

void StopAll(std::vector<std::stop_source>& stops) {
  for (std::stop_source& stop : stops) stop.request_stop();
}

constexpr uint64_t kPage = 4096;

// What was there before. On a full disk nothing may take a page that it did not have: zeros that
// were a hole become one again, which comes first.
Status PutBack(DiskFile& file, uint64_t offset, std::span<const std::byte> bytes) {
  if (file.Write(offset, bytes)) return {};
  for (const bool zeros : {true, false}) {
    for (uint64_t at = offset; at < offset + bytes.size();) {
      const uint64_t end = std::min(offset + bytes.size(), (at / kPage + 1) * kPage);
      const auto piece =
          bytes.subspan(static_cast<size_t>(at - offset), static_cast<size_t>(end - at));
      const bool empty =
          std::all_of(piece.begin(), piece.end(), [](std::byte b) { return b == std::byte{0}; });
      if (empty && zeros) QUAY_TRY(file.PunchHole({at, end}));
      if (!empty && !zeros) QUAY_TRY(file.Write(at, piece));
      at = end;
    }
  }
  return {};
}

}  // namespace

FileCore::FileCore(CacheContext& context, uint64_t inode, const BaseVersion& base)
    : context_(context),
      inode_(inode),
      directory_(DataFolder(context.config.directory, inode)),
      path_(DataFile(context.config.directory, inode)),
      extents_(base.exists() ? FileExtents::OfBase(base.size) : FileExtents()),
      base_(base) {
  extents_.SetGenerationFloor(GenerationFloor(context.clock));
}

FileCore::FileCore(CacheContext& context, const LeftFile& left)
    : context_(context),
      inode_(left.row.ino),
      directory_(DataFolder(context.config.directory, inode_)),
      path_(DataFile(context.config.directory, inode_)),
      extents_(FileExtents::Restored(left.row.size, left.row.base_limit, left.row.generation,
                                     left.row.modified, left.dirty)),
      base_{left.row.base.key, left.row.base.etag, left.row.base.size},
      on_disk_(left.on_disk),
      local_length_(left.local_length),
      told_(left.row.modified),
      maybe_told_(true),
      told_generation_(left.row.generation),
      told_at_(WallTime(Duration(left.row.changed_at))) {
  extents_.SetGenerationFloor(GenerationFloor(context.clock));
  TakeSeal(left.seal);
  RestoreHoles();
  noted_dirty_ = extents_.written_bytes();
  context_.dirty.Changed(0, noted_dirty_);
  if (left.upload) ResumeUpload(*left.upload, left.parts);
}

void FileCore::ResumeUpload(const UploadRow& upload, const std::vector<PartRow>& parts) {
  if (std::optional<AttemptRecord> record = AttemptOf(upload)) {
    extents_.ResumePublication(record->attempt.size, record->generation,
                               record->generation == extents_.generation());
    unsettled_ = std::move(record->attempt);
    for (const PartRow& part : parts) {
      unsettled_->parts.push_back({part.number, part.etag, part.size});
    }
    attempt_ = record->generation;
    return;
  }
  session_ = std::make_shared<UploadSession>();
  session_->key = upload.key;
  session_->properties = upload.properties;
  session_->phase = UploadSession::Phase::kOpen;
  session_->upload_id = upload.upload_id;
  session_->verified = false;
  for (const PartRow& part : parts) {
    PartRecord& record = session_->parts[part.number];
    record.part = {part.number, part.range, part.copied ? PartSource::kCopy : PartSource::kLocal};
    record.sent = true;
    record.told = true;
    record.info = {part.number, part.etag, part.size};
  }
  while (session_->parts.contains(session_->next_ahead)) ++session_->next_ahead;
}

FileCore::~FileCore() {
  context_.budget.Forget(this);
  context_.dirty.Changed(noted_dirty_, 0);
  // Dirty bytes are left behind for somebody to find, clean ones if the next mount can tell that
  // they are (C5).
  const bool kept = context_.closing && has_row_ && !removed_;
  if (has_row_ && !kept) context_.sums.Drop(inode_);
  if (on_disk_ && !extents_.modified() && !kept) RemoveLocal();
}

uint64_t FileCore::size() const {
  MutexLock lock(mutex_);
  return extents_.size();
}

bool FileCore::dirty() const {
  MutexLock lock(mutex_);
  return extents_.modified();
}

WallTime FileCore::changed_at() const {
  MutexLock lock(mutex_);
  return told_ ? told_at_ : WallTime{};
}

FileDataState FileCore::state() const {
  MutexLock lock(mutex_);
  return {extents_.size(),
          extents_.generation(),
          extents_.dirty_bytes(),
          extents_.clean_bytes(),
          extents_.modified(),
          base_,
          unsettled_ ? unsettled_->key : std::string(),
          extents_.written_bytes()};
}

// ---- the local file

Result<std::shared_ptr<DiskFile>> FileCore::OpenLocal() {
  if (file_ != nullptr) return file_;
  Disk& disk = context_.disk;
  if (removed_) {
    QUAY_ASSIGN(file_, disk.OpenTemporary(context_.config.directory));
    return file_;
  }
  auto opened = disk.Open(path_, on_disk_ ? OpenMode::kReadWrite : OpenMode::kCreateExclusive);
  if (!on_disk_ && opened.Is(Code::kNotFound)) {
    if (Status made = disk.MakeDirectory(directory_); !made && !made.Is(Code::kAlreadyExists)) {
      return made.error();
    }
    opened = disk.Open(path_, OpenMode::kCreateExclusive);
  }
  if (!on_disk_ && opened.Is(Code::kAlreadyExists)) {
    // A leftover of this number whose removal failed.
    QUAY_TRY(disk.RemoveFile(path_));
    opened = disk.Open(path_, OpenMode::kCreateExclusive);
  }
  if (!opened) return opened.error();
  on_disk_ = true;
  file_ = std::move(opened).value();
  return file_;
}

void FileCore::CloseLocal() { file_.reset(); }

void FileCore::RemoveLocal() {
  CloseLocal();
  // A name that stays is replaced when the number is used again, and cleared when the cache is
  // opened again.
  if (on_disk_) Ignore(context_.disk.RemoveFile(path_));
  DropKept();
  on_disk_ = false;
  local_length_ = 0;
  trim_pending_ = false;
}

Status FileCore::TrimLocal() {
  if (!trim_pending_) return {};
  QUAY_ASSIGN(std::shared_ptr<DiskFile> file, OpenLocal());
  QUAY_TRY(file->Truncate(extents_.size()));
  local_length_ = extents_.size();
  trim_pending_ = false;
  return {};
}

void FileCore::DropClean(ByteRange range) {
  DropSums(range);
  for (const ByteRange& lost : extents_.Drop(range)) context_.budget.Subtract(this, lost);
}

void FileCore::NoteDirtyBytes() {
  const uint64_t now = removed_ || unlinked_ ? 0 : extents_.written_bytes();
  if (now != noted_dirty_) context_.dirty.Changed(noted_dirty_, now);
  noted_dirty_ = now;
}

void FileCore::NoteChange(const FileExtents::Change& change) {
  DropSums(change.range);
  for (const ByteRange& lost : change.clean_lost) context_.budget.Subtract(this, lost);
  for (const FetchRef& fetch : fetches_) fetch->owed.Remove(change.range);
  if (session_ != nullptr && session_->Touch(change.range) && !publishing_) stream_halted_ = true;
  NoteDirtyBytes();
  WakeUses(change.range);
}

FileCore::Saved FileCore::SaveDirty(const DiskFile& file, ByteRange range) {
  Saved saved;
  for (const ByteRange& dirty : extents_.dirty().Within(range)) {
    std::vector<std::byte> bytes(static_cast<size_t>(dirty.length()));
    // Bytes that cannot be read any more cannot be lost by overwriting them either.
    if (ReadLocal(file, dirty.begin, bytes, local_length_).ok()) {
      saved.emplace_back(dirty.begin, std::move(bytes));
    }
  }
  return saved;
}

void FileCore::UndoWrite(DiskFile& file, ByteRange range, const Saved& before) {
  // The failed write may have reached any of its bytes. Uploads that read there meanwhile must read
  // again.
  if (session_ != nullptr) session_->Touch(range);
  DropClean(range);
  if (range.end > extents_.size()) trim_pending_ = true;
  ExtentSet lost(extents_.dirty().Within(range));
  for (const auto& [offset, bytes] : before) {
    if (!PutBack(file, offset, bytes)) continue;
    lost.Remove(ByteRange::OfLength(offset, bytes.size()));
    local_length_ = std::max(local_length_, offset + bytes.size());
  }
  for (const ByteRange& bytes : lost.ranges()) broken_.Add(bytes);
}

Status FileCore::WriteLocked(uint64_t offset, std::span<const std::byte> data) {
  const ByteRange range = ByteRange::OfLength(offset, data.size());
  QUAY_ASSIGN(std::shared_ptr<DiskFile> file, OpenLocal());
  if (range.end > extents_.size()) QUAY_TRY(TrimLocal());
  QUAY_TRY(TellBeforeWrite(range));
  const Saved before = SaveDirty(*file, range);
  StopSending();
  Status written = file->Write(offset, data);
  // C1: the bytes first, or the database would call bytes newer that were never written.
  if (written) written = TellWrite(range);
  if (!written) {
    UndoWrite(*file, range, before);
    return written.error();
  }
  local_length_ = std::max(local_length_, range.end);
  broken_.Remove(range);
  NoteChange(extents_.Write(range));
  return {};
}

Status FileCore::TruncateLocked(uint64_t size) {
  const uint64_t present = extents_.size();
  if (size == present) return {};
  StopSending();
  if (size > present) {
    // The local file grows along, so that one which lost its end can be told by its length.
    QUAY_TRY(TrimLocal());
    QUAY_ASSIGN(std::shared_ptr<DiskFile> file, OpenLocal());
    QUAY_TRY(file->Truncate(size));
    if (Status told = TellTruncate(size); !told) {
      trim_pending_ = true;
      return told;
    }
    local_length_ = size;
  } else {
    QUAY_TRY(TellTruncate(size));
    if (local_length_ > size || trim_pending_) {
      auto file = OpenLocal();
      // Once it is in the database it counts. What could not be cut off is so before it can show.
      trim_pending_ = !file || !(*file)->Truncate(size);
      local_length_ = std::min(local_length_, size);
    }
  }
  if (size < present) broken_.Remove({size, present});
  NoteChange(extents_.Truncate(size));
  return {};
}

Status FileCore::WithRoom(const std::function<Status()>& operation) {
  Status status = operation();
  if (status) return status;
  for (const uint64_t keep : {context_.budget.bytes() / 2, uint64_t{0}}) {
    if (!status.Is(Code::kNoSpace) && !status.Is(Code::kQuota)) break;
    context_.budget.Shrink(keep);
    status = operation();
  }
  return status;
}

Status FileCore::Write(uint64_t offset, std::span<const std::byte> data) {
  if (data.empty()) return {};
  if (offset > context_.object_size_max || data.size() > context_.object_size_max - offset) {
    return Error(Code::kTooLarge, fmt::format("a file cannot be larger than {} in this store",
                                              FormatSize(context_.object_size_max)));
  }
  return WithRoom([&]() -> Status {
    MutexLock lock(mutex_);
    while (writers_paused_ || seal_pauses_writers_) changed_.Wait(mutex_);
    const ByteRange range = ByteRange::OfLength(offset, data.size());
    if (!extents_.dirty().Contains(range)) QUAY_TRY(context_.room.Take(data.size()));
    QUAY_TRY(WriteLocked(offset, data));
    PumpStream();
    return {};
  });
}

Status FileCore::WriteWhenRoom(uint64_t offset, std::span<const std::byte> data, bool may_block,
                               const CallOptions& call) {
  bool counts = true;
  {
    MutexLock lock(mutex_);
    counts = !removed_ && !unlinked_;
  }
  if (counts) QUAY_TRY(context_.dirty.Admit(data.size(), may_block, call));
  while (true) {
    Status written = Write(offset, data);
    if (!written.Is(Code::kNoSpace) && !written.Is(Code::kQuota)) return written;
    QUAY_TRY(context_.dirty.AwaitDrain(written.error(), may_block, call));
  }
}

void FileCore::Unlinked() {
  MutexLock lock(mutex_);
  unlinked_ = true;
  NoteDirtyBytes();
}

Status FileCore::Truncate(uint64_t size) {
  if (size > context_.object_size_max) {
    return Error(Code::kTooLarge, fmt::format("a file cannot be larger than {} in this store",
                                              FormatSize(context_.object_size_max)));
  }
  std::vector<std::stop_source> stops;
  Status status = WithRoom([&]() -> Status {
    MutexLock lock(mutex_);
    while (writers_paused_ || seal_pauses_writers_) changed_.Wait(mutex_);
    const bool shrinks = size < extents_.size();
    QUAY_TRY(TruncateLocked(size));
    if (shrinks && session_ != nullptr && !publishing_) {
      AbandonSession(std::exchange(session_, nullptr), &stops);
    }
    return {};
  });
  StopAll(stops);
  return status;
}

// ---- bytes in use

FileCore::UseRef FileCore::AddUse(ByteRange range) {
  auto use = std::make_shared<Use>();
  use->range = range;
  uses_.push_back(use);
  return use;
}

void FileCore::RemoveUse(const UseRef& use) { uses_.remove(use); }

void FileCore::WakeUses(ByteRange range) {
  for (const UseRef& use : uses_) {
    if (use->waited_for && use->range.Overlaps(range) && extents_.Readable(use->range)) {
      use->wake.NotifyAll();
    }
  }
}

void FileCore::WakeAllUses() {
  for (const UseRef& use : uses_) use->wake.NotifyAll();
}

Result<size_t> FileCore::Read(uint64_t offset, std::span<std::byte> out, ReadPattern& pattern,
                              bool may_block, const CallOptions& call) {
  UseRef use;
  std::shared_ptr<DiskFile> file;
  uint64_t length = 0;
  size_t count = 0;
  Status status;
  {
    MutexLock lock(mutex_);
    if (out.empty() || offset >= extents_.size()) return size_t{0};
    count = static_cast<size_t>(std::min<uint64_t>(out.size(), extents_.size() - offset));
    const ByteRange range = ByteRange::OfLength(offset, count);
    use = AddUse(range);
    const ReadDecision decision = DecideRead(range, extents_.base_limit(), context_.read, pattern);
    CheckSums(range);
    if (!extents_.Readable(range)) {
      StartFetches(decision.urgent, 2 * context_.read.fetch_part, Transfers::Lane::kUrgent);
    }
    if (!decision.ahead.empty()) {
      StartFetches({range.end, decision.ahead.end}, context_.read.fetch_part,
                   Transfers::Lane::kBulk);
    }
    status = WaitReadable(use, may_block, call);
    if (status && broken_.Overlaps(range)) {
      status = Error(Code::kIo, "the cache disk lost bytes of this file in a failed write");
    }
    if (status && on_disk_ && file_ == nullptr) {
      if (auto opened = OpenLocal(); !opened) status = opened.error();
    }
    file = file_;
    length = local_length_;
  }
  if (status) {
    context_.budget.Touch(this, use->range);
    if (file != nullptr) {
      status = ReadLocal(*file, offset, out.first(count), length);
    } else {
      std::memset(out.data(), 0, count);
    }
  }
  bool cut_off = false;
  {
    MutexLock lock(mutex_);
    RemoveUse(use);
    cut_off = extents_.size() < offset + count || local_length_ < length;
    if (status) {
      if (offset >= extents_.size()) return size_t{0};
      return static_cast<size_t>(std::min<uint64_t>(count, extents_.size() - offset));
    }
  }
  if (cut_off && status.Is(Code::kIo)) return Read(offset, out, pattern, may_block, call);
  if (may_block && IsLocalFailure(status.code())) return ReadAround(offset, out.first(count), call);
  return status.error();
}

uint64_t FileCore::DropUnused(ByteRange range) {
  MutexLock lock(mutex_);
  ExtentSet in_use;
  for (const UseRef& use : uses_) in_use.Add(use->range);
  std::vector<ByteRange> victims;
  for (const ByteRange& clean : extents_.clean().Within(range)) {
    for (const ByteRange& free : in_use.Missing(clean)) victims.push_back(free);
  }
  for (auto it = sums_.lower_bound(range.begin / kSumBlock);
       unchecked_ > 0 && it != sums_.end() && it->first * kSumBlock < range.end; ++it) {
    const ByteRange block = BlockRange(it->first);
    if (!it->second.checked && !in_use.Overlaps(block)) victims.push_back(block);
  }
  if (victims.empty() || !TellAgain() || seal_stuck_) return 0;
  auto file = OpenLocal();
  uint64_t dropped = 0;
  for (const ByteRange& victim : victims) {
    DropClean(victim);
    dropped += victim.length();
    // If the hole cannot be made the blocks stay in use; what they hold is not relied on any more.
    if (file) Ignore((*file)->PunchHole(victim));
  }
  if (handles_ == 0) Park();
  return dropped;
}

void FileCore::Evict(ByteRange range) { DropUnused(range); }

uint64_t FileCore::DropAllClean() {
  const FileDataState now = state();
  return DropUnused({0, std::max(now.size, now.base.size)});
}

// ---- life

void FileCore::Attach() {
  MutexLock lock(mutex_);
  ++handles_;
}

void FileCore::Detach() {
  std::vector<std::stop_source> stops;
  {
    MutexLock lock(mutex_);
    if (--handles_ > 0) return;
    AbandonFetches(&stops);
    // C7: what has been sent of content that is still to be published is not sent again.
    if (session_ != nullptr && !extents_.modified()) {
      AbandonSession(std::exchange(session_, nullptr), &stops);
    }
    stream_.reset();
    stream_halted_ = false;
    Park();
  }
  StopAll(stops);
}

void FileCore::Park() {
  if (removed_) {
    DropClean({0, extents_.size()});
    CloseLocal();
    return;
  }
  if (extents_.nothing_cached() && unchecked_ == 0 && !extents_.modified()) {
    RemoveLocal();
  } else {
    CloseLocal();
  }
}

void FileCore::MarkRemoved() {
  std::vector<std::stop_source> stops;
  {
    MutexLock lock(mutex_);
    if (removed_) return;
    if (session_ != nullptr && !publishing_)
      AbandonSession(std::exchange(session_, nullptr), &stops);
    if (unsettled_ && !unsettled_->upload_id.empty()) {
      TellOrphan(unsettled_->key, unsettled_->upload_id);
      PostAbort(unsettled_->key, unsettled_->upload_id);
    }
    // Whoever still has the file open goes on with the descriptor.
    if (handles_ > 0 && on_disk_) Ignore(OpenLocal());
    removed_ = true;
    NoteDirtyBytes();
    // The row first: one without a data file would look like damage. One that stays is given up by
    // the next mount.
    const bool forgotten = !maybe_told_ || context_.state.Apply(StateBatch().DropContent(inode_),
                                                                Persist::kSurvivesKill);
    if (on_disk_ && forgotten) {
      Ignore(context_.disk.RemoveFile(path_));
      DropKept();
    }
    on_disk_ = false;
    if (handles_ == 0) Park();
  }
  StopAll(stops);
}

bool FileCore::disposable() const {
  MutexLock lock(mutex_);
  return handles_ == 0 &&
         (removed_ || (extents_.nothing_cached() && unchecked_ == 0 && !extents_.modified()));
}

void FileCore::Stop() {
  std::vector<std::stop_source> stops;
  {
    MutexLock lock(mutex_);
    AbandonFetches(&stops);
    if (session_ != nullptr) stops.push_back(session_->stop);
  }
  StopAll(stops);
}

void FileCore::Show(const BaseVersion& base) {
  std::vector<std::stop_source> stops;
  {
    MutexLock lock(mutex_);
    if (extents_.modified() || SameVersion(base_, base)) return;
    ReplaceLocked(base, &stops);
  }
  StopAll(stops);
}

void FileCore::Rebase(const BaseVersion& base) {
  MutexLock lock(mutex_);
  DropSumsForSize(base.size);
  sums_changed_ = sums_changed_ || has_row_;
  base_ = base;
  if (sums_changed_) NoteSums();
  ForgetUnsettled();
  extents_.CancelPublication();
  TellRebased();
  WakeAllUses();
}

void FileCore::ForgetUnsettled() {
  if (!unsettled_) return;
  if (unsettled_->upload_id.empty()) {
    TellAttemptFailed();
  } else {
    TellOrphan(unsettled_->key, unsettled_->upload_id);
    PostAbort(unsettled_->key, unsettled_->upload_id);
  }
  unsettled_.reset();
}

void FileCore::Replace(const BaseVersion& base) {
  std::vector<std::stop_source> stops;
  {
    MutexLock lock(mutex_);
    ReplaceLocked(base, &stops);
  }
  StopAll(stops);
}

void FileCore::TruncateForNewBase() {
  if (local_length_ == 0 || !TellAgain() || seal_stuck_) return;
  trim_pending_ = true;
  if (auto file = OpenLocal(); file && (*file)->Truncate(0)) {
    local_length_ = 0;
    trim_pending_ = false;
  } else {
    // What is left below the new size are missing bytes; the rest is trimmed before it could show.
    local_length_ = std::min(local_length_, base_.size);
  }
}

void FileCore::ReplaceLocked(const BaseVersion& base, std::vector<std::stop_source>* stops) {
  QUAY_DCHECK(!extents_.modified());
  StopSending();
  const uint64_t before = extents_.size();
  DropClean({0, before});
  AbandonFetches(stops);
  extents_.Reset(base.size);
  ForgetUnsettled();
  base_ = base;
  ++bases_;
  broken_.Clear();
  TruncateForNewBase();
  if (session_ != nullptr) session_->Touch({0, std::max(before, base.size)});
  NoteDirtyBytes();
  WakeAllUses();
}

}  // namespace quayfs
