// SPDX-License-Identifier: Apache-2.0
//
// Asking a running daemon (control_protocol.h).

#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "fs/program/control_server.h"
#include "fs/program/mount_table.h"

namespace quayfs::program {

/// One connection, one command. Thread-compatible; blocks.
class ControlClient {
 public:
  /// kNotFound: nobody listens there. kPermissionDenied: somebody else's.
  static Result<ControlClient> Connect(const std::string& socket_path);
  /// The socket of a mount, wherever its owner has it.
  static Result<ControlClient> ConnectTo(const MountEntry& mount);

  /// The socket of what is, or was, mounted there by this user.
  static Result<ControlClient> ConnectTo(const std::string& mount_point);

  /// Of the daemon, by the kernel's word.
  pid_t pid() const { return pid_; }

  /// What `quayfs status --json` prints of one mount.
  Result<nlohmann::json> AskStatus();
  /// In Prometheus' text format.
  Result<std::string> AskMetrics();
  /// Sets the log's level, unless `level` is empty; returns the one in effect.
  Result<std::string> AskLogLevel(const std::string& level);
  /// As in known_uploads.h.
  Result<nlohmann::json> AskUploads();
  /// Gets how far it is several times a second; false: it has been enough (kCancelled).
  using OnProgress = std::function<bool(const SyncProgress&)>;
  /// Returns when everything is in the bucket, or with the daemon's error.
  Status AskSync(const OnProgress& on_progress);
  /// Brings files into the cache, or drops them from it; the result has their number and size.
  Result<nlohmann::json> AskWalk(const WalkRequest& request, const OnProgress& on_progress);
  /// Calls `begun` once the daemon is sure to report its end here, then waits for that. OK:
  /// everything is in the bucket. An error of `begun` is returned at once.
  Status AskWait(const std::function<Status()>& begun, const OnProgress& on_progress);
  /// The daemon ends at once; returns what is not in the bucket.
  Result<SyncProgress> AskEnd();

 private:
  ControlClient(UniqueFd fd, pid_t pid) : fd_(std::move(fd)), pid_(pid) {}
  Result<nlohmann::json> Ask(const std::string& command,
                             const std::function<Status(const SyncProgress&)>& on_progress);
  /// `request` has what the command needs besides.
  Result<nlohmann::json> AskWith(const std::string& command, nlohmann::json request,
                                 const std::function<Status(const SyncProgress&)>& on_progress);

  UniqueFd fd_;
  pid_t pid_ = 0;
};

}  // namespace quayfs::program
