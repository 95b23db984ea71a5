// SPDX-License-Identifier: Apache-2.0
//
// How the keys of a local store become file names, and back. LOCAL_FORMAT.md has the rules in
// prose.
//
// Every key of 1 to 1024 bytes has exactly one path below the bucket's directory; every path
// component is at most 201 bytes, contains none but A-Z a-z 0-9 - _ . ~ % + =, and is neither "."
// nor "..". Pure functions, thread-safe.

#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace quayfs {

inline constexpr size_t kLocalKeySizeMax = 1024;
/// Escaped bytes of a segment that fit into one path component, without its marker.
inline constexpr size_t kLocalChunkMax = 200;

/// What a directory entry stands for.
struct LocalName {
  enum class Kind {
    kObject,     // NAME=   the last segment of a key
    kPrefix,     // NAME    a directory: a segment and the '/' behind it
    kContinued,  // NAME+   a directory: the first part of a segment too long for one name
  };
  Kind kind = Kind::kObject;
  std::string text;  // the bytes of the segment, decoded
};

/// The path of the object relative to the bucket's directory, without a leading '/'. REQUIRES: 1 <=
/// key.size() <= 1024.
std::string LocalObjectPath(std::string_view key);

/// The directory that holds what continues `prefix`, relative to the bucket's directory: "" for "",
/// with a '/' at the end otherwise. REQUIRES: `prefix` is empty or ends with '/'.
std::string LocalDirectoryPath(std::string_view prefix);

/// Nothing for names that this scheme never makes: they are not ours. `continuing` says that the
/// entry lies in a kContinued directory.
std::optional<LocalName> ParseLocalName(std::string_view name, bool continuing);

}  // namespace quayfs
