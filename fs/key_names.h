// SPDX-License-Identifier: Apache-2.0
//
// Object keys as paths. A directory's key is "" or ends with '/'; the rest of a key up to the next
// '/' is a segment, and a segment is shown as a file name. Almost always they are the same bytes.
// Where they cannot be, the mapping is:
//
//   segment                                  shown as
//   empty (keys with "//" or a marker that   %~
//   has data)
//   "." and ".."                             %~%2E and %~%2E%2E
//   begins with "%~"                         %~%25~ and the rest
//   contains NUL                             %~ and the segment with % NUL as %25 %00
//   an object whose name a directory has     the name (escaped as above if it is not yet) and %f
//   behind "%~": %~name%f
//
// The mapping is reversible: SegmentOf(NameOf(s)) is s. A segment whose name would be longer than
// 255 bytes cannot be shown.
//
// Paths may be longer than keys. What would have a key longer than the store takes lies in a folder
// for its directory instead, .quayfs/long/H/ below the mount's prefix, where H is the SHA-256 of
// the directory's own key. So a directory whose key comes near the limit has its entries in two
// places, each listed like a folder, and a path of any length is found by going through it from the
// root. The way back: the directory of such a folder is the marker whose key has that hash.
//
// Pure functions.

#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace quayfs {

/// The reserved folder below the mount's prefix; never shown.
inline constexpr std::string_view kReservedSegment = ".quayfs";

/// The name of a segment; `shadowed`: an object whose plain name is taken by a directory. Absent:
/// it cannot be shown.
std::optional<std::string> NameOf(std::string_view segment, bool shadowed = false);

struct Segment {
  std::string text;
  bool shadowed = false;  // names the object, not the directory
};
/// The segment that `name` stands for. Absent: no segment has this name (an invalid escape).
std::optional<Segment> SegmentOf(std::string_view name);

/// The keys of one mount.
struct KeySpace {
  std::string root;       // the root directory's key: "" or ends with '/'
  size_t longest = 1024;  // bytes that the store takes
};
/// Where the entries of the directory with this key lie that would have too long a key beside it.
std::string LongFolder(const KeySpace& space, std::string_view directory_key);
/// Whether a directory may have such entries.
bool HasLongFolder(const KeySpace& space, std::string_view directory_key);
/// The key of an entry of a directory; ends with '/' for a directory.
std::string ChildKey(const KeySpace& space, const std::string& directory_key,
                     std::string_view segment, bool directory);

}  // namespace quayfs
