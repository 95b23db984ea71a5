// SPDX-License-Identifier: Apache-2.0
//
// FileCore: what the database is told.
//
// As long as a file is newer than the bucket, its row says so with exactly the extents that are in
// memory (C1). The row may lag behind in two things only: the generation, and when the content last
// changed, while bytes that are dirty already are written again.

#include <utility>

#include "base/check.h"
#include "cache/attempt_record.h"
#include "cache/file_core.h"

namespace quayfs {
namespace {

// Bytes that are dirty already may be changed this long without the row's hearing of the time.
constexpr std::chrono::seconds kTimeLag(1);

StoredVersion Stored(const BaseVersion& base) { return {base.key, base.etag, base.size, 0}; }

}  // namespace

ContentRow FileCore::RowNow() const {
  ContentRow row;
  row.ino = inode_;
  row.size = extents_.size();
  row.base_limit = extents_.base_limit();
  row.generation = extents_.generation();
  row.modified = extents_.modified();
  row.base = Stored(base_);
  row.changed_at = told_at_.time_since_epoch().count();
  return row;
}

void FileCore::AddContent(StateBatch& batch, const ContentRow& row, DirtyChange change,
                          ByteRange range) const {
  if (!told_) batch.DropContent(inode_);
  batch.PutContent(row);
  if (told_ && change == DirtyChange::kNone) return;
  if (told_ && change == DirtyChange::kAdd) {
    batch.AddDirty(inode_, range);
  } else if (told_ && change == DirtyChange::kCut) {
    batch.CutDirty(inode_, range);
  } else {
    ExtentSet dirty = extents_.dirty();
    if (change == DirtyChange::kAdd) dirty.Add(range);
    if (change == DirtyChange::kCut) dirty.Remove(range);
    batch.SetDirty(inode_, dirty.ranges());
  }
}

Status FileCore::ApplyContent(StateBatch batch, const ContentRow& row, Persist persist) {
  maybe_told_ = true;
  QUAY_TRY(context_.state.Apply(std::move(batch), persist));
  told_ = true;
  if (std::exchange(untold_, false) && seal_stuck_) {
    // It went with the old row.
    seal_stuck_ = false;
    TakeSeal(std::nullopt);
  }
  told_generation_ = row.generation;
  told_at_ = WallTime(Duration(row.changed_at));
  return {};
}

StateBatch FileCore::BeforeChange(ByteRange range) const {
  StateBatch batch;
  // C7: what an attempt sends belongs to that attempt, whatever becomes of the file.
  if (session_ != nullptr && !attempt_) {
    for (const auto& [number, record] : session_->parts) {
      if (record.told && record.part.range.Overlaps(range)) batch.DropPart(inode_, number);
    }
  }
  if (attempt_ && told_generation_ == *attempt_ && told_) {
    // The generation that is being published is not what the local file holds any more.
    ContentRow row = RowNow();
    row.generation = extents_.next_generation();
    batch.PutContent(row);
  }
  return batch;
}

void FileCore::NoteBeforeChange(ByteRange range) {
  if (session_ != nullptr) {
    for (auto& [number, record] : session_->parts) {
      if (record.part.range.Overlaps(range)) record.told = false;
    }
  }
  if (attempt_ && told_generation_ == *attempt_) told_generation_ = extents_.next_generation();
}

Status FileCore::TellBeforeWrite(ByteRange range) {
  if (sealing_) touched_in_seal_.Add(range);
  if (removed_) return {};
  QUAY_TRY(TellAgain());
  QUAY_TRY(KeepSealed(range));
  StateBatch batch = BeforeChange(range);
  if (batch.empty()) return {};
  QUAY_TRY(context_.state.Apply(std::move(batch), Persist::kSurvivesKill));
  NoteBeforeChange(range);
  return {};
}

Status FileCore::TellWrite(ByteRange range) {
  if (removed_) return {};
  const ByteRange changed{std::min(range.begin, extents_.size()), range.end};
  const WallTime now = context_.clock.Now();
  const bool known = told_ && range.end <= extents_.size() && extents_.dirty().Contains(range);
  if (known && now - told_at_ < kTimeLag && now >= told_at_) return {};
  ContentRow row = RowNow();
  row.size = std::max(row.size, range.end);
  row.generation = extents_.next_generation();
  row.modified = true;
  row.changed_at = now.time_since_epoch().count();
  StateBatch batch;
  AddContent(batch, row, DirtyChange::kAdd, changed);
  return ApplyContent(std::move(batch), row, Persist::kSurvivesKill);
}

Status FileCore::TellTruncate(uint64_t size) {
  const uint64_t present = extents_.size();
  const bool grows = size > present;
  const ByteRange changed{std::min(size, present), std::max(size, present)};
  if (sealing_) touched_in_seal_.Add(changed);
  if (removed_) return {};
  QUAY_TRY(TellAgain());
  QUAY_TRY(KeepSealed(changed));
  StateBatch batch = BeforeChange(changed);
  ContentRow row = RowNow();
  row.size = size;
  row.base_limit = std::min(row.base_limit, size);
  row.generation = extents_.next_generation();
  row.modified = true;
  row.changed_at = context_.clock.Now().time_since_epoch().count();
  AddContent(batch, row, grows ? DirtyChange::kAdd : DirtyChange::kCut, changed);
  QUAY_TRY(ApplyContent(std::move(batch), row, Persist::kSurvivesKill));
  NoteBeforeChange(changed);
  return {};
}

namespace {

/// The seal of a generation later than the one that has become the base, as a difference from the
/// new base.
SealRow RebasedSeal(SealRow seal, const BaseVersion& base, const std::vector<ByteRange>& cleaned) {
  ExtentSet dirty(seal.dirty);
  for (const ByteRange& range : cleaned) dirty.Remove(range);
  seal.dirty = dirty.ranges();
  const std::vector<ByteRange> from_base = dirty.Missing({0, seal.size});
  seal.base_limit = from_base.empty() ? 0 : from_base.back().end;
  seal.base = Stored(base);
  return seal;
}

}  // namespace

void FileCore::TellPublished(const std::vector<ByteRange>& cleaned) {
  ++bases_;
  const std::optional<uint64_t> attempt = std::exchange(attempt_, std::nullopt);
  if (removed_) {
    Ignore(context_.state.Apply(StateBatch().DropUpload(inode_), Persist::kSurvivesKill));
    return;
  }
  StateBatch batch;
  const ContentRow row = RowNow();
  AddContent(batch, row, DirtyChange::kAll, {});
  batch.DropUpload(inode_);
  Persist persist = Persist::kSurvivesKill;
  std::optional<SealRow> seal;
  if (seal_) {
    // C3: bytes that are clean now may be evicted, so the seal must not come back after a power
    // cut.
    persist = Persist::kSurvivesPowerCut;
    if (attempt && seal_->generation > *attempt && extents_.modified()) {
      seal = RebasedSeal(*seal_, base_, cleaned);
      batch.PutSeal(*seal);
    } else {
      batch.DropSeal(inode_);
    }
  }
  const Status told = ApplyContent(std::move(batch), row, persist);
  if (!told) {
    // The old row stays, with the attempt: the next mount finds out what has been published.
    told_ = false;
    untold_ = true;
    seal_stuck_ = seal_.has_value();
    return;
  }
  seal_stuck_ = false;
  TakeSeal(std::move(seal));
  // From here on the row of a clean file is for the owner to drop.
  if (!extents_.modified()) told_ = false;
}

Status FileCore::TellAgain() {
  if (!untold_) return {};
  StateBatch batch;
  const ContentRow row = RowNow();
  AddContent(batch, row, DirtyChange::kAll, {});
  const Persist persist = seal_ ? Persist::kSurvivesPowerCut : Persist::kSurvivesKill;
  QUAY_TRY(ApplyContent(std::move(batch), row, persist));
  if (!extents_.modified()) told_ = false;
  return {};
}

void FileCore::TellRebased() {
  ++bases_;
  if (removed_ || !told_) return;
  StateBatch batch;
  const ContentRow row = RowNow();
  AddContent(batch, row, DirtyChange::kNone, {});
  if (seal_) {
    seal_->base = Stored(base_);
    batch.PutSeal(*seal_);
  }
  if (std::exchange(attempt_, std::nullopt)) batch.DropUpload(inode_);
  if (!ApplyContent(std::move(batch), row, Persist::kSurvivesKill)) told_ = false;
}

Status FileCore::TellUpload(const UploadSession& session) {
  StateBatch batch;
  const ContentRow row = RowNow();
  if (!removed_) AddContent(batch, row, DirtyChange::kNone, {});
  batch.PutUpload({inode_, session.key, session.upload_id, session.properties});
  for (const auto& [number, record] : session.parts) {
    if (record.told) AddPart(batch, record);
  }
  // Flushed: after a power cut nobody else would know that it has to be aborted.
  if (removed_) return context_.state.Apply(std::move(batch), Persist::kSurvivesPowerCut);
  return ApplyContent(std::move(batch), row, Persist::kSurvivesPowerCut);
}

void FileCore::AddPart(StateBatch& batch, const PartRecord& record) const {
  batch.PutPart({inode_, record.part.number, record.part.range,
                 record.part.source == PartSource::kCopy, record.info.etag,
                 record.part.range.length()});
}

Status FileCore::TellPart(const UploadSession& session, PartRecord& record) {
  // What is sent of a frozen session belongs to its attempt, which tells of it as a whole.
  if (session.frozen || session_.get() != &session) return {};
  StateBatch batch;
  AddPart(batch, record);
  QUAY_TRY(context_.state.Apply(std::move(batch), Persist::kSurvivesKill));
  record.told = true;
  return {};
}

Status FileCore::TellAttempt(const Unsettled& attempt, uint64_t generation,
                             const UploadSession* session) {
  StateBatch batch;
  const ContentRow row = RowNow();
  if (!removed_) AddContent(batch, row, DirtyChange::kNone, {});
  batch.PutUpload(AttemptRow(inode_, {generation, attempt}));
  for (const PartInfo& part : attempt.parts) {
    AddPart(batch, session->parts.at(part.number));
  }
  // C3: a file that comes back as it was sealed has to know that what came of a later generation in
  // the bucket is its own.
  const Persist persist = seal_ ? Persist::kSurvivesPowerCut : Persist::kSurvivesKill;
  if (removed_) {
    QUAY_TRY(context_.state.Apply(std::move(batch), Persist::kSurvivesKill));
  } else {
    QUAY_TRY(ApplyContent(std::move(batch), row, persist));
  }
  attempt_ = generation;
  return {};
}

void FileCore::TellAttemptFailed() {
  if (!std::exchange(attempt_, std::nullopt)) return;
  // One that stays is found out about again, to the same end.
  Ignore(context_.state.Apply(StateBatch().DropUpload(inode_), Persist::kSurvivesKill));
}

void FileCore::TellOrphan(const std::string& key, const std::string& upload_id) {
  attempt_.reset();
  // If this fails, the row of the upload stays, and the next mount goes on with it or gives it up.
  Ignore(context_.state.Apply(StateBatch().DropUpload(inode_).PutOrphan(key, upload_id),
                              Persist::kSurvivesKill));
}

}  // namespace quayfs
