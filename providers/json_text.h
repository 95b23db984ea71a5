// SPDX-License-Identifier: Apache-2.0
//
// Reading from JSON documents that others write.

#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace quayfs {

/// A member that is a string; "" if there is none, or `object` is no object.
inline std::string TextOf(const nlohmann::json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

}  // namespace quayfs
