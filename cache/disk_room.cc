// SPDX-License-Identifier: Apache-2.0

#include "cache/disk_room.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"

namespace quayfs {
namespace {

constexpr uint64_t kReserve = 32ull << 20;
constexpr uint64_t kReserveShare = 16;  // of the disk
constexpr uint64_t kCredit = 8ull << 20;

}  // namespace

Status DiskRoom::Take(uint64_t bytes) {
  const auto wanted = static_cast<int64_t>(bytes);
  if (credit_.fetch_sub(wanted) >= wanted) return {};
  const auto space = disk_.Space(directory_);
  if (!space) return {};  // the write itself will tell
  const uint64_t reserve = std::min(kReserve, space->total_bytes / kReserveShare);
  if (space->available_bytes < reserve || space->available_bytes - reserve < bytes) {
    credit_ = 0;
    return Error(Code::kNoSpace,
                 fmt::format("the disk of the cache directory '{}' has {} left; make room on it",
                             directory_, FormatSize(space->available_bytes)));
  }
  credit_ = static_cast<int64_t>(std::min(kCredit, (space->available_bytes - reserve - bytes) / 2));
  return {};
}

}  // namespace quayfs
