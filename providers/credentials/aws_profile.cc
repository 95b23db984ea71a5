// SPDX-License-Identifier: Apache-2.0

#include "providers/credentials/aws_profile.h"

#include "base/text.h"

namespace quayfs {
namespace {

bool IsBlank(char c) { return c == ' ' || c == '\t'; }

/// Without a comment that a blank comes before.
std::string_view WithoutComment(std::string_view value) {
  for (size_t i = 1; i < value.size(); ++i) {
    if ((value[i] == '#' || value[i] == ';') && IsBlank(value[i - 1])) {
      return TrimBlanks(value.substr(0, i));
    }
  }
  return value;
}

/// "[profile x]" or "[x]" to "x"; `with_word`: other sections than [default] need the word.
std::string SectionName(std::string_view line, bool with_word) {
  const size_t close = line.find(']');
  if (close == std::string_view::npos) return "";
  const std::string_view name = TrimBlanks(line.substr(1, close - 1));
  if (!with_word || name == "default") return std::string(name);
  constexpr std::string_view kWord = "profile";
  if (!name.starts_with(kWord) || name.size() <= kWord.size() || !IsBlank(name[kWord.size()])) {
    return "";
  }
  return std::string(TrimBlanks(name.substr(kWord.size())));
}

bool Collect(std::string_view text, bool with_word, std::string_view wanted, AwsProfile* profile) {
  bool found = false;
  bool inside = false;
  for (std::string_view line : Split(text, '\n')) {
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    if (line.empty() || IsBlank(line.front())) continue;  // nested
    if (line.front() == '#' || line.front() == ';') continue;
    if (line.front() == '[') {
      inside = SectionName(line, with_word) == wanted;
      found = found || inside;
      continue;
    }
    const size_t equals = line.find('=');
    if (!inside || equals == std::string_view::npos) continue;
    const std::string name = ToLower(TrimBlanks(line.substr(0, equals)));
    (*profile)[name] = WithoutComment(TrimBlanks(line.substr(equals + 1)));
  }
  return found;
}

}  // namespace

std::optional<AwsProfile> FindAwsProfile(std::string_view config_file,
                                         std::string_view credentials_file, std::string_view name) {
  AwsProfile profile;
  const bool in_config = Collect(config_file, true, name, &profile);
  const bool in_credentials = Collect(credentials_file, false, name, &profile);
  if (!in_config && !in_credentials) return std::nullopt;
  return profile;
}

std::optional<std::vector<std::string>> SplitCommand(std::string_view text) {
  std::vector<std::string> words;
  std::string word;
  bool in_word = false;
  char quote = 0;
  for (const char c : text) {
    if (quote != 0) {
      if (c == quote) {
        quote = 0;
      } else {
        word += c;
      }
    } else if (c == '"' || c == '\'') {
      quote = c;
      in_word = true;
    } else if (IsBlank(c)) {
      if (in_word) words.push_back(std::move(word));
      word.clear();
      in_word = false;
    } else {
      word += c;
      in_word = true;
    }
  }
  if (quote != 0) return std::nullopt;
  if (in_word) words.push_back(std::move(word));
  return words;
}

}  // namespace quayfs
