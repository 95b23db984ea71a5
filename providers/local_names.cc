// SPDX-License-Identifier: Apache-2.0

#include "providers/local_names.h"

#include "base/check.h"
#include "base/text.h"

namespace quayfs {
namespace {

constexpr char kObjectMarker = '=';
constexpr char kContinuedMarker = '+';
constexpr std::string_view kEmptySegment = "%";

/// One byte as it appears in a file name. A dot at the start of a component is escaped, so that
/// none becomes ".", ".." or one of the store's own names.
std::string EscapeByte(char byte, bool at_start) {
  if (byte == '.' && at_start) return "%2E";
  return PercentEncode(std::string_view(&byte, 1), /*keep_slash=*/false);
}

/// Appends a segment in components of at most kLocalChunkMax bytes, never cutting a %XX, without a
/// marker after the last.
void AppendChunks(std::string_view segment, std::string* path) {
  size_t used = 0;
  for (const char byte : segment) {
    std::string escaped = EscapeByte(byte, used == 0);
    if (used + escaped.size() > kLocalChunkMax) {
      path->push_back(kContinuedMarker);
      path->push_back('/');
      escaped = EscapeByte(byte, /*at_start=*/true);
      used = 0;
    }
    path->append(escaped);
    used += escaped.size();
  }
}

void AppendDirectory(std::string_view segment, std::string* path) {
  if (segment.empty()) {
    path->append(kEmptySegment);
  } else {
    AppendChunks(segment, path);
  }
  path->push_back('/');
}

/// Decodes and makes sure that encoding again gives the same, so that no two names stand for one
/// key.
std::optional<std::string> Decode(std::string_view escaped) {
  std::string text = PercentDecode(escaped, /*plus_is_space=*/false);
  std::string again;
  for (const char byte : text) again += EscapeByte(byte, again.empty());
  if (again != escaped) return std::nullopt;
  return text;
}

/// Whether `escaped` is the first part of a segment, as AppendChunks would cut it.
bool IsFullChunk(std::string_view escaped) {
  return escaped.size() <= kLocalChunkMax && escaped.size() + 2 >= kLocalChunkMax;
}

}  // namespace

std::string LocalDirectoryPath(std::string_view prefix) {
  QUAY_CHECK(prefix.empty() || prefix.ends_with('/'));
  std::string path;
  while (!prefix.empty()) {
    const size_t slash = prefix.find('/');
    AppendDirectory(prefix.substr(0, slash), &path);
    prefix.remove_prefix(slash + 1);
  }
  return path;
}

std::string LocalObjectPath(std::string_view key) {
  QUAY_CHECK(!key.empty() && key.size() <= kLocalKeySizeMax);
  const size_t slash = key.rfind('/');
  const size_t start = slash == std::string_view::npos ? 0 : slash + 1;
  std::string path = LocalDirectoryPath(key.substr(0, start));
  AppendChunks(key.substr(start), &path);
  path.push_back(kObjectMarker);
  return path;
}

std::optional<LocalName> ParseLocalName(std::string_view name, bool continuing) {
  if (name.empty() || name.size() > kLocalChunkMax + 1) return std::nullopt;
  LocalName parsed;
  if (name.back() == kObjectMarker) {
    parsed.kind = LocalName::Kind::kObject;
    name.remove_suffix(1);
  } else if (name.back() == kContinuedMarker) {
    parsed.kind = LocalName::Kind::kContinued;
    name.remove_suffix(1);
    if (!IsFullChunk(name)) return std::nullopt;
  } else {
    parsed.kind = LocalName::Kind::kPrefix;
    if (name == kEmptySegment && !continuing) return parsed;
  }
  // What continues a segment is never empty: the cut is made only when something is left.
  const bool may_be_empty = parsed.kind == LocalName::Kind::kObject && !continuing;
  if (name.empty() && !may_be_empty) return std::nullopt;
  if (name.size() > kLocalChunkMax) return std::nullopt;
  std::optional<std::string> text = Decode(name);
  if (!text) return std::nullopt;
  parsed.text = std::move(*text);
  return parsed;
}

}  // namespace quayfs
