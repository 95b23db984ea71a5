// SPDX-License-Identifier: Apache-2.0
//
// POSIX attributes as object metadata: written in the dialect of s3fs, read in the common ones
// (protocol.md section 6).
//
//   written    mode, uid, gid, mtime, ctime, atime, rdev (decimal; times "sec" or "sec." and nine
//   digits) read too   AWS file-permissions/-owner/-group/-mtime/-atime, s3cmd-attrs, s3sync
//   permissions/owner/group, rclone mtime,
//              goog-reserved-posix-*, goog-reserved-file-mtime, gcsfuse_mtime, and the symlink
//              marks of the other mounts
//
// Pure functions. A value that does not parse is ignored, never an error: the object is someone
// else's.

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "fs/types.h"
#include "providers/object_store.h"

namespace quayfs {

/// What an object says about itself. Absent: it does not say.
struct DecodedAttributes {
  mode_t type = S_IFREG;              // S_IFMT bits, decided from mode, content type and key
  std::optional<mode_t> permissions;  // 07777
  std::optional<uid_t> uid;
  std::optional<gid_t> gid;
  std::optional<WallTime> mtime;
  std::optional<WallTime> ctime;
  std::optional<WallTime> atime;
  dev_t rdev = 0;
  /// For symbolic links that keep their target in metadata; otherwise the object's body is the
  /// target.
  std::optional<std::string> symlink_target;
  /// Hard links (fs/link_record.h). "": this file has one name.
  std::string link_id;
  bool link_name = false;  // the object is a further name of another
};

DecodedAttributes DecodeAttributes(std::string_view key, uint64_t size,
                                   const ObjectProperties& properties);

/// Puts `attributes` into `properties`: our names are replaced, foreign metadata stays, other
/// dialects' names for the same attributes are removed so that they cannot contradict. Sets the
/// content type of a directory, and of anything that has none.
void EncodeAttributes(const Attributes& attributes, ObjectProperties* properties);

/// "1700000000" or "1700000000.000000005".
std::string FormatMetadataTime(WallTime time);

inline constexpr std::string_view kDirectoryContentType = "application/x-directory";

}  // namespace quayfs
