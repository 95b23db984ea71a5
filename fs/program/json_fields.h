// SPDX-License-Identifier: Apache-2.0
//
// Reading what a daemon, of another version perhaps, says of itself.

#pragma once

#include <string>

#include "fs/program/messages.h"
#include "providers/json_text.h"

namespace quayfs::program {

/// A member that is a string, fit to be printed; "" if there is none.
inline std::string Text(const nlohmann::json& object, const char* key) {
  return OneLine(TextOf(object, key));
}

}  // namespace quayfs::program
