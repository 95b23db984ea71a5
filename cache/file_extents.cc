// SPDX-License-Identifier: Apache-2.0

#include "cache/file_extents.h"

#include <algorithm>

#include "base/check.h"

namespace quayfs {
namespace {

uint64_t TotalBytes(const std::vector<ByteRange>& ranges) {
  uint64_t bytes = 0;
  for (const ByteRange& range : ranges) bytes += range.length();
  return bytes;
}

}  // namespace

FileExtents FileExtents::OfBase(uint64_t size) {
  FileExtents extents;
  extents.size_ = size;
  extents.base_limit_ = size;
  extents.modified_ = false;
  return extents;
}

FileExtents FileExtents::Restored(uint64_t size, uint64_t base_limit, uint64_t generation,
                                  bool modified, const std::vector<ByteRange>& dirty) {
  FileExtents extents;
  extents.size_ = size;
  extents.base_limit_ = base_limit;
  extents.generation_ = generation;
  extents.modified_ = modified;
  for (const ByteRange& range : dirty) extents.AddDirty(range);
  return extents;
}

void FileExtents::RestoreHoles(const ExtentSet& holes) {
  for (const ByteRange& range : holes.ranges()) AddHole(range);
  QUAY_DCHECK(CheckInvariants().empty());
}

void FileExtents::Reset(uint64_t base_size) {
  const uint64_t generation = next_generation();
  const uint64_t floor = generation_floor_;
  *this = OfBase(base_size);
  generation_ = generation;
  generation_floor_ = floor;
}

std::vector<ByteRange> FileExtents::Missing(ByteRange range) const {
  range.end = std::min(range.end, size_);
  if (range.begin >= range.end) return {};
  std::vector<ByteRange> out;
  for (const ByteRange& not_clean : clean_.Missing(range)) {
    for (const ByteRange& missing : dirty_.Missing(not_clean)) out.push_back(missing);
  }
  return out;
}

std::vector<ByteRange> FileExtents::RemoveClean(ByteRange range) {
  if (range.empty()) return {};
  const std::vector<ByteRange> lost = clean_.Within(range);
  std::vector<ByteRange> stored = WithoutHoles(lost);
  clean_bytes_ -= TotalBytes(lost);
  clean_hole_bytes_ -= TotalBytes(lost) - TotalBytes(stored);
  clean_.Remove(range);
  for (const ByteRange& gone : lost) holes_.Remove(gone);
  return stored;
}

std::vector<ByteRange> FileExtents::WithoutHoles(const std::vector<ByteRange>& ranges) const {
  if (holes_.empty()) return ranges;
  std::vector<ByteRange> out;
  for (const ByteRange& range : ranges) {
    for (const ByteRange& stored : holes_.Missing(range)) out.push_back(stored);
  }
  return out;
}

void FileExtents::AddDirty(ByteRange range) {
  if (range.empty()) return;
  dirty_bytes_ += TotalBytes(dirty_.Missing(range));
  dirty_.Add(range);
}

void FileExtents::AddHole(ByteRange range) {
  if (range.empty()) return;
  dirty_hole_bytes_ += TotalBytes(holes_.Missing(range));
  holes_.Add(range);
}

// REQUIRES: those of `range` are dirty.
void FileExtents::RemoveHoles(ByteRange range) {
  if (range.empty() || holes_.empty()) return;
  dirty_hole_bytes_ -= TotalBytes(holes_.Within(range));
  holes_.Remove(range);
}

void FileExtents::Touch(ByteRange range) {
  generation_ = next_generation();
  modified_ = true;
  if (publication_) publication_->touched.Add(range);
}

FileExtents::Change FileExtents::Write(ByteRange range) {
  if (range.empty()) return {range, {}};
  Change change;
  change.range = {std::min(range.begin, size_), range.end};
  change.clean_lost = RemoveClean(range);
  AddDirty(change.range);
  RemoveHoles(range);
  if (size_ < range.begin) AddHole({size_, range.begin});
  size_ = std::max(size_, range.end);
  Touch(change.range);
  QUAY_DCHECK(CheckInvariants().empty());
  return change;
}

FileExtents::Change FileExtents::Zero(ByteRange range) {
  Change change = Write(range);
  AddHole(range);
  QUAY_DCHECK(CheckInvariants().empty());
  return change;
}

FileExtents::Change FileExtents::Truncate(uint64_t size) {
  Change change;
  change.range = {std::min(size, size_), std::max(size, size_)};
  if (change.range.empty()) return change;
  if (size > size_) {
    AddDirty(change.range);
    AddHole(change.range);
    Touch(change.range);
  } else {
    change.clean_lost = RemoveClean(change.range);
    RemoveHoles(change.range);
    dirty_bytes_ -= TotalBytes(dirty_.Within(change.range));
    dirty_.Remove(change.range);
    base_limit_ = std::min(base_limit_, size);
    Touch(change.range);
    if (publication_) publication_->low = std::min(publication_->low, size);
  }
  size_ = size;
  QUAY_DCHECK(CheckInvariants().empty());
  return change;
}

void FileExtents::Filled(ByteRange range) {
  QUAY_DCHECK(range.end <= base_limit_ && !clean_.Overlaps(range) && !dirty_.Overlaps(range));
  clean_.Add(range);
  clean_bytes_ += range.length();
  QUAY_DCHECK(CheckInvariants().empty());
}

std::vector<ByteRange> FileExtents::Drop(ByteRange range) {
  std::vector<ByteRange> lost = RemoveClean(range);
  QUAY_DCHECK(CheckInvariants().empty());
  return lost;
}

void FileExtents::BeginPublication() {
  QUAY_CHECK(!publication_);
  publication_ = Publication{size_, size_, generation_, {}};
}

void FileExtents::ResumePublication(uint64_t size, uint64_t generation, bool unchanged) {
  QUAY_CHECK(!publication_);
  if (unchanged && size == size_) {
    publication_ = Publication{size_, size_, generation, {}};
    return;
  }
  // What is not dirty was not when the publication began, either; so it is the same in its object.
  publication_ = Publication{size, std::min(base_limit_, size), generation, {}};
  publication_->touched.Add({0, std::max<uint64_t>({size, size_, 1})});
}

std::vector<ByteRange> FileExtents::CommitPublication() {
  QUAY_CHECK(publication_);
  const Publication done = *std::move(publication_);
  publication_.reset();

  // Bytes below `low` were part of what is now the base, and are still part of the file.
  base_limit_ = done.low;
  std::vector<ByteRange> cleaned;
  for (const ByteRange& range : dirty_.Within({0, base_limit_})) {
    for (const ByteRange& untouched : done.touched.Missing(range)) cleaned.push_back(untouched);
  }
  for (const ByteRange& range : cleaned) {
    dirty_.Remove(range);
    clean_.Add(range);
  }
  const uint64_t bytes = TotalBytes(cleaned);
  const uint64_t hole_bytes = bytes - TotalBytes(WithoutHoles(cleaned));
  dirty_bytes_ -= bytes;
  clean_bytes_ += bytes;
  dirty_hole_bytes_ -= hole_bytes;
  clean_hole_bytes_ += hole_bytes;
  modified_ = !done.touched.empty() || size_ != done.size;
  QUAY_DCHECK(CheckInvariants().empty());
  return cleaned;
}

std::string FileExtents::CheckInvariants() const {
  if (!dirty_.InvariantsHold() || !clean_.InvariantsHold()) return "a set of ranges is damaged";
  if (base_limit_ > size_) return "base_limit lies beyond the end";
  for (const ByteRange& range : dirty_.ranges()) {
    if (range.end > size_) return "dirty bytes beyond the end";
    if (clean_.Overlaps(range)) return "bytes are dirty and clean";
  }
  if (!clean_.empty() && clean_.ranges().back().end > base_limit_)
    return "clean bytes beyond base_limit";
  if (base_limit_ < size_ && !dirty_.Contains({base_limit_, size_})) {
    return "bytes beyond base_limit are not dirty";
  }
  if (dirty_.total_bytes() != dirty_bytes_ || clean_.total_bytes() != clean_bytes_) {
    return "byte counts are wrong";
  }
  uint64_t dirty_holes = 0;
  uint64_t clean_holes = 0;
  for (const ByteRange& hole : holes_.ranges()) {
    dirty_holes += TotalBytes(dirty_.Within(hole));
    clean_holes += TotalBytes(clean_.Within(hole));
  }
  if (dirty_holes + clean_holes != holes_.total_bytes()) return "a hole is not local";
  if (dirty_holes != dirty_hole_bytes_ || clean_holes != clean_hole_bytes_) {
    return "byte counts of holes are wrong";
  }
  if (!dirty_.empty() && !modified_) return "dirty bytes in an unmodified file";
  if (publication_ && publication_->low > publication_->size) return "publication grew downwards";
  return "";
}

}  // namespace quayfs
