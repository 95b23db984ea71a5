// SPDX-License-Identifier: Apache-2.0
//
// Rows back out of the tables, each held against its checksum and against what a row can be.

#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cache/state/sqlite.h"
#include "cache/state/state_db.h"

namespace quayfs {

/// Thread-compatible. A row that makes no sense is kCorrupt.
class StateReader {
 public:
  explicit StateReader(SqlConnection* connection) : connection_(*connection) {}

  Status ReadInodes(const std::function<void(InodeRow row)>& take);
  Status ReadContents(
      const std::function<void(ContentRow row, std::vector<ByteRange> dirty)>& take);
  Status ReadSeals(const std::function<void(SealRow row)>& take);
  Status ReadCleans(const std::function<void(CleanRow row)>& take);
  Result<std::optional<CleanRow>> FindClean(uint64_t ino);
  Status ReadUploads(const std::function<void(UploadRow row, std::vector<PartRow> parts)>& take);
  Status ReadOrphans(const std::function<void(std::string key, std::string upload_id)>& take);
  Status ReadRemovals(const std::function<void(RemovalRow row)>& take);
  Status ReadNotes(const std::function<void(NoteRow row)>& take);
  /// Nothing if there is no such row.
  Result<std::optional<int64_t>> Number(std::string_view name);
  Result<std::optional<std::string>> Meta(std::string_view name);

 private:
  SqlConnection& connection_;
};

}  // namespace quayfs
