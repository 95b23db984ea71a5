// SPDX-License-Identifier: Apache-2.0
//
// How --help looks: everything within the 80 columns and 24 lines of a plain terminal.

#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace quayfs::program {

inline constexpr size_t kHelpWidth = 79;

class HelpFormatter final : public CLI::Formatter {
 public:
  std::string make_help(const CLI::App* app, std::string name,
                        CLI::AppFormatMode mode) const override;
};

/// Gives a command its examples, shown below its options; each a command line of its own.
void SetExamples(CLI::App* command, const std::vector<std::string>& examples);

}  // namespace quayfs::program
