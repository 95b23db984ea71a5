// SPDX-License-Identifier: Apache-2.0
//
// What the program says of itself: each command's --help fits a terminal and has an example, and
// whatever the manual and the guides tell people to type are commands and options that there are.

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "tests/mount/program.h"

namespace quayfs::mounttest {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

constexpr size_t kColumns = 80;
constexpr size_t kLines = 24;

std::vector<std::string> LinesOf(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

std::vector<std::string> WordsOf(const std::string& text) {
  std::vector<std::string> words;
  std::istringstream stream(text);
  for (std::string word; stream >> word;) words.push_back(word);
  return words;
}

/// By command ("", "status", "config check", ...): the words that may follow, as completions have
/// them, which are made of the command line's own table.
using Commands = std::map<std::string, std::set<std::string>>;

const Commands& AllCommands() {
  static const auto* const commands = [] {
    auto* const all = new Commands;
    const std::string text = RunQuayfs({"completions", "bash"}).out;
    const std::regex shape(R"(\n    '( ?[a-z -]*)'\)\n      words='([^']*)')");
    for (std::sregex_iterator it(text.begin(), text.end(), shape), end; it != end; ++it) {
      const std::string path = it->str(1).empty() ? "" : it->str(1).substr(1);
      for (const std::string& word : WordsOf(it->str(2))) (*all)[path].insert(word);
    }
    // Short names are on the help pages only.
    for (auto& [path, words] : *all) {
      std::vector<std::string> line = WordsOf(path);
      line.push_back("--help");
      const std::string help = RunQuayfs(line).out;
      const std::regex short_name(R"(\n  (-[a-zA-Z])[ ,])");
      for (std::sregex_iterator it(help.begin(), help.end(), short_name), end; it != end; ++it)
        words.insert(it->str(1));
    }
    return all;
  }();
  return *commands;
}

/// Why nobody could type this; "" if they can. `line` begins behind "quayfs".
std::string WhatIsWrong(const std::string& line) {
  std::string path;
  for (std::string word : WordsOf(line)) {
    if (word.find_first_of("|>;&#") == 0) break;
    const std::string below = path.empty() ? word : fmt::format("{} {}", path, word);
    if (AllCommands().contains(below)) {
      path = below;
      continue;
    }
    if (path.empty() && word[0] != '-') return "there is no command '" + word + "'";
    if (path == "config" && word[0] != '-') return "there is no command 'config " + word + "'";
    if (word[0] != '-' || word == "-") continue;
    word.resize(std::min(word.find('='), word.size()));
    if (!AllCommands().at(path).contains(word))
      return fmt::format("'quayfs {}' has no option '{}'", path, word);
  }
  return path.empty() && !line.empty() && line.find("--") == std::string::npos ? "no command" : "";
}

/// Commands at the beginning of lines, after prompts and sudo, of the parts that are shown as they
/// would be typed.
std::vector<std::string> TypedIn(const std::string& text) {
  std::vector<std::string> typed;
  const std::regex shape(R"(^\s*(?:[#$] )?(?:sudo )?quayfs ([a-z-].*)$)");
  bool shown = false;
  for (std::string line : LinesOf(text)) {
    if (line.starts_with("```") || line == ".EX" || line == ".EE") {
      shown = !shown;
      continue;
    }
    line = std::regex_replace(line, std::regex(R"(\\-)"), "-");
    std::smatch found;
    if (shown && std::regex_match(line, found, shape)) typed.push_back(found[1]);
  }
  return typed;
}

TEST(Help, EachCommandFitsAScreenAndHasAnExample) {
  ASSERT_GT(AllCommands().size(), 15U);
  for (const auto& [path, words] : AllCommands()) {
    SCOPED_TRACE("quayfs " + path);
    std::vector<std::string> line = WordsOf(path);
    line.push_back("--help");
    const ProgramResult help = RunQuayfs(line);
    EXPECT_EQ(help.status, 0);
    EXPECT_EQ(help.err, "");
    const std::vector<std::string> lines = LinesOf(help.out);
    EXPECT_LE(lines.size(), kLines) << help.out;
    for (const std::string& each : lines) EXPECT_LT(each.size(), kColumns) << each;
    EXPECT_THAT(help.out, HasSubstr("usage: quayfs"));
    EXPECT_THAT(help.out, HasSubstr("Example"));
    size_t examples = 0;
    for (const std::string& each : lines) {
      if (!each.starts_with("  quayfs ")) continue;
      ++examples;
      EXPECT_EQ(WhatIsWrong(each.substr(9)), "") << each;
    }
    EXPECT_GE(examples, 1U) << help.out;
  }
}

TEST(Help, WhatTheGuidesTellPeopleToTypeThereIs) {
  size_t typed = 0;
  std::vector<std::filesystem::path> pages = {QUAYFS_SOURCE_DIR "/README.md"};
  for (const char* const folder : {"/docs", "/man"}) {
    for (const auto& entry :
         std::filesystem::directory_iterator(std::string(QUAYFS_SOURCE_DIR) + folder))
      pages.push_back(entry.path());
  }
  for (const auto& page : pages) {
    for (const std::string& line : TypedIn(ReadFile(page.string()))) {
      ++typed;
      EXPECT_EQ(WhatIsWrong(line), "") << page << ": quayfs " << line;
    }
  }
  EXPECT_GE(typed, 8U);
  EXPECT_EQ(WhatIsWrong("status --wach"), "'quayfs status' has no option '--wach'");
  EXPECT_EQ(WhatIsWrong("state"), "there is no command 'state'");
}

TEST(Help, TheManualHasEveryCommandAndOption) {
  std::string manual = ReadFile(QUAYFS_SOURCE_DIR "/man/quayfs.1");
  manual = std::regex_replace(manual, std::regex(R"(\\-)"), "-");
  for (const auto& [path, words] : AllCommands()) {
    if (path.starts_with("unmount")) continue;
    EXPECT_THAT(manual, HasSubstr(path));
    for (const std::string& word : words) {
      if (!word.starts_with("--")) continue;
      EXPECT_THAT(manual, HasSubstr(word)) << "quayfs " << path;
    }
  }
}

TEST(Json, ProvidersAreTheSameAsForPeople) {
  const ProgramResult all = RunQuayfs({"providers", "--json"});
  ASSERT_EQ(all.status, 0) << all.err;
  const json list = json::parse(all.out)["providers"];
  const std::string shown = RunQuayfs({"providers"}).out;
  ASSERT_GT(list.size(), 5U);
  for (const json& each : list) EXPECT_THAT(shown, HasSubstr(each["id"].get<std::string>()));
  const json kodo = json::parse(RunQuayfs({"providers", "kodo", "--json"}).out)["providers"];
  ASSERT_EQ(kodo.size(), 1U);
  EXPECT_FALSE(kodo[0]["regions"].empty());
  EXPECT_EQ(RunQuayfs({"providers", "--json", "kodoo"}).status, 1);
}

TEST(Json, ConfigCheckSaysWhatIsWrongInAList) {
  char folder[] = "/tmp/quayfs-help-test.XXXXXX";
  ASSERT_NE(::mkdtemp(folder), nullptr);
  const std::string config = std::string(folder) + "/n.toml";
  WriteFile(config, "bucket = \"b\"\nbukcet = \"c\"\nprovider = 3\n");
  const ProgramResult wrong = RunQuayfs({"config", "check", "--json", config});
  EXPECT_EQ(wrong.status, 2);
  EXPECT_EQ(wrong.err, "");
  const json result = json::parse(wrong.out);
  EXPECT_EQ(result["ok"], false);
  EXPECT_EQ(result["errors"].size(), 2U) << wrong.out;
  WriteFile(config, "provider = \"local\"\nbucket = \"" + std::string(folder) + "\"\n");
  const ProgramResult right = RunQuayfs({"config", "check", "--json", config});
  EXPECT_EQ(right.status, 0);
  EXPECT_EQ(json::parse(right.out), json({{"config", config},
                                          {"ok", true},
                                          {"warnings", json::array()},
                                          {"errors", json::array()}}));
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace quayfs::mounttest
