// SPDX-License-Identifier: Apache-2.0
//
// The names of log levels, and the one in effect. Thread-safe.

#pragma once

#include <optional>
#include <string_view>

#include "base/log.h"

namespace quayfs {

/// The least important level that is still written.
LogLevel LogThreshold();
/// "debug", "info", "warning" or "error".
std::string_view LogLevelName(LogLevel level);
std::optional<LogLevel> LogLevelByName(std::string_view name);

}  // namespace quayfs
