// SPDX-License-Identifier: Apache-2.0
//
// Core: fallocate. A bucket reserves no space; what can be kept is what a reader sees.

#include <fcntl.h>

#include <algorithm>

#include "fs/core.h"

namespace quayfs {
namespace {

constexpr size_t kZeroBlock = 1 << 20;

}  // namespace

Status Core::Allocate(const OpContext& context, OpenFile& file, const AllocateRequest& request) {
  QUAY_TRY(CheckWritable());
  if (!file.writable) return Error(Code::kBadHandle, "the file is open for reading only");
  const uint64_t end = request.offset + request.length;
  if (end > store_.capabilities().object_size_max)
    return Error(Code::kTooLarge, "the object store takes no objects of that size");
  const uint64_t size = file.data->size();
  if (request.zero) {
    static const std::vector<std::byte> zeros(kZeroBlock);
    OpenFile at_offset;
    at_offset.ino = file.ino;
    at_offset.flags = file.flags & ~O_APPEND;
    at_offset.writable = true;
    at_offset.data = file.data;
    uint64_t offset = request.offset;
    while (offset < std::min(end, size)) {
      const size_t some = std::min<uint64_t>(kZeroBlock, std::min(end, size) - offset);
      // Told to come back where it may wait, it begins anew: zeros stay zeros.
      QUAY_ASSIGN(const size_t written,
                  Write(context, at_offset, offset, std::span(zeros.data(), some)));
      offset += written;
    }
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

}  // namespace quayfs
