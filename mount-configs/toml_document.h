// SPDX-License-Identifier: Apache-2.0
//
// A TOML document as a plain tree with positions. The only place that knows the TOML library is
// toml_document.cc.

#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace quayfs {

struct TomlPosition {
  uint32_t line = 0;    // from 1; 0: unknown
  uint32_t column = 0;  // from 1, in code points
};

struct TomlEntry;

struct TomlValue {
  enum class Kind { kString, kInteger, kFloat, kBool, kTime, kArray, kTable };
  Kind kind = Kind::kTable;
  std::string text;                // kString
  int64_t integer = 0;             // kInteger
  bool boolean = false;            // kBool
  std::vector<TomlValue> items;    // kArray
  std::vector<TomlEntry> entries;  // kTable, in the order of the file
  TomlPosition position;
};

struct TomlEntry {
  std::string key;
  TomlPosition position;  // of the key
  TomlValue value;
};

struct TomlSyntaxError {
  TomlPosition position;
  std::string message;  // holds no text of the document longer than a character
};

struct TomlDocument {
  TomlValue root;
  std::vector<TomlSyntaxError> errors;  // if there is one, root is empty
};

/// Never fails otherwise; input of any kind and size is met with a tree or an error.
TomlDocument ParseToml(std::string_view text);

/// "a string", "a table", ...
std::string_view TomlKindName(TomlValue::Kind kind);

}  // namespace quayfs
