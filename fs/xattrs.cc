// SPDX-License-Identifier: Apache-2.0
//
// Core: extended attributes. They are read from the metadata that an object was last seen with, or
// from its side object, when somebody asks for the first time; from then on inode.xattrs has them.
// A change is one of the attributes that the object carries, so the reconciler sees to it with the
// rest (Step::kXattrs puts a side object before the object that refers to it).

#include <algorithm>

#include "fs/acl.h"
#include "fs/core.h"
#include "fs/xattr_codec.h"

namespace quayfs {
namespace {

constexpr size_t kNameBytesMax = 255;
constexpr size_t kBytesMax = 1 << 20;  // of all names and values of one file
constexpr std::string_view kTrusted = "trusted.";

bool IsAcl(std::string_view name) { return name == kAccessAclName || name == kDefaultAclName; }

size_t BytesOf(const XattrMap& xattrs) {
  size_t bytes = 0;
  for (const auto& [name, value] : xattrs) bytes += name.size() + value.size();
  return bytes;
}

}  // namespace

bool Core::HasXattrsLocked(const Inode& inode) const {
  if (inode.xattrs != nullptr) return !inode.xattrs->values.empty();
  const UserMetadata& metadata = inode.properties.metadata;
  return metadata.contains(kXattrMetadata) || metadata.contains(kXattrSideMetadata);
}

// inode.xattrs is what the file has afterwards.
Status Core::LoadXattrs(const OpContext& context, Ino ino) {
  if (!posix()) return Error(Code::kNotSupported, "metadata = \"plain\" has no attributes");
  QUAY_TRY(EnsureAttributes(context, ino));
  std::string side;
  {
    MutexLock lock(mutex_);
    QUAY_ASSIGN(Inode * inode, FindLocked(ino));
    if (inode->xattrs != nullptr) return {};
    side = XattrSideId(inode->properties.metadata);
    if (side.empty()) {
      inode->xattrs = std::make_unique<XattrState>();
      inode->xattrs->values = DecodeXattrs(inode->properties.metadata);
      return {};
    }
    QUAY_TRY(MayWait(context));
  }
  StringSink body;
  const auto got =
      store_.Get({XattrSideKey(config_.prefix, side), std::nullopt, ""}, body, context.call);
  if (!got.ok() && !got.Is(Code::kNotFound)) return got.error();
  MutexLock lock(mutex_);
  QUAY_ASSIGN(Inode * inode, FindLocked(ino));
  if (inode->xattrs != nullptr) return {};
  inode->xattrs = std::make_unique<XattrState>();
  if (!got.ok()) return {};  // somebody has deleted it
  inode->xattrs->values = XattrsFromJson(body.text());
  inode->xattrs->side_id = side;
  return {};
}

// After a change of the values.
void Core::NoteXattrsLocked(Inode& inode) {
  XattrState& state = *inode.xattrs;
  state.side_dirty = !FitsMetadata(state.values);
  state.side_id = state.side_dirty ? NewXattrSideId() : std::string();
  inode.attributes.ctime = clock_.Now();
  inode.changed_at = clock_.Steady();
  ++inode.attributes_seq;
  inode.NeedObject();
}

Status Core::CommitXattrsLocked(Inode& inode, const XattrState& values_before,
                                const Attributes& attributes_before) {
  const bool dirty_before = inode.attributes_dirty;
  NoteXattrsLocked(inode);
  if (!inode.linked()) return {};
  StateBatch batch;
  SaveLocked(inode, &batch);
  Status committed = CommitLocked(std::move(batch));
  if (!committed.ok()) {
    *inode.xattrs = values_before;
    inode.attributes = attributes_before;
    inode.attributes_dirty = dirty_before;
    return committed;
  }
  NoteWorkLocked(inode);
  return {};
}

Result<std::string> Core::GetXattr(const OpContext& context, Ino ino, std::string_view name) {
  {
    // The kernel asks for lists and capabilities of every file; nearly all have none, and any other
    // answer than that would be a refusal of access.
    MutexLock lock(mutex_);
    const Inode* inode = table_.Find(ino);
    if (!posix()) return Error(Code::kNoAttribute, "no such attribute");
    if (inode != nullptr && inode->attributes_known && !HasXattrsLocked(*inode))
      return Error(Code::kNoAttribute, "no such attribute");
  }
  QUAY_TRY(LoadXattrs(context, ino));
  MutexLock lock(mutex_);
  QUAY_ASSIGN(const Inode* inode, FindLocked(ino));
  const auto found = inode->xattrs->values.find(std::string(name));
  if (found == inode->xattrs->values.end()) return Error(Code::kNoAttribute, "no such attribute");
  return found->second;
}

Result<std::vector<std::string>> Core::ListXattrs(const OpContext& context, Ino ino) {
  if (!posix()) return std::vector<std::string>();
  QUAY_TRY(LoadXattrs(context, ino));
  MutexLock lock(mutex_);
  QUAY_ASSIGN(const Inode* inode, FindLocked(ino));
  std::vector<std::string> names;
  for (const auto& [name, value] : inode->xattrs->values) {
    if (context.uid == 0 || !name.starts_with(kTrusted)) names.push_back(name);
  }
  return names;
}

// A list's first three entries are the mode; a list that says no more is none.
Status Core::SetAclLocked(const OpContext& context, Inode& inode, const std::string& name,
                          std::string_view value) {
  QUAY_ASSIGN(const Acl acl, ParseAcl(value));
  if (name == kDefaultAclName) {
    if (!inode.is_directory())
      return Error(Code::kPermissionDenied, "only a directory has a default list");
    inode.xattrs->values[name] = value;
    return {};
  }
  mode_t mode = (inode.attributes.mode & ~mode_t{0777}) | ModeOfAcl(acl);
  if (context.uid != 0 && context.gid != inode.attributes.gid) mode &= ~mode_t{S_ISGID};
  inode.attributes.mode = mode;
  if (IsMinimal(acl)) {
    inode.xattrs->values.erase(name);
  } else {
    inode.xattrs->values[name] = value;
  }
  return {};
}

Status Core::SetXattr(const OpContext& context, Ino ino, std::string_view name,
                      std::string_view value, XattrMode mode) {
  QUAY_TRY(CheckWritable());
  if (name.empty() || name.size() > kNameBytesMax)
    return Error(Code::kBufferTooSmall, "an attribute's name may have 255 bytes");
  QUAY_TRY(LoadXattrs(context, ino));
  MutexLock lock(mutex_);
  QUAY_ASSIGN(Inode * inode, FindLocked(ino));
  if (inode->is_name()) return Error(Code::kCorrupt, "the data of this hard link are missing");
  const std::string key(name);
  const bool there = inode->xattrs->values.contains(key);
  if (mode == XattrMode::kCreate && there)
    return Error(Code::kAlreadyExists, "the attribute '" + key + "' exists");
  if (mode == XattrMode::kReplace && !there) return Error(Code::kNoAttribute, "no such attribute");
  const XattrState before = *inode->xattrs;
  const Attributes attributes_before = inode->attributes;
  if (IsAcl(name)) {
    QUAY_TRY(SetAclLocked(context, *inode, key, value));
  } else {
    inode->xattrs->values[key] = value;
  }
  if (BytesOf(inode->xattrs->values) > kBytesMax) {
    *inode->xattrs = before;
    inode->attributes = attributes_before;
    return Error(Code::kNoSpace, "the attributes of one file may have 1 MiB");
  }
  return CommitXattrsLocked(*inode, before, attributes_before);
}

Status Core::RemoveXattr(const OpContext& context, Ino ino, std::string_view name) {
  QUAY_TRY(CheckWritable());
  QUAY_TRY(LoadXattrs(context, ino));
  MutexLock lock(mutex_);
  QUAY_ASSIGN(Inode * inode, FindLocked(ino));
  const XattrState before = *inode->xattrs;
  if (inode->xattrs->values.erase(std::string(name)) == 0) {
    // Taking a list away that only the mode stands for.
    if (IsAcl(name)) return {};
    return Error(Code::kNoAttribute, "no such attribute");
  }
  return CommitXattrsLocked(*inode, before, inode->attributes);
}

// chmod(2) changes the access list with the mode. REQUIRES: the attributes are loaded if there are
// any.
void Core::ChangeAclModeLocked(Inode& inode) {
  if (inode.xattrs == nullptr) return;
  const auto list = inode.xattrs->values.find(std::string(kAccessAclName));
  if (list == inode.xattrs->values.end()) return;
  const auto acl = ParseAcl(list->second);
  if (!acl.ok()) return;
  list->second = FormatAcl(ChangeMode(*acl, inode.attributes.mode));
  NoteXattrsLocked(inode);
}

// What a new entry gets from its directory, and the umask where it gets nothing.
void Core::InheritLocked(const OpContext& context, const Inode& directory, NewNode* node) {
  mode_t& mode = node->attributes.mode;
  if (S_ISLNK(mode)) return;
  if (directory.xattrs != nullptr) {
    const auto list = directory.xattrs->values.find(std::string(kDefaultAclName));
    if (list != directory.xattrs->values.end()) {
      if (const auto inherited = ParseAcl(list->second); inherited.ok()) {
        const auto access = InheritAcl(*inherited, &mode);
        if (access) node->xattrs[std::string(kAccessAclName)] = FormatAcl(*access);
        if (S_ISDIR(mode)) node->xattrs[std::string(kDefaultAclName)] = list->second;
        return;
      }
    }
  }
  mode &= ~(context.umask & 0777);
}

// Step::kXattrs.
Status Core::PutXattrs(const OpContext& context, Ino ino, const Step& step) {
  ObjectProperties properties;
  properties.content_type = "application/json";
  const auto written =
      store_.Put(step.key, MemorySource(step.body), properties, Condition::None(), context.call);
  if (!written.ok()) return written.error();
  MutexLock lock(mutex_);
  Inode* inode = table_.Find(ino);
  const bool wanted = inode != nullptr && inode->linked() && inode->xattrs != nullptr &&
                      XattrSideKey(config_.prefix, inode->xattrs->side_id) == step.key;
  if (wanted) {
    inode->xattrs->side_dirty = false;
    return {};
  }
  AddRemovalLocked(step.key, "", 0, 0);
  StateBatch batch;
  batch.PutRemoval({step.key, "", 0});
  CommitQuietlyLocked(std::move(batch));
  return {};
}

// The side objects that go with an inode, or with what its object said before.
std::vector<std::string> Core::SideKeysLocked(const Inode& inode) const {
  std::vector<std::string> keys;
  const std::string old = XattrSideId(inode.properties.metadata);
  if (!old.empty()) keys.push_back(XattrSideKey(config_.prefix, old));
  if (inode.xattrs != nullptr && !inode.xattrs->side_id.empty() && inode.xattrs->side_id != old)
    keys.push_back(XattrSideKey(config_.prefix, inode.xattrs->side_id));
  return keys;
}

}  // namespace quayfs
