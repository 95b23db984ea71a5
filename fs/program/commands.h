// SPDX-License-Identifier: Apache-2.0
//
// What the program does, one function per command. Each prints to standard output and error and
// returns the exit status (exit_status.h). None throws.

#pragma once

#include <string>
#include <vector>

namespace quayfs::program {

struct MountRequest {
  std::string config;  // path or name
  std::string mount_point;
  std::vector<std::string> options;  // each as given to one -o
  bool foreground = false;
  std::string log_file;
  /// What mount(8), findmnt(8) and df(1) show; "": the config's name. `mount -a` compares it with
  /// fstab.
  std::string source;
  bool ignore_unknown = false;  // options
};
int RunMount(const MountRequest& request);

struct UnmountRequest {
  std::string mount_point;
  bool force = false;  // although the bucket lacks something
  bool quiet = false;  // no progress
  /// Unmounts now, and the daemon ends: what is not in the bucket waits for the next mount.
  bool no_wait = false;
  /// Takes the mount away now, even if files are open, and leaves the daemon to finish by itself.
  bool lazy = false;
  /// Only clears away what a daemon that is gone has left; all else is left alone.
  bool if_dead = false;
};
int RunUnmount(const UnmountRequest& request);

/// Changes what the kernel refuses at a mount point (ro, noexec, ...), as mount -o remount.
int RunRemount(const std::string& mount_point, const std::vector<std::string>& options);

/// Returns when everything below `path` is in the bucket.
int RunSync(const std::string& path, bool quiet);

struct WarmRequest {
  std::vector<std::string> paths;
  bool evict = false;
  bool json = false;
  bool quiet = false;
};
/// Brings files, and what lies below folders, into the cache; or drops them from there.
int RunWarm(const WarmRequest& request);

struct StatusRequest {
  std::string mount_point;  // "": all mounts
  bool json = false;
  bool watch = false;  // again and again, until it is ended or the mount is gone
};
int RunStatus(const StatusRequest& request);

/// In Prometheus' text format; of all mounts if `mount_point` is empty.
int RunMetrics(const std::string& mount_point);

/// Sets the level of the log, or prints it if `level` is empty.
int RunLogLevel(const std::string& mount_point, const std::string& level);

struct RecoverRequest {
  std::string directory;  // a cache directory
  std::string config;     // path or name; "" for none
  std::string export_to;  // "" for no export
  bool list = false;
  bool json = false;
  bool quiet = false;
};
/// Uploads if there is a config, unless it is to list or to export.
int RunRecover(const RecoverRequest& request);

struct CheckRequest {
  std::string config;
  std::vector<std::string> options;
  bool json = false;
};
int RunCheck(const CheckRequest& request);

struct OrphansRequest {
  std::string config;
  std::vector<std::string> options;
  bool json = false;
  bool abort = false;
  std::string older_than;  // also those that are not known, if they were begun longer ago
};
/// Multipart uploads that nobody has completed.
int RunOrphans(const OrphansRequest& request);

/// `secrets`: also reads secret files, looks at variables and runs commands.
int RunConfigCheck(const std::string& config, const std::vector<std::string>& options, bool secrets,
                   bool json);
int RunConfigShow(const std::string& config, const std::vector<std::string>& options);
int RunConfigOptions();

struct ConfigNewRequest {
  std::string file;  // must not be there yet; readable by its owner only
  std::string from;  // rclone:..., s3fs:..., aws:...; empty: from the options, and on a terminal
                     // from answers to what they do not say
  std::string bucket;
  std::vector<std::string> options;
  std::string secret_file;
};
int RunConfigNew(const ConfigNewRequest& request);

/// All providers if `name` is empty.
int RunProviders(const std::string& name, bool json);

}  // namespace quayfs::program
