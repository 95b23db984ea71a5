// SPDX-License-Identifier: Apache-2.0
//
// Reading from local files that stand for something: a staging file, or a private copy of one.

#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/disk.h"
#include "providers/object_store.h"

namespace quayfs {

/// Reads exactly out.size() bytes. What lies at or beyond `length`, the file's own length as far as
/// we know, is zeros; a file that turns out to be shorter than that has been tampered with: kIo.
Status ReadLocal(const DiskFile& file, uint64_t offset, std::span<std::byte> out, uint64_t length);

/// Copies `range` to the same place in `to`, where there is nothing yet: zeros are left out. Blocks
/// are shared instead where the local file system can do it.
Status CopyLocal(const DiskFile& from, DiskFile& to, ByteRange range, uint64_t length);

/// Zeros and nothing else. Reads the file until it finds otherwise.
Result<bool> ReadsAsZeros(const DataSource& source);

/// A range of a local file as the body of a request; constant memory. If `stale` becomes true,
/// because somebody writes into the range, it fails with kCancelled instead of sending on what will
/// not be used. Where `stale` is set before the first byte changes, every byte that is read is one
/// of the time before.
class LocalSource final : public DataSource {
 public:
  LocalSource(std::shared_ptr<const DiskFile> file, ByteRange range, uint64_t length,
              std::shared_ptr<const std::atomic<bool>> stale)
      : file_(std::move(file)), range_(range), length_(length), stale_(std::move(stale)) {}

  uint64_t size() const override { return range_.length(); }
  Status Read(uint64_t offset, std::span<std::byte> out) const override;

 private:
  const std::shared_ptr<const DiskFile> file_;
  const ByteRange range_;
  const uint64_t length_;
  const std::shared_ptr<const std::atomic<bool>> stale_;  // may be null
};

}  // namespace quayfs
