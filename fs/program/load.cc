// SPDX-License-Identifier: Apache-2.0

#include "fs/program/load.h"

#include <fmt/format.h>

#include <cstdio>
#include <utility>

#include "mount-configs/loader.h"

namespace quayfs::program {

Result<MountConfig> LoadConfig(const std::string& config, const std::vector<std::string>& options,
                               SecretUse secrets, bool ignore_unknown) {
  LoadOptions load;
  load.ignore_unknown = ignore_unknown;
  load.resolve_secrets = secrets == SecretUse::kResolve;
  load.check_secret_sources = secrets == SecretUse::kCheck;
  for (const std::string& text : options) {
    for (std::string& option : SplitMountOptions(text))
      load.mount_options.push_back(std::move(option));
  }
  return LoadMountConfig(config, load);
}

void PrintWarnings(const MountConfig& config) {
  for (const std::string& warning : config.warnings)
    fmt::print(stderr, "quayfs: warning: {}\n", warning);
}

}  // namespace quayfs::program
