// SPDX-License-Identifier: Apache-2.0

#include "fs/attribute_codec.h"
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
    if (fresh && (inode->attributes_known || inode->unpublished() || !inode->linked())) {
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

// Changes the local side. `publish`: something that the object carries differs now.
void Core::ApplyChangeLocked(Inode& inode, const AttributeChange& change, bool* publish) {
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
  // A change to the same values moves ctime and nothing else: not worth a request.
  *publish = before.mode != attributes.mode || before.uid != attributes.uid ||
             before.gid != attributes.gid || before.mtime != attributes.mtime;
  attributes.ctime = now;
  inode.changed_at = clock_.Steady();
  if (*publish) {
    ++inode.attributes_seq;
    inode.attributes_dirty = true;
  }
}

Result<Entry> Core::SetAttributes(const OpContext& context, Ino ino, const AttributeChange& change,
                                  OpenFile* file) {
  QUAY_TRY(CheckWritable());
  QUAY_TRY(EnsureAttributes(context, ino));
  if (change.size) QUAY_TRY(Resize(context, ino, *change.size, file));
  const bool others = change.mode || change.uid || change.gid || change.atime || change.mtime ||
                      change.atime_now || change.mtime_now;
  Attributes before;
  bool publish = false;
  if (others) {
    MutexLock lock(mutex_);
    QUAY_ASSIGN(Inode * inode, FindLocked(ino));
    // Unpublished contents take the attributes along later; posted ones need a request now.
    const bool deferred = !inode->linked() || inode->unpublished() || !posix();
    if (!deferred) QUAY_TRY(MayWait(context));
    before = inode->attributes;
    ApplyChangeLocked(*inode, change, &publish);
    publish = publish && !deferred;
  }
  if (publish) {
    const Status published = PublishAttributes(context, ino);
    if (!published.ok()) {
      MutexLock lock(mutex_);
      if (Inode* inode = table_.Find(ino); inode != nullptr && inode->attributes_dirty) {
        inode->attributes = before;
        inode->attributes_dirty = false;
      }
      return published.error();
    }
  }
  MutexLock lock(mutex_);
  QUAY_ASSIGN(Inode * inode, FindLocked(ino));
  return EntryOfLocked(*inode, /*count_lookup=*/false);
}

// truncate(2) without an open handle is published at once; ftruncate(2) with the next flush.
Status Core::Resize(const OpContext& context, Ino ino, uint64_t size, OpenFile* file) {
  bool publish = false;
  {
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
    publish = file == nullptr && inode->opens == 0 && inode->linked();
    if (publish) QUAY_TRY(MayWait(context));
    QUAY_ASSIGN(const std::shared_ptr<FileData> data, DataLocked(*inode));
    const bool same = data->size() == size;
    QUAY_TRY(data->Truncate(size));
    inode->attributes.size = size;
    if (!same) TouchLocked(*inode, /*contents=*/true);
    inode->attributes.ctime = clock_.Now();
  }
  if (!publish) return {};
  const Status status = PublishFile(context, ino);
  MutexLock lock(mutex_);
  if (Inode* inode = table_.Find(ino); inode != nullptr) DropDataLocked(*inode);
  return status;
}

ObjectProperties Core::PropertiesLocked(const Inode& inode) const {
  ObjectProperties properties = inode.properties;
  if (posix()) {
    EncodeAttributes(inode.attributes, &properties);
  } else if (inode.is_directory()) {
    properties.content_type = kDirectoryContentType;
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

Status Core::WriteMarker(const OpContext& context, Ino ino) {
  std::string key;
  ObjectProperties properties;
  uint64_t seq = 0;
  {
    MutexLock lock(mutex_);
    QUAY_ASSIGN(const Inode* inode, FindDirectoryLocked(ino));
    QUAY_ASSIGN(key, table_.KeyOf(*inode));
    key = MarkerKeyLocked(*inode, key);
    properties = PropertiesLocked(*inode);
    seq = inode->attributes_seq;
  }
  const auto written =
      store_.Put(key, MemorySource(""), properties, Condition::None(), context.call);
  if (!written.ok()) return written.error();
  MutexLock lock(mutex_);
  Inode* inode = table_.Find(ino);
  if (inode == nullptr) return {};
  inode->published = true;
  inode->object_key = key;
  inode->version = {written->etag, 0, 0};
  inode->properties = properties;
  inode->changed_at = clock_.Steady();
  if (inode->attributes_seq == seq) inode->attributes_dirty = false;
  return {};
}

// Only metadata: the object is copied onto itself with the new ones (a directory's marker is simply
// written again).
Status Core::PublishAttributes(const OpContext& context, Ino ino) {
  SharedGateHold tree;
  QUAY_TRY(tree.Take(tree_, SharedGateHold::Mode::kShared, context.may_block, context.call));
  GateHold gate;
  QUAY_TRY(gate.Take(files_, {ino}, context.may_block, context.call));
  for (int attempt = 0;; ++attempt) {
    std::string key;
    std::string etag;
    uint64_t size = 0;
    ObjectProperties properties;
    uint64_t seq = 0;
    bool contents = false;
    {
      MutexLock lock(mutex_);
      QUAY_ASSIGN(Inode * inode, FindLocked(ino));
      if (!inode->linked() || !inode->attributes_dirty) return {};
      if (inode->is_directory()) {
        lock.Unlock();
        return WriteMarker(context, ino);
      }
      key = inode->object_key;
      etag = inode->version.etag;
      size = inode->version.size;
      properties = PropertiesLocked(*inode);
      seq = inode->attributes_seq;
      contents = inode->unpublished() || size > store_.capabilities().copy_size_max ||
                 !store_.capabilities().copy;
      if (contents) QUAY_TRY(DataLocked(*inode));
    }
    if (contents) return PublishGated(context, ino);
    const auto copied = store_.Copy(key, etag, key, properties, Condition::None(), context.call);
    if (copied.ok()) {
      MutexLock lock(mutex_);
      Inode* inode = table_.Find(ino);
      if (inode == nullptr) return {};
      inode->version = {copied->etag, size, 0};
      inode->properties = properties;
      inode->changed_at = clock_.Steady();
      inode->checked_at = inode->changed_at;
      if (inode->data != nullptr) inode->data->Rebase({key, copied->etag, size});
      if (inode->attributes_seq == seq) inode->attributes_dirty = false;
      return {};
    }
    if (copied.code() != Code::kChanged || attempt > 0) return copied.error();
    // Somebody wrote the object meanwhile: their contents, our attributes.
    const auto head = store_.Head(key, context.call);
    if (!head.ok()) return head.error();
    MutexLock lock(mutex_);
    QUAY_ASSIGN(Inode * inode, FindLocked(ino));
    if (inode->unpublished()) continue;
    inode->published = true;
    ++inode->content_epoch;
    inode->version = ObjectVersion::Of(head->info);
    inode->attributes.size = head->info.size;
    if (inode->data != nullptr) inode->data->Replace({key, head->info.etag, head->info.size});
  }
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
