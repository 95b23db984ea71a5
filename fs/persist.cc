// SPDX-License-Identifier: Apache-2.0

#include <cstdlib>

#include "base/log.h"
#include "fs/core.h"
#include "fs/inode_flags.h"

namespace quayfs {
namespace {

using namespace inode_flags;  // NOLINT: of InodeRow::flags, here only

// In a row's metadata only.
constexpr const char* kLinkKey = "quayfs-link";  // kLinkMetadata
constexpr const char* kLinkCountKey = "quayfs-link-count";
constexpr const char* kXattrsKey = "quayfs-row-xattr";  // JSON; newer than the object's
constexpr const char* kXattrsSideKey = "quayfs-row-xattr-side";
constexpr const char* kCopyingKey = "quayfs-row-copying";

// Inode numbers are set aside in blocks, so that most new inodes cost no row for it.
constexpr Ino kInoBlock = 4096;
constexpr const char* kNextIno = "next_ino";
constexpr const char* kAttributeRules = "attribute_rules";

/// What the configuration has to do with the attributes that objects seem to have.
int64_t AttributeRules(const FileSystemConfig& config) {
  int64_t rules = config.trust_special_bits ? 1 : 0;
  for (const int64_t part :
       {static_cast<int64_t>(config.metadata), static_cast<int64_t>(config.default_uid),
        static_cast<int64_t>(config.default_gid), static_cast<int64_t>(config.default_file_mode),
        static_cast<int64_t>(config.default_directory_mode)}) {
    rules = (rules * 31 + part) & 0x7fffffff;
  }
  return rules;
}

int64_t Nanoseconds(WallTime time) { return time.time_since_epoch().count(); }
WallTime Time(int64_t nanoseconds) { return WallTime(std::chrono::nanoseconds(nanoseconds)); }

}  // namespace

InodeRow Core::RowLocked(const Inode& inode) const {
  InodeRow row;
  row.ino = inode.ino;
  row.parent = inode.parent;
  row.name = inode.name;
  row.mode = inode.attributes.mode;
  row.uid = inode.attributes.uid;
  row.gid = inode.attributes.gid;
  row.rdev = inode.attributes.rdev;
  row.size =
      inode.data != nullptr && inode.is_regular() ? inode.data->size() : inode.attributes.size;
  row.atime = Nanoseconds(inode.attributes.atime);
  row.mtime = Nanoseconds(inode.attributes.mtime);
  row.ctime = Nanoseconds(inode.attributes.ctime);
  row.symlink_target = inode.symlink_target;
  row.flags = (inode.published ? kPublished : 0) | (inode.attributes_known ? kAttributesKnown : 0) |
              (inode.attributes_dirty ? kAttributesDirty : 0) | (inode.moved ? kMoved : 0) |
              (inode.made_here ? kMadeHere : 0);
  if (inode.data != nullptr) row.generation = inode.data->state().generation;
  row.version = {inode.object_key, inode.version.etag, inode.version.size,
                 inode.version.modified_seconds};
  row.properties = inode.properties;
  row.properties.metadata.erase(kLinkKey);
  if (inode.xattrs != nullptr && inode.attributes_dirty) {
    row.properties.metadata[kXattrsKey] = XattrsToJson(inode.xattrs->values);
    row.properties.metadata[kXattrsSideKey] = inode.xattrs->side_id;
  }
  if (!inode.copying.empty()) row.properties.metadata[kCopyingKey] = inode.copying;
  if (inode.links != nullptr) AddLinksLocked(*inode.links, &row);
  return row;
}

void Core::AddLinksLocked(const LinkState& links, InodeRow* row) const {
  row->properties.metadata[kLinkKey] = links.id;
  if (links.is_name) {
    row->flags |= kIsName;
    row->rdev = links.link_to;
    return;
  }
  row->flags |= (links.names_known ? kNamesKnown : 0) | (links.record_dirty ? kRecordDirty : 0);
  if (!links.names_known)
    row->properties.metadata[kLinkCountKey] = std::to_string(links.link_count);
}

void Core::TakeXattrsOfRowLocked(Inode& inode) {
  UserMetadata& metadata = inode.properties.metadata;
  const auto values = metadata.find(kXattrsKey);
  if (values == metadata.end()) return;
  inode.xattrs = std::make_unique<XattrState>();
  inode.xattrs->values = XattrsFromJson(values->second);
  inode.xattrs->side_id = metadata[kXattrsSideKey];
  inode.xattrs->side_dirty = !inode.xattrs->side_id.empty();
  metadata.erase(kXattrsKey);
  metadata.erase(kXattrsSideKey);
}

// The names of a file find it when all rows are there (RestoreLinksLocked).
void Core::TakeLinksOfRowLocked(const InodeRow& row, Inode& inode) {
  const auto id = row.properties.metadata.find(kLinkKey);
  if (id == row.properties.metadata.end()) return;
  inode.links = std::make_unique<LinkState>();
  inode.links->id = id->second;
  inode.links->is_name = (row.flags & kIsName) != 0;
  if (inode.links->is_name) {
    inode.links->link_to = row.rdev;
    inode.attributes.rdev = 0;
    return;
  }
  inode.links->names_known = (row.flags & kNamesKnown) != 0;
  inode.links->record_dirty = (row.flags & kRecordDirty) != 0;
  const auto count = inode.properties.metadata.find(kLinkCountKey);
  if (count == inode.properties.metadata.end()) return;
  inode.links->link_count = static_cast<uint32_t>(std::strtoul(count->second.c_str(), nullptr, 10));
  inode.properties.metadata.erase(count);
}

void Core::SaveLocked(Inode& inode, StateBatch* batch) {
  if (state_ == nullptr) return;
  // Parents first: a row always has a place to hang.
  std::vector<Inode*> unstored;
  for (Inode* at = table_.Find(inode.parent); at != nullptr && !at->stored;
       at = table_.Find(at->parent)) {
    unstored.push_back(at);
  }
  for (auto it = unstored.rbegin(); it != unstored.rend(); ++it) {
    batch->PutInode(RowLocked(**it));
    MarkStoredLocked(**it);
  }
  batch->PutInode(RowLocked(inode));
  MarkStoredLocked(inode);
  inode.unsaved = inode.timed_by_content = false;
}

void Core::MarkStoredLocked(Inode& inode) {
  if (std::exchange(inode.stored, true)) return;
  newly_stored_.push_back(inode.ino);
}

void Core::ForgetRowLocked(Inode& inode, StateBatch* batch) {
  if (!inode.stored) return;
  batch->DropInode(inode.ino);
  inode.stored = false;
}

Status Core::CommitLocked(StateBatch batch, Persist persist) {
  const std::vector<Ino> stored = std::exchange(newly_stored_, {});
  if (state_ == nullptr) return {};
  if (!backlog_.empty()) {
    StateBatch all = backlog_;
    batch = std::move(all.Append(std::move(batch)));
  }
  if (batch.empty() && persist == Persist::kSurvivesKill) return {};
  Status committed = state_->Apply(std::move(batch), persist);
  if (committed.ok()) {
    backlog_ = StateBatch();
    return committed;
  }
  for (const Ino ino : stored) {
    if (Inode* inode = table_.Find(ino); inode != nullptr) inode->stored = false;
  }
  reserved_ino_ = 0;
  return committed;
}

void Core::CommitQuietlyLocked(StateBatch batch) {
  if (state_ == nullptr) return;
  newly_stored_.clear();  // they have their rows as soon as anything has
  backlog_.Append(std::move(batch));
  const Status committed = CommitLocked({});
  if (!committed.ok()) NoteUnrecordedLocked(committed.error());
}

void Core::RememberLocked(Inode& inode) {
  if (!inode.linked()) return;
  StateBatch batch;
  SaveLocked(inode, &batch);
  const Status committed = CommitLocked(std::move(batch));
  if (!committed.ok()) NoteUnrecordedLocked(committed.error());
}

void Core::NoteUnrecordedLocked(const Error& error) {
  NoteFailureLocked(error);
  Log(LogLevel::kError, "state.failed",
      {{"error", error.ToString()}, {"advice", "make room on the disk of the cache directory"}});
}

void Core::RestoreInodeLocked(const InodeRow& row) {
  Inode* parent = table_.Find(row.parent);
  Inode* inode = row.ino == kRootIno ? &table_.root() : nullptr;
  if (inode == nullptr) {
    // A row without its parent, or a second of one name, cannot come from our own commits; the
    // bucket will show what there is.
    if (parent == nullptr || !parent->is_directory() || table_.Find(row.ino) != nullptr ||
        table_.Child(*parent, row.name) != nullptr) {
      Log(LogLevel::kWarning, "state.odd_row",
          {{"ino", row.ino}, {"name", row.name}, {"advice", "run quayfs check"}});
      return;
    }
    inode = &table_.Restore(row.ino, *parent, row.name, row.mode);
  }
  Attributes& attributes = inode->attributes;
  attributes.mode = row.mode;
  attributes.uid = row.uid;
  attributes.gid = row.gid;
  attributes.rdev = row.rdev;
  attributes.size = row.size;
  attributes.atime = Time(row.atime);
  attributes.mtime = Time(row.mtime);
  attributes.ctime = Time(row.ctime);
  inode->symlink_target = row.symlink_target;
  inode->published = (row.flags & kPublished) != 0;
  inode->attributes_known = (row.flags & kAttributesKnown) != 0;
  inode->attributes_dirty = (row.flags & kAttributesDirty) != 0;
  inode->moved = (row.flags & kMoved) != 0;
  inode->made_here = (row.flags & kMadeHere) != 0;
  inode->object_key = row.version.key;
  inode->version = {row.version.etag, row.version.size, row.version.modified_seconds};
  inode->properties = row.properties;
  if (auto copying = inode->properties.metadata.extract(kCopyingKey); !copying.empty())
    inode->copying = std::move(copying.mapped());
  TakeLinksOfRowLocked(row, *inode);
  TakeXattrsOfRowLocked(*inode);
  inode->stored = true;
}

// What the cache still has of a file: newer than the bucket, or just published.
void Core::RestoreContentLocked(const RestoredFile& file) {
  Inode* inode = table_.Find(file.inode);
  if (inode == nullptr || !inode->linked() || !inode->is_regular() || !file.usable) {
    if (inode != nullptr && !file.usable && !inode->published) {
      // Nothing of it can be trusted, and the bucket never had it.
      StateBatch batch;
      ForgetRowLocked(*inode, &batch);
      CommitQuietlyLocked(std::move(batch));
      table_.Unlink(*inode);
    }
    cache_.Remove(file.inode);
    return;
  }
  if (!file.state.base.etag.empty()) {
    // The content knows best what it was last published as.
    inode->published = true;
    if (!SameEtag(inode->version.etag, file.state.base.etag) ||
        inode->object_key != file.state.base.key) {
      inode->object_key = file.state.base.key;
      inode->version = {file.state.base.etag, file.state.base.size, 0};
    }
    SetMovedLocked(*inode);
  }
  auto data = cache_.Restore(file.inode);
  if (!data.ok()) {
    NoteFailureLocked(data.error());
    return;
  }
  inode->data = *std::move(data);
  inode->writing_key = inode->data->state().unsettled_key;
  if (StraysLocked(*inode)) {
    StateBatch batch;
    PlanStrayLocked(*inode, &batch);
    CommitQuietlyLocked(std::move(batch));
    AddStrayLocked(*inode);
  }
  inode->attributes.size = file.state.size;
  if (file.changed_at > inode->attributes.mtime && file.changed_at > inode->attributes.ctime &&
      inode->data->dirty()) {
    inode->attributes.mtime = inode->attributes.ctime = file.changed_at;
  }
}

Status Core::LoadState() {
  if (state_ == nullptr) return {};
  MutexLock lock(mutex_);
  std::vector<InodeRow> rows;
  QUAY_TRY(state_->ReadInodes([&](InodeRow row) { rows.push_back(std::move(row)); }));
  for (const InodeRow& row : rows) RestoreInodeLocked(row);
  RestoreLinksLocked();
  QUAY_ASSIGN(const int64_t next, state_->Number(kNextIno, 0));
  table_.SkipTo(static_cast<Ino>(next));
  QUAY_TRY(state_->ReadRemovals([&](const RemovalRow& row) QUAY_REQUIRES(mutex_) {
    AddRemovalLocked(row.key, row.etag, row.size, 0);
  }));
  for (const RestoredFile& file : cache_.restored()) RestoreContentLocked(file);
  const int64_t rules = AttributeRules(config_);
  QUAY_ASSIGN(const int64_t old_rules, state_->Number(kAttributeRules, rules));
  std::vector<Ino> pending;
  table_.ForEach([&](const Inode& inode) {
    if (inode.needs_work()) pending.push_back(inode.ino);
  });
  for (const Ino ino : pending) {
    Inode& inode = *table_.Find(ino);
    if (inode.moved) sources_[inode.object_key] = ino;
    NoteWorkLocked(inode);
  }
  if (old_rules != rules) {
    for (Inode* inode : table_.Subtree(table_.root())) {
      if (!inode->needs_work() && inode->ino != kRootIno) inode->attributes_known = !posix();
    }
  }
  if (!pending.empty() || !removals_.empty()) {
    Log(LogLevel::kInfo, "state.pending",
        {{"files", static_cast<uint64_t>(pending.size())},
         {"removals", static_cast<uint64_t>(removals_.size())}});
  }
  StateBatch batch;
  ReserveNumbersLocked(&batch);
  batch.SetNumber(kAttributeRules, rules);
  QUAY_TRY(LoadConflictsLocked(&batch));
  return CommitLocked(std::move(batch));
}

// What is given out from now on is never given out again, whatever happens.
void Core::ReserveNumbersLocked(StateBatch* batch) {
  if (table_.next_ino() < reserved_ino_) return;
  reserved_ino_ = table_.next_ino() + kInoBlock;
  batch->SetNumber(kNextIno, static_cast<int64_t>(reserved_ino_));
}

}  // namespace quayfs
