// SPDX-License-Identifier: Apache-2.0
//
// Completions for shells, made from the same description of the command line that parses it: a
// command or flag cannot be missing. `quayfs completions SHELL` prints them, and an installation
// has them as files.

#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace CLI {
class App;
}

namespace quayfs::program {

struct FlagShape {
  std::string short_name;  // "f" or ""
  std::string long_name;   // "foreground" or ""
  std::string help;        // one line
  bool takes_value = false;
};

/// One command, the program itself included.
struct CommandShape {
  std::string path;  // "" or "config check"
  std::string help;
  std::vector<std::string> commands;     // below it, with aliases
  std::vector<FlagShape> flags;          // with --help
  std::vector<std::string> positionals;  // "CONFIG", "MOUNT_POINT", ...
};

/// The program first, each command before those below it.
std::vector<CommandShape> DescribeCommands(const CLI::App& app);

/// `shell`: bash, zsh or fish; kInvalidArgument.
Result<std::string> MakeCompletions(const std::vector<CommandShape>& commands,
                                    std::string_view shell);

}  // namespace quayfs::program
