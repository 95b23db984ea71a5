// SPDX-License-Identifier: Apache-2.0

#include "fs/attribute_codec.h"
#include "fs/content_type.h"
#include "fs/core.h"
#include "fs/key_names.h"

namespace quayfs {

Result<Entry> Core::GetAttributes(const OpContext& context, Ino ino) {
  // Revalidation goes through the name: one listing answers for a whole directory.
  Ino parent = 0;
  std::string name;
  {
    MutexLock lock(mutex_);
    QUAY_ASSIGN(Inode * inode, FindLocked(ino));
    const Inode* directory = table_.Find(inode->parent);
    Found found;
    const bool fresh =
        directory == nullptr ||
        LookupLocked(*table_.Find(inode->parent), inode->name, &found) == LockedLookup::kFound;
    if (fresh && (inode->attributes_known || inode->needs_work() || !inode->linked())) {
      return EntryOfLocked(*inode, /*count_lookup=*/false);
    }
    parent = inode->parent;
    name = inode->name;
  }
  if (parent != 0) {
    QUAY_ASSIGN(const Found found, FindChild(context, parent, name));
    // The name may belong to another inode by now; this one is then an open file without a name.
    static_cast<void>(found);
  }
  const Status known = EnsureAttributes(context, ino);
  MutexLock lock(mutex_);
  Inode* inode = table_.Find(ino);
  if (inode == nullptr) return Error(Code::kChanged, "the file has been removed by another client");
  if (!known.ok() && inode->linked()) return known.error();
  return EntryOfLocked(*inode, /*count_lookup=*/false);
}

// Notes as work for the reconciler what the object carries and now differs.
void Core::ApplyChangeLocked(Inode& inode, const AttributeChange& change) {
  Attributes& attributes = inode.attributes;
  const Attributes before = attributes;
  const WallTime now = clock_.Now();
  if (change.mode) attributes.mode = (attributes.mode & S_IFMT) | (*change.mode & 07777);
  if (change.uid) attributes.uid = *change.uid;
  if (change.gid) attributes.gid = *change.gid;
  if (change.atime) attributes.atime = *change.atime;
  if (change.atime_now) attributes.atime = now;
  if (change.mtime) attributes.mtime = *change.mtime;
  if (change.mtime_now) attributes.mtime = now;
  attributes.ctime = now;
  inode.changed_at = clock_.Steady();
  // A change to the same values moves ctime and nothing else: not worth a request.
  const bool differs = before.mode != attributes.mode || before.uid != attributes.uid ||
                       before.gid != attributes.gid || before.mtime != attributes.mtime;
  if (!differs || !posix()) return;
  if (change.mode) ChangeAclModeLocked(inode);
  ++inode.attributes_seq;
  inode.NeedObject();
}

Result<Entry> Core::SetAttributes(const OpContext& context, Ino ino, const AttributeChange& change,
                                  OpenFile* /*file*/) {
  QUAY_TRY(CheckWritable());
  QUAY_TRY(EnsureAttributes(context, ino));
  if (change.mode && posix()) {
    bool listed = false;
    {
      MutexLock lock(mutex_);
      const Inode* inode = table_.Find(ino);
      listed = inode != nullptr && HasXattrsLocked(*inode);
    }
    if (listed) QUAY_TRY(LoadXattrs(context, ino));
  }
  if (change.size) QUAY_TRY(Resize(context, ino, *change.size));
  MutexLock lock(mutex_);
  QUAY_ASSIGN(Inode * inode, FindLocked(ino));
  const Attributes before = inode->attributes;
  const bool dirty_before = inode->attributes_dirty;
  const bool others = change.mode || change.uid || change.gid || change.atime || change.mtime ||
                      change.atime_now || change.mtime_now;
  if (others) ApplyChangeLocked(*inode, change);
  if (inode->linked()) {
    StateBatch batch;
    SaveLocked(*inode, &batch);
    const Status committed = CommitLocked(std::move(batch));
    if (!committed.ok() && others) {
      inode->attributes = before;
      inode->attributes_dirty = dirty_before;
      return committed.error();
    }
    // The content's record has the size, and when it changed.
    inode->unsaved = !committed.ok();
    NoteWorkLocked(*inode);
  }
  return EntryOfLocked(*inode, /*count_lookup=*/false);
}

Status Core::Resize(const OpContext& context, Ino ino, uint64_t size) {
  static_cast<void>(context);
  MutexLock lock(mutex_);
  QUAY_ASSIGN(Inode * inode, FindLocked(ino));
  if (inode->is_directory()) return Error(Code::kIsDirectory, "a directory cannot be truncated");
  if (!inode->is_regular())
    return Error(Code::kInvalidArgument, "only regular files can be truncated");
  if (size > store_.capabilities().object_size_max) {
    return Error(Code::kTooLarge, "the object store takes objects of up to " +
                                      std::to_string(store_.capabilities().object_size_max) +
                                      " bytes");
  }
  QUAY_ASSIGN(const std::shared_ptr<FileData> data, DataLocked(*inode));
  const bool same = data->size() == size;
  QUAY_TRY(data->Truncate(size));
  inode->attributes.size = size;
  if (!same) TouchLocked(*inode, /*contents=*/true);
  inode->attributes.ctime = clock_.Now();
  DropDataLocked(*inode);
  return {};
}

ObjectProperties Core::PropertiesLocked(const Inode& inode) const {
  ObjectProperties properties = inode.properties;
  if (config_.content_type_by_name && inode.is_regular()) {
    const std::string old_key = inode.published ? inode.object_key : "";
    properties.content_type =
        ContentTypeFor(DesiredKeyLocked(inode), old_key, properties.content_type);
  }
  if (posix()) {
    EncodeAttributes(inode.attributes, &properties);
  } else if (inode.is_directory()) {
    properties.content_type = kDirectoryContentType;
  }
  if (inode.xattrs != nullptr)
    EncodeXattrs(inode.xattrs->values, inode.xattrs->side_id, &properties.metadata);
  if (inode.links != nullptr) {
    properties.metadata[std::string(kLinkMetadata)] = inode.links->id;
    if (inode.links->is_name) properties.content_type = kLinkContentType;
  } else {
    properties.metadata.erase(std::string(kLinkMetadata));
  }
  return properties;
}

// Where a directory's marker lies or would lie. The bucket's own root has no key; its attributes
// lie aside.
std::string Core::MarkerKeyLocked(const Inode& inode, const std::string& key) const {
  if (inode.published && !inode.object_key.empty()) return inode.object_key;
  if (inode.ino == kRootIno && key.empty()) return std::string(kReservedSegment) + "/root";
  return key;
}

Result<std::string> Core::ReadLink(const OpContext& context, Ino ino) {
  QUAY_TRY(EnsureAttributes(context, ino));
  GetRequest request;
  {
    MutexLock lock(mutex_);
    QUAY_ASSIGN(const Inode* inode, FindLocked(ino));
    if (!S_ISLNK(inode->attributes.mode))
      return Error(Code::kInvalidArgument, "not a symbolic link");
    if (!inode->symlink_target.empty()) return inode->symlink_target;
    if (inode->version.size > kSymlinkMax)
      return Error(Code::kTooLarge, "the link's target is too long");
    QUAY_TRY(MayWait(context));
    request.key = inode->object_key;
  }
  StringSink body;
  const auto got = store_.Get(request, body, context.call);
  if (!got.ok()) return got.error();
  MutexLock lock(mutex_);
  if (Inode* inode = table_.Find(ino); inode != nullptr) {
    inode->symlink_target = body.text();
    inode->attributes.size = body.text().size();
  }
  return body.text();
}

}  // namespace quayfs
