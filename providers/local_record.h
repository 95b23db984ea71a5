// SPDX-License-Identifier: Apache-2.0
//
// The trailer that ends every file of a local store: what is known of the bytes before it.
// LOCAL_FORMAT.md has the format. Pure functions on text, and one that reads a trailer from an open
// file. Thread-safe.

#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/disk.h"
#include "base/result.h"
#include "providers/object_store.h"

namespace quayfs {

struct LocalRecord {
  enum class Kind { kObject, kPart, kUpload };
  Kind kind = Kind::kObject;
  std::string key;    // kUpload only; an object's key is its path
  uint64_t size = 0;  // of the body
  std::string etag;   // quoted; "" for kUpload
  WallTime modified{};
  std::string upload_id;  // the multipart upload that made this object, "" for none
  ObjectProperties properties;
};

/// The trailer's bytes, at most 16 KiB for records within the limits of a local store.
std::string EncodeLocalRecord(const LocalRecord& record);

/// The longest trailer that is read; a longer one is kCorrupt.
inline constexpr size_t kLocalTrailerMax = 64 * 1024;

/// Parses a whole trailer. kCorrupt.
Result<LocalRecord> DecodeLocalRecord(std::string_view trailer);

/// Reads the trailer at the end of `file` and checks it against the file's size. kCorrupt, kIo.
Result<LocalRecord> ReadLocalRecord(const DiskFile& file);

}  // namespace quayfs
