// SPDX-License-Identifier: Apache-2.0
//
// How hard links look in the bucket. A file with several names has an id, 32 hexadecimal digits:
//
//   the data object     under the file's first name, readable by anybody; metadata `quayfs-link` is
//                       the id
//   a further name      a small object, content type application/x-quayfs-link, with the same
//                       metadata; its body is a line for people
//   the link record     .quayfs/links/ID below the mount's prefix: text, a line "quayfs-links 1",
//                       then "data PATH" and a "name PATH" for each further name
//
// Paths are relative to the mount's root, as names are shown (key_names.h), percent-encoded. The
// record says where the data are and how many names there are; the objects themselves say what
// they are. Pure functions; thread-safe.

#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace quayfs {

inline constexpr std::string_view kLinkMetadata = "quayfs-link";
inline constexpr std::string_view kLinkContentType = "application/x-quayfs-link";

struct LinkRecord {
  std::string data;
  std::vector<std::string> names;
};

std::string FormatLinkRecord(const LinkRecord& record);
/// kCorrupt: it is not one.
Result<LinkRecord> ParseLinkRecord(std::string_view text);

std::string NewLinkId();
bool IsLinkId(std::string_view text);
/// `root`: the mount's prefix.
std::string LinkRecordKey(std::string_view root, std::string_view id);
/// The body of a further name.
std::string LinkNameBody(std::string_view id);

}  // namespace quayfs
