// SPDX-License-Identifier: Apache-2.0
//
// Putting a data file where people find it and nothing else touches it: set-aside/INODE-TIME in the
// cache directory.

#pragma once

#include <cstdint>
#include <string>

#include "base/clock.h"
#include "base/disk.h"
#include "base/result.h"

namespace quayfs {

/// Gives the data file of `inode` a second name there, and returns it. It is there to stay when
/// this returns; what is left to do is to remove the first name, once it is noted where the second
/// is.
Result<std::string> LinkAside(const std::string& directory, uint64_t inode, WallTime now,
                              Disk& disk);
/// The same with a copy, without the holes. On failure nothing is left of it.
Result<std::string> CopyAside(const std::string& directory, uint64_t inode, WallTime now,
                              Disk& disk);

}  // namespace quayfs
