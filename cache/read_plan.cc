// SPDX-License-Identifier: Apache-2.0

#include "cache/read_plan.h"

#include <algorithm>

namespace quayfs {
namespace {

// The kernel's read-ahead sends neighbouring reads in any order; this far apart they still count as
// one stream: so many of their own lengths, and at least so many bytes.
constexpr uint64_t kReorderLengths = 4;
constexpr uint64_t kReorder = 512ull << 10;
// A rest of a file up to this many blocks is not worth a request of its own.
constexpr uint64_t kTailBlocks = 4;

uint64_t RoundDown(uint64_t value, uint64_t unit) { return value - value % unit; }
uint64_t RoundUp(uint64_t value, uint64_t unit) { return RoundDown(value + unit - 1, unit); }

bool FollowsOn(ByteRange read, const ReadPattern& pattern) {
  const uint64_t apart = std::max(kReorder, kReorderLengths * read.length());
  return read.begin <= pattern.next_offset + apart && read.begin + apart >= pattern.next_offset;
}

/// Fills the window from `reached` on.
ByteRange Refill(ByteRange read, uint64_t reached, uint64_t base_limit, const ReadTuning& tuning,
                 ReadPattern& pattern) {
  uint64_t target = read.end + pattern.window;
  if (pattern.window >= tuning.fetch_part) target = RoundUp(target, tuning.fetch_part);
  target = std::min(target, base_limit);
  if (target <= reached) return {reached, reached};
  pattern.ahead_end = target;
  return {reached, target};
}

ByteRange WindowAhead(ByteRange read, uint64_t from, uint64_t base_limit, const ReadTuning& tuning,
                      ReadPattern& pattern) {
  const uint64_t reached = std::max(pattern.ahead_end, from);
  if (pattern.window == 0) {
    pattern.window =
        std::min(std::max(tuning.fetch_part / 2, tuning.fetch_block), tuning.read_ahead_max);
  } else {
    if (reached >= base_limit) return {from, from};
    const bool grows = read.end >= pattern.grows_at && pattern.window < tuning.read_ahead_max;
    const uint64_t left = reached - std::min(reached, read.end);
    const uint64_t used = pattern.window - std::min(pattern.window, left);
    if (!grows && used < std::min(tuning.fetch_part, pattern.window / 2)) return {from, from};
    if (!grows) return Refill(read, reached, base_limit, tuning, pattern);
    pattern.window = std::min(pattern.window * 2, tuning.read_ahead_max);
  }
  pattern.grows_at = read.end + pattern.window / 2;
  return Refill(read, reached, base_limit, tuning, pattern);
}

}  // namespace

ReadDecision DecideRead(ByteRange read, uint64_t base_limit, const ReadTuning& tuning,
                        ReadPattern& pattern) {
  const uint64_t block = std::max<uint64_t>(tuning.fetch_block, 1);
  const auto within = [&](uint64_t offset) {
    return std::max(std::min(offset, base_limit), read.end);
  };
  ReadDecision decision;

  if (!FollowsOn(read, pattern)) {
    pattern = ReadPattern{};
    pattern.next_offset = read.end;
    decision.urgent = {RoundDown(read.begin, block), within(RoundUp(read.end, block))};
    decision.ahead = {decision.urgent.end, decision.urgent.end};
    return decision;
  }

  const bool progress = read.end > pattern.next_offset;
  pattern.next_offset = std::max(pattern.next_offset, read.end);
  if (progress) ++pattern.sequential_reads;
  uint64_t urgent_end = within(RoundUp(read.end, block) + block);
  if (urgent_end < base_limit && base_limit - urgent_end <= kTailBlocks * block) {
    urgent_end = base_limit;
  }
  decision.urgent = {RoundDown(read.begin, block), urgent_end};
  decision.ahead = {urgent_end, urgent_end};
  if (progress && pattern.sequential_reads >= 2 && tuning.read_ahead_max > 0) {
    decision.ahead = WindowAhead(read, urgent_end, base_limit, tuning, pattern);
  }
  return decision;
}

std::vector<PlannedFetch> PlanFetches(const std::vector<ByteRange>& missing, uint64_t merge_gap,
                                      uint64_t piece) {
  std::vector<PlannedFetch> out;
  for (ByteRange range : missing) {
    while (!range.empty()) {
      const ByteRange cut{range.begin, std::min(range.end, RoundDown(range.begin, piece) + piece)};
      const bool same_piece = !out.empty() && out.back().range.begin / piece == cut.begin / piece;
      if (same_piece && cut.begin - out.back().range.end <= merge_gap) {
        out.back().range.end = cut.end;
        out.back().wanted.push_back(cut);
      } else {
        out.push_back({cut, {cut}});
      }
      range.begin = cut.end;
    }
  }
  return out;
}

}  // namespace quayfs
