// SPDX-License-Identifier: Apache-2.0

#include "fs/key_names.h"

#include "base/hash.h"
#include "base/text.h"
#include "fs/types.h"

namespace quayfs {
namespace {

constexpr std::string_view kEscape = "%~";
constexpr std::string_view kShadowMark = "%f";

bool NeedsEscape(std::string_view segment) {
  return segment.empty() || segment == "." || segment == ".." || segment.starts_with(kEscape) ||
         segment.find('\0') != std::string_view::npos;
}

std::string EscapeBody(std::string_view segment) {
  const bool dots = segment == "." || segment == "..";
  std::string out;
  for (const char c : segment) {
    if (c == '%') {
      out += "%25";
    } else if (c == '\0') {
      out += "%00";
    } else if (c == '.' && dots) {
      out += "%2E";
    } else {
      out += c;
    }
  }
  return out;
}

}  // namespace

std::optional<std::string> NameOf(std::string_view segment, bool shadowed) {
  std::string name;
  if (shadowed || NeedsEscape(segment)) {
    name = std::string(kEscape) + EscapeBody(segment);
    if (shadowed) name += kShadowMark;
  } else {
    name = segment;
  }
  if (name.size() > kNameMax) return std::nullopt;
  return name;
}

std::optional<Segment> SegmentOf(std::string_view name) {
  if (!name.starts_with(kEscape)) return Segment{std::string(name), false};
  std::string_view body = name.substr(kEscape.size());
  Segment segment;
  if (body.ends_with(kShadowMark)) {
    segment.shadowed = true;
    body.remove_suffix(kShadowMark.size());
  }
  segment.text = PercentDecode(body, false);
  // Only what NameOf makes is accepted, or two names could stand for one segment.
  const auto canonical = NameOf(segment.text, segment.shadowed);
  if (!canonical || *canonical != name) return std::nullopt;
  return segment;
}

std::string LongFolder(const KeySpace& space, std::string_view directory_key) {
  return space.root + std::string(kReservedSegment) + "/long/" +
         HexEncode(Sha256(std::string(directory_key))) + "/";
}

bool HasLongFolder(const KeySpace& space, std::string_view directory_key) {
  return directory_key.size() + kNameMax + 1 > space.longest;
}

std::string ChildKey(const KeySpace& space, const std::string& directory_key,
                     std::string_view segment, bool directory) {
  const size_t size = directory_key.size() + segment.size() + (directory ? 1 : 0);
  std::string key = size <= space.longest ? directory_key : LongFolder(space, directory_key);
  key += segment;
  if (directory) key += '/';
  return key;
}

}  // namespace quayfs
