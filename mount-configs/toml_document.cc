// SPDX-License-Identifier: Apache-2.0

#include "mount-configs/toml_document.h"

#include <algorithm>
#include <string>
#include <utility>

#define TOML_EXCEPTIONS 0
#define TOML_HEADER_ONLY 1
#define TOML_ENABLE_FORMATTERS 0
#define TOML_MAX_NESTED_VALUES 16
// Broken input is reported by the parser itself; an assertion on the way there must not end the
// process.
#define TOML_ASSERT(expression) static_cast<void>(0)
#include <toml++/toml.h>

namespace quayfs {
namespace {

// A config is a page or two. The limits keep nesting, and with it recursion, shallow: a dotted key
// stays on one line.
constexpr size_t kMaxBytes = 256 * 1024;
constexpr size_t kMaxLine = 8192;
constexpr std::ptrdiff_t kMaxDots = 200;

TomlPosition PositionOf(const toml::source_region& region) {
  return {region.begin.line, region.begin.column};
}

TomlValue Convert(const toml::node& node);

void ConvertTable(const toml::table& table, TomlValue& value) {
  for (const auto& [key, child] : table) {
    value.entries.push_back({std::string(key.str()), PositionOf(key.source()), Convert(child)});
  }
  std::stable_sort(value.entries.begin(), value.entries.end(),
                   [](const TomlEntry& a, const TomlEntry& b) {
                     return std::pair(a.position.line, a.position.column) <
                            std::pair(b.position.line, b.position.column);
                   });
}

TomlValue Convert(const toml::node& node) {
  TomlValue value;
  value.position = PositionOf(node.source());
  if (const toml::table* table = node.as_table()) {
    value.kind = TomlValue::Kind::kTable;
    ConvertTable(*table, value);
  } else if (const toml::array* array = node.as_array()) {
    value.kind = TomlValue::Kind::kArray;
    for (const toml::node& item : *array) value.items.push_back(Convert(item));
  } else if (const auto* text = node.as_string()) {
    value.kind = TomlValue::Kind::kString;
    value.text = text->get();
  } else if (const auto* integer = node.as_integer()) {
    value.kind = TomlValue::Kind::kInteger;
    value.integer = integer->get();
  } else if (const auto* boolean = node.as_boolean()) {
    value.kind = TomlValue::Kind::kBool;
    value.boolean = boolean->get();
  } else if (node.is_floating_point()) {
    value.kind = TomlValue::Kind::kFloat;
  } else {
    value.kind = TomlValue::Kind::kTime;
  }
  return value;
}

/// The parser quotes what it saw, which may be half of a secret whose quotes were forgotten.
std::string WithoutQuotations(std::string_view description) {
  std::string text(description);
  const size_t saw = text.find("saw '");
  if (saw != std::string::npos) {
    const size_t end = text.rfind('\'');
    if (end > saw + 6) text.replace(saw, end + 1 - saw, "saw something else");
  }
  size_t open = text.find('\'');
  while (open != std::string::npos) {
    const size_t close = text.find('\'', open + 1);
    if (close == std::string::npos) break;
    if (close - open > 2) text.replace(open, close + 1 - open, "'...'");
    open = text.find('\'', text.find('\'', open + 1) + 1);
  }
  for (char& c : text) {
    if (c == '\n' || c == '\r') c = ' ';
  }
  return text;
}

/// Where the text breaks the limits above, or position 0.
TomlSyntaxError CheckLimits(std::string_view text) {
  if (text.size() > kMaxBytes) return {{1, 1}, "the file is too large for a mount config"};
  uint32_t line = 1;
  size_t begin = 0;
  while (begin <= text.size()) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view row = text.substr(begin, end - begin);
    if (row.size() > kMaxLine) return {{line, 1}, "the line is too long"};
    if (std::count(row.begin(), row.end(), '.') > kMaxDots) return {{line, 1}, "too many dots"};
    begin = end + 1;
    ++line;
  }
  return {};
}

}  // namespace

TomlDocument ParseToml(std::string_view text) {
  TomlDocument document;
  TomlSyntaxError limit = CheckLimits(text);
  if (limit.position.line != 0) {
    document.errors.push_back(std::move(limit));
    return document;
  }
  const toml::parse_result result = toml::parse(text);
  if (!result) {
    std::string message = WithoutQuotations(result.error().description());
    if (message.find("could not determine value type") != std::string::npos) {
      message += "; text needs quotes";
    }
    document.errors.push_back({PositionOf(result.error().source()), std::move(message)});
    return document;
  }
  document.root = Convert(result.table());
  return document;
}

std::string_view TomlKindName(TomlValue::Kind kind) {
  switch (kind) {
    case TomlValue::Kind::kString:
      return "a string";
    case TomlValue::Kind::kInteger:
      return "a number";
    case TomlValue::Kind::kFloat:
      return "a number with a point";
    case TomlValue::Kind::kBool:
      return "true or false";
    case TomlValue::Kind::kTime:
      return "a date or time";
    case TomlValue::Kind::kArray:
      return "a list";
    case TomlValue::Kind::kTable:
      return "a table";
  }
  return "something unknown";
}

}  // namespace quayfs
