// SPDX-License-Identifier: Apache-2.0
//
// A mount config from settings that somebody has chosen. No file is read and no
// request is sent.

#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace quayfs {

struct Settings {
  /// As -o has them, one each: "provider=kodo", "cache.size=5GiB", "ro". Secrets are refused.
  std::vector<std::string> options;
  /// At most one of them: the secret that belongs to the access key, or the file that holds it.
  std::string secret;
  std::string secret_file;
};

/// TOML with these settings and nothing else, in the order of the option table; passes
/// ParseMountConfig. `path`, where it will lie, is for messages. kInvalidArgument says what is
/// wrong or missing, one problem on each line.
Result<std::string> ComposeMountConfig(const Settings& settings, const std::string& path);

}  // namespace quayfs
