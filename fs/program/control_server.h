// SPDX-License-Identifier: Apache-2.0
//
// The daemon's end of a control socket (control_protocol.h): answers `quayfs status`, `sync` and
// `umount`.
//
// The socket has mode 0600 and lies in a directory of the same kind; besides, the kernel is asked
// who is at the other end, and only root and the daemon's own user are served. Replies are made on
// threads of its own: a sync that takes an hour does not keep `status` waiting. Thread-safe.

#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "base/call.h"
#include "base/result.h"
#include "fs/program/progress.h"

namespace quayfs::program {

/// `run` blocks and returns what the reply holds besides; `progress` may be called by another
/// thread meanwhile.
struct LongWork {
  std::function<Result<nlohmann::json>(const CallOptions& call)> run;
  std::function<SyncProgress()> progress;
};

/// Brings what the inodes hold, and what lies below them, into the cache, or drops it from there
/// (cache_walk.h).
struct WalkRequest {
  std::vector<uint64_t> inodes;
  bool evict = false;
};

/// What the daemon can be asked. Each may be called by several threads at once.
struct ControlHandlers {
  std::function<nlohmann::json()> status;
  std::function<Status(const CallOptions& call)> sync;  // blocks
  std::function<SyncProgress()> progress;               // never blocks
  std::function<std::string()> metrics;                 // never blocks
  /// Sets the log's level if there is a name, and returns the one in effect. kInvalidArgument.
  std::function<Result<std::string>(const std::string& name)> log_level;
  std::function<LongWork(const WalkRequest& request)> walk;  // never blocks
  /// Blocks until the daemon is about to end: OK if everything is in the bucket.
  std::function<Status(const CallOptions& call)> wait;
  /// The ids of the multipart uploads that are the daemon's (known_uploads.h).
  std::function<Result<nlohmann::json>()> uploads;
  /// Ends the process without what is not in the bucket. Called after the reply, and may not
  /// return.
  std::function<void()> end;
};

class ControlServer {
 public:
  virtual ~ControlServer() =
      default;  // stops serving, cancels what is being served, removes the socket

  /// Listens for the mount at `mount_point`. Replaces a socket that nobody listens at; kBusy if
  /// somebody does.
  static Result<std::unique_ptr<ControlServer>> Start(const std::string& mount_point,
                                                      ControlHandlers handlers);
};

}  // namespace quayfs::program
