// SPDX-License-Identifier: Apache-2.0
//
// What goes over a mount's control socket: JSON objects, one a line.
//
//   status   <- {"quayfs":1,"reply":"status","status":{...}}
//   uploads  <- {"quayfs":1,"reply":"uploads","uploads":{...}}: known_uploads.h
//   metrics  <- {"quayfs":1,"reply":"metrics","text":"..."}: metrics.h
//   log-level, with "level":"debug" or without <- {"quayfs":1,"reply":"log-level","level":"debug"}
//   sync     <- progress, any number of times; done when everything is in the bucket
//   prefetch, evict, with "inodes":[...] <- progress; done with "files" and "bytes"
//   wait     <- progress, the first at once; done when the daemon ends with everything in the
//   bucket end      <- {"quayfs":1,"reply":"ending","files":3,"bytes":4096,...}, and the daemon
//   ends without
//               what is not in the bucket
//
//   request  -> {"quayfs":1,"command":"status"}
//   progress <- {"quayfs":1,"reply":"progress","files":3,"bytes":4096,"removals":0,"sent":123,
//               "away":false}: fs/program/progress.h
//   done     <- {"quayfs":1,"reply":"done"}
//   any      <- {"quayfs":1,"reply":"error","code":"unavailable","message":"..."}
//
// One command per connection; the connection is closed after the last reply. A number at "quayfs"
// that is not ours is refused.

#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace quayfs::program {

inline constexpr int kControlVersion = 1;
inline constexpr std::string_view kControlSocketSuffix = ".sock";
inline constexpr size_t kControlLineMax = 256 << 10;  // bytes

/// Where the sockets of a user's mounts lie: /run/quayfs for root, $XDG_RUNTIME_DIR/quayfs or
/// /run/user/UID/quayfs for others, and where that does not exist a directory below /tmp that is
/// checked to be the user's own.
std::string ControlDirectory(uid_t uid);

/// The socket's name for a mount point: readable, unique, without '/'.
std::string ControlSocketName(std::string_view mount_point);

/// The directory, made if `create`, and checked: it belongs to `uid` (or root) and nobody else may
/// write to it.
Result<std::string> PrepareControlDirectory(uid_t uid, bool create);

/// Takes lines off a stream of bytes.
class LineBuffer {
 public:
  void Append(std::string_view bytes) { bytes_ += bytes; }
  /// The next whole line without its end; nothing if there is none yet.
  std::optional<std::string> Take();
  bool too_long() const { return bytes_.size() > kControlLineMax; }

 private:
  std::string bytes_;
};

}  // namespace quayfs::program
