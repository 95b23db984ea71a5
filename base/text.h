// SPDX-License-Identifier: Apache-2.0
//
// Small things done to text. Bytes in, bytes out; no locale anywhere.

#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace quayfs {

std::string_view TrimBlanks(std::string_view text);  // space, tab, CR, LF at both ends
std::string ToLower(std::string_view text);          // ASCII only
bool EqualsIgnoreCase(std::string_view a, std::string_view b);
std::vector<std::string_view> Split(std::string_view text,
                                    char separator);  // "" gives one empty piece

/// Decimal digits only; kInvalidArgument for signs, blanks, overflow, nothing.
Result<uint64_t> ParseUint(std::string_view text);
/// "64KiB", "20GiB", "5 MiB", "4096", "10MB": binary and decimal units kept apart; kInvalidArgument
/// otherwise.
Result<uint64_t> ParseSize(std::string_view text);
/// 1536 -> "1.5 KiB". For people.
std::string FormatSize(uint64_t bytes);

/// Percent-encoding as SigV4 wants it (protocol.md 3.1): A-Z a-z 0-9 - _ . ~ stay, everything else
/// becomes %XX in upper case;
/// '/' stays when `keep_slash`.
std::string PercentEncode(std::string_view raw, bool keep_slash);
/// Undoes %XX; with `plus_is_space` also '+'. A '%' that is not followed by two hex digits stays as
/// it is.
std::string PercentDecode(std::string_view text, bool plus_is_space);

/// `text` for a message: control characters shown as '?'.
std::string Printable(std::string_view text);

/// The element of `candidates` with the smallest edit distance to `word`, or "" if none is near.
std::string NearestName(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace quayfs
