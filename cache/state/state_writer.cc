// SPDX-License-Identifier: Apache-2.0

#include "cache/state/state_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>
#include <limits>
#include <optional>
#include <variant>
#include <vector>

#include "cache/state/row_codec.h"

namespace quayfs {
namespace {

/// SQLite's integers are signed.
constexpr uint64_t kMaxNumber = std::numeric_limits<int64_t>::max();

Status CheckNumbers(const char* what, uint64_t ino, std::initializer_list<uint64_t> numbers) {
  if (ino == 0 || ino > kMaxNumber)
    return Error(Code::kInvalidArgument, fmt::format("{} of inode {}", what, ino));
  for (const uint64_t number : numbers) {
    if (number > kMaxNumber) {
      return Error(Code::kInvalidArgument,
                   fmt::format("{} of inode {} with the number {}, which no file can have", what,
                               ino, number));
    }
  }
  return {};
}

Status CheckRange(const char* what, uint64_t ino, ByteRange range) {
  QUAY_TRY(CheckNumbers(what, ino, {range.end}));
  if (range.begin < range.end) return {};
  return Error(Code::kInvalidArgument, fmt::format("{} of inode {} with the range [{}, {})", what,
                                                   ino, range.begin, range.end));
}

Error NoContent(const char* what, uint64_t ino) {
  return {Code::kInvalidArgument,
          fmt::format("{} of inode {}, which has none for it to belong to", what, ino)};
}

}  // namespace

const char* StateWriter::TextOf(Sql sql) {
  switch (sql) {
    case kPutInode:
      return "REPLACE INTO inode VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,"
             "?17,?18,?19,row_checksum(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17,"
             "?18,?19))";
    case kDropInode:
      return "DELETE FROM inode WHERE ino=?1";
    case kPutContent:
      return "REPLACE INTO content VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,"
             "row_checksum(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10))";
    case kDropContent:
      return "DELETE FROM content WHERE ino=?1";
    case kIsUnsettled:
      return "SELECT EXISTS(SELECT 1 FROM content WHERE ino=?1 AND modified<>0) OR "
             "EXISTS(SELECT 1 FROM dirty WHERE ino=?1)";
    case kOverlaps:
      return "SELECT first,beyond FROM dirty WHERE ino=?1 AND first<=?2 ORDER BY first DESC";
    case kPutDirty:
      return "INSERT INTO dirty SELECT ?1,?2,?3,row_checksum(?1,?2,?3) "
             "WHERE EXISTS(SELECT 1 FROM content WHERE ino=?1)";
    case kDropDirtyAt:
      return "DELETE FROM dirty WHERE ino=?1 AND first=?2";
    case kDropDirty:
      return "DELETE FROM dirty WHERE ino=?1";
    case kPutSeal:
      return "REPLACE INTO seal VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,"
             "row_checksum(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10))";
    case kDropSeal:
      return "DELETE FROM seal WHERE ino=?1";
    case kSealKept:
      return "UPDATE seal SET overwritten=2, crc=row_checksum(ino,size,base_limit,generation,"
             "base_key,base_etag,base_size,base_modified,2,dirty) WHERE ino=?1 AND overwritten=0";
    case kPutClean:
      return "REPLACE INTO clean VALUES(?1,?2,?3,?4,?5,row_checksum(?1,?2,?3,?4,?5))";
    case kDropClean:
      return "DELETE FROM clean WHERE ino=?1";
    case kPutUpload:
      return "REPLACE INTO upload VALUES(?1,?2,?3,?4,row_checksum(?1,?2,?3,?4))";
    case kDropUpload:
      return "DELETE FROM upload WHERE ino=?1";
    case kDropOtherParts:
      return "DELETE FROM part WHERE ino=?1 AND NOT EXISTS"
             "(SELECT 1 FROM upload WHERE ino=?1 AND object_key=?2 AND upload_id=?3)";
    case kPutPart:
      return "REPLACE INTO part SELECT ?1,?2,?3,?4,?5,?6,?7,row_checksum(?1,?2,?3,?4,?5,?6,?7) "
             "WHERE EXISTS(SELECT 1 FROM upload WHERE ino=?1)";
    case kDropPart:
      return "DELETE FROM part WHERE ino=?1 AND number=?2";
    case kDropParts:
      return "DELETE FROM part WHERE ino=?1";
    case kPutOrphan:
      return "REPLACE INTO orphan VALUES(?1,?2,row_checksum(?1,?2))";
    case kDropOrphan:
      return "DELETE FROM orphan WHERE object_key=?1 AND upload_id=?2";
    case kPutRemoval:
      return "REPLACE INTO removal VALUES(?1,?2,?3,row_checksum(?1,?2,?3))";
    case kDropRemoval:
      return "DELETE FROM removal WHERE object_key=?1";
    case kAddNote:
      // The number is not in the checksum: it is known only afterwards.
      return "REPLACE INTO note VALUES(nullif(?1,0),?2,?3,?4,?5,?6,row_checksum(?2,?3,?4,?5,?6))";
    case kDropNote:
      return "DELETE FROM note WHERE id=?1";
    case kSetNumber:
      return "REPLACE INTO number VALUES(?1,?2,row_checksum(?1,?2))";
    case kPutMeta:
      return "REPLACE INTO meta VALUES(?1,?2,row_checksum(?1,?2))";
    case kSqlCount:
      break;
  }
  return "";
}

Result<StateWriter> StateWriter::Prepare(SqlConnection* connection) {
  StateWriter writer(connection);
  for (size_t i = 0; i < kSqlCount; ++i) {
    Result<SqlStatement> statement = connection->Prepare(TextOf(static_cast<Sql>(i)));
    if (statement.Is(Code::kInternal)) return Error(Code::kCorrupt, statement.error().message());
    QUAY_ASSIGN(writer.statements_[i], std::move(statement));
  }
  return writer;
}

Status StateWriter::Write(const StateBatch& batch) {
  for (const StateBatch::Change& change : batch.changes_) {
    QUAY_TRY(std::visit([this](const auto& what) { return Do(what); }, change));
  }
  return {};
}

Status StateWriter::PutMeta(std::string_view name, std::string_view value) {
  return (*this)[kPutMeta].Run(SqlText{name}, value);
}

Status StateWriter::Do(const StateBatch::ByNumber& change) {
  switch (change.act) {
    case StateBatch::Act::kDropInode:
      return (*this)[kDropInode].Run(change.ino);
    case StateBatch::Act::kDropContent:
      return DropContent(change.ino);
    case StateBatch::Act::kDropContentIfClean: {
      SqlStatement& query = (*this)[kIsUnsettled];
      QUAY_TRY(query.Start(change.ino));
      QUAY_ASSIGN(const bool row, query.Next());
      const bool unsettled = row && query.Int(0) != 0;
      query.Reset();
      if (unsettled) return {};
      return DropContent(change.ino);
    }
    case StateBatch::Act::kDropSeal:
      return (*this)[kDropSeal].Run(change.ino);
    case StateBatch::Act::kSealKept:
      return (*this)[kSealKept].Run(change.ino);
    case StateBatch::Act::kDropClean:
      return (*this)[kDropClean].Run(change.ino);
    case StateBatch::Act::kDropUpload:
      QUAY_TRY((*this)[kDropUpload].Run(change.ino));
      return (*this)[kDropParts].Run(change.ino);
    case StateBatch::Act::kDropPart:
      return (*this)[kDropPart].Run(change.ino, change.number);
    case StateBatch::Act::kDropNote:
      return (*this)[kDropNote].Run(change.number);
  }
  return Error(Code::kInternal, "an unknown change of the state database");
}

Status StateWriter::DropContent(uint64_t ino) {
  for (const Sql sql : {kDropContent, kDropDirty, kDropSeal, kDropUpload, kDropParts})
    QUAY_TRY((*this)[sql].Run(ino));
  return {};
}

Result<std::vector<ByteRange>> StateWriter::Near(uint64_t ino, ByteRange range) {
  std::vector<ByteRange> near;
  SqlStatement& query = (*this)[kOverlaps];
  QUAY_TRY(query.Start(ino, range.end));
  while (true) {
    QUAY_ASSIGN(const bool row, query.Next());
    if (!row) break;
    const ByteRange extent = {static_cast<uint64_t>(query.Int(0)),
                              static_cast<uint64_t>(query.Int(1))};
    if (extent.end < range.begin) break;
    near.push_back(extent);
  }
  query.Reset();
  return near;
}

Status StateWriter::PutDirty(uint64_t ino, ByteRange range) {
  QUAY_TRY((*this)[kPutDirty].Run(ino, range.begin, range.end));
  if (connection_->changes() != 1) return NoContent("changed bytes", ino);
  return {};
}

Status StateWriter::Do(const StateBatch::AddRange& change) {
  QUAY_TRY(CheckRange("changed bytes", change.ino, change.range));
  QUAY_ASSIGN(const std::vector<ByteRange> near, Near(change.ino, change.range));
  ByteRange merged = change.range;
  for (const ByteRange& extent : near) {
    if (extent.Contains(change.range)) return {};
    merged.begin = std::min(merged.begin, extent.begin);
    merged.end = std::max(merged.end, extent.end);
  }
  for (const ByteRange& extent : near)
    QUAY_TRY((*this)[kDropDirtyAt].Run(change.ino, extent.begin));
  return PutDirty(change.ino, merged);
}

Status StateWriter::Do(const StateBatch::CutRange& change) {
  if (change.range.begin >= change.range.end) return {};
  // A cut may reach "to the end, whatever that is".
  const ByteRange cut = {change.range.begin, std::min(change.range.end, kMaxNumber)};
  QUAY_TRY(CheckRange("a cut", change.ino, cut));
  QUAY_ASSIGN(const std::vector<ByteRange> near, Near(change.ino, cut));
  for (const ByteRange& extent : near) {
    if (!extent.Overlaps(cut)) continue;
    QUAY_TRY((*this)[kDropDirtyAt].Run(change.ino, extent.begin));
    if (extent.begin < cut.begin) QUAY_TRY(PutDirty(change.ino, {extent.begin, cut.begin}));
    if (cut.end < extent.end) QUAY_TRY(PutDirty(change.ino, {cut.end, extent.end}));
  }
  return {};
}

Status StateWriter::Do(const StateBatch::SetRanges& change) {
  QUAY_TRY((*this)[kDropDirty].Run(change.ino));
  // Through a set: given in any order, stored as they would have become one by one.
  ExtentSet set;
  for (const ByteRange& range : change.ranges) {
    QUAY_TRY(CheckRange("changed bytes", change.ino, range));
    set.Add(range);
  }
  for (const ByteRange& range : set.ranges()) QUAY_TRY(PutDirty(change.ino, range));
  return {};
}

Status StateWriter::Do(const InodeRow& row) {
  QUAY_TRY(CheckNumbers("attributes", row.ino,
                        {row.parent, row.size, row.generation, row.version.size}));
  return (*this)[kPutInode].Run(row.ino, row.parent, row.name, row.mode, row.uid, row.gid, row.rdev,
                                row.size, row.atime, row.mtime, row.ctime, row.symlink_target,
                                row.flags, row.generation, row.version.key, row.version.etag,
                                row.version.size, row.version.modified_seconds,
                                EncodeProperties(row.properties));
}

Status StateWriter::Do(const ContentRow& row) {
  QUAY_TRY(
      CheckNumbers("content", row.ino, {row.size, row.base_limit, row.generation, row.base.size}));
  return (*this)[kPutContent].Run(row.ino, row.size, row.base_limit, row.generation, row.modified,
                                  row.base.key, row.base.etag, row.base.size,
                                  row.base.modified_seconds, row.changed_at);
}

Status StateWriter::Do(const SealRow& row) {
  QUAY_TRY(
      CheckNumbers("a seal", row.ino, {row.size, row.base_limit, row.generation, row.base.size}));
  if (!SortedAndApart(row.dirty)) {
    return Error(Code::kInvalidArgument,
                 fmt::format("a seal of inode {} with ranges out of order", row.ino));
  }
  if (!row.dirty.empty()) QUAY_TRY(CheckRange("a seal", row.ino, row.dirty.back()));
  return (*this)[kPutSeal].Run(row.ino, row.size, row.base_limit, row.generation, row.base.key,
                               row.base.etag, row.base.size, row.base.modified_seconds,
                               static_cast<uint64_t>(row.bytes), EncodeRanges(row.dirty));
}

Status StateWriter::Do(const CleanRow& row) {
  QUAY_TRY(CheckNumbers("clean bytes", row.ino, {row.base.size}));
  for (size_t i = 1; i < row.sums.size(); ++i) {
    if (row.sums[i - 1].block < row.sums[i].block) continue;
    return Error(Code::kInvalidArgument,
                 fmt::format("clean bytes of inode {} with blocks out of order", row.ino));
  }
  return (*this)[kPutClean].Run(row.ino, row.base.key, row.base.etag, row.base.size,
                                EncodeSums(row.sums));
}

Status StateWriter::Do(const UploadRow& row) {
  QUAY_TRY(CheckNumbers("an upload", row.ino, {}));
  QUAY_TRY((*this)[kDropOtherParts].Run(row.ino, row.key, row.upload_id));
  return (*this)[kPutUpload].Run(row.ino, row.key, row.upload_id, EncodeProperties(row.properties));
}

Status StateWriter::Do(const PartRow& row) {
  QUAY_TRY(CheckRange("a part", row.ino, row.range));
  QUAY_TRY(CheckNumbers("a part", row.ino, {row.size}));
  if (row.number < 1) {
    return Error(Code::kInvalidArgument,
                 fmt::format("a part of inode {} with number {}", row.ino, row.number));
  }
  QUAY_TRY((*this)[kPutPart].Run(row.ino, row.number, row.range.begin, row.range.end, row.copied,
                                 row.etag, row.size));
  if (connection_->changes() == 0) return NoContent("a part", row.ino);
  return {};
}

Status StateWriter::Do(const StateBatch::Orphan& change) {
  return (*this)[change.put ? kPutOrphan : kDropOrphan].Run(change.key, change.upload_id);
}

Status StateWriter::Do(const RemovalRow& row) {
  if (row.size > kMaxNumber)
    return Error(Code::kInvalidArgument, fmt::format("a removed object of size {}", row.size));
  return (*this)[kPutRemoval].Run(row.key, row.etag, row.size);
}

Status StateWriter::Do(const StateBatch::RemovalDone& change) {
  return (*this)[kDropRemoval].Run(change.key);
}

Status StateWriter::Do(const NoteRow& row) {
  if (row.id < 0 || row.ino > kMaxNumber)
    return Error(Code::kInvalidArgument, fmt::format("a note {} on inode {}", row.id, row.ino));
  return (*this)[kAddNote].Run(row.id, row.kind, row.ino, row.path, row.text, row.at);
}

Status StateWriter::Do(const StateBatch::NamedNumber& change) {
  return (*this)[kSetNumber].Run(SqlText{change.name}, change.value);
}

}  // namespace quayfs
