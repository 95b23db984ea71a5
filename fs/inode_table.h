// SPDX-License-Identifier: Apache-2.0
//
// All inodes of a mount and how they hang together. In memory; the place where a state database
// comes in.
//
// Thread-compatible: the owner guards it with its own lock. Pointers stay valid until Erase of that
// inode. Invariants: every linked inode but the root is in its parent's `children` under its name,
// and nowhere else; a parent is a directory, and an inode never changes between directory and
// something else.

#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "fs/inode.h"
#include "fs/key_names.h"

namespace quayfs {

class InodeTable {
 public:
  explicit InodeTable(KeySpace keys);

  Inode* Find(Ino ino);
  const Inode* Find(Ino ino) const;
  Inode& root() { return *Find(kRootIno); }

  /// REQUIRES: `directory` has no child of that name.
  Inode& Create(Inode& directory, std::string_view name, mode_t mode);
  /// The same under a number that an earlier mount has given it. REQUIRES: the number is free.
  Inode& Restore(Ino ino, Inode& directory, std::string_view name, mode_t mode);
  /// Numbers from here on are given to new inodes.
  Ino next_ino() const { return next_; }
  void SkipTo(Ino next) { next_ = std::max(next_, next); }
  Inode* Child(const Inode& directory, std::string_view name);

  /// Takes it out of its directory, and everything below it that nobody refers to out of memory;
  /// the inode itself goes when its last reference does.
  void Unlink(Inode& inode);
  /// REQUIRES: the new place is free.
  void Move(Inode& inode, Inode& directory, std::string_view name);
  /// An object turned out to be a directory's marker. REQUIRES: nobody has been told that it is
  /// anything else.
  void BecomeDirectory(Inode& inode);
  /// Drops kernel references, and the inode if it is unlinked and nothing refers to it any more.
  void Forget(Ino ino, uint64_t lookups);
  /// Erases `inode` if it is unlinked and unreferenced. The pointer is dead afterwards if so; says
  /// whether.
  bool EraseIfUnused(Inode& inode);

  /// The key of the object of `inode` (of a directory: of its marker, ending in '/'). kNotFound: it
  /// is unlinked.
  Result<std::string> KeyOf(const Inode& inode) const;
  /// The names from the root to `inode`, joined with '/'. REQUIRES: it is linked.
  std::string PathOf(const Inode& inode) const;
  const KeySpace& keys() const { return keys_; }
  /// True if `ancestor` is `inode` or a directory above it.
  bool IsBelow(const Inode& inode, Ino ancestor) const;
  /// `inode` and everything known below it.
  std::vector<Inode*> Subtree(Inode& inode);
  void ForEach(const std::function<void(const Inode&)>& visit) const;
  size_t size() const { return inodes_.size(); }

  /// Inodes that were erased since the last call, for whoever keeps something under their number.
  std::vector<Ino> TakeErased() { return std::exchange(erased_, {}); }

  bool InvariantsHold() const;

 private:
  void Detach(Inode& inode);

  const KeySpace keys_;
  std::unordered_map<Ino, std::unique_ptr<Inode>> inodes_;
  std::vector<Ino> erased_;
  Ino next_ = kRootIno + 1;
};

}  // namespace quayfs
