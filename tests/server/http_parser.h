// SPDX-License-Identifier: Apache-2.0
//
// Parses the head of an HTTP/1.1 request, strictly: CRLF line ends, no folded lines, one
// Content-Length, tokens as header names. Pure functions.

#pragma once

#include <string_view>

#include "tests/server/http_message.h"

namespace quayfs::testserver {

/// The largest request head that is read: request line and headers together.
inline constexpr size_t kHeadSizeMax = 64 << 10;

/// `head` ends with the empty line. Fails with a 400.
Outcome<RequestHead> ParseRequestHead(std::string_view head);

}  // namespace quayfs::testserver
