// SPDX-License-Identifier: Apache-2.0

#include <algorithm>
#include <utility>
#include <vector>

#include "fs/core.h"

namespace quayfs {
namespace {

constexpr size_t kPiece = 1 << 20;  // of a file that is read into the cache

}  // namespace

Result<std::shared_ptr<FileData>> Core::HoldData(Ino ino) {
  const MutexLock lock(mutex_);
  QUAY_ASSIGN(Inode * inode, FindLocked(ino));
  if (!inode->is_regular() || inode->is_name())
    return Error(Code::kInvalidArgument, "'" + inode->name + "' is not a file with contents");
  QUAY_ASSIGN(std::shared_ptr<FileData> data, DataLocked(*inode));
  ++inode->busy;
  return data;
}

void Core::LetGoOfData(Ino ino) {
  {
    const MutexLock lock(mutex_);
    Inode* const inode = table_.Find(ino);
    if (inode == nullptr) return;
    --inode->busy;
    DropDataLocked(*inode);
    table_.EraseIfUnused(*inode);
  }
  SettleErased();
}

// Not by way of Open: that would be taken for the kernel's, which then keeps older pages.
Status Core::Prefetch(const OpContext& context, Ino ino, const std::function<void(uint64_t)>& got) {
  QUAY_TRY(EnsureAttributes(context, ino));
  OpenFile file;
  file.ino = ino;
  QUAY_ASSIGN(file.data, HoldData(ino));
  Status outcome;
  const FileDataState state = file.data->state();
  if (state.cached_bytes + state.dirty_bytes >= state.size) {
    got(state.size);
  } else {
    std::vector<std::byte> piece(std::min<uint64_t>(kPiece, state.size));
    for (uint64_t at = 0; outcome.ok();) {
      const auto read = Read(context, file, at, piece);
      if (!read) outcome = read.error();
      if (!read || *read == 0) break;
      at += *read;
      got(*read);
    }
  }
  file.data.reset();
  LetGoOfData(ino);
  return outcome;
}

Result<uint64_t> Core::Evict(const OpContext& context, Ino ino) {
  QUAY_TRY(EnsureAttributes(context, ino));
  QUAY_ASSIGN(std::shared_ptr<FileData> data, HoldData(ino));
  const uint64_t dropped = data->DropClean();
  data.reset();
  {
    const MutexLock lock(mutex_);
    // The kernel's pages go with the next open.
    if (Inode* const inode = table_.Find(ino); inode != nullptr) ++inode->content_epoch;
  }
  LetGoOfData(ino);
  return dropped;
}

}  // namespace quayfs
