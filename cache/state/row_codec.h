// SPDX-License-Identifier: Apache-2.0
//
// How properties and lists of ranges lie in a column. Each begins with a byte that names the
// encoding; an unknown one, or anything that does not decode to the last byte, is kCorrupt.
// Numbers are LEB128 (7 bits a byte, the low ones first, the high bit says that more follow);
// strings are a length and bytes.

#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/byte_range.h"
#include "base/result.h"
#include "cache/state/state_db.h"
#include "providers/object_store.h"

namespace quayfs {

/// Nothing for properties that are all empty.
std::optional<std::string> EncodeProperties(const ObjectProperties& properties);
Result<ObjectProperties> DecodeProperties(std::string_view encoded);

/// REQUIRES: SortedAndApart(ranges).
std::string EncodeRanges(const std::vector<ByteRange>& ranges);
Result<std::vector<ByteRange>> DecodeRanges(std::string_view encoded);

/// REQUIRES: in order, each block once.
std::string EncodeSums(const std::vector<BlockSum>& sums);
Result<std::vector<BlockSum>> DecodeSums(std::string_view encoded);

/// None empty, in order, none overlapping.
bool SortedAndApart(const std::vector<ByteRange>& ranges);

}  // namespace quayfs
