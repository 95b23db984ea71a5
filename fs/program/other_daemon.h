// SPDX-License-Identifier: Apache-2.0
//
// Other daemons of this user, found by their control sockets: also those that the mount table does
// not show any more, because they have been unmounted and still bring files to the bucket.

#pragma once

#include <sys/types.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/result.h"

namespace quayfs::program {

struct OtherDaemon {
  pid_t pid = 0;
  nlohmann::json status;  // as `quayfs status --json` has it; an object

  std::string mount_point() const;
  bool leaving() const;
};

/// kNotFound if none has its socket for this mount point.
Result<OtherDaemon> FindDaemonOf(const std::string& mount_point);

/// All that answer.
std::vector<OtherDaemon> ListDaemons();

/// Why there is still one although nothing is mounted there, since when, what it waits for, and
/// what to do: one line, for somebody who wants to mount.
std::string WhyStillThere(const OtherDaemon& daemon);

/// Waits until the process has ended; false if it has not within `milliseconds`.
bool WaitForEnd(pid_t pid, int milliseconds);

}  // namespace quayfs::program
