// SPDX-License-Identifier: Apache-2.0

#include "fs/program/completions.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <CLI/CLI.hpp>
#include <algorithm>

namespace quayfs::program {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// A command line with one of everything.
std::vector<CommandShape> Shapes() {
  CLI::App app("About", "quayfs");
  std::string text;
  bool flag = false;
  CLI::App* const mount = app.add_subcommand("mount", "Mount; don't ask");
  mount->add_option("CONFIG", text, "A config")->required();
  mount->add_flag("-f,--foreground", flag, "Stay: here");
  mount->add_option("-o,--options", text, "Options");
  CLI::App* const config = app.add_subcommand("config", "Configs")->alias("cfg");
  config->add_subcommand("check", "Check one")->add_option("CONFIG", text);
  return DescribeCommands(app);
}

TEST(Completions, DescribeEveryCommandAndFlag) {
  const std::vector<CommandShape> shapes = Shapes();
  std::vector<std::string> paths;
  for (const CommandShape& each : shapes) paths.push_back(each.path);
  EXPECT_THAT(paths, ElementsAre("", "mount", "config", "config check", "cfg", "cfg check"));
  EXPECT_THAT(shapes[0].commands, ElementsAre("mount", "config", "cfg"));
  EXPECT_THAT(shapes[1].positionals, ElementsAre("CONFIG"));
  const auto foreground =
      std::find_if(shapes[1].flags.begin(), shapes[1].flags.end(),
                   [](const FlagShape& each) { return each.long_name == "foreground"; });
  ASSERT_NE(foreground, shapes[1].flags.end());
  EXPECT_EQ(foreground->short_name, "f");
  EXPECT_FALSE(foreground->takes_value);
}

TEST(Completions, EveryShellHasEverything) {
  for (const char* shell : {"bash", "zsh", "fish"}) {
    SCOPED_TRACE(shell);
    const auto text = MakeCompletions(Shapes(), shell);
    ASSERT_TRUE(text.ok());
    for (const char* word : {"mount", "config", "check", "foreground", "options", "/etc/quayfs"})
      EXPECT_THAT(*text, HasSubstr(word));
  }
  EXPECT_TRUE(MakeCompletions(Shapes(), "tcsh").Is(Code::kInvalidArgument));
}

}  // namespace
}  // namespace quayfs::program
