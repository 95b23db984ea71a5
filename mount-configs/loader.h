// SPDX-License-Identifier: Apache-2.0
//
// From a TOML file (and -o options) to a MountConfig. Strict: whatever is not understood is an
// error, and all errors are found in one go. Sends no request; what depends on the vendor (which
// regions and storage classes exist, what else is required) is checked by OpenStore.

#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "mount-configs/mount_config.h"

namespace quayfs {

struct LoadOptions {
  /// What -o gave, one option each: "ro", "cache.size=5GiB". Applied after the file. See
  /// SplitMountOptions.
  std::vector<std::string> mount_options;
  /// Options that nobody knows are a warning (mount -s).
  bool ignore_unknown = false;
  /// False: secrets are checked for form only; no file is read, no variable looked up and no
  /// command run for them.
  bool resolve_secrets = true;
  /// Without resolve_secrets: files with secrets have to be there with the right owner and mode,
  /// and the programs of commands to be there and executable; nothing is read, looked up in the
  /// environment or run. A config that is loaded so holds stand-ins that serve for checks only.
  bool check_secret_sources = false;
  /// Where names are looked up, best first. Empty: ~/.config/quayfs and /etc/quayfs, for root in
  /// the other order.
  std::vector<std::string> config_directories;
  /// Replaces getenv.
  std::function<std::optional<std::string>(const std::string&)> environment;
  /// A command that prints a secret is killed after this long.
  Duration command_timeout = std::chrono::seconds(10);
};

/// Loads a mount config by path (anything with a '/' or ending in ".toml") or by name ("nightly"),
/// or makes one from a bucket's address, PROVIDER://BUCKET[/PREFIX] (local:///DIRECTORY), which has
/// no file: the options say the rest, and the keys come from where they say, such as passwd_file.
/// Errors: kNotFound says where was looked; kPermissionDenied: the file or a file with a secret is
/// open to others, or somebody else's; kInvalidArgument: the file is wrong, one problem on each
/// line of the message, as "FILE:LINE:COLUMN: what". No message and no warning holds a secret.
/// Blocks as long as the commands that it runs.
Result<MountConfig> LoadMountConfig(const std::string& path_or_name, const LoadOptions& options);

/// The same from text; `path` is for messages and relative file names. `readable_by_others` says
/// what the mode of the file allows: a secret in the text is then refused.
Result<MountConfig> ParseMountConfig(std::string_view text, const std::string& path,
                                     bool readable_by_others, const LoadOptions& options);

/// The path that a path or name stands for; the file exists. kNotFound lists where was looked and
/// the nearest name.
Result<std::string> FindMountConfig(const std::string& path_or_name, const LoadOptions& options);

/// "ro,cache.size=5GiB,prefix=a\,b" -> {"ro", "cache.size=5GiB", "prefix=a,b"}: commas separate, a
/// backslash makes the next character ordinary, double quotes keep commas together.
std::vector<std::string> SplitMountOptions(std::string_view text);

}  // namespace quayfs
