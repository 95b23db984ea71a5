// SPDX-License-Identifier: Apache-2.0

#include "fs/program/completions.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <utility>

namespace quayfs::program {
namespace {

// What the names of mount configs and mount points are found by, in any of the shells.
constexpr std::string_view kConfigsScript =
    "for file in /etc/quayfs/*.toml \"${XDG_CONFIG_HOME:-$HOME/.config}\"/quayfs/*.toml; do "
    "[ -e \"$file\" ] && basename \"$file\" .toml; done";
constexpr std::string_view kMountsScript =
    "while read -r _ point type _; do [ \"$type\" = fuse.quayfs ] && printf \"%b\\n\" \"$point\"; "
    "done </proc/mounts";

std::string FirstLine(const std::string& text) {
  return text.substr(0, std::min(text.find('\n'), text.size()));
}

void Describe(const CLI::App& app, const std::string& path, std::vector<CommandShape>* commands) {
  CommandShape shape;
  shape.path = path;
  shape.help = FirstLine(app.get_description());
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_positional()) {
      shape.positionals.push_back(option->get_name(true));
      continue;
    }
    FlagShape flag;
    if (!option->get_snames().empty()) flag.short_name = option->get_snames().front();
    if (!option->get_lnames().empty()) flag.long_name = option->get_lnames().front();
    flag.help = FirstLine(option->get_description());
    flag.takes_value = option->get_items_expected_max() > 0;
    shape.flags.push_back(std::move(flag));
  }
  const auto below = app.get_subcommands([](const CLI::App* /*each*/) { return true; });
  for (const CLI::App* each : below) {
    shape.commands.push_back(each->get_name());
    for (const std::string& alias : each->get_aliases()) shape.commands.push_back(alias);
  }
  commands->push_back(std::move(shape));
  for (const CLI::App* each : below) {
    std::vector<std::string> names = each->get_aliases();
    names.insert(names.begin(), each->get_name());
    for (const std::string& name : names)
      Describe(*each, path.empty() ? name : fmt::format("{} {}", path, name), commands);
  }
}

bool Takes(const CommandShape& command, std::string_view positional) {
  return std::find(command.positionals.begin(), command.positionals.end(), positional) !=
         command.positionals.end();
}
bool TakesPath(const CommandShape& command) {
  return std::any_of(
      command.positionals.begin(), command.positionals.end(),
      [](const std::string& each) { return each != "NAME" && each != "SHELL" && each != "LEVEL"; });
}

/// In single quotes, for any of the shells.
std::string Quoted(std::string_view text) {
  std::string quoted = "'";
  for (const char c : text) {
    if (c == '\'') {
      quoted += "'\\''";
    } else {
      quoted += c;
    }
  }
  return quoted + "'";
}

