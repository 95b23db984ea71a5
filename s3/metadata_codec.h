// SPDX-License-Identifier: Apache-2.0
//
// User metadata as HTTP headers (x-amz-meta-NAME: VALUE, or with the prefix of another service).
//
// A value travels unchanged if it is printable ASCII without '%', and neither begins or ends with a
// blank nor holds two in a row (signatures fold those): so numbers, names and JSON stay readable by
// every other tool. Every other byte becomes %XX. Nothing that this produces can end a header line.
// Decoding undoes %XX and leaves anything else alone, so that what was encoded here comes back byte
// for byte.
//
// A value that another tool has percent-encoded itself (s3fs does so with `xattr`) therefore
// arrives decoded; handing the decoded form back writes something that both read.

#pragma once

#include <map>
#include <string>
#include <string_view>

#include "base/result.h"
#include "s3/http.h"

namespace quayfs::s3 {

std::string EncodeMetadataValue(std::string_view value);
std::string DecodeMetadataValue(std::string_view text);

/// Non-empty, at most 256 bytes, an HTTP token without upper-case letters.
bool IsMetadataName(std::string_view name);

/// Adds a header per entry, `prefix` (such as "x-amz-meta-") before its name. Upper-case names are
/// lowered; kInvalidArgument for one that is no token.
Status AddMetadataHeaders(const std::map<std::string, std::string>& metadata, HttpHeaders* headers,
                          std::string_view prefix = "x-amz-meta-");

/// All headers that begin with `prefix` (lower case), names without it and in lower case; repeated
/// ones joined by ",".
std::map<std::string, std::string> MetadataFromHeaders(const HttpHeaders& headers,
                                                       std::string_view prefix = "x-amz-meta-");

/// Whether `value` may stand in a header line: no control characters but the tab, no DEL.
bool IsHeaderValue(std::string_view value);
/// Whether `name` may name a header: a token of RFC 9110.
bool IsHeaderName(std::string_view name);

}  // namespace quayfs::s3
