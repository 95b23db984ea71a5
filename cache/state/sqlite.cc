// SPDX-License-Identifier: Apache-2.0

#include "cache/state/sqlite.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/hash.h"

namespace quayfs {
namespace {

constexpr int kBusyMilliseconds = 10'000;  // between connections of our own

void AppendInt(std::string* out, int64_t value) {
  std::array<char, sizeof value> raw{};
  std::memcpy(raw.data(), &value, sizeof value);
  out->append(raw.data(), raw.size());
}

/// row_checksum(a, b, ...): CRC32C over types, lengths and values. SQLite's pages carry no
/// checksums; this is how a changed bit in a row is seen.
void RowChecksum(sqlite3_context* context, int count, sqlite3_value** values) {
  thread_local std::string buffer;
  buffer.clear();
  for (int i = 0; i < count; ++i) {
    const int type = sqlite3_value_type(values[i]);
    buffer.push_back(static_cast<char>(type));
    if (type == SQLITE_INTEGER) {
      AppendInt(&buffer, sqlite3_value_int64(values[i]));
    } else if (type != SQLITE_NULL) {
      const void* bytes = sqlite3_value_blob(values[i]);
      const int length = sqlite3_value_bytes(values[i]);
      AppendInt(&buffer, length);
      if (length > 0) buffer.append(static_cast<const char*>(bytes), static_cast<size_t>(length));
    }
  }
  sqlite3_result_int64(context, static_cast<int32_t>(Crc32c(AsBytes(buffer))));
}

int CountLogPages(void* count, sqlite3* /*database*/, const char* /*name*/, int pages) {
  *static_cast<uint64_t*>(count) = static_cast<uint64_t>(pages);
  return SQLITE_OK;
}

Code CodeOf(sqlite3* database, int code) {
  switch (code & 0xff) {
    case SQLITE_FULL:
      return Code::kNoSpace;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return Code::kBusy;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_FORMAT:
      return Code::kCorrupt;
    case SQLITE_READONLY:
      return Code::kReadOnly;
    case SQLITE_PERM:
    case SQLITE_AUTH:
      return Code::kPermissionDenied;
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN: {
      const int system = database != nullptr ? sqlite3_system_errno(database) : 0;
      if (system == ENOSPC || system == EDQUOT) return Code::kNoSpace;
      if (system == EROFS) return Code::kReadOnly;
      if (system == EACCES || system == EPERM) return Code::kPermissionDenied;
      return Code::kIo;
    }
    default:
      return Code::kInternal;
  }
}

}  // namespace

Error SqliteError(sqlite3* database, int code) {
  if (database == nullptr) return {Code::kInternal, sqlite3_errstr(code)};
  const int extended = sqlite3_extended_errcode(database);
  const int known = (extended & 0xff) == (code & 0xff) ? extended : code;
  // May quote the schema, which has lines.
  std::string text = sqlite3_errmsg(database);
  std::replace(text.begin(), text.end(), '\n', ' ');
  const int system = sqlite3_system_errno(database);
  if (((known & 0xff) == SQLITE_IOERR || (known & 0xff) == SQLITE_CANTOPEN) && system != 0)
    text = ErrnoError(system, text).message();
  return {CodeOf(database, known), fmt::format("{} (SQLite {})", text, known)};
}

void SqlStatement::Finalize::operator()(sqlite3_stmt* statement) const {
  sqlite3_finalize(statement);
}

void SqlStatement::Reset() {
  // What it returns was already returned by the step that failed.
  sqlite3_reset(statement_.get());
}

bool SqlStatement::BindInt(int index, int64_t value) {
  return sqlite3_bind_int64(statement_.get(), index, value) == SQLITE_OK;
}

bool SqlStatement::Bind(int index, std::string_view bytes) {
  // A null pointer would be NULL, which is not the empty string.
  const char* data = bytes.empty() ? "" : bytes.data();
  return sqlite3_bind_blob64(statement_.get(), index, data, bytes.size(), SQLITE_STATIC) ==
         SQLITE_OK;
}

bool SqlStatement::Bind(int index, SqlText text) {
  const char* data = text.text.empty() ? "" : text.text.data();
  return sqlite3_bind_text64(statement_.get(), index, data, text.text.size(), SQLITE_STATIC,
                             SQLITE_UTF8) == SQLITE_OK;
}

bool SqlStatement::Bind(int index, const std::optional<std::string>& bytes) {
  if (bytes) return Bind(index, std::string_view(*bytes));
  return sqlite3_bind_null(statement_.get(), index) == SQLITE_OK;
}

Error SqlStatement::BindError() const {
  sqlite3* database = sqlite3_db_handle(statement_.get());
  return SqliteError(database, sqlite3_errcode(database)).WithContext("cannot bind a value");
}

Result<bool> SqlStatement::Next() {
  const int code = sqlite3_step(statement_.get());
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) {
    Reset();
    return false;
  }
  Error error = SqliteError(sqlite3_db_handle(statement_.get()), code);
  Reset();
  return error;
}

