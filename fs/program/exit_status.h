// SPDX-License-Identifier: Apache-2.0
//
// What the program's exit status says; printed by --help.

#pragma once

namespace quayfs::program {

inline constexpr int kExitOk = 0;
inline constexpr int kExitFailed = 1;  // what was asked for could not be done
inline constexpr int kExitUsage = 2;   // the command line or the mount config is wrong

// `quayfs recover` tells whether something is left.
inline constexpr int kExitLeft = 1;
inline constexpr int kExitRecoverFailed = 2;

// `quayfs check` tells how bad it is.
inline constexpr int kExitWarnings = 1;
inline constexpr int kExitCheckFailed = 2;

}  // namespace quayfs::program
