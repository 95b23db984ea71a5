// SPDX-License-Identifier: Apache-2.0
//
// What a file is, by the extension of its name, as Content-Type says it: so that an object that is
// fetched over HTTP is shown by browsers and not offered for download. One table for all machines:
// the same tree gives the same objects everywhere. Pure functions.

#pragma once

#include <string_view>

namespace quayfs {

/// Of bytes about which nothing is known.
inline constexpr std::string_view kPlainContentType = "application/octet-stream";

/// By the last extension of the last component of `key`, without regard to case; "" for names that
/// have none or an unknown one.
std::string_view ContentTypeOfName(std::string_view key);

/// The type that an object gets which lies under `key` and has had the type `known` ("" for none)
/// under `old_key` ("" for none). One that somebody has set stays; one that only followed from the
/// old name, or says nothing, follows the new name.
std::string_view ContentTypeFor(std::string_view key, std::string_view old_key,
                                std::string_view known);

}  // namespace quayfs
