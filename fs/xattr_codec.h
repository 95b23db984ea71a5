// SPDX-License-Identifier: Apache-2.0
//
// Extended attributes as object metadata, in the dialect of s3fs: the metadata `xattr` is a JSON
// object of names and base64 values (protocol.md section 6). s3fs percent-encodes it, and decodes
// what it reads; what must not stand in a header is encoded by the store (s3/metadata_codec.h), so
// that nothing may be encoded here: s3fs decodes once. What does not fit beside the other metadata
// (stores take 2 KB in all) lies as plain JSON in an object of its own, .quayfs/xattr/ID below the
// mount's prefix, and the metadata `quayfs-xattr` is the ID, 32 hexadecimal digits.
//
// Pure functions. What does not parse counts as absent: the object is someone else's.

#pragma once

#include <map>
#include <string>
#include <string_view>

#include "providers/object_store.h"

namespace quayfs {

using XattrMap = std::map<std::string, std::string>;

inline constexpr const char* kXattrMetadata = "xattr";
inline constexpr const char* kXattrSideMetadata = "quayfs-xattr";

/// JSON, as it lies in a side object.
std::string XattrsToJson(const XattrMap& xattrs);
XattrMap XattrsFromJson(std::string_view json);

/// Whether they fit into metadata.
bool FitsMetadata(const XattrMap& xattrs);
/// Replaces what `metadata` says: `side_id` if it is not empty, else the attributes themselves.
void EncodeXattrs(const XattrMap& xattrs, const std::string& side_id, UserMetadata* metadata);
/// The attributes that `metadata` holds itself.
XattrMap DecodeXattrs(const UserMetadata& metadata);
/// The id of the side object, "" if there is none.
std::string XattrSideId(const UserMetadata& metadata);
std::string NewXattrSideId();
std::string XattrSideKey(std::string_view root, std::string_view id);

}  // namespace quayfs
