// SPDX-License-Identifier: Apache-2.0
//
// Core: fallocate, and where holes are. A bucket reserves no space; what can be kept is what a
// reader sees.

#include <algorithm>

#include "fs/core.h"

namespace quayfs {

Status Core::Allocate(const OpContext& context, OpenFile& file, const AllocateRequest& request) {
  QUAY_TRY(CheckWritable());
  if (!file.writable) return Error(Code::kBadHandle, "the file is open for reading only");
  const uint64_t end = request.offset + request.length;
  if (end > store_.capabilities().object_size_max)
    return Error(Code::kTooLarge, "the object store takes no objects of that size");
  const uint64_t size = file.data->size();
  if (request.zero && request.offset < size) {
    QUAY_TRY(file.data->Zero({request.offset, std::min(end, size)}));
    MutexLock lock(mutex_);
    NoteWrittenLocked(context, file, std::min(end, size));
  }
  const bool grows = !request.keep_size && end > size;
  if (request.zero && !grows && request.offset < size) return {};
  AttributeChange change;
  if (grows) {
    change.size = end;
  } else {
    change.mtime_now = true;  // as local file systems do, though nothing a reader sees has changed
  }
  const auto changed = SetAttributes(context, file.ino, change, &file);
  return changed.ok() ? Status() : Status(changed.error());
}

Result<std::optional<uint64_t>> Core::Seek(const OpContext& /*context*/, OpenFile& file,
                                           uint64_t offset, bool hole) {
  {
    MutexLock lock(mutex_);
    const Inode* inode = table_.Find(file.ino);
    // A mapping may have changed what the kernel has not written back yet: all of it is data.
    if (inode == nullptr || inode->mappers > 0) {
      const uint64_t size = file.data->size();
      if (offset >= size) return std::optional<uint64_t>();
      return std::optional(hole ? size : offset);
    }
  }
  return file.data->Seek(offset, hole);
}

}  // namespace quayfs
