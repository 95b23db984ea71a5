// SPDX-License-Identifier: Apache-2.0

#include "cache/set_aside.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "cache/cache_directory.h"

namespace quayfs {
namespace {

constexpr int kNames = 100;  // tried before giving up
constexpr uint64_t kChunk = 1ull << 20;
constexpr size_t kBlock = 4096;

Result<std::string> Folder(const std::string& directory, Disk& disk) {
  std::string folder = SetAsideFolder(directory);
  Status made = disk.MakeDirectory(folder);
  if (made) {
    QUAY_TRY(disk.SyncDirectory(directory));
  } else if (!made.Is(Code::kAlreadyExists)) {
    return made.error();
  }
  return folder;
}

std::string NameOf(const std::string& folder, uint64_t inode, WallTime now, int attempt) {
  std::string path = fmt::format("{}/{}-{}", folder, inode, FormatIsoBasic(now));
  if (attempt > 0) path += fmt::format(".{}", attempt);
  return path;
}

/// Blocks of zeros become holes.
Status WriteSparse(DiskFile& to, uint64_t offset, std::span<const std::byte> data) {
  for (size_t at = 0; at < data.size(); at += kBlock) {
    const auto block = data.subspan(at, std::min(kBlock, data.size() - at));
    const bool zeros = std::all_of(block.begin(), block.end(),
                                   [](std::byte byte) { return byte == std::byte{0}; });
    if (!zeros) QUAY_TRY(to.Write(offset + at, block));
  }
  return {};
}

Status CopyWhole(const DiskFile& from, DiskFile& to) {
  QUAY_ASSIGN(const uint64_t size, from.Size());
  std::vector<std::byte> buffer(static_cast<size_t>(std::min(kChunk, size)));
  for (uint64_t offset = 0; offset < size;) {
    QUAY_ASSIGN(const size_t count, from.Read(offset, buffer));
    if (count == 0) break;
    QUAY_TRY(WriteSparse(to, offset, std::span<const std::byte>(buffer).first(count)));
    offset += count;
  }
  QUAY_TRY(to.Truncate(size));
  return to.SyncData();
}

}  // namespace

Result<std::string> LinkAside(const std::string& directory, uint64_t inode, WallTime now,
                              Disk& disk) {
  QUAY_ASSIGN(const std::string folder, Folder(directory, disk));
  for (int attempt = 0; attempt < kNames; ++attempt) {
    std::string path = NameOf(folder, inode, now, attempt);
    Status linked = disk.Link(DataFile(directory, inode), path);
    if (linked.Is(Code::kAlreadyExists)) continue;
    QUAY_TRY(std::move(linked));
    QUAY_TRY(disk.SyncDirectory(folder));
    return path;
  }
  return Error(Code::kAlreadyExists, fmt::format("'{}' holds too many files of one name", folder));
}

Result<std::string> CopyAside(const std::string& directory, uint64_t inode, WallTime now,
                              Disk& disk) {
  QUAY_ASSIGN(const std::string folder, Folder(directory, disk));
  QUAY_ASSIGN(const std::unique_ptr<DiskFile> from,
              disk.Open(DataFile(directory, inode), OpenMode::kRead));
  for (int attempt = 0; attempt < kNames; ++attempt) {
    std::string path = NameOf(folder, inode, now, attempt);
    auto to = disk.Open(path, OpenMode::kCreateExclusive);
    if (to.Is(Code::kAlreadyExists)) continue;
    if (!to) return to.error();
    Status copied = CopyWhole(*from, **to);
    if (copied) copied = disk.SyncDirectory(folder);
    if (!copied) {
      Ignore(disk.RemoveFile(path));
      return copied.error();
    }
    return path;
  }
  return Error(Code::kAlreadyExists, fmt::format("'{}' holds too many files of one name", folder));
}

}  // namespace quayfs
