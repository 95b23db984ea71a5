// SPDX-License-Identifier: Apache-2.0

#include "cache/kept_bytes.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <functional>
#include <memory>
#include <span>
#include <utility>

#include "base/hash.h"
#include "cache/cache_directory.h"
#include "cache/local_file.h"

namespace quayfs {
namespace {

constexpr std::string_view kMagic = "quaykept";
constexpr size_t kHeader = 40;
constexpr size_t kSummed = 32;  // of the header
constexpr uint64_t kRecordMax = 1ull << 20;

using Header = std::array<std::byte, kHeader>;

void PutNumber(Header& header, size_t at, uint64_t number, size_t bytes) {
  for (size_t i = 0; i < bytes; ++i) header[at + i] = static_cast<std::byte>(number >> (8 * i));
}

uint64_t NumberAt(const Header& header, size_t at, size_t bytes) {
  uint64_t number = 0;
  for (size_t i = 0; i < bytes; ++i)
    number |= static_cast<uint64_t>(std::to_integer<uint8_t>(header[at + i])) << (8 * i);
  return number;
}

uint32_t SumOf(const Header& header, std::span<const std::byte> bytes) {
  return Crc32c(bytes, Crc32c(std::span(header).first(kSummed)));
}

using Take = std::function<Status(uint64_t offset, std::span<const std::byte> bytes)>;

/// Calls `take` for each whole record of `generation`; returns where the log ends.
Result<uint64_t> Scan(const DiskFile& log, uint64_t generation, const Take& take) {
  QUAY_ASSIGN(const uint64_t end, log.Size());
  uint64_t at = 0;
  std::vector<std::byte> bytes;
  while (true) {
    if (end - at < kHeader) return at;
    Header header;
    QUAY_TRY(ReadLocal(log, at, header, end));
    if (std::memcmp(header.data(), kMagic.data(), kMagic.size()) != 0) return at;
    const uint64_t length = NumberAt(header, 24, 8);
    if (length > kRecordMax || length > end - at - kHeader) return at;
    bytes.resize(static_cast<size_t>(length));
    QUAY_TRY(ReadLocal(log, at + kHeader, bytes, end));
    if (NumberAt(header, 32, 4) != SumOf(header, bytes)) return at;
    if (NumberAt(header, 8, 8) != generation) return at;
    QUAY_TRY(take(NumberAt(header, 16, 8), bytes));
    at += kHeader + length;
  }
}

Status Append(DiskFile& log, uint64_t* at, uint64_t generation, const DiskFile& data,
              ByteRange range) {
  std::vector<std::byte> bytes(static_cast<size_t>(range.length()));
  QUAY_ASSIGN(const uint64_t length, data.Size());
  QUAY_TRY(ReadLocal(data, range.begin, bytes, length));
  Header header{};
  std::memcpy(header.data(), kMagic.data(), kMagic.size());
  PutNumber(header, 8, generation, 8);
  PutNumber(header, 16, range.begin, 8);
  PutNumber(header, 24, range.length(), 8);
  PutNumber(header, 32, SumOf(header, bytes), 4);
  QUAY_TRY(log.Write(*at, header));
  QUAY_TRY(log.Write(*at + kHeader, bytes));
  *at += kHeader + range.length();
  return {};
}

Result<std::unique_ptr<DiskFile>> OpenLog(Disk& disk, const std::string& path) {
  auto log = disk.Open(path, OpenMode::kRead);
  if (log.Is(Code::kNotFound)) return std::unique_ptr<DiskFile>();
  return log;
}

}  // namespace

std::string KeptFile(const std::string& directory, uint64_t inode) {
  return DataFile(directory, inode) + ".sealed";
}

Status KeepBytes(Disk& disk, const std::string& directory, uint64_t inode, uint64_t generation,
                 const DiskFile& data, const std::vector<ByteRange>& ranges,
                 std::optional<uint64_t>* end) {
  const std::optional<uint64_t> known = std::exchange(*end, std::nullopt);
  QUAY_ASSIGN(const std::unique_ptr<DiskFile> log,
              disk.Open(KeptFile(directory, inode), OpenMode::kCreateOrOpen));
  uint64_t at = known.value_or(0);
  if (!known) {
    QUAY_ASSIGN(at, Scan(*log, generation, [](uint64_t, auto) { return Status(); }));
  }
  // An end that is not whole, or of another seal, must not be taken for what follows.
  if (!known || at == 0) QUAY_TRY(log->Truncate(at));
  const bool fresh = at == 0;
  for (const ByteRange& range : ranges) {
    for (uint64_t begin = range.begin; begin < range.end; begin += kRecordMax) {
      QUAY_TRY(
          Append(*log, &at, generation, data, {begin, std::min(begin + kRecordMax, range.end)}));
    }
  }
  QUAY_TRY(log->SyncData());
  if (fresh) QUAY_TRY(disk.SyncDirectory(DataFolder(directory, inode)));
  *end = at;
  return {};
}

Result<ExtentSet> KeptRanges(Disk& disk, const std::string& directory, uint64_t inode,
                             uint64_t generation) {
  ExtentSet ranges;
  QUAY_ASSIGN(const std::unique_ptr<DiskFile> log, OpenLog(disk, KeptFile(directory, inode)));
  if (log == nullptr) return ranges;
  QUAY_TRY(Scan(*log, generation, [&](uint64_t offset, std::span<const std::byte> bytes) {
    ranges.Add(ByteRange::OfLength(offset, bytes.size()));
    return Status();
  }));
  return ranges;
}

Status RestoreKept(Disk& disk, const std::string& directory, uint64_t inode, uint64_t generation,
                   const ExtentSet& wanted, DiskFile& data) {
  QUAY_ASSIGN(const std::unique_ptr<DiskFile> log, OpenLog(disk, KeptFile(directory, inode)));
  if (log == nullptr) return {};
  ExtentSet left = wanted;
  QUAY_TRY(Scan(*log, generation, [&](uint64_t offset, std::span<const std::byte> bytes) -> Status {
    for (const ByteRange& range : left.Within(ByteRange::OfLength(offset, bytes.size()))) {
      QUAY_TRY(data.Write(range.begin, bytes.subspan(static_cast<size_t>(range.begin - offset),
                                                     static_cast<size_t>(range.length()))));
      left.Remove(range);
    }
    return {};
  }));
  return {};
}

}  // namespace quayfs