/// fish takes \' inside of quotes and not the trick above.
std::string FishQuoted(std::string_view text) {
  std::string quoted = "'";
  for (const char c : text) {
    if (c == '\'' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + "'";
}

/// "'config' | 'config check'": the words that are commands, after those before them.
std::string Paths(const std::vector<CommandShape>& commands) {
  std::string paths;
  for (const CommandShape& command : commands) {
    if (command.path.empty()) continue;
    paths += (paths.empty() ? "" : " | ") + Quoted(" " + command.path);
  }
  return paths;
}

std::string AllWords(const CommandShape& command) {
  std::string words;
  for (const std::string& below : command.commands) words += (words.empty() ? "" : " ") + below;
  for (const FlagShape& flag : command.flags) {
    if (!flag.long_name.empty()) words += (words.empty() ? "--" : " --") + flag.long_name;
  }
  return words;
}

std::string MakeBash(const std::vector<CommandShape>& commands) {
  std::string text = fmt::format(
      "# bash completion for quayfs(1), made by: quayfs completions bash\n\n"
      "_quayfs() {{\n"
      "  local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD - 1]}}\n"
      "  local at='' words='' files='' word\n"
      "  COMPREPLY=()\n"
      "  for word in \"${{COMP_WORDS[@]:1:COMP_CWORD-1}}\"; do\n"
      "    case \"$at $word\" in\n"
      "      {}) at+=\" $word\" ;;\n"
      "    esac\n"
      "  done\n"
      "  case $at in\n",
      Paths(commands));
  for (const CommandShape& command : commands) {
    const std::string path = command.path.empty() ? "" : " " + command.path;
    std::string valued;
    for (const FlagShape& flag : command.flags) {
      if (!flag.takes_value) continue;
      if (!flag.short_name.empty()) valued += (valued.empty() ? "-" : " | -") + flag.short_name;
      if (!flag.long_name.empty()) valued += (valued.empty() ? "--" : " | --") + flag.long_name;
    }
    text += fmt::format("    {})\n      words={}\n", Quoted(path), Quoted(AllWords(command)));
    if (TakesPath(command)) text += "      files=1\n";
    if (Takes(command, "CONFIG")) text += fmt::format("      words+=\" $({})\"\n", kConfigsScript);
    if (Takes(command, "MOUNT_POINT") || Takes(command, "PATH"))
      text += fmt::format("      words+=\" $({})\"\n", kMountsScript);
    if (!valued.empty())
      text += fmt::format("      case $prev in {}) words='' files=1 ;; esac\n", valued);
    text += "      ;;\n";
  }
  return text +
         "  esac\n"
         "  mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n"
         "  [[ -z $files ]] || compopt -o default\n"
         "}\n"
         "complete -F _quayfs quayfs\n";
}

/// "--watch:Again ..." as _describe takes it.
std::string Described(const std::string& word, const std::string& help) {
  std::string text;
  for (const char c : word) text += c == ':' ? std::string("\\:") : std::string(1, c);
  return Quoted(text + ":" + help);
}

std::string MakeZsh(const std::vector<CommandShape>& commands) {
  std::string text = fmt::format(
      "#compdef quayfs\n"
      "# zsh completion for quayfs(1), made by: quayfs completions zsh\n\n"
      "_quayfs() {{\n"
      "  local at='' word file point type\n"
      "  local -a found names\n"
      "  for word in ${{words[2,CURRENT-1]}}; do\n"
      "    case \"$at $word\" in\n"
      "      ({}) at+=\" $word\" ;;\n"
      "    esac\n"
      "  done\n"
      "  case $at in\n",
      Paths(commands));
  for (const CommandShape& command : commands) {
    text += fmt::format("    ({})\n      found=(",
                        Quoted(command.path.empty() ? "" : " " + command.path));
    for (const std::string& below : command.commands) {
      const std::string path = command.path.empty() ? below : command.path + " " + below;
      const auto shape = std::find_if(commands.begin(), commands.end(),
                                      [&](const CommandShape& each) { return each.path == path; });
      text += "\n        " + Described(below, shape->help);
    }
    for (const FlagShape& flag : command.flags) {
      if (!flag.long_name.empty())
        text += "\n        " + Described("--" + flag.long_name, flag.help);
    }
    text += ")\n      _describe word found\n";
    if (Takes(command, "CONFIG"))
      text += fmt::format("      names=(${{(f)\"$(sh -c {})\"}}) && compadd -a names\n",
                          Quoted(kConfigsScript));
    if (Takes(command, "MOUNT_POINT") || Takes(command, "PATH"))
      text += fmt::format("      names=(${{(f)\"$(sh -c {})\"}}) && compadd -a names\n",
                          Quoted(kMountsScript));
    if (TakesPath(command)) text += "      _files\n";
    text += "      ;;\n";
  }
  return text + "  esac\n}\n\n_quayfs \"$@\"\n";
}

std::string MakeFish(const std::vector<CommandShape>& commands) {
  std::string known;
  for (const CommandShape& command : commands) {
    if (!command.path.empty()) known += " " + FishQuoted(command.path);
  }
  std::string text = fmt::format(
      "# fish completion for quayfs(1), made by: quayfs completions fish\n\n"
      "function __quayfs_at\n"
      "  set -l at\n"
      "  for word in (commandline -opc)[2..]\n"
      "    contains -- (string join ' ' $at $word){} && set -a at $word\n"
      "  end\n"
      "  test \"$at\" = \"$argv\"\n"
      "end\n\n"
      "function __quayfs_configs\n  sh -c {}\nend\n\n"
      "function __quayfs_mounts\n  sh -c {}\nend\n\n"
      "complete -c quayfs -f\n",
      known, FishQuoted(kConfigsScript), FishQuoted(kMountsScript));
  for (const CommandShape& command : commands) {
    const std::string at =
        fmt::format("complete -c quayfs -n {}", FishQuoted("__quayfs_at " + command.path));
    for (const std::string& below : command.commands) {
      const std::string path = command.path.empty() ? below : command.path + " " + below;
      const auto shape = std::find_if(commands.begin(), commands.end(),
                                      [&](const CommandShape& each) { return each.path == path; });
      text += fmt::format("{} -a {} -d {}\n", at, below, FishQuoted(shape->help));
    }
    for (const FlagShape& flag : command.flags) {
      text += at;
      if (!flag.short_name.empty()) text += " -s " + flag.short_name;
      if (!flag.long_name.empty()) text += " -l " + flag.long_name;
      text += fmt::format("{} -d {}\n", flag.takes_value ? " -r -F" : "", FishQuoted(flag.help));
    }
    if (Takes(command, "CONFIG")) text += at + " -a '(__quayfs_configs)'\n";
    if (Takes(command, "MOUNT_POINT") || Takes(command, "PATH"))
      text += at + " -a '(__quayfs_mounts)'\n";
    if (TakesPath(command)) text += at + " -F\n";
  }
  return text;
}

}  // namespace

std::vector<CommandShape> DescribeCommands(const CLI::App& app) {
  std::vector<CommandShape> commands;
  Describe(app, "", &commands);
  return commands;
}

Result<std::string> MakeCompletions(const std::vector<CommandShape>& commands,
                                    std::string_view shell) {
  if (shell == "bash") return MakeBash(commands);
  if (shell == "zsh") return MakeZsh(commands);
  if (shell == "fish") return MakeFish(commands);
  return Error(Code::kInvalidArgument,
               fmt::format("there are completions for bash, zsh and fish, not for '{}'", shell));
}

}  // namespace quayfs::program
