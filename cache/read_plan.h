// SPDX-License-Identifier: Apache-2.0
//
// What to fetch for a read, and how far ahead of it. Pure.

#pragma once

#include <cstdint>
#include <vector>

#include "base/byte_range.h"
#include "cache/file_data.h"

namespace quayfs {

struct ReadTuning {
  uint64_t fetch_block = 128ull << 10;    // bytes; random reads fetch whole blocks
  uint64_t fetch_part = 8ull << 20;       // bytes of one GET of read-ahead
  uint64_t read_ahead_max = 64ull << 20;  // bytes, per handle
};

struct ReadDecision {
  /// Holds the bytes that were asked for; what of it is missing is fetched by itself, first.
  ByteRange urgent;
  /// Begins where `urgent` ends, or later; fetched in parallel GETs of fetch_part. May be empty.
  ByteRange ahead;
};

/// Decides for a read of `read` (not empty, within the file) and notes it in `pattern`.
///
/// - A read that does not go on near where the last one ended (the kernel reorders what it reads
///   ahead) fetches the blocks it touches.
/// - One that does, or begins a file, fetches what it asks for and one block more; a short rest of
/// the file comes along.
/// - From the second in a row on, a window ahead of the reader is kept filled. It starts at half of
///   fetch_part, doubles whenever the reader has used half of it, and is otherwise refilled as soon
///   as a whole fetch_part is missing from it.
ReadDecision DecideRead(ByteRange read, uint64_t base_limit, const ReadTuning& tuning,
                        ReadPattern& pattern);

/// Cuts `missing` (ascending, disjoint) into requests. Ranges with no more than `merge_gap` between
/// them share a request, unless a multiple of `piece` lies between: no request crosses one. Each
/// result spans from its first to its last wanted byte.
struct PlannedFetch {
  ByteRange range;
  std::vector<ByteRange> wanted;
};
std::vector<PlannedFetch> PlanFetches(const std::vector<ByteRange>& missing, uint64_t merge_gap,
                                      uint64_t piece);

}  // namespace quayfs
