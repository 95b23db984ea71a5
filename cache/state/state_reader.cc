// SPDX-License-Identifier: Apache-2.0

#include "cache/state/state_reader.h"

#include <fmt/format.h>

#include <initializer_list>
#include <limits>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "cache/state/row_codec.h"

namespace quayfs {
namespace {

Error Damaged(std::string_view table, int64_t number, std::string_view what) {
  return {Code::kCorrupt, fmt::format("row {} of table '{}' {}", number, table, what)};
}

/// Column 0 of every query says whether the checksum fits.
Status CheckRow(const SqlStatement& row, std::string_view table, int number_column,
                std::initializer_list<int> not_negative) {
  const int64_t number = row.Int(number_column);
  if (row.Int(0) == 0) return Damaged(table, number, "does not fit its checksum");
  for (const int column : not_negative) {
    if (row.Int(column) < 0) return Damaged(table, number, "holds a negative size");
  }
  return {};
}

uint64_t Uint(const SqlStatement& row, int column) {
  return static_cast<uint64_t>(row.Int(column));
}

uint32_t Uint32(const SqlStatement& row, int column) {
  return static_cast<uint32_t>(row.Int(column));
}

std::string Text(const SqlStatement& row, int column) { return std::string(row.Bytes(column)); }

Status TakeProperties(const SqlStatement& row, int column, std::string_view table,
                      ObjectProperties* out) {
  if (row.IsNull(column)) return {};
  Result<ObjectProperties> properties = DecodeProperties(row.Bytes(column));
  if (!properties) return Damaged(table, row.Int(1), "holds " + properties.error().message());
  *out = std::move(properties).value();
  return {};
}

StoredVersion Version(const SqlStatement& row, int column) {
  return {Text(row, column), Text(row, column + 1), Uint(row, column + 2), row.Int(column + 3)};
}

Status CheckVersion(const SqlStatement& row, int column, std::string_view table) {
  if (row.Int(column + 2) < 0) return Damaged(table, row.Int(1), "holds a negative size");
  return {};
}

/// Gives rows on so that a parent comes before its children. Rows come in the order of their
/// numbers; the few whose parent has a larger number wait for it.
class ParentsFirst {
 public:
  explicit ParentsFirst(const std::function<void(InodeRow row)>& take) : take_(take) {}

  void Add(InodeRow row) {
    const bool waits =
        row.parent > row.ino || (row.parent != row.ino && waiting_.contains(row.parent));
    if (!waits) return Give(std::move(row));
    waiting_.insert(row.ino);
    const uint64_t parent = row.parent;
    children_[parent].push_back(std::move(row));
  }

  /// Those whose parent is not there at all are given too. False: some are their own ancestors.
  bool Finish() {
    std::vector<uint64_t> absent;
    for (const auto& [parent, rows] : children_) {
      if (!waiting_.contains(parent)) absent.push_back(parent);
    }
    for (const uint64_t parent : absent) GiveChildren(parent);
    return waiting_.empty();
  }

 private:
  void Give(InodeRow row) {
    const uint64_t ino = row.ino;
    take_(std::move(row));
    GiveChildren(ino);
  }

  void GiveChildren(uint64_t ino) {
    if (children_.empty()) return;
    std::vector<uint64_t> parents = {ino};
    while (!parents.empty()) {
      const auto found = children_.find(parents.back());
      parents.pop_back();
      if (found == children_.end()) continue;
      std::vector<InodeRow> rows = std::move(found->second);
      children_.erase(found);
      for (InodeRow& row : rows) {
        waiting_.erase(row.ino);
        parents.push_back(row.ino);
        take_(std::move(row));
      }
    }
  }

