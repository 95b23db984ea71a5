// SPDX-License-Identifier: Apache-2.0
//
// How an object is put together when a range of another one is copied into it. Pure.

#pragma once

#include <cstdint>
#include <vector>

#include "base/byte_range.h"
#include "fs/file_system.h"

namespace quayfs {

struct RangePart {
  enum Kind {
    kTarget,   // the same range of what the object was
    kSource,   // of the other one
    kFetched,  // of both; too small for a copy: fetched and sent
  };
  ByteRange range;  // of the new object
  Kind kind = kTarget;
  friend bool operator==(const RangePart&, const RangePart&) = default;
};

/// In order, together exactly the new object of `target_size` bytes, or as many as the copied range
/// reaches to. No part but the last is smaller than `part_min`, and no copy is. REQUIRES:
/// request.offset <= target_size; request.length >= 2 * part_min.
std::vector<RangePart> PlanRanges(uint64_t target_size, const CopyRequest& request,
                                  uint64_t part_min, uint64_t parts_max);

}  // namespace quayfs
