// SPDX-License-Identifier: Apache-2.0
//
// A mount from its start to its end: opens what the config describes, mounts, serves, and leaves
// only when everything is in the bucket (or cannot be brought there).
//
//   start     store, cache, file system, mount point: the first failure ends it, with one line
//   serving   until umount(8), `quayfs umount`, SIGTERM or SIGINT
//   leaving   on a signal: publish, unmount lazily; in any case: publish what is left, again and
//   again while the store is
//             merely away. A second signal, or `quayfs umount --force`, ends the process at once
//             and says what did not get into the bucket.

#pragma once

#include <functional>
#include <string>

#include "base/result.h"
#include "fs/program/launch.h"
#include "fs/program/service_manager.h"
#include "mount-configs/mount_config.h"

namespace quayfs::program {

struct ServeRequest {
  std::string mount_point;   // resolved
  std::string source;        // MountPlace::source
  bool on_terminal = false;  // standard error is one, and shows how far it is when it ends
  ServiceManager service;    // is told how the daemon is
  // On SIGHUP; either may be empty. Called by threads of the daemon.
  std::function<Result<MountConfig>()> read_again;  // the config, with its secrets
  std::function<Status()> reopen_log;
};

/// Serves `config` and returns the exit status. REQUIRES: the process has no threads yet.
int ServeMount(const MountConfig& config, const ServeRequest& request, Readiness& readiness);

}  // namespace quayfs::program
