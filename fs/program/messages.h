// SPDX-License-Identifier: Apache-2.0
//
// Failures in the words of somebody who wants the mount to work: one line that names what to
// change, and in which key of which file.

#pragma once

#include <string>

#include "base/error.h"
#include "mount-configs/mount_config.h"

namespace quayfs::program {

/// A failure of the store at the start of a mount or in a check. Never holds a secret, never a line
/// break.
std::string ExplainStoreError(const Error& error, const MountConfig& config);

/// The same text on one line: line breaks become "; ", other control bytes are dropped.
std::string OneLine(std::string_view text);

}  // namespace quayfs::program
