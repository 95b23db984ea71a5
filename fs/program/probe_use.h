// SPDX-License-Identifier: Apache-2.0
//
// What `quayfs check` has found out about a store, kept for `quayfs mount`
// (providers/probe_memory.h).

#pragma once

#include <optional>
#include <string>

#include "base/clock.h"
#include "providers/config.h"
#include "providers/probe_memory.h"

namespace quayfs::program {

/// Where this user's lasting notes lie: $XDG_STATE_HOME/quayfs, else /var/lib/quayfs for root and
/// ~/.local/state/quayfs for others; "" if there is no home directory.
std::string StateDirectory();

struct ProbeInUse {
  std::optional<RememberedProbe> probe;
  std::string note;  // one line: from where and when, or why there is none and what to do
};

/// Never an error: without a probe the profile decides. Says in the log what it found.
ProbeInUse RecallProbe(const StoreConfig& store, const std::string& config_name, WallTime now);

/// The file it is in. kNotSupported for a store of which nothing has to be known.
Result<std::string> RememberProbe(const StoreConfig& store, const ProbeReport& report,
                                  WallTime now);

}  // namespace quayfs::program
