// SPDX-License-Identifier: Apache-2.0

#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "mount-configs/mount_config.h"

namespace quayfs::program {

enum class SecretUse {
  kIgnore,   // for showing the config
  kCheck,    // LoadOptions::check_secret_sources
  kResolve,  // read, looked up, run
};

/// The mount config with what -o says on top. Errors as LoadMountConfig's: one problem on each line
/// of the message.
/// `ignore_unknown`: options that nobody knows are a warning.
Result<MountConfig> LoadConfig(const std::string& config, const std::vector<std::string>& options,
                               SecretUse secrets, bool ignore_unknown = false);

/// To standard error, one line each.
void PrintWarnings(const MountConfig& config);

}  // namespace quayfs::program
