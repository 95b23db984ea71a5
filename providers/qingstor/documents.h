// SPDX-License-Identifier: Apache-2.0
//
// QingStor's JSON documents (protocol.md 2.3 to 2.7). Replies that cannot be read are kCorrupt.
// Pure functions.

#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "s3/types.h"
#include "s3/xml.h"

namespace quayfs::qingstor {

bool IsJsonObject(std::string_view body);

/// Nothing unless `body` has a code and a message.
std::optional<s3::ErrorDocument> ParseError(std::string_view body);
Result<s3::ListReply> ParseList(std::string_view body, const s3::ListRequest& request);
Result<std::string> ParseInitiate(std::string_view body);
/// The service tells no end: a page of 200 parts or more is taken to have a successor.
Result<s3::PartsReply> ParseParts(std::string_view body);
Result<s3::UploadsReply> ParseUploads(std::string_view body, std::string_view prefix);
Result<s3::DeleteReply> ParseDelete(std::string_view body);
Result<std::vector<std::string>> ParseBuckets(std::string_view body);

/// JSON carries any key that is UTF-8.
bool JsonCarriesKey(std::string_view key);
std::string WriteDelete(const std::vector<std::string>& keys);
std::string WriteComplete(const std::vector<s3::PartInfo>& parts);

}  // namespace quayfs::qingstor
