// SPDX-License-Identifier: Apache-2.0
//
// The shared files of Amazon's tools: ~/.aws/config ("[profile NAME]", "[default]") and
// ~/.aws/credentials ("[NAME]"), which wins. Pure functions over their text.

#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace quayfs {

/// Settings by lower-case name; nested ones (indented lines) are left out.
using AwsProfile = std::map<std::string, std::string>;

/// The profile `name` of both files; nothing if neither has it.
std::optional<AwsProfile> FindAwsProfile(std::string_view config_file,
                                         std::string_view credentials_file, std::string_view name);

/// A command line as a profile has it (credential_process), split at blanks; double and single
/// quotes keep them. Nothing if a quote is left open.
std::optional<std::vector<std::string>> SplitCommand(std::string_view text);

}  // namespace quayfs