int64_t SqlStatement::Int(int column) const {
  return sqlite3_column_int64(statement_.get(), column);
}

std::string_view SqlStatement::Bytes(int column) const {
  const void* data = sqlite3_column_blob(statement_.get(), column);
  const int length = sqlite3_column_bytes(statement_.get(), column);
  if (data == nullptr || length <= 0) return {};
  return {static_cast<const char*>(data), static_cast<size_t>(length)};
}

bool SqlStatement::IsNull(int column) const {
  return sqlite3_column_type(statement_.get(), column) == SQLITE_NULL;
}

void SqlConnection::Close::operator()(sqlite3* database) const { sqlite3_close_v2(database); }

Result<SqlConnection> SqlConnection::Open(const std::string& path) {
  sqlite3* raw = nullptr;
  const int opened =
      sqlite3_open_v2(path.c_str(), &raw,
                      SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE |
                          SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_EXRESCODE,
                      "unix-excl");
  SqlConnection connection;
  connection.database_.reset(raw);
  if (opened != SQLITE_OK) return SqliteError(raw, opened);
  sqlite3_busy_timeout(raw, kBusyMilliseconds);
  const int configured = sqlite3_db_config(raw, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
  if (configured != SQLITE_OK) return SqliteError(raw, configured);
  // Schemas are read from the file: what stands there must not be able to run functions.
  sqlite3_db_config(raw, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  sqlite3_db_config(raw, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  const int added = sqlite3_create_function_v2(
      raw, "row_checksum", -1, SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS, nullptr,
      &RowChecksum, nullptr, nullptr, nullptr);
  if (added != SQLITE_OK) return SqliteError(raw, added);
  QUAY_TRY(connection.Execute(
      "PRAGMA synchronous=NORMAL; PRAGMA wal_autocheckpoint=0; PRAGMA cell_size_check=ON;"
      "PRAGMA temp_store=MEMORY; PRAGMA mmap_size=0; PRAGMA cache_size=-16384"));
  // After the pragma above, which has a hook of its own.
  sqlite3_wal_hook(raw, &CountLogPages, connection.log_pages_.get());
  return connection;
}

Status SqlConnection::TakeOver() {
  const int configured =
      sqlite3_db_config(database_.get(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, nullptr);
  if (configured != SQLITE_OK) return SqliteError(database_.get(), configured);
  return {};
}

Result<SqlStatement> SqlConnection::Prepare(std::string_view sql) {
  sqlite3_stmt* raw = nullptr;
  const int code = sqlite3_prepare_v3(database_.get(), sql.data(), static_cast<int>(sql.size()),
                                      SQLITE_PREPARE_PERSISTENT, &raw, nullptr);
  if (code != SQLITE_OK) return SqliteError(database_.get(), code);
  SqlStatement statement;
  statement.statement_.reset(raw);
  return statement;
}

Status SqlConnection::Execute(const char* sql) {
  const int code = sqlite3_exec(database_.get(), sql, nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) return SqliteError(database_.get(), code);
  return {};
}

Result<int64_t> SqlConnection::QueryInt(std::string_view sql) {
  QUAY_ASSIGN(SqlStatement statement, Prepare(sql));
  QUAY_ASSIGN(const bool row, statement.Next());
  if (!row) return Error(Code::kCorrupt, fmt::format("no answer to '{}'", sql));
  return statement.Int(0);
}

Result<std::string> SqlConnection::QueryText(std::string_view sql) {
  QUAY_ASSIGN(SqlStatement statement, Prepare(sql));
  QUAY_ASSIGN(const bool row, statement.Next());
  if (!row) return Error(Code::kCorrupt, fmt::format("no answer to '{}'", sql));
  return std::string(statement.Bytes(0));
}

int64_t SqlConnection::changes() const { return sqlite3_changes64(database_.get()); }

int64_t SqlConnection::last_row_id() const { return sqlite3_last_insert_rowid(database_.get()); }

bool SqlConnection::in_transaction() const { return sqlite3_get_autocommit(database_.get()) == 0; }

void SqlConnection::RollBack() {
  // Nothing can be done about a rollback that fails: the caller has an error already.
  if (in_transaction()) sqlite3_exec(database_.get(), "ROLLBACK", nullptr, nullptr, nullptr);
}

}  // namespace quayfs
