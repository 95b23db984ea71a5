// SPDX-License-Identifier: Apache-2.0
//
// FileCore: checksums of clean blocks (C5, cache/clean_sums.h). Blocks that an earlier mount has
// left are missing bytes until they have been checked; nothing is fetched into them before.

#include <algorithm>
#include <vector>

#include "base/check.h"
#include "base/hash.h"
#include "base/text.h"
#include "cache/file_core.h"
#include "cache/local_file.h"

namespace quayfs {
namespace {

constexpr size_t kBlocksAtOnce = 64;

}  // namespace

ByteRange FileCore::BlockRange(uint64_t block) const {
  return {block * kSumBlock, std::min((block + 1) * kSumBlock, base_.size)};
}

void FileCore::NoteSums() {
  if (sum_queued_ || removed_) return;
  sum_queued_ = true;
  context_.sums.Note(std::weak_ptr<Summable>(weak_from_this()));
}

void FileCore::DropSums(ByteRange range) {
  if (sums_.empty() || range.empty()) return;
  bool dropped = false;
  for (auto it = sums_.lower_bound(range.begin / kSumBlock);
       it != sums_.end() && it->first * kSumBlock < range.end;) {
    if (!it->second.checked) {
      context_.budget.Subtract(this, BlockRange(it->first));
      --unchecked_;
    }
    it = sums_.erase(it);
    dropped = true;
  }
  if (!dropped) return;
  sums_changed_ = true;
  NoteSums();
}

void FileCore::DropSumsForSize(uint64_t base_size) {
  if (base_size == base_.size) return;
  const uint64_t from = std::min(base_size, base_.size) / kSumBlock * kSumBlock;
  DropSums({from, std::max(base_size, base_.size)});
}

void FileCore::CheckSums(ByteRange range) {
  if (unchecked_ == 0) return;
  std::vector<std::byte> bytes;
  for (auto it = sums_.lower_bound(range.begin / kSumBlock);
       it != sums_.end() && it->first * kSumBlock < range.end;) {
    if (it->second.checked) {
      ++it;
      continue;
    }
    const ByteRange block = BlockRange(it->first);
    bytes.resize(static_cast<size_t>(block.length()));
    auto file = OpenLocal();
    --unchecked_;
    if (file && ReadLocal(**file, block.begin, bytes, local_length_) &&
        Crc32c(std::span<const std::byte>(bytes)) == it->second.crc) {
      it->second.checked = true;
      extents_.Filled(block);
      ++it;
      continue;
    }
    context_.budget.Subtract(this, block);
    if (file) Ignore((*file)->PunchHole(block));  // it is missing, whatever is there
    it = sums_.erase(it);
    sums_changed_ = true;
    NoteSums();
  }
}

void FileCore::Claim(const std::vector<BlockSum>& sums) {
  MutexLock lock(mutex_);
  ClaimLocked(sums);
}

void FileCore::ClaimLocked(const std::vector<BlockSum>& sums) {
  const uint64_t limit = std::min(local_length_, extents_.base_limit());
  for (const BlockSum& sum : sums) {
    const ByteRange block = BlockRange(sum.block);
    if (block.empty() || block.end > limit || extents_.dirty().Overlaps(block)) continue;
    sums_[sum.block] = {sum.crc, false};
    ++unchecked_;
    context_.budget.Add(shared_from_this(), block);
  }
  has_row_ = true;
}

void FileCore::TakeLeftClean(const CleanRow& row) {
  MutexLock lock(mutex_);
  const bool fresh = !removed_ && !on_disk_ && !extents_.modified() && extents_.clean().empty();
  if (!fresh || !SameVersion(row.base, base_)) {
    has_row_ = true;  // which is not true any more, and will be told so
    sums_changed_ = true;
    return NoteSums();
  }
  const auto found = context_.disk.Stat(path_);
  on_disk_ = found && found->is_regular;
  local_length_ = on_disk_ ? std::min(found->size, extents_.size()) : 0;
  trim_pending_ = on_disk_ && found->size > local_length_;
  ClaimLocked(row.sums);
  ExtentSet claimed;
  for (const auto& [block, sum] : sums_) claimed.Add(BlockRange(block));
  // What else is there takes room and is of no use.
  auto file = on_disk_ ? OpenLocal() : Result<std::shared_ptr<DiskFile>>(nullptr);
  if (!file || *file == nullptr) return;
  for (const ByteRange& gap : claimed.Missing({0, local_length_})) {
    Ignore((*file)->PunchHole(gap));
  }
}

std::vector<uint64_t> FileCore::UnsummedBlocks(uint64_t* from) const {
  std::vector<uint64_t> blocks;
  // Holes are not worth it.
  const auto stored =
      extents_.WithoutHoles(extents_.clean().Within({*from * kSumBlock, base_.size}));
  for (const ByteRange& range : stored) {
    uint64_t block = (range.begin + kSumBlock - 1) / kSumBlock;
    for (; block * kSumBlock < range.end && BlockRange(block).end <= range.end; ++block) {
      if (sums_.contains(block)) continue;
      blocks.push_back(block);
      *from = block + 1;
      if (blocks.size() == kBlocksAtOnce) return blocks;
    }
  }
  return blocks;
}

/// False when there is nothing left.
bool FileCore::SumSome(uint64_t* from) {
  std::vector<uint64_t> blocks;
  UseRef use;
  std::shared_ptr<DiskFile> file;
  uint64_t bases = 0;
  uint64_t length = 0;
  uint64_t base_size = 0;
  {
    MutexLock lock(mutex_);
    if (removed_ || !base_.exists() || seal_stuck_) return false;
    blocks = UnsummedBlocks(from);
    if (blocks.empty()) return false;
    auto opened = OpenLocal();
    if (!opened) return false;
    file = *std::move(opened);
    if (handles_ == 0) CloseLocal();
    // Kept from being evicted, so that what is read is what is clean.
    use = AddUse({blocks.front() * kSumBlock, BlockRange(blocks.back()).end});
    bases = bases_;
    length = local_length_;
    base_size = base_.size;
  }
  std::vector<std::pair<uint64_t, uint32_t>> found;
  std::vector<std::byte> bytes;
  for (const uint64_t block : blocks) {
    const ByteRange range{block * kSumBlock, std::min((block + 1) * kSumBlock, base_size)};
    bytes.resize(static_cast<size_t>(range.length()));
    if (!ReadLocal(*file, range.begin, bytes, length)) continue;
    found.emplace_back(block, Crc32c(std::span<const std::byte>(bytes)));
  }
  MutexLock lock(mutex_);
  RemoveUse(use);
  if (removed_ || bases_ != bases) return false;
  for (const auto& [block, crc] : found) {
    if (!extents_.clean().Contains(BlockRange(block)) || sums_.contains(block)) continue;
    sums_[block] = {crc, true};
    sums_changed_ = true;
  }
  return true;
}

bool FileCore::SumInto(StateBatch* batch) {
  {
    MutexLock lock(mutex_);
    sum_queued_ = false;
  }
  for (uint64_t from = 0; SumSome(&from);) {
  }
  MutexLock lock(mutex_);
  if (!sums_changed_) return false;
  sums_changed_ = false;
  if (removed_ || !base_.exists() || sums_.empty()) {
    if (!std::exchange(has_row_, false)) return false;
    batch->DropClean(inode_);
    context_.sums.GiveRow();
    return true;
  }
  if (!has_row_ && !context_.sums.TakeRow()) return false;
  has_row_ = true;
  CleanRow row;
  row.ino = inode_;
  row.base = {base_.key, base_.etag, base_.size, 0};
  for (const auto& [block, sum] : sums_) row.sums.push_back({block, sum.crc});
  batch->PutClean(std::move(row));
  return true;
}

}  // namespace quayfs
