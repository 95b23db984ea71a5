// SPDX-License-Identifier: Apache-2.0

#include "fs/program/help_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include "base/text.h"

namespace quayfs::program {
namespace {

constexpr size_t kNamesMax = 24;  // columns of what stands left of an explanation

/// `text` in lines that end before kHelpWidth; those after the first are indented.
std::string Wrapped(std::string_view text, size_t column, size_t indent) {
  std::string out;
  for (const std::string_view word : Split(text, ' ')) {
    const bool begins = out.empty();
    if (!begins && column + 1 + word.size() > kHelpWidth) {
      out += '\n' + std::string(indent, ' ');
      column = indent;
    } else if (!begins) {
      out += ' ';
      ++column;
    }
    out += word;
    column += word.size();
  }
  return out;
}

using Row = std::pair<std::string, std::string>;  // names, explanation

std::string Rows(const std::vector<Row>& rows) {
  size_t width = 0;
  for (const auto& [names, help] : rows) {
    if (names.size() <= kNamesMax) width = std::max(width, names.size());
  }
  std::string out;
  for (const auto& [names, help] : rows) {
    const size_t indent = width + 4;
    out += "  " + names;
    if (!help.empty()) {
      out += names.size() > width ? "\n" + std::string(indent, ' ')
                                  : std::string(indent - 2 - names.size(), ' ');
      out += Wrapped(help, indent, indent);
    }
    out += '\n';
  }
  return out;
}

std::string NamesOf(const CLI::Option& option) {
  if (option.get_positional()) return option.get_name(true);
  std::string names;
  for (const std::string& name : option.get_snames()) names += (names.empty() ? "-" : ", -") + name;
  for (const std::string& name : option.get_lnames())
    names += (names.empty() ? "--" : ", --") + name;
  if (option.get_items_expected_max() > 0) names += " " + option.get_type_name();
  return names;
}

std::string Usage(const CLI::App& app, const std::string& path) {
  std::string usage = "usage: " + path;
  if (app.get_options([](const CLI::Option* each) { return each->nonpositional(); }).size() > 1)
    usage += " [OPTION...]";
  if (!app.get_subcommands([](const CLI::App*) { return true; }).empty()) usage += " COMMAND ...";
  for (const CLI::Option* option : app.get_options()) {
    if (!option->get_positional()) continue;
    const std::string name =
        option->get_name(true) + (option->get_items_expected_max() > 1 ? "..." : "");
    usage += option->get_required() ? " " + name : " [" + name + "]";
  }
  return usage + "\n";
}

std::string PathOf(const CLI::App& app) {
  const CLI::App* const parent = app.get_parent();
  return parent == nullptr ? app.get_name() : PathOf(*parent) + " " + app.get_name();
}

std::string Paragraphs(const std::string& text) {
  std::string out;
  for (const std::string_view line : Split(text, '\n')) out += Wrapped(line, 0, 0) + '\n';
  return out;
}

}  // namespace

std::string HelpFormatter::make_help(const CLI::App* app, std::string /*name*/,
                                     CLI::AppFormatMode /*mode*/) const {
  std::string out = Usage(*app, PathOf(*app)) + Paragraphs(app->get_description());
  std::vector<Row> commands;
  for (const CLI::App* each : app->get_subcommands([](const CLI::App*) { return true; })) {
    std::string names = each->get_name();
    for (const std::string& alias : each->get_aliases()) names += ", " + alias;
    commands.emplace_back(names, each->get_description());
  }
  if (!commands.empty()) out += '\n' + Rows(commands);
  std::vector<Row> options;
  for (const bool positional : {true, false}) {
    for (const CLI::Option* option : app->get_options()) {
      if (option->get_positional() == positional && !option->get_description().empty())
        options.emplace_back(NamesOf(*option), option->get_description());
    }
  }
  if (!options.empty()) out += '\n' + Rows(options);
  if (!app->get_footer().empty()) out += '\n' + app->get_footer() + '\n';
  return out;
}

void SetExamples(CLI::App* command, const std::vector<std::string>& examples) {
  std::string text = examples.size() == 1 ? "Example:" : "Examples:";
  for (const std::string& each : examples) text += "\n  " + each;
  command->footer(text);
}

}  // namespace quayfs::program
