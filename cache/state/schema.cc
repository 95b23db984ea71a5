// SPDX-License-Identifier: Apache-2.0

#include "cache/state/schema.h"

#include <fmt/format.h>

#include <array>
#include <string>

namespace quayfs {
namespace {

constexpr const char* kVersion1 = R"sql(
CREATE TABLE meta (
  name TEXT PRIMARY KEY,
  value BLOB NOT NULL,
  crc INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE number (
  name TEXT PRIMARY KEY,
  value INTEGER NOT NULL,
  crc INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE inode (
  ino INTEGER PRIMARY KEY,
  parent INTEGER NOT NULL,
  name BLOB NOT NULL,
  mode INTEGER NOT NULL,
  uid INTEGER NOT NULL,
  gid INTEGER NOT NULL,
  rdev INTEGER NOT NULL,
  size INTEGER NOT NULL,
  atime INTEGER NOT NULL,
  mtime INTEGER NOT NULL,
  ctime INTEGER NOT NULL,
  target BLOB NOT NULL,
  flags INTEGER NOT NULL,
  generation INTEGER NOT NULL,
  object_key BLOB NOT NULL,
  object_etag BLOB NOT NULL,
  object_size INTEGER NOT NULL,
  object_modified INTEGER NOT NULL,
  properties BLOB,
  crc INTEGER NOT NULL
) STRICT;

CREATE TABLE content (
  ino INTEGER PRIMARY KEY,
  size INTEGER NOT NULL,
  base_limit INTEGER NOT NULL,
  generation INTEGER NOT NULL,
  modified INTEGER NOT NULL,
  base_key BLOB NOT NULL,
  base_etag BLOB NOT NULL,
  base_size INTEGER NOT NULL,
  base_modified INTEGER NOT NULL,
  changed_at INTEGER NOT NULL,
  crc INTEGER NOT NULL
) STRICT;

CREATE TABLE dirty (
  ino INTEGER NOT NULL,
  first INTEGER NOT NULL,
  beyond INTEGER NOT NULL,
  crc INTEGER NOT NULL,
  PRIMARY KEY (ino, first)
) STRICT, WITHOUT ROWID;

CREATE TABLE seal (
  ino INTEGER PRIMARY KEY,
  size INTEGER NOT NULL,
  base_limit INTEGER NOT NULL,
  generation INTEGER NOT NULL,
  base_key BLOB NOT NULL,
  base_etag BLOB NOT NULL,
  base_size INTEGER NOT NULL,
  base_modified INTEGER NOT NULL,
  overwritten INTEGER NOT NULL,
  dirty BLOB NOT NULL,
  crc INTEGER NOT NULL
) STRICT;

CREATE TABLE upload (
  ino INTEGER PRIMARY KEY,
  object_key BLOB NOT NULL,
  upload_id BLOB NOT NULL,
  properties BLOB,
  crc INTEGER NOT NULL
) STRICT;

CREATE TABLE part (
  ino INTEGER NOT NULL,
  number INTEGER NOT NULL,
  first INTEGER NOT NULL,
  beyond INTEGER NOT NULL,
  copied INTEGER NOT NULL,
  etag BLOB NOT NULL,
  size INTEGER NOT NULL,
  crc INTEGER NOT NULL,
  PRIMARY KEY (ino, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE orphan (
  object_key BLOB NOT NULL,
  upload_id BLOB NOT NULL,
  crc INTEGER NOT NULL,
  PRIMARY KEY (object_key, upload_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE removal (
  object_key BLOB PRIMARY KEY,
  etag BLOB NOT NULL,
  size INTEGER NOT NULL,
  crc INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE note (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  kind BLOB NOT NULL,
  ino INTEGER NOT NULL,
  path BLOB NOT NULL,
  text BLOB NOT NULL,
  at INTEGER NOT NULL,
  crc INTEGER NOT NULL
) STRICT;
)sql";

constexpr const char* kVersion2 = R"sql(
CREATE TABLE clean (
  ino INTEGER PRIMARY KEY,
  base_key BLOB NOT NULL,
  base_etag BLOB NOT NULL,
  base_size INTEGER NOT NULL,
  sums BLOB NOT NULL,
  crc INTEGER NOT NULL
) STRICT;
)sql";

constexpr std::array<SchemaStep, 2> kSteps = {SchemaStep{kVersion1}, SchemaStep{kVersion2}};

}  // namespace

std::span<const SchemaStep> SchemaSteps() { return kSteps; }

Status TakeSchemaSteps(SqlConnection& connection, std::span<const SchemaStep> steps, int64_t from) {
  std::string script = "BEGIN IMMEDIATE;";
  for (size_t version = static_cast<size_t>(from); version < steps.size(); ++version)
    script += steps[version].sql;
  // The log is emptied afterwards, which must not look as if it had been lost.
  script += "REPLACE INTO meta VALUES('clean',x'31',row_checksum('clean',x'31'));";
  script += fmt::format("PRAGMA user_version={};COMMIT", steps.size());
  if (Status taken = connection.Execute(script.c_str()); !taken) {
    connection.RollBack();
    return taken;
  }
  return {};
}

}  // namespace quayfs
