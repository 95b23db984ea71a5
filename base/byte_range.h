// SPDX-License-Identifier: Apache-2.0
//
// Half-open ranges of bytes, and sets of them.

#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace quayfs {

/// [begin, end). Empty when begin == end; begin <= end always.
struct ByteRange {
  uint64_t begin = 0;
  uint64_t end = 0;

  static constexpr ByteRange OfLength(uint64_t offset, uint64_t length) {
    return {offset, offset + length};
  }
  constexpr uint64_t length() const { return end - begin; }
  constexpr bool empty() const { return begin == end; }
  constexpr bool Contains(ByteRange other) const {
    return begin <= other.begin && other.end <= end;
  }
  constexpr bool Overlaps(ByteRange other) const { return begin < other.end && other.begin < end; }
  constexpr ByteRange Intersection(ByteRange other) const {
    const uint64_t first = std::max(begin, other.begin);
    return {first, std::max(first, std::min(end, other.end))};
  }
  friend constexpr bool operator==(const ByteRange&, const ByteRange&) = default;
};

/// A set of bytes as sorted, disjoint, non-touching, non-empty ranges. Every operation costs O(log
/// n + ranges touched). Thread-compatible.
class ExtentSet {
 public:
  ExtentSet() = default;
  explicit ExtentSet(ByteRange range) { Add(range); }
  explicit ExtentSet(const std::vector<ByteRange>& ranges) {
    for (const ByteRange& range : ranges) Add(range);
  }

  void Add(ByteRange range);
  void Remove(ByteRange range);
  void Clear() { ranges_.clear(); }

  bool empty() const { return ranges_.empty(); }
  size_t count() const { return ranges_.size(); }
  uint64_t total_bytes() const;
  bool Contains(ByteRange range) const;
  bool Overlaps(ByteRange range) const;
  /// The end of the run of contained bytes that starts at `offset`; `offset` itself if it is not in
  /// the set.
  uint64_t ContainedUntil(uint64_t offset) const;

  std::vector<ByteRange> ranges() const;
  /// The parts of `range` that are in the set / that are not, in order.
  std::vector<ByteRange> Within(ByteRange range) const;
  std::vector<ByteRange> Missing(ByteRange range) const;

  /// Debug builds call this after each change: sorted, disjoint, not touching, none empty.
  bool InvariantsHold() const;

  friend bool operator==(const ExtentSet&, const ExtentSet&) = default;

 private:
  std::map<uint64_t, uint64_t> ranges_;  // begin -> end
};

}  // namespace quayfs
