// SPDX-License-Identifier: Apache-2.0
//
// C3: what sealed bytes were before they were changed in place. A file that is synced locally and
// then written again must be had back as it was synced if the power fails before the bucket or
// another seal has it; so the bytes are put beside it first, in data/XX/INODE.sealed.
//
// The file is a log: a record is a header of 40 bytes, all numbers little-endian, and the bytes.
//
//   0   magic "quaykept"     8   the seal's generation     16  where the bytes belong
//   24  how many they are    32  CRC32C of the header up to here, then the bytes
//   36  0
//
// The first record that is not whole ends the log: its bytes had not been changed yet. Of two
// records with the same byte the earlier one counts. Records of other generations mean nothing.

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/byte_range.h"
#include "base/disk.h"
#include "base/result.h"

namespace quayfs {

std::string KeptFile(const std::string& directory, uint64_t inode);

/// Puts `ranges` of `data` (shorter than that: zeros) behind what the log holds of `generation`.
/// When it returns they are there for good. `end` is where that is, 0 to begin anew, absent to have
/// it found out; it is absent after a failure.
Status KeepBytes(Disk& disk, const std::string& directory, uint64_t inode, uint64_t generation,
                 const DiskFile& data, const std::vector<ByteRange>& ranges,
                 std::optional<uint64_t>* end);

/// Which bytes the log has of `generation`; empty if there is none.
Result<ExtentSet> KeptRanges(Disk& disk, const std::string& directory, uint64_t inode,
                             uint64_t generation);

/// Writes those of them that lie in `wanted` back to their places in `data`, which is not flushed.
Status RestoreKept(Disk& disk, const std::string& directory, uint64_t inode, uint64_t generation,
                   const ExtentSet& wanted, DiskFile& data);

}  // namespace quayfs
