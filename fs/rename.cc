// SPDX-License-Identifier: Apache-2.0

#include <algorithm>

#include "fs/core.h"
#include "fs/key_names.h"

namespace quayfs {

// A rename is a change of the table; the bucket follows object by object. For a directory that
// means that everything below it must be in the table first.
Status Core::Rename(const OpContext& context, Ino parent, std::string_view name, Ino new_parent,
                    std::string_view new_name, RenameFlags flags) {
  QUAY_TRY(CheckWritable());
  QUAY_TRY(CheckName(new_name));
  if (flags.exchange) return Exchange(context, parent, name, new_parent, new_name);
  while (true) {
    QUAY_ASSIGN(const RenamePlan plan,
                PlanRename(context, parent, name, new_parent, new_name, flags));
    if (plan.source == plan.target) return {};
    QUAY_TRY(KnowNames(context, plan.source));
    if (plan.target != 0) QUAY_TRY(KnowNames(context, plan.target));
    if (plan.directory) {
      if (plan.target != 0) QUAY_TRY(RequireEmpty(context, plan.target));
      QUAY_TRY(KnowTree(context, plan.source));
    }
    {
      MutexLock lock(mutex_);
      if (!StillSoLocked(plan)) continue;
      QUAY_TRY(CarryOutRenameLocked(plan));
    }
    SettleErased();
    return {};
  }
}

// rename(2)'s rules about what may replace what.
Result<Core::RenamePlan> Core::PlanRename(const OpContext& context, Ino parent,
                                          std::string_view name, Ino new_parent,
                                          std::string_view new_name, RenameFlags flags) {
  QUAY_ASSIGN(const Found source, FindChild(context, parent, name));
  if (source.ino == 0) return Error(Code::kNotFound, "no '" + std::string(name) + "'");
  QUAY_TRY(EnsureAttributes(context, source.ino));
  QUAY_TRY(EnsureAttributes(context, parent));
  QUAY_ASSIGN(const Found target, FindChild(context, new_parent, new_name));
  QUAY_TRY(EnsureAttributes(context, new_parent));
  if (target.ino != 0) QUAY_TRY(EnsureAttributes(context, target.ino));
  const bool directory = S_ISDIR(source.mode);
  if (new_parent == kRootIno && new_name == kReservedSegment) {
    return Error(Code::kNotPermitted, "'.quayfs' is reserved for the file system's own objects");
  }
  MutexLock lock(mutex_);
  // Two names of one file: both stay, says rename(2).
  Inode* one = table_.Find(source.ino);
  Inode* other = table_.Find(target.ino);
  if (one != nullptr && other != nullptr && &FileOfLocked(*one) == &FileOfLocked(*other)) {
    if (flags.no_replace)
      return Error(Code::kAlreadyExists, "'" + std::string(new_name) + "' exists");
    RenamePlan nothing;
    nothing.source = nothing.target = source.ino;
    return nothing;
  }
  QUAY_ASSIGN(const Inode* into, FindDirectoryLocked(new_parent));
  if (directory && table_.IsBelow(*into, source.ino)) {
    return Error(Code::kInvalidArgument, "a directory cannot be moved into itself");
  }
  if (target.ino != 0 && target.ino != source.ino) {
    if (flags.no_replace)
      return Error(Code::kAlreadyExists, "'" + std::string(new_name) + "' exists");
    if (directory && !S_ISDIR(target.mode)) {
      return Error(Code::kNotDirectory,
                   "a directory cannot replace the file '" + std::string(new_name) + "'");
    }
    if (!directory && S_ISDIR(target.mode)) {
      return Error(Code::kIsDirectory,
                   "a file cannot replace the directory '" + std::string(new_name) + "'");
    }
  }
  return RenamePlan{source.ino, target.ino,           directory, parent, std::string(name),
                    new_parent, std::string(new_name)};
}

bool Core::KnownLocked(const Inode& directory) const {
  return directory.complete && FreshLocked(directory.listed_at);
}

// All entries of one directory.
Status Core::KnowDirectory(const OpContext& context, Ino directory) {
  {
    MutexLock lock(mutex_);
    QUAY_ASSIGN(const Inode* inode, FindDirectoryLocked(directory));
    if (KnownLocked(*inode)) return {};
    QUAY_TRY(MayWait(context));
  }
  QUAY_ASSIGN(OpenDirectory * handle, OpenDir(context, directory));
  Status read = ReadDir(context, *handle, 0, /*plus=*/false,
                        [](const DirectoryEntry&, uint64_t) { return true; });
  ReleaseDir(handle);
  return read;
}

Status Core::KnowTree(const OpContext& context, Ino directory) {
  while (true) {
    std::vector<Ino> unknown;
    {
      MutexLock lock(mutex_);
      QUAY_ASSIGN(Inode * top, FindDirectoryLocked(directory));
      for (const Inode* inode : table_.Subtree(*top)) {
        if (inode->is_directory() && !KnownLocked(*inode)) unknown.push_back(inode->ino);
      }
    }
    if (unknown.empty()) return {};
    QUAY_TRY(MayWait(context));
    for (const Ino ino : unknown) {
      Status known = KnowDirectory(context, ino);
      if (!known.ok() && !known.Is(Code::kNotFound) && !known.Is(Code::kChanged)) return known;
    }
    // With little trust in what was seen a moment ago there would be no end.
    if (config_.consistency < std::chrono::seconds(1)) return {};
  }
}

bool Core::StillSoLocked(const RenamePlan& plan) {
  const Inode* from = table_.Find(plan.parent);
  const Inode* into = table_.Find(plan.new_parent);
  if (from == nullptr || into == nullptr || !from->linked() || !into->linked()) return false;
  const Inode* source = table_.Child(*from, plan.name);
  const Inode* target = table_.Child(*into, plan.new_name);
  if (source == nullptr || source->ino != plan.source) return false;
  if ((target == nullptr ? 0 : target->ino) != plan.target) return false;
  return !plan.directory || !table_.IsBelow(*into, plan.source);
}

// What is on its way to the old name is nothing that the bucket is known to have there.
bool Core::StraysLocked(const Inode& inode) const {
  if (inode.writing_key.empty()) return false;
  if (inode.published && inode.object_key == inode.writing_key) return false;
  const auto key = table_.KeyOf(inode);
  return !key.ok() || *key != inode.writing_key;
}

// REQUIRES: the plan is still so.
Status Core::CarryOutRenameLocked(const RenamePlan& plan) {
  Inode& source = *table_.Find(plan.source);
  Inode& into = *table_.Find(plan.new_parent);
  QUAY_TRY(CheckKeyLocked(into, plan.new_name, plan.directory));
  Inode& from = *table_.Find(plan.parent);
  Inode* target = table_.Find(plan.target);
  if (target != nullptr && !target->children.empty())
    return Error(Code::kNotEmpty, "the directory '" + target->name + "' is not empty");

  const Attributes before[] = {source.attributes, from.attributes, into.attributes};
  const bool marker_before = source.attributes_dirty;
  StateBatch batch;
  std::optional<NameDrop> drop;
  if (target != nullptr) drop = PlanDropLocked(*target, &batch);
  const std::string old_name = source.name;
  table_.Move(source, into, plan.new_name);
  TouchLocked(FileOfLocked(source), /*contents=*/false);
  TouchFolderLocked(from);
  TouchFolderLocked(into);
  KeepDirectoryLocked(from, &batch);
  KeepLongFolderLocked(into, &batch);
  SaveLocked(from, &batch);
  SaveLocked(into, &batch);
  // Implicit directories exist by what is in them; under the new name nothing is there yet.
  if (source.is_directory() && !source.published) source.NeedObject();
  // All in one batch: after a kill either nothing or everything below has moved.
  const std::vector<Inode*> tree = table_.Subtree(source);
  for (Inode* inode : tree) {
    SetMovedLocked(*inode);
    if (StraysLocked(*inode)) PlanStrayLocked(*inode, &batch);
    NoteLinksMovedLocked(*inode, &batch);
    if (inode->is_directory()) KeepLongFolderLocked(*inode, &batch);
    if (inode == &source || inode->stored || inode->moved) SaveLocked(*inode, &batch);
  }
  Status committed = CommitLocked(std::move(batch));
  if (!committed.ok()) {
    table_.Move(source, from, old_name);
    if (drop) UndoDropLocked(*drop);
    for (Inode* inode : tree) SetMovedLocked(*inode);
    source.attributes = before[0];
    from.attributes = before[1];
    into.attributes = before[2];
    source.attributes_dirty = marker_before;
    return committed;
  }
  if (drop) CarryOutDropLocked(*drop);
  source.renamed = !source.is_directory();
  if (from.listings_under_way > 0) from.removals[old_name] = clock_.Steady();
  into.removals.erase(plan.new_name);
  const SteadyTime now = clock_.Steady();
  for (Inode* inode : tree) {
    inode->changed_at = inode->checked_at = now;
    if (StraysLocked(*inode)) AddStrayLocked(*inode);
    NoteWorkLocked(*inode);
  }
  QUAY_DCHECK(table_.InvariantsHold());
  return {};
}

}  // namespace quayfs
