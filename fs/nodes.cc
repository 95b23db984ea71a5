// SPDX-License-Identifier: Apache-2.0

#include <algorithm>

#include "base/hash.h"
#include "fs/core.h"
#include "fs/key_names.h"

namespace quayfs {

Result<std::string> Core::PrepareNodeLocked(const OpContext& context, Ino parent,
                                            std::string_view name, mode_t mode,
                                            Attributes* attributes) {
  QUAY_ASSIGN(const Inode* directory, FindDirectoryLocked(parent));
  if (parent == kRootIno && name == kReservedSegment) {
    return Error(Code::kNotPermitted, "'.quayfs' is reserved for the file system's own objects");
  }
  attributes->mode = mode;
  attributes->uid = context.uid;
  attributes->gid = context.gid;
  if ((directory->attributes.mode & S_ISGID) != 0) {
    attributes->gid = directory->attributes.gid;
    if (S_ISDIR(mode)) attributes->mode |= S_ISGID;
  }
  attributes->atime = attributes->mtime = attributes->ctime = clock_.Now();
  QUAY_ASSIGN(std::string key, table_.KeyOf(*directory));
  const auto segment = SegmentOf(name);
  if (!segment) return Error(Code::kInvalidArgument, "the name stands for no object key");
  key += segment->text;
  if (S_ISDIR(mode)) key += '/';
  const auto limit = static_cast<size_t>(store_.capabilities().key_size_max);
  if (key.size() > limit) {
    return Error(Code::kNameTooLong, "an object key may have " + std::to_string(limit) +
                                         " bytes, this path needs " + std::to_string(key.size()));
  }
  return key;
}

Status Core::RequireAbsent(const OpContext& context, Ino parent, std::string_view name) {
  QUAY_ASSIGN(const Found found, FindChild(context, parent, name));
  if (found.ino != 0) return Error(Code::kAlreadyExists, "'" + std::string(name) + "' exists");
  return {};
}

// Everything but regular files opened by Create: one PUT, then the name.
Result<Entry> Core::MakeObject(const OpContext& context, Ino parent, std::string_view name,
                               mode_t mode, dev_t rdev, std::string_view body) {
  QUAY_TRY(CheckWritable());
  QUAY_TRY(CheckName(name));
  QUAY_TRY(MayWait(context));
  QUAY_TRY(EnsureAttributes(context, parent));
  SharedGateHold tree;
  QUAY_TRY(tree.Take(tree_, SharedGateHold::Mode::kShared, context.may_block, context.call));
  GateHold gate;
  QUAY_TRY(gate.Take(directories_, {parent}, context.may_block, context.call));
  QUAY_TRY(RequireAbsent(context, parent, name));

  Inode draft(0);
  std::string key;
  {
    MutexLock lock(mutex_);
    QUAY_ASSIGN(key, PrepareNodeLocked(context, parent, name, mode, &draft.attributes));
    draft.attributes.rdev = rdev;
    draft.attributes.size = body.size();
    draft.properties = PropertiesLocked(draft);
  }
  const bool guard =
      store_.capabilities().put_if_absent && config_.conflict != ConflictPolicy::kOverwrite;
  const auto written = store_.Put(key, MemorySource(body), draft.properties,
                                  guard ? Condition::IfAbsent() : Condition::None(), context.call);
  MutexLock lock(mutex_);
  QUAY_ASSIGN(Inode * directory, FindDirectoryLocked(parent));
  if (!written.ok()) {
    if (written.Is(Code::kAlreadyExists)) directory->complete = false;
    return written.error();
  }
  if (table_.Child(*directory, name) != nullptr) {
    return Error(Code::kAlreadyExists, "'" + std::string(name) + "' exists");
  }
  Inode& inode = table_.Create(*directory, name, draft.attributes.mode);
  draft.attributes.ino = inode.ino;
  inode.attributes = draft.attributes;
  inode.attributes_known = true;
  inode.symlink_target = S_ISLNK(mode) ? std::string(body) : std::string();
  inode.published = true;
  inode.object_key = key;
  inode.version = {written->etag, body.size(), 0};
  inode.properties = draft.properties;
  inode.changed_at = inode.checked_at = clock_.Steady();
  if (inode.is_directory()) {
    inode.complete = true;  // made here a moment ago: empty, and known to be
    inode.listed_at = inode.changed_at;
  }
  directory->removals.erase(inode.name);
  TouchLocked(*directory, /*contents=*/true);
  return EntryOfLocked(inode, /*count_lookup=*/true);
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

Status Core::KeepDirectory(const OpContext& context, Ino directory) {
  std::string key;
  {
    MutexLock lock(mutex_);
    QUAY_ASSIGN(const Inode* inode, FindLocked(directory));
    if (inode->published || directory == kRootIno) return {};
    QUAY_ASSIGN(key, table_.KeyOf(*inode));
  }
  const auto head = store_.Head(key, context.call);
  if (head.Is(Code::kNotFound)) return WriteMarker(context, directory);
  if (!head.ok()) return head.error();
  MutexLock lock(mutex_);
  if (Inode* inode = table_.Find(directory); inode != nullptr) ApplyHeadLocked(*inode, *head);
  return {};
}

Status Core::KeepContents(const OpContext& context, Ino ino) {
  std::string from;
  std::string etag;
  std::shared_ptr<FileData> data;
  {
    MutexLock lock(mutex_);
    const Inode* inode = table_.Find(ino);
    if (inode == nullptr || inode->opens == 0 || inode->data == nullptr || !inode->published)
      return {};
    const FileDataState state = inode->data->state();
    if (state.dirty_bytes + state.cached_bytes >= state.size) return {};
    from = inode->object_key;
    etag = inode->version.etag;
    data = inode->data;
  }
  const std::string to =
      config_.prefix + std::string(kReservedSegment) + "/unlinked/" + HexEncode(RandomBytes(16));
  QUAY_ASSIGN(const ObjectInfo copy, CopyObject(context, from, etag, data->state().base.size, to));
  data->Rebase({to, copy.etag, data->state().base.size});
  MutexLock lock(mutex_);
  if (Inode* inode = table_.Find(ino); inode != nullptr) inode->orphan_key = to;
  return {};
}

void Core::RemovedLocked(Inode& inode) {
  Inode* directory = table_.Find(inode.parent);
  if (directory != nullptr) {
    if (directory->listings_under_way > 0) directory->removals[inode.name] = clock_.Steady();
    TouchLocked(*directory, /*contents=*/true);
  }
  inode.attributes.ctime = clock_.Now();
  inode.published = false;
  if (inode.opens == 0) inode.data.reset();
  table_.Unlink(inode);
}

// REQUIRES: the gates of the tree (shared), the directory and the file.
Status Core::RemoveObject(const OpContext& context, Ino ino) {
  std::string key;
  Ino parent = 0;
  {
    MutexLock lock(mutex_);
    QUAY_ASSIGN(const Inode* inode, FindLocked(ino));
    if (!inode->published) return {};
    key = inode->object_key;
    parent = inode->parent;
  }
  if (parent != 0) QUAY_TRY(KeepDirectory(context, parent));
  QUAY_TRY(KeepContents(context, ino));
  return store_.Delete(key, Condition::None(), context.call);
}

Status Core::Unlink(const OpContext& context, Ino parent, std::string_view name) {
  QUAY_TRY(CheckWritable());
  if (name.size() > kNameMax) return Error(Code::kNameTooLong, "a file name may have 255 bytes");
  QUAY_TRY(MayWait(context));
  SharedGateHold tree;
  QUAY_TRY(tree.Take(tree_, SharedGateHold::Mode::kShared, context.may_block, context.call));
  GateHold gate;
  QUAY_TRY(gate.Take(directories_, {parent}, context.may_block, context.call));
  QUAY_ASSIGN(const Found found, FindChild(context, parent, name));
  if (found.ino == 0) return Error(Code::kNotFound, "no file '" + std::string(name) + "'");
  if (S_ISDIR(found.mode))
    return Error(Code::kIsDirectory, "'" + std::string(name) + "' is a directory");
  {
    GateHold file_gate;
    QUAY_TRY(file_gate.Take(files_, {found.ino}, context.may_block, context.call));
    QUAY_TRY(RemoveObject(context, found.ino));
    MutexLock lock(mutex_);
    if (Inode* inode = table_.Find(found.ino); inode != nullptr) RemovedLocked(*inode);
  }
  SettleErased();
  return {};
}

Status Core::RequireEmpty(const OpContext& context, Ino ino) {
  ListRequest request;
  {
    MutexLock lock(mutex_);
    QUAY_ASSIGN(const Inode* inode, FindDirectoryLocked(ino));
    if (!inode->children.empty()) {
      for (const auto& [name, child] : inode->children) {
        const Inode* found = table_.Find(child);
        const bool certain = found->unpublished() || !found->published ||
                             FreshLocked(found->checked_at) ||
                             (inode->complete && FreshLocked(inode->listed_at));
        if (certain)
          return Error(Code::kNotEmpty, "the directory '" + inode->name + "' is not empty");
      }
    }
    if (inode->complete && FreshLocked(inode->listed_at) && inode->children.empty()) return {};
    QUAY_ASSIGN(request.prefix, table_.KeyOf(*inode));
  }
  request.max_keys = 2;
  const auto page = store_.List(request, context.call);
  if (!page.ok()) return page.error();
  for (const ObjectInfo& object : page->objects) {
    if (object.key != request.prefix) {
      return Error(Code::kNotEmpty, "the directory '" + request.prefix + "' is not empty");
    }
  }
  return {};
}

Status Core::RemoveDirectory(const OpContext& context, Ino parent, std::string_view name) {
  QUAY_TRY(CheckWritable());
  if (name.size() > kNameMax) return Error(Code::kNameTooLong, "a file name may have 255 bytes");
  QUAY_TRY(MayWait(context));
  SharedGateHold tree;
  QUAY_TRY(tree.Take(tree_, SharedGateHold::Mode::kShared, context.may_block, context.call));
  QUAY_ASSIGN(const Found found, FindChild(context, parent, name));
  if (found.ino == 0) return Error(Code::kNotFound, "no directory '" + std::string(name) + "'");
  if (!S_ISDIR(found.mode))
    return Error(Code::kNotDirectory, "'" + std::string(name) + "' is not a directory");
  {
    GateHold gate;
    QUAY_TRY(gate.Take(directories_, {parent, found.ino}, context.may_block, context.call));
    QUAY_TRY(RequireEmpty(context, found.ino));
    std::string key;
    {
      MutexLock lock(mutex_);
      QUAY_ASSIGN(const Inode* inode, FindDirectoryLocked(found.ino));
      QUAY_ASSIGN(key, table_.KeyOf(*inode));
      key = MarkerKeyLocked(*inode, key);
    }
    QUAY_TRY(KeepDirectory(context, parent));
    QUAY_TRY(store_.Delete(key, Condition::None(), context.call));
    MutexLock lock(mutex_);
    if (Inode* inode = table_.Find(found.ino); inode != nullptr) RemovedLocked(*inode);
  }
  SettleErased();
  return {};
}

}  // namespace quayfs
