// SPDX-License-Identifier: Apache-2.0
//
// Values of options: from what a user wrote into a MountConfig, and back. Pure functions, except
// that a user or group name is looked up in the system's database.

#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"
#include "mount-configs/mount_config.h"
#include "mount-configs/options.h"
#include "mount-configs/toml_document.h"

namespace quayfs {

/// "90s", "1h30m", "250ms", "2d", and "0"; units d h m s ms, largest first, each once.
Result<Duration> ParseDuration(std::string_view text);
/// 5400 s -> "1h30m". ParseDuration undoes it, to the millisecond.
std::string FormatDuration(Duration duration);
/// Exact: 20 << 30 -> "20GiB", 1000 -> "1000". ParseSize undoes it.
std::string FormatExactSize(uint64_t bytes);
/// true false yes no on off 1 0, in any case.
Result<bool> ParseBool(std::string_view text);
/// `text` as a TOML string in double quotes.
std::string QuoteToml(std::string_view text);
/// Case, blanks, '-', '_' and ':' do not matter.
bool SameChoice(std::string_view a, std::string_view b);

/// Sets `option` from a value in a file. Types are strict: a number in quotes is no number. Errors
/// say what was wanted and, unless the option is a secret, what was there; they do not name the
/// option. REQUIRES: not kSecret or kSourced unless `value` is a string.
Status SetFromToml(const Option& option, const TomlValue& value, MountConfig& config);
/// The same from text, as -o and the extended parameters give it.
Status SetFromText(const Option& option, std::string_view text, MountConfig& config);

/// The value in effect as TOML; "" if it is not set. Secrets are not masked here.
std::string ShowValue(const Option& option, const MountConfig& config);

/// The words for what an option takes: "a size such as \"20GiB\"".
std::string DescribeType(const Option& option);

}  // namespace quayfs
