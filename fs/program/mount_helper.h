// SPDX-License-Identifier: Apache-2.0
//
// The program under the names that mount(8) and umount(8) call: /sbin/mount.quayfs,
// mount.fuse.quayfs, umount.quayfs and umount.fuse.quayfs are links to it. The arguments and exit
// statuses are those that mount(8), section "EXTERNAL HELPERS", documents.
//
//   mount.quayfs SOURCE MOUNT_POINT [-sfnv] [-N NAMESPACE] [-o OPTION,...] [-t TYPE]
//   umount.quayfs MOUNT_POINT [-flnrv] [-N NAMESPACE] [-t TYPE]

#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace quayfs::program {

enum class Helper { kNone, kMount, kUnmount };

/// By the last part of the path that the program was called by.
Helper HelperNamed(std::string_view argv0);

/// Why a helper ended; mount(8), "EXIT STATUS".
inline constexpr int kHelperUsage = 1;
inline constexpr int kHelperFailed = 32;

struct MountHelperCall {
  std::string source;
  std::string mount_point;
  std::vector<std::string> options;  // split, in order
  bool sloppy = false;               // -s: unknown options are no mistake
  bool fake = false;                 // -f: do everything but the mount
  bool remount = false;
};

struct UnmountHelperCall {
  std::string mount_point;
  bool lazy = false;
  bool force = false;
  bool no_wait = false;
  bool quiet = false;
};

/// What words after argv[0] ask for; `problem` is not empty where they cannot be understood.
MountHelperCall ParseMountCall(const std::vector<std::string>& words, std::string* problem);
UnmountHelperCall ParseUnmountCall(const std::vector<std::string>& words, std::string* problem);

/// `words` with argv[0]. Returns the exit status.
int RunHelper(Helper helper, const std::vector<std::string>& words);

}  // namespace quayfs::program
