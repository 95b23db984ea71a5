// SPDX-License-Identifier: Apache-2.0
//
// What `quayfs check` finds out of an endpoint before it asks for objects: its certificate, its
// clock, and how it answers listings.

#pragma once

#include <vector>

#include "fs/program/store_check.h"
#include "mount-configs/mount_config.h"

namespace quayfs::program {

/// Blocks for as long as it takes, at most a minute. Empty for stores without an endpoint; what
/// cannot be found out is left to the checks that follow.
std::vector<CheckRow> CheckEndpoint(const MountConfig& config);

}  // namespace quayfs::program
