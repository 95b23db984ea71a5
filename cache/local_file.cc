// SPDX-License-Identifier: Apache-2.0

#include "cache/local_file.h"

#include <fmt/format.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <cstring>
#include <vector>

namespace quayfs {

Status ReadLocal(const DiskFile& file, uint64_t offset, std::span<std::byte> out, uint64_t length) {
  const uint64_t expected = offset < length ? std::min<uint64_t>(out.size(), length - offset) : 0;
  size_t count = 0;
  if (expected > 0) {
    QUAY_ASSIGN(count, file.Read(offset, out.first(expected)));
    if (count < expected) {
      return Error(Code::kIo,
                   fmt::format("a cache file ends at {} instead of {}: something else has "
                               "changed it",
                               offset + count, length));
    }
  }
  std::memset(out.data() + count, 0, out.size() - count);
  return {};
}

Status CopyLocal(const DiskFile& from, DiskFile& to, ByteRange range, uint64_t length) {
  if (from.fd() >= 0 && to.fd() >= 0 && range.begin < length) {
    // The whole file at once: ranges would have to be aligned to blocks, and sharing costs nothing.
    if (ioctl(to.fd(), FICLONE, from.fd()) == 0) return {};
  }
  constexpr uint64_t kChunk = 1ull << 20;
  const uint64_t end = std::min(range.end, length);  // the rest is zeros, as it is in `to`
  std::vector<std::byte> buffer(static_cast<size_t>(std::min(kChunk, range.length())));
  for (uint64_t offset = range.begin; offset < end;) {
    const std::span<std::byte> chunk(
        buffer.data(), static_cast<size_t>(std::min<uint64_t>(buffer.size(), end - offset)));
    QUAY_TRY(ReadLocal(from, offset, chunk, length));
    QUAY_TRY(to.Write(offset, chunk));
    offset += chunk.size();
  }
  return {};
}

Status LocalSource::Read(uint64_t offset, std::span<std::byte> out) const {
  if (stale_ != nullptr && stale_->load()) {
    return Error(Code::kCancelled, "the file changed while this part of it was being sent");
  }
  return ReadLocal(*file_, range_.begin + offset, out, length_);
}

}  // namespace quayfs
