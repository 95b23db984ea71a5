// SPDX-License-Identifier: Apache-2.0
//
// Turns the changes of a batch into rows. The transaction around them is the caller's.

#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "cache/state/sqlite.h"
#include "cache/state/state_db.h"

namespace quayfs {

/// Thread-compatible. The connection must outlive it.
class StateWriter {
 public:
  /// kCorrupt if the tables are not the ones that it knows.
  static Result<StateWriter> Prepare(SqlConnection* connection);

  /// kInvalidArgument for rows that could not be read again; the transaction must be rolled back
  /// after any failure.
  Status Write(const StateBatch& batch);
  Status PutMeta(std::string_view name, std::string_view value);

 private:
  enum Sql : size_t {
    kPutInode,
    kDropInode,
    kPutContent,
    kDropContent,
    kIsUnsettled,
    kOverlaps,
    kPutDirty,
    kDropDirtyAt,
    kDropDirty,
    kPutSeal,
    kDropSeal,
    kSealKept,
    kPutClean,
    kDropClean,
    kPutUpload,
    kDropUpload,
    kDropOtherParts,
    kPutPart,
    kDropPart,
    kDropParts,
    kPutOrphan,
    kDropOrphan,
    kPutRemoval,
    kDropRemoval,
    kAddNote,
    kDropNote,
    kSetNumber,
    kPutMeta,
    kSqlCount,
  };

  explicit StateWriter(SqlConnection* connection) : connection_(connection) {}
  static const char* TextOf(Sql sql);

  Status Do(const StateBatch::ByNumber& change);
  Status Do(const StateBatch::AddRange& change);
  Status Do(const StateBatch::CutRange& change);
  Status Do(const StateBatch::SetRanges& change);
  Status Do(const InodeRow& row);
  Status Do(const ContentRow& row);
  Status Do(const SealRow& row);
  Status Do(const CleanRow& row);
  Status Do(const UploadRow& row);
  Status Do(const PartRow& row);
  Status Do(const StateBatch::Orphan& change);
  Status Do(const RemovalRow& row);
  Status Do(const StateBatch::RemovalDone& change);
  Status Do(const NoteRow& row);
  Status Do(const StateBatch::NamedNumber& change);

  Status DropContent(uint64_t ino);
  Status PutDirty(uint64_t ino, ByteRange range);
  /// The extents that overlap `range` or touch it.
  Result<std::vector<ByteRange>> Near(uint64_t ino, ByteRange range);

  SqlStatement& operator[](Sql sql) { return statements_[sql]; }

  SqlConnection* connection_;
  std::array<SqlStatement, kSqlCount> statements_;
};

}  // namespace quayfs
