// SPDX-License-Identifier: Apache-2.0
//
// Reading what a daemon, of another version perhaps, says of itself.

#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "fs/program/messages.h"
#include "providers/json_text.h"

namespace quayfs::program {

/// A member that is a string, fit to be printed; "" if there is none.
inline std::string Text(const nlohmann::json& object, const char* key) {
  return OneLine(TextOf(object, key));
}

/// A member that is an object; an empty one if there is none.
inline nlohmann::json Object(const nlohmann::json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_object() ? *found : nlohmann::json::object();
}

/// A member that is an array; an empty one if there is none.
inline nlohmann::json Array(const nlohmann::json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_array() ? *found : nlohmann::json::array();
}

}  // namespace quayfs::program
