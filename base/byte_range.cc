// SPDX-License-Identifier: Apache-2.0

#include "base/byte_range.h"

#include <algorithm>
#include <iterator>

#include "base/check.h"

namespace quayfs {

void ExtentSet::Add(ByteRange range) {
  QUAY_DCHECK(range.begin <= range.end);
  if (range.empty()) return;
  // Everything that overlaps or touches the range melts into it.
  auto it = ranges_.upper_bound(range.begin);
  if (it != ranges_.begin() && std::prev(it)->second >= range.begin) --it;
  while (it != ranges_.end() && it->first <= range.end) {
    range.begin = std::min(range.begin, it->first);
    range.end = std::max(range.end, it->second);
    it = ranges_.erase(it);
  }
  ranges_.emplace_hint(it, range.begin, range.end);
  QUAY_DCHECK(InvariantsHold());
}

void ExtentSet::Remove(ByteRange range) {
  QUAY_DCHECK(range.begin <= range.end);
  if (range.empty()) return;
  auto it = ranges_.upper_bound(range.begin);
  if (it != ranges_.begin() && std::prev(it)->second > range.begin) --it;
  while (it != ranges_.end() && it->first < range.end) {
    const ByteRange old{it->first, it->second};
    it = ranges_.erase(it);
    if (old.begin < range.begin) ranges_.emplace_hint(it, old.begin, range.begin);
    if (old.end > range.end) ranges_.emplace_hint(it, range.end, old.end);
  }
  QUAY_DCHECK(InvariantsHold());
}

uint64_t ExtentSet::total_bytes() const {
  uint64_t total = 0;
  for (const auto& [begin, end] : ranges_) total += end - begin;
  return total;
}

bool ExtentSet::Contains(ByteRange range) const {
  return range.empty() || ContainedUntil(range.begin) >= range.end;
}

bool ExtentSet::Overlaps(ByteRange range) const {
  if (range.empty()) return false;
  const auto it = ranges_.lower_bound(range.end);
  return it != ranges_.begin() && std::prev(it)->second > range.begin;
}

uint64_t ExtentSet::ContainedUntil(uint64_t offset) const {
  const auto it = ranges_.upper_bound(offset);
  if (it == ranges_.begin()) return offset;
  return std::max(offset, std::prev(it)->second);
}

std::vector<ByteRange> ExtentSet::ranges() const {
  std::vector<ByteRange> result;
  result.reserve(ranges_.size());
  for (const auto& [begin, end] : ranges_) result.push_back({begin, end});
  return result;
}

std::vector<ByteRange> ExtentSet::Within(ByteRange range) const {
  std::vector<ByteRange> result;
  auto it = ranges_.upper_bound(range.begin);
  if (it != ranges_.begin()) --it;
  for (; it != ranges_.end() && it->first < range.end; ++it) {
    const ByteRange part = range.Intersection({it->first, it->second});
    if (!part.empty()) result.push_back(part);
  }
  return result;
}

std::vector<ByteRange> ExtentSet::Missing(ByteRange range) const {
  std::vector<ByteRange> result;
  uint64_t position = range.begin;
  for (const ByteRange& part : Within(range)) {
    if (part.begin > position) result.push_back({position, part.begin});
    position = part.end;
  }
  if (position < range.end) result.push_back({position, range.end});
  return result;
}

bool ExtentSet::InvariantsHold() const {
  bool first = true;
  uint64_t previous_end = 0;
  for (const auto& [begin, end] : ranges_) {
    if (begin >= end) return false;
    if (!first && begin <= previous_end) return false;
    previous_end = end;
    first = false;
  }
  return true;
}

}  // namespace quayfs
