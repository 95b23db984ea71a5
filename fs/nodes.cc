// SPDX-License-Identifier: Apache-2.0

#include <algorithm>

#include "fs/core.h"
#include "fs/key_names.h"

namespace quayfs {

Status Core::PrepareNodeLocked(const OpContext& context, const Inode& directory,
                               std::string_view name, mode_t mode, NewNode* node) {
  Attributes* attributes = &node->attributes;
  if (directory.ino == kRootIno && name == kReservedSegment) {
    return Error(Code::kNotPermitted, "'.quayfs' is reserved for the file system's own objects");
  }
  attributes->mode = mode;
  attributes->uid = context.uid;
  attributes->gid = context.gid;
  if ((directory.attributes.mode & S_ISGID) != 0) {
    attributes->gid = directory.attributes.gid;
    if (S_ISDIR(mode)) attributes->mode |= S_ISGID;
  }
  InheritLocked(context, directory, node);
  attributes->atime = attributes->mtime = attributes->ctime = clock_.Now();
  return CheckKeyLocked(directory, name, S_ISDIR(mode));
}

// Only a mount whose own prefix is nearly as long as a key may be gets to the limit.
Status Core::CheckKeyLocked(const Inode& directory, std::string_view name, bool is_directory) {
  QUAY_ASSIGN(const std::string above, table_.KeyOf(directory));
  const auto segment = SegmentOf(name);
  if (!segment) return Error(Code::kInvalidArgument, "the name stands for no object key");
  const size_t size = ChildKey(table_.keys(), above, segment->text, is_directory).size();
  if (size <= table_.keys().longest) return {};
  return Error(Code::kNameTooLong, "an object key may have " +
                                       std::to_string(table_.keys().longest) +
                                       " bytes, this path needs " + std::to_string(size));
}

// A new entry, in the table and (C1) in the database.
Result<Inode*> Core::AddNodeLocked(Inode& directory, std::string_view name, const NewNode& node) {
  Inode& inode = table_.Create(directory, name, node.attributes.mode);
  inode.attributes = node.attributes;
  inode.symlink_target = node.target;
  inode.attributes.ino = inode.ino;
  inode.attributes_known = true;
  inode.changed_at = inode.checked_at = clock_.Steady();
  if (inode.is_directory()) {
    inode.complete = inode.made_here = true;  // empty, and known to be
    inode.listed_at = inode.changed_at;
    inode.attributes_dirty = true;  // it needs a marker
  }
  if (!node.xattrs.empty()) {
    inode.xattrs = std::make_unique<XattrState>();
    inode.xattrs->values = node.xattrs;
    NoteXattrsLocked(inode);
  }
  const Attributes before = directory.attributes;
  TouchFolderLocked(directory);
  StateBatch batch;
  ReserveNumbersLocked(&batch);
  KeepLongFolderLocked(directory, &batch);
  SaveLocked(directory, &batch);
  SaveLocked(inode, &batch);
  const Status committed = CommitLocked(std::move(batch));
  if (!committed.ok()) {
    directory.attributes = before;
    table_.Unlink(inode);
    return committed.error();
  }
  directory.removals.erase(inode.name);
  return &inode;
}

// All that a new entry takes from the directory is known.
Status Core::EnsureDirectory(const OpContext& context, Ino directory) {
  QUAY_TRY(EnsureAttributes(context, directory));
  {
    MutexLock lock(mutex_);
    const Inode* inode = table_.Find(directory);
    if (inode == nullptr || inode->xattrs != nullptr || !posix() || !HasXattrsLocked(*inode))
      return {};
  }
  return LoadXattrs(context, directory);
}

Result<Entry> Core::MakeObject(const OpContext& context, Ino parent, std::string_view name,
                               mode_t mode, dev_t rdev, std::string_view target) {
  QUAY_TRY(CheckWritable());
  QUAY_TRY(CheckName(name));
  while (true) {
    QUAY_ASSIGN(const Found found, FindChild(context, parent, name));
    if (found.ino != 0) return Error(Code::kAlreadyExists, "'" + std::string(name) + "' exists");
    QUAY_TRY(EnsureDirectory(context, parent));
    MutexLock lock(mutex_);
    QUAY_ASSIGN(Inode * directory, FindDirectoryLocked(parent));
    if (table_.Child(*directory, name) != nullptr) continue;  // made in between
    NewNode node;
    QUAY_TRY(PrepareNodeLocked(context, *directory, name, mode, &node));
    node.attributes.rdev = rdev;
    node.attributes.size = target.size();
    node.target = target;
    QUAY_ASSIGN(Inode * inode, AddNodeLocked(*directory, name, node));
    NoteWorkLocked(*inode);
    return EntryOfLocked(*inode, /*count_lookup=*/true);
  }
}

Result<Entry> Core::MakeNode(const OpContext& context, Ino parent, std::string_view name,
                             mode_t mode, dev_t rdev) {
  if ((mode & S_IFMT) == 0) mode |= S_IFREG;
  if (!S_ISREG(mode) && !posix()) {
    return Error(Code::kNotPermitted,
                 "metadata = \"plain\" has no place for the type of a special file");
  }
  return MakeObject(context, parent, name, mode, rdev, "");
}

Result<Entry> Core::MakeDirectory(const OpContext& context, Ino parent, std::string_view name,
                                  mode_t mode) {
  return MakeObject(context, parent, name, S_IFDIR | (mode & 07777), 0, "");
}

Result<Entry> Core::MakeSymlink(const OpContext& context, Ino parent, std::string_view name,
                                std::string_view target) {
  if (!posix()) return Error(Code::kNotPermitted, "metadata = \"plain\" has no symbolic links");
  if (target.size() > kSymlinkMax)
    return Error(Code::kNameTooLong, "a link's target may have 4095 bytes");
  return MakeObject(context, parent, name, S_IFLNK | 0777, 0, target);
}

void Core::KeepDirectoryLocked(Inode& directory, StateBatch* batch) {
  if (directory.published || directory.ino == kRootIno || !directory.linked()) return;
  directory.NeedObject();
  SaveLocked(directory, batch);
  NoteWorkLocked(directory);
}

// What lies in its long folder is found by way of its marker only.
void Core::KeepLongFolderLocked(Inode& directory, StateBatch* batch) {
  const auto key = table_.KeyOf(directory);
  if (key.ok() && HasLongFolder(table_.keys(), *key)) KeepDirectoryLocked(directory, batch);
}

void Core::PlanRemovalLocked(Inode& inode, StateBatch* batch) {
  ForgetRowLocked(inode, batch);
  if (inode.published)
    batch->PutRemoval({inode.object_key, inode.version.etag, inode.version.size});
  PlanStrayLocked(inode, batch);
  for (const std::string& side : SideKeysLocked(inode)) batch->PutRemoval({side, "", 0});
}

// REQUIRES: the batch of PlanRemovalLocked has been committed.
void Core::RemoveLocked(Inode& inode) {
  Inode* directory = table_.Find(inode.parent);
  if (directory != nullptr && directory->listings_under_way > 0)
    directory->removals[inode.name] = clock_.Steady();
  inode.attributes.ctime = clock_.Now();
  if (inode.published) {
    if (const auto source = sources_.find(inode.object_key);
        source != sources_.end() && source->second == inode.ino) {
      sources_.erase(source);
    }
    AddRemovalLocked(inode.object_key, inode.version.etag, inode.version.size,
                     inode.opens > 0 && inode.is_regular() ? inode.ino : 0);
  }
  AddStrayLocked(inode);
  for (const std::string& side : SideKeysLocked(inode)) AddRemovalLocked(side, "", 0, 0);
  inode.published = inode.moved = inode.attributes_dirty = false;
  const WorkItem* item = queue_.Find(inode.ino);
  if (item != nullptr && !item->running) queue_.Drop(inode.ino);
  if (inode.data != nullptr) inode.data->Unlinked();
  if (inode.data != nullptr && inode.busy == 0) inode.data->AbandonUpload();
  if (inode.opens == 0 && inode.busy == 0) inode.data.reset();
  table_.Unlink(inode);
}

Status Core::RequireEmpty(const OpContext& context, Ino ino) {
  QUAY_TRY(KnowDirectory(context, ino));
  MutexLock lock(mutex_);
  QUAY_ASSIGN(const Inode* inode, FindDirectoryLocked(ino));
  if (inode->children.empty()) return {};
  return Error(Code::kNotEmpty, "the directory '" + inode->name + "' is not empty");
}

Status Core::RemoveName(const OpContext& context, Ino parent, std::string_view name,
                        bool directory) {
  QUAY_TRY(CheckWritable());
  if (name.size() > kNameMax) return Error(Code::kNameTooLong, "a file name may have 255 bytes");
  while (true) {
    QUAY_ASSIGN(const Found found, FindChild(context, parent, name));
    if (found.ino == 0) return Error(Code::kNotFound, "no '" + std::string(name) + "'");
    QUAY_TRY(EnsureAttributes(context, found.ino));
    QUAY_TRY(EnsureAttributes(context, parent));
    if (directory && S_ISDIR(found.mode)) QUAY_TRY(RequireEmpty(context, found.ino));
    QUAY_TRY(KnowNames(context, found.ino));
    {
      MutexLock lock(mutex_);
      QUAY_ASSIGN(Inode * from, FindDirectoryLocked(parent));
      Inode* inode = table_.Child(*from, name);
      if (inode == nullptr || inode->ino != found.ino) continue;  // changed in between
      if (directory && !inode->is_directory())
        return Error(Code::kNotDirectory, "'" + std::string(name) + "' is not a directory");
      if (!directory && inode->is_directory())
        return Error(Code::kIsDirectory, "'" + std::string(name) + "' is a directory");
      if (!inode->children.empty())
        return Error(Code::kNotEmpty, "the directory '" + inode->name + "' is not empty");
      StateBatch batch;
      const Attributes before = from->attributes;
      const NameDrop drop = PlanDropLocked(*inode, &batch);
      KeepDirectoryLocked(*from, &batch);
      TouchFolderLocked(*from);
      SaveLocked(*from, &batch);
      Status committed = CommitLocked(std::move(batch));
      if (!committed.ok()) {
        from->attributes = before;
        UndoDropLocked(drop);
        return committed;
      }
      CarryOutDropLocked(drop);
    }
    SettleErased();
    return {};
  }
}

Status Core::Unlink(const OpContext& context, Ino parent, std::string_view name) {
  return RemoveName(context, parent, name, /*directory=*/false);
}

Status Core::RemoveDirectory(const OpContext& context, Ino parent, std::string_view name) {
  return RemoveName(context, parent, name, /*directory=*/true);
}

}  // namespace quayfs
