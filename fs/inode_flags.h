// SPDX-License-Identifier: Apache-2.0
//
// What the file system keeps in InodeRow::flags. Written to disk: cache/FORMAT.md lists them, and a
// number is never used for anything else.

#pragma once

#include <cstdint>

namespace quayfs::inode_flags {

constexpr uint32_t kPublished = 1;        // the object is there
constexpr uint32_t kAttributesKnown = 2;  // not only what a listing says
constexpr uint32_t kAttributesDirty = 4;  // newer than the object's
constexpr uint32_t kMoved = 8;            // the object belongs under another key
constexpr uint32_t kMadeHere = 16;        // a directory that this mount has made
constexpr uint32_t kIsName = 32;          // a further name: rdev is the number of its file
constexpr uint32_t kNamesKnown = 64;      // a file with further names, which are all known
constexpr uint32_t kRecordDirty = 128;    // its link record has to be written

}  // namespace quayfs::inode_flags
