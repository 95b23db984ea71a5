// SPDX-License-Identifier: Apache-2.0
//
// Mount configs for people to read.

#pragma once

#include <string>

#include "mount-configs/mount_config.h"

namespace quayfs {

/// The config in effect, defaults included, as TOML. Secrets are masked, or shown as the place they
/// came from. Ends with a newline.
std::string RenderEffectiveConfig(const MountConfig& config);

/// Every option with its default and meaning, for a terminal of 80 columns.
std::string DescribeOptions();

/// The option reference of quayfs.toml(5): man(7) source.
std::string OptionsManSource();

}  // namespace quayfs
