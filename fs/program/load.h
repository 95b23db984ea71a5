// SPDX-License-Identifier: Apache-2.0

#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "mount-configs/mount_config.h"

namespace quayfs::program {

/// The mount config with what -o says on top. Errors as LoadMountConfig's: one problem on each line
/// of the message.
Result<MountConfig> LoadConfig(const std::string& config, const std::vector<std::string>& options,
                               bool resolve_secrets);

/// To standard error, one line each.
void PrintWarnings(const MountConfig& config);

}  // namespace quayfs::program
