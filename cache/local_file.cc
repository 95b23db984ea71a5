// SPDX-License-Identifier: Apache-2.0

#include "cache/local_file.h"

#include <fmt/format.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <cstring>
#include <vector>

namespace quayfs {
namespace {

constexpr uint64_t kChunk = 1ull << 20;

bool AllZeros(std::span<const std::byte> bytes) {
  return bytes.empty() || (bytes[0] == std::byte{0} &&
                           std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0);
}

}  // namespace

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
  const uint64_t end = std::min(range.end, length);  // the rest is zeros, as it is in `to`
  std::vector<std::byte> buffer(static_cast<size_t>(std::min(kChunk, range.length())));
  for (uint64_t offset = range.begin; offset < end;) {
    const std::span<std::byte> chunk(
        buffer.data(), static_cast<size_t>(std::min<uint64_t>(buffer.size(), end - offset)));
    QUAY_TRY(ReadLocal(from, offset, chunk, length));
    if (!AllZeros(chunk)) QUAY_TRY(to.Write(offset, chunk));
    offset += chunk.size();
  }
  return {};
}

Result<bool> ReadsAsZeros(const DataSource& source) {
  std::vector<std::byte> buffer(static_cast<size_t>(std::min(kChunk, source.size())));
  for (uint64_t offset = 0; offset < source.size();) {
    const std::span<std::byte> chunk(buffer.data(), static_cast<size_t>(std::min<uint64_t>(
                                                        buffer.size(), source.size() - offset)));
    QUAY_TRY(source.Read(offset, chunk));
    if (!AllZeros(chunk)) return false;
    offset += chunk.size();
  }
  return true;
}

Status LocalSource::Read(uint64_t offset, std::span<std::byte> out) const {
  const auto is_stale = [this] { return stale_ != nullptr && stale_->load(); };
  Status read;
  if (!is_stale()) read = ReadLocal(*file_, range_.begin + offset, out, length_);
  // Whoever has seen a byte that a write changed sees what was stored before that write: the system
  // calls on both sides keep the order.
  if (is_stale()) return Error(Code::kCancelled, "the file changed while it was being sent");
  return read;
}

}  // namespace quayfs
