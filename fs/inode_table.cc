// SPDX-License-Identifier: Apache-2.0

#include "fs/inode_table.h"

#include <utility>

#include "base/check.h"
#include "fs/key_names.h"

namespace quayfs {

ObjectVersion ObjectVersion::Of(const ObjectInfo& info) {
  return {info.etag, info.size,
          std::chrono::duration_cast<std::chrono::seconds>(info.last_modified.time_since_epoch())
              .count()};
}

bool ObjectVersion::MayBe(const ObjectVersion& other) const {
  if (size != other.size || !SameEtag(etag, other.etag)) return false;
  return modified_seconds == 0 || other.modified_seconds == 0 ||
         modified_seconds == other.modified_seconds;
}

InodeTable::InodeTable(KeySpace keys) : keys_(std::move(keys)) {
  auto root = std::make_unique<Inode>(kRootIno);
  root->attributes.mode = S_IFDIR | 0755;
  root->lookups = 1;
  inodes_.emplace(kRootIno, std::move(root));
}

Inode* InodeTable::Find(Ino ino) {
  const auto it = inodes_.find(ino);
  return it == inodes_.end() ? nullptr : it->second.get();
}

const Inode* InodeTable::Find(Ino ino) const {
  const auto it = inodes_.find(ino);
  return it == inodes_.end() ? nullptr : it->second.get();
}

Inode& InodeTable::Create(Inode& directory, std::string_view name, mode_t mode) {
  return Restore(next_, directory, name, mode);
}

Inode& InodeTable::Restore(Ino ino, Inode& directory, std::string_view name, mode_t mode) {
  QUAY_CHECK(directory.is_directory() && !inodes_.contains(ino));
  next_ = std::max(next_, ino + 1);
  auto created = std::make_unique<Inode>(ino);
  Inode& inode = *created;
  inode.attributes.mode = mode;
  inode.parent = directory.ino;
  inode.name = name;
  const bool inserted = directory.children.emplace(inode.name, ino).second;
  QUAY_CHECK(inserted);
  if (inode.is_directory()) ++directory.subdirectories;
  inodes_.emplace(ino, std::move(created));
  return inode;
}

Inode* InodeTable::Child(const Inode& directory, std::string_view name) {
  const auto it = directory.children.find(std::string(name));
  return it == directory.children.end() ? nullptr : Find(it->second);
}

void InodeTable::Detach(Inode& inode) {
  Inode* parent = Find(inode.parent);
  if (parent == nullptr) return;
  parent->children.erase(inode.name);
  if (inode.is_directory()) --parent->subdirectories;
  inode.parent = 0;
}

void InodeTable::Unlink(Inode& inode) {
  QUAY_CHECK(inode.ino != kRootIno);
  Detach(inode);
  while (!inode.children.empty()) {
    Inode* child = Find(inode.children.begin()->second);
    QUAY_CHECK(child != nullptr);
    Unlink(*child);
  }
  EraseIfUnused(inode);
}

void InodeTable::Move(Inode& inode, Inode& directory, std::string_view name) {
  QUAY_CHECK(directory.is_directory() && inode.ino != kRootIno);
  Detach(inode);
  inode.parent = directory.ino;
  inode.name = name;
  const bool inserted = directory.children.emplace(inode.name, inode.ino).second;
  QUAY_CHECK(inserted);
  if (inode.is_directory()) ++directory.subdirectories;
}

void InodeTable::BecomeDirectory(Inode& inode) {
  QUAY_CHECK(!inode.is_directory() && inode.lookups == 0);
  inode.attributes.mode = S_IFDIR | (inode.attributes.mode & 07777);
  if (Inode* parent = Find(inode.parent); parent != nullptr) ++parent->subdirectories;
}

void InodeTable::Forget(Ino ino, uint64_t lookups) {
  Inode* inode = Find(ino);
  if (inode == nullptr) return;
  inode->lookups -= std::min(lookups, inode->lookups);
  EraseIfUnused(*inode);
}

bool InodeTable::EraseIfUnused(Inode& inode) {
  if (inode.linked() || inode.lookups > 0 || inode.opens > 0 || inode.busy > 0) return false;
  const Ino ino = inode.ino;
  inodes_.erase(ino);
  erased_.push_back(ino);
  return true;
}

Result<std::string> InodeTable::KeyOf(const Inode& inode) const {
  std::vector<const Inode*> path;
  for (const Inode* at = &inode; at->ino != kRootIno; at = Find(at->parent)) {
    if (Find(at->parent) == nullptr) return Error(Code::kNotFound, "the file has been removed");
    path.push_back(at);
  }
  std::string key = keys_.root;
  for (auto it = path.rbegin(); it != path.rend(); ++it) {
    const Inode& at = **it;
    const auto segment = SegmentOf(at.name);
    if (!segment)
      return Error(Code::kInvalidArgument, "the name '" + at.name + "' stands for no object key");
    if (key.size() + kNameMax + 1 <= keys_.longest) {
      key += segment->text;
      if (at.is_directory()) key += '/';
    } else {
      key = ChildKey(keys_, key, segment->text, at.is_directory());
    }
  }
  return key;
}

std::string InodeTable::PathOf(const Inode& inode) const {
  std::vector<const std::string*> names;
  for (const Inode* at = &inode; at != nullptr && at->ino != kRootIno; at = Find(at->parent))
    names.push_back(&at->name);
  std::string path;
  for (auto it = names.rbegin(); it != names.rend(); ++it) {
    if (!path.empty()) path += '/';
    path += **it;
  }
  return path;
}

bool InodeTable::IsBelow(const Inode& inode, Ino ancestor) const {
  const Inode* at = &inode;
  while (at != nullptr) {
    if (at->ino == ancestor) return true;
    if (at->ino == kRootIno) return false;
    at = Find(at->parent);
  }
  return false;
}

std::vector<Inode*> InodeTable::Subtree(Inode& inode) {
  std::vector<Inode*> found = {&inode};
  for (size_t i = 0; i < found.size(); ++i) {
    for (const auto& [name, child] : found[i]->children) found.push_back(Find(child));
  }
  return found;
}

void InodeTable::ForEach(const std::function<void(const Inode&)>& visit) const {
  for (const auto& [ino, inode] : inodes_) visit(*inode);
}

bool InodeTable::InvariantsHold() const {
  for (const auto& [ino, inode] : inodes_) {
    if (ino == kRootIno) {
      if (inode->parent != 0) return false;
    } else if (inode->parent != 0) {
      const Inode* parent = Find(inode->parent);
      if (parent == nullptr || !parent->is_directory()) return false;
      const auto it = parent->children.find(inode->name);
      if (it == parent->children.end() || it->second != ino) return false;
    }
    uint32_t subdirectories = 0;
    for (const auto& [name, child] : inode->children) {
      const Inode* found = Find(child);
      if (found == nullptr || found->parent != ino || found->name != name) return false;
      if (found->is_directory()) ++subdirectories;
    }
    if (subdirectories != inode->subdirectories) return false;
  }
  return true;
}

}  // namespace quayfs
