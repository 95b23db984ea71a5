// SPDX-License-Identifier: Apache-2.0
//
// FileCore: what the database is told.
//
// As long as a file is newer than the bucket, its row says so with exactly the extents that are in
// memory (C1). The row may lag behind in two things only: the generation, and when the content last
// changed, while bytes that are dirty already are written again.

#include <utility>

#include "base/check.h"
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
  told_generation_ = row.generation;
  told_at_ = WallTime(Duration(row.changed_at));
  return {};
}

StateBatch FileCore::BeforeChange(ByteRange /*range*/, Persist* /*persist*/) { return {}; }

Status FileCore::TellBeforeWrite(ByteRange range) {
  if (removed_) return {};
  Persist persist = Persist::kSurvivesKill;
  StateBatch batch = BeforeChange(range, &persist);
  return batch.empty() ? Status() : context_.state.Apply(std::move(batch), persist);
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
  if (removed_) return {};
  const uint64_t present = extents_.size();
  const bool grows = size > present;
  const ByteRange changed{std::min(size, present), std::max(size, present)};
  Persist persist = Persist::kSurvivesKill;
  StateBatch batch = BeforeChange(changed, &persist);
  ContentRow row = RowNow();
  row.size = size;
  row.base_limit = std::min(row.base_limit, size);
  row.generation = extents_.next_generation();
  row.modified = true;
  row.changed_at = context_.clock.Now().time_since_epoch().count();
  AddContent(batch, row, grows ? DirtyChange::kAdd : DirtyChange::kCut, changed);
  return ApplyContent(std::move(batch), row, persist);
}

void FileCore::TellPublished() {
  if (removed_) return;
  StateBatch batch;
  const ContentRow row = RowNow();
  AddContent(batch, row, DirtyChange::kAll, {});
  const Status told = ApplyContent(std::move(batch), row, Persist::kSurvivesKill);
  // From here on the row is for the owner to drop. If it could not be written, the old one stays,
  // and the next mount finds out what has been published.
  if (!told || !extents_.modified()) told_ = false;
}

}  // namespace quayfs
