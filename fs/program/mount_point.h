// SPDX-License-Identifier: Apache-2.0
//
// Whether something can be mounted at a path, and how to take it away again.

#pragma once

#include <string>

#include "base/result.h"

namespace quayfs::program {

/// An absolute path without symbolic links, without touching what is mounted there if it is a mount
/// point already (its daemon may hang). Errors are for a person.
Result<std::string> ResolveMountPoint(const std::string& path);

struct PreparedMountPoint {
  std::string path;  // resolved
  std::string note;  // what had to be done, for a person; "" for nothing
};

/// Checks a mount point before anything else is started: kNotFound, kNotDirectory, kBusy ("already
/// mounted"), kPermissionDenied; the message is for a person. Takes away what a dead daemon of
/// quayfs has left there.
Result<PreparedMountPoint> PrepareMountPoint(const std::string& path);

/// True if a FUSE file system is mounted at `path` and its daemon is gone. Waits for a daemon that
/// is there and does not answer.
bool IsDeadMount(const std::string& path);

/// umount2(2), or fusermount3 for somebody who is not root. kBusy: in use (never when `lazy`).
Status Unmount(const std::string& mount_point, bool lazy);

}  // namespace quayfs::program
