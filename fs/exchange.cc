// SPDX-License-Identifier: Apache-2.0
//
// Core: RENAME_EXCHANGE. Two names change places in the table, in one batch; in the bucket their
// objects wait for each other in a circle, which the reconciler opens by parking one of them.

#include "fs/core.h"

namespace quayfs {
namespace {

/// A name that nobody can ask for.
std::string AsideName(const Inode& inode) { return "/" + std::to_string(inode.ino); }

}  // namespace

Status Core::Exchange(const OpContext& context, Ino parent, std::string_view name, Ino new_parent,
                      std::string_view new_name) {
  while (true) {
    Ino known[2] = {0, 0};
    for (const int side : {0, 1}) {
      const Ino directory = side == 0 ? parent : new_parent;
      const std::string_view wanted = side == 0 ? name : new_name;
      QUAY_ASSIGN(const Found found, FindChild(context, directory, wanted));
      if (found.ino == 0) return Error(Code::kNotFound, "no '" + std::string(wanted) + "'");
      QUAY_TRY(EnsureAttributes(context, found.ino));
      QUAY_TRY(EnsureAttributes(context, directory));
      QUAY_TRY(KnowNames(context, found.ino));
      if (S_ISDIR(found.mode)) QUAY_TRY(KnowTree(context, found.ino));
      known[side] = found.ino;
    }
    MutexLock lock(mutex_);
    QUAY_ASSIGN(Inode * from, FindDirectoryLocked(parent));
    QUAY_ASSIGN(Inode * into, FindDirectoryLocked(new_parent));
    Inode* one = table_.Child(*from, name);
    Inode* other = table_.Child(*into, new_name);
    if (one == nullptr || other == nullptr || one->ino != known[0] || other->ino != known[1])
      continue;  // changed in between
    if (&FileOfLocked(*one) == &FileOfLocked(*other)) return {};
    if (table_.IsBelow(*into, one->ino) || table_.IsBelow(*from, other->ino))
      return Error(Code::kInvalidArgument, "a directory cannot be moved into itself");
    QUAY_TRY(CheckKeyLocked(*into, new_name, one->is_directory()));
    QUAY_TRY(CheckKeyLocked(*from, name, other->is_directory()));
    return CarryOutExchangeLocked(*from, *one, *into, *other);
  }
}

Status Core::CarryOutExchangeLocked(Inode& from, Inode& one, Inode& into, Inode& other) {
  const std::string name = one.name;
  const std::string new_name = other.name;
  const auto swap = [&](Inode& a, Inode& b) QUAY_REQUIRES(mutex_) {
    table_.Move(a, from, AsideName(a));
    table_.Move(b, from, name);
    table_.Move(a, into, new_name);
  };
  swap(one, other);
  StateBatch batch;
  TouchFolderLocked(from);
  TouchFolderLocked(into);
  KeepLongFolderLocked(from, &batch);
  KeepLongFolderLocked(into, &batch);
  SaveLocked(from, &batch);
  SaveLocked(into, &batch);
  std::vector<Inode*> moved;
  for (Inode* top : {&one, &other}) {
    TouchLocked(FileOfLocked(*top), /*contents=*/false);
    if (top->is_directory() && !top->published) top->NeedObject();
    const std::vector<Inode*> tree = table_.Subtree(*top);
    moved.insert(moved.end(), tree.begin(), tree.end());
  }
  for (Inode* inode : moved) SetMovedLocked(*inode);
  for (Inode* inode : moved) {
    if (StraysLocked(*inode)) PlanStrayLocked(*inode, &batch);
    NoteLinksMovedLocked(*inode, &batch);
    if (inode->is_directory()) KeepLongFolderLocked(*inode, &batch);
    if (inode->stored || inode->moved || inode == &one || inode == &other)
      SaveLocked(*inode, &batch);
  }
  Status committed = CommitLocked(std::move(batch));
  if (!committed.ok()) {
    table_.Move(one, into, AsideName(one));
    table_.Move(other, into, new_name);
    table_.Move(one, from, name);
    for (Inode* inode : moved) SetMovedLocked(*inode);
    return committed;
  }
  const SteadyTime now = clock_.Steady();
  for (Inode* inode : moved) {
    inode->changed_at = inode->checked_at = now;
    if (StraysLocked(*inode)) AddStrayLocked(*inode);
    NoteWorkLocked(*inode);
  }
  NoteWorkLocked(from);
  NoteWorkLocked(into);
  QUAY_DCHECK(table_.InvariantsHold());
  return {};
}

}  // namespace quayfs