  const std::function<void(InodeRow row)>& take_;
  std::unordered_set<uint64_t> waiting_;
  std::unordered_map<uint64_t, std::vector<InodeRow>> children_;  // waiting for the key
};

Result<InodeRow> InodeOf(const SqlStatement& row) {
  QUAY_TRY(CheckRow(row, "inode", 1, {1, 2, 8, 14}));
  QUAY_TRY(CheckVersion(row, 15, "inode"));
  for (const int column : {4, 5, 6, 13}) {
    if (row.Int(column) < 0 || row.Int(column) > std::numeric_limits<uint32_t>::max())
      return Damaged("inode", row.Int(1), "holds a mode, owner or flags out of range");
  }
  InodeRow inode;
  inode.ino = Uint(row, 1);
  inode.parent = Uint(row, 2);
  inode.name = Text(row, 3);
  inode.mode = Uint32(row, 4);
  inode.uid = Uint32(row, 5);
  inode.gid = Uint32(row, 6);
  inode.rdev = Uint(row, 7);
  inode.size = Uint(row, 8);
  inode.atime = row.Int(9);
  inode.mtime = row.Int(10);
  inode.ctime = row.Int(11);
  inode.symlink_target = Text(row, 12);
  inode.flags = Uint32(row, 13);
  inode.generation = Uint(row, 14);
  inode.version = Version(row, 15);
  QUAY_TRY(TakeProperties(row, 19, "inode", &inode.properties));
  return inode;
}

Result<ContentRow> ContentOf(const SqlStatement& row) {
  QUAY_TRY(CheckRow(row, "content", 1, {1, 2, 3, 4}));
  QUAY_TRY(CheckVersion(row, 6, "content"));
  ContentRow content;
  content.ino = Uint(row, 1);
  content.size = Uint(row, 2);
  content.base_limit = Uint(row, 3);
  content.generation = Uint(row, 4);
  content.modified = row.Int(5) != 0;
  content.base = Version(row, 6);
  content.changed_at = row.Int(10);
  return content;
}

struct Extent {
  uint64_t ino = 0;
  ByteRange range;
};

Result<Extent> ExtentOf(const SqlStatement& row) {
  QUAY_TRY(CheckRow(row, "dirty", 1, {1, 2, 3}));
  if (row.Int(2) >= row.Int(3)) return Damaged("dirty", row.Int(1), "holds an empty range");
  return Extent{Uint(row, 1), {Uint(row, 2), Uint(row, 3)}};
}

Result<SealRow> SealOf(const SqlStatement& row) {
  QUAY_TRY(CheckRow(row, "seal", 1, {1, 2, 3, 4}));
  QUAY_TRY(CheckVersion(row, 5, "seal"));
  SealRow seal;
  seal.ino = Uint(row, 1);
  seal.size = Uint(row, 2);
  seal.base_limit = Uint(row, 3);
  seal.generation = Uint(row, 4);
  seal.base = Version(row, 5);
  const int64_t bytes = row.Int(9);
  if (bytes < 0 || bytes > static_cast<int64_t>(SealBytes::kKept)) {
    return Damaged("seal", row.Int(1), "says something unknown of its bytes");
  }
  seal.bytes = static_cast<SealBytes>(bytes);
  Result<std::vector<ByteRange>> dirty = DecodeRanges(row.Bytes(10));
  if (!dirty) return Damaged("seal", row.Int(1), "holds " + dirty.error().message());
  seal.dirty = std::move(dirty).value();
  return seal;
}

Result<CleanRow> CleanOf(const SqlStatement& row) {
  QUAY_TRY(CheckRow(row, "clean", 1, {1, 4}));
  CleanRow clean;
  clean.ino = Uint(row, 1);
  clean.base.key = Text(row, 2);
  clean.base.etag = Text(row, 3);
  clean.base.size = Uint(row, 4);
  Result<std::vector<BlockSum>> sums = DecodeSums(row.Bytes(5));
  if (!sums) return Damaged("clean", row.Int(1), "holds " + sums.error().message());
  clean.sums = std::move(sums).value();
  return clean;
}

Result<PartRow> PartOf(const SqlStatement& row) {
  QUAY_TRY(CheckRow(row, "part", 1, {1, 3, 4, 7}));
  if (row.Int(2) < 1 || row.Int(2) > std::numeric_limits<int>::max())
    return Damaged("part", row.Int(1), "holds a number that no part has");
  if (row.Int(3) >= row.Int(4)) return Damaged("part", row.Int(1), "holds an empty range");
  PartRow part;
  part.ino = Uint(row, 1);
  part.number = static_cast<int>(row.Int(2));
  part.range = {Uint(row, 3), Uint(row, 4)};
  part.copied = row.Int(5) != 0;
  part.etag = Text(row, 6);
  part.size = Uint(row, 7);
  return part;
}

/// Rows of a detail table beside the rows of its main table, both in the order of their inodes.
template <typename Row, typename Make>
class Beside {
 public:
  Beside(SqlStatement statement, Make make) : statement_(std::move(statement)), make_(make) {}

  Status First() { return Advance(); }

  /// All rows of `ino`. A row before it belongs to nothing.
  Result<std::vector<Row>> Of(uint64_t ino, std::string_view table) {
    std::vector<Row> rows;
    while (row_ && row_->ino <= ino) {
      if (row_->ino < ino) return Stray(table);
      rows.push_back(std::move(*row_));
      QUAY_TRY(Advance());
    }
    return rows;
  }

