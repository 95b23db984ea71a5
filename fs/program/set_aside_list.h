// SPDX-License-Identifier: Apache-2.0
//
// What lies in the cache directory for people to look at (cache/left_files.h).

#pragma once

#include <vector>

#include "base/disk.h"
#include "cache/state/state_db.h"
#include "fs/program/status_report.h"

namespace quayfs::program {

/// What the database notes and the disk still has: whoever removes such a file has dealt with it.
std::vector<SetAside> ListSetAside(StateDb& state, Disk& disk);

}  // namespace quayfs::program
