// SPDX-License-Identifier: Apache-2.0

#include "cache/left_clean.h"

#include <vector>

#include "base/text.h"
#include "cache/cache_directory.h"

namespace quayfs {

void LeftClean::Add(uint64_t inode, uint64_t bytes) {
  MutexLock lock(mutex_);
  const ByteRange range = ByteRange::OfLength(end_, bytes);
  end_ = (range.end / CleanBudget::kSegment + 1) * CleanBudget::kSegment;
  ranges_[inode] = range;
  inodes_[range.begin] = inode;
  budget_.Add(shared_from_this(), range);
}

bool LeftClean::Forget(uint64_t inode) {
  MutexLock lock(mutex_);
  const auto it = ranges_.find(inode);
  if (it == ranges_.end()) return false;
  budget_.Subtract(this, it->second);
  inodes_.erase(it->second.begin);
  ranges_.erase(it);
  return true;
}

void LeftClean::RemoveFile(uint64_t inode) {
  // A name that stays is replaced when the number is used again, or goes with the next mount.
  Ignore(disk_.RemoveFile(DataFile(directory_, inode)));
  sums_.Drop(inode);
}

std::optional<CleanRow> LeftClean::Take(uint64_t inode, const BaseVersion& base) {
  if (!Forget(inode)) return std::nullopt;
  auto row = state_.FindClean(inode);
  if (row && *row && SameVersion((*row)->base, base)) {
    return *std::move(row);
  }
  RemoveFile(inode);
  return std::nullopt;
}

void LeftClean::Drop(uint64_t inode) {
  if (Forget(inode)) RemoveFile(inode);
}

void LeftClean::Evict(ByteRange range) {
  std::vector<uint64_t> victims;
  {
    MutexLock lock(mutex_);
    auto it = inodes_.upper_bound(range.begin);
    if (it != inodes_.begin()) --it;
    for (; it != inodes_.end() && it->first < range.end; ++it) {
      if (ranges_.at(it->second).Overlaps(range)) victims.push_back(it->second);
    }
  }
  for (const uint64_t inode : victims) Drop(inode);
}

}  // namespace quayfs