  Status End(std::string_view table) const {
    if (row_) return Stray(table);
    return {};
  }

 private:
  Error Stray(std::string_view table) const {
    return Damaged(table, static_cast<int64_t>(row_->ino), "belongs to nothing");
  }

  Status Advance() {
    row_.reset();
    QUAY_ASSIGN(const bool more, statement_.Next());
    if (!more) return {};
    QUAY_ASSIGN(row_, make_(statement_));
    return {};
  }

  SqlStatement statement_;
  Make make_;
  std::optional<Row> row_;
};

}  // namespace

Status StateReader::ReadInodes(const std::function<void(InodeRow row)>& take) {
  QUAY_ASSIGN(
      SqlStatement rows,
      connection_.Prepare(
          "SELECT crc=row_checksum(ino,parent,name,mode,uid,gid,rdev,size,atime,mtime,ctime,"
          "target,flags,generation,object_key,object_etag,object_size,object_modified,properties),"
          "* FROM inode ORDER BY ino"));
  ParentsFirst order(take);
  while (true) {
    QUAY_ASSIGN(const bool row, rows.Next());
    if (!row) break;
    QUAY_ASSIGN(InodeRow inode, InodeOf(rows));
    order.Add(std::move(inode));
  }
  if (!order.Finish())
    return Error(Code::kCorrupt, "table 'inode' holds folders inside themselves");
  return {};
}

Status StateReader::ReadContents(
    const std::function<void(ContentRow row, std::vector<ByteRange> dirty)>& take) {
  QUAY_ASSIGN(SqlStatement rows,
              connection_.Prepare(
                  "SELECT crc=row_checksum(ino,size,base_limit,generation,modified,base_key,"
                  "base_etag,base_size,base_modified,changed_at),* FROM content ORDER BY ino"));
  QUAY_ASSIGN(SqlStatement extents,
              connection_.Prepare("SELECT crc=row_checksum(ino,first,beyond),* FROM dirty "
                                  "ORDER BY ino,first"));
  Beside<Extent, decltype(&ExtentOf)> beside(std::move(extents), &ExtentOf);
  QUAY_TRY(beside.First());
  while (true) {
    QUAY_ASSIGN(const bool row, rows.Next());
    if (!row) break;
    QUAY_ASSIGN(ContentRow content, ContentOf(rows));
    QUAY_ASSIGN(const std::vector<Extent> found, beside.Of(content.ino, "dirty"));
    std::vector<ByteRange> dirty;
    dirty.reserve(found.size());
    for (const Extent& extent : found) dirty.push_back(extent.range);
    if (!SortedAndApart(dirty)) return Damaged("dirty", rows.Int(1), "overlaps another");
    take(std::move(content), std::move(dirty));
  }
  return beside.End("dirty");
}

Status StateReader::ReadSeals(const std::function<void(SealRow row)>& take) {
  QUAY_ASSIGN(SqlStatement rows,
              connection_.Prepare(
                  "SELECT crc=row_checksum(ino,size,base_limit,generation,base_key,base_etag,"
                  "base_size,base_modified,overwritten,dirty),* FROM seal ORDER BY ino"));
  while (true) {
    QUAY_ASSIGN(const bool row, rows.Next());
    if (!row) return {};
    QUAY_ASSIGN(SealRow seal, SealOf(rows));
    take(std::move(seal));
  }
}

Status StateReader::ReadCleans(const std::function<void(CleanRow row)>& take) {
  QUAY_ASSIGN(
      SqlStatement rows,
      connection_.Prepare("SELECT crc=row_checksum(ino,base_key,base_etag,base_size,sums),* "
                          "FROM clean ORDER BY ino"));
  while (true) {
    QUAY_ASSIGN(const bool row, rows.Next());
    if (!row) return {};
    QUAY_ASSIGN(CleanRow clean, CleanOf(rows));
    take(std::move(clean));
  }
}

Result<std::optional<CleanRow>> StateReader::FindClean(uint64_t ino) {
  QUAY_ASSIGN(
      SqlStatement rows,
      connection_.Prepare("SELECT crc=row_checksum(ino,base_key,base_etag,base_size,sums),* "
                          "FROM clean WHERE ino=?1"));
  QUAY_TRY(rows.Start(ino));
  QUAY_ASSIGN(const bool row, rows.Next());
  if (!row) return std::optional<CleanRow>();
  QUAY_ASSIGN(CleanRow clean, CleanOf(rows));
  return std::optional<CleanRow>(std::move(clean));
}

Status StateReader::ReadUploads(
    const std::function<void(UploadRow row, std::vector<PartRow> parts)>& take) {
  QUAY_ASSIGN(SqlStatement rows, connection_.Prepare("SELECT crc=row_checksum(ino,object_key,"
                                                     "upload_id,properties),* FROM upload "
                                                     "ORDER BY ino"));
  QUAY_ASSIGN(SqlStatement parts,
              connection_.Prepare("SELECT crc=row_checksum(ino,number,first,beyond,copied,etag,"
                                  "size),* FROM part ORDER BY ino,number"));
  Beside<PartRow, decltype(&PartOf)> beside(std::move(parts), &PartOf);
  QUAY_TRY(beside.First());
  while (true) {
    QUAY_ASSIGN(const bool row, rows.Next());
    if (!row) break;
    QUAY_TRY(CheckRow(rows, "upload", 1, {1}));
    UploadRow upload;
    upload.ino = Uint(rows, 1);
    upload.key = Text(rows, 2);
    upload.upload_id = Text(rows, 3);
    QUAY_TRY(TakeProperties(rows, 4, "upload", &upload.properties));
    QUAY_ASSIGN(std::vector<PartRow> found, beside.Of(upload.ino, "part"));
    take(std::move(upload), std::move(found));
  }
  return beside.End("part");
}

Status StateReader::ReadOrphans(
    const std::function<void(std::string key, std::string upload_id)>& take) {
  QUAY_ASSIGN(SqlStatement rows,
              connection_.Prepare("SELECT crc=row_checksum(object_key,upload_id),* FROM orphan"));
  for (int64_t number = 1;; ++number) {
    QUAY_ASSIGN(const bool row, rows.Next());
    if (!row) return {};
    if (rows.Int(0) == 0) return Damaged("orphan", number, "does not fit its checksum");
    take(Text(rows, 1), Text(rows, 2));
  }
}

Status StateReader::ReadRemovals(const std::function<void(RemovalRow row)>& take) {
  QUAY_ASSIGN(SqlStatement rows,
              connection_.Prepare("SELECT crc=row_checksum(object_key,etag,size),* FROM removal"));
  for (int64_t number = 1;; ++number) {
    QUAY_ASSIGN(const bool row, rows.Next());
    if (!row) return {};
    if (rows.Int(0) == 0) return Damaged("removal", number, "does not fit its checksum");
    if (rows.Int(3) < 0) return Damaged("removal", number, "holds a negative size");
    take({Text(rows, 1), Text(rows, 2), Uint(rows, 3)});
  }
}

Status StateReader::ReadNotes(const std::function<void(NoteRow row)>& take) {
  QUAY_ASSIGN(SqlStatement rows,
              connection_.Prepare(
                  "SELECT crc=row_checksum(kind,ino,path,text,at),* FROM note ORDER BY id"));
  while (true) {
    QUAY_ASSIGN(const bool row, rows.Next());
    if (!row) return {};
    QUAY_TRY(CheckRow(rows, "note", 1, {1, 3}));
    NoteRow note;
    note.id = rows.Int(1);
    note.kind = Text(rows, 2);
    note.ino = Uint(rows, 3);
    note.path = Text(rows, 4);
    note.text = Text(rows, 5);
    note.at = rows.Int(6);
    take(std::move(note));
  }
}

Result<std::optional<int64_t>> StateReader::Number(std::string_view name) {
  QUAY_ASSIGN(SqlStatement rows,
              connection_.Prepare("SELECT crc=row_checksum(name,value),value FROM number "
                                  "WHERE name=?1"));
  QUAY_TRY(rows.Start(SqlText{name}));
  QUAY_ASSIGN(const bool row, rows.Next());
  if (!row) return std::optional<int64_t>();
  if (rows.Int(0) == 0)
    return Error(Code::kCorrupt, fmt::format("number '{}' does not fit its checksum", name));
  return std::optional<int64_t>(rows.Int(1));
}

Result<std::optional<std::string>> StateReader::Meta(std::string_view name) {
  QUAY_ASSIGN(SqlStatement rows,
              connection_.Prepare("SELECT crc=row_checksum(name,value),value FROM meta "
                                  "WHERE name=?1"));
  QUAY_TRY(rows.Start(SqlText{name}));
  QUAY_ASSIGN(const bool row, rows.Next());
  if (!row) return std::optional<std::string>();
  if (rows.Int(0) == 0)
    return Error(Code::kCorrupt, fmt::format("'{}' does not fit its checksum", name));
  return std::optional<std::string>(Text(rows, 1));
}

}  // namespace quayfs
