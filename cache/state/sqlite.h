// SPDX-License-Identifier: Apache-2.0
//
// The little of SQLite's interface that the state database needs, with Status for its codes. Only
// files in this folder include it.
//
// Thread-compatible: a connection and its statements belong to whoever holds the lock over them.

#pragma once

#include <sqlite3.h>

#include <concepts>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace quayfs {

/// Bound as TEXT. Plain string_views are bound as BLOB: names and keys are any bytes.
struct SqlText {
  std::string_view text;
};

class SqlConnection;

/// A prepared statement, kept and used again.
///
///   QUAY_TRY(statement.Run(ino, name));                  // binds in order, runs to its end
///   QUAY_TRY(statement.Start(ino));                      // or row by row:
///   while (true) {
///     QUAY_ASSIGN(const bool row, statement.Next());     // at the end it resets itself
///     if (!row) break;
///     statement.Int(0) ...
///   }
class SqlStatement {
 public:
  SqlStatement() = default;

  template <typename... Values>
  Status Run(const Values&... values) {
    QUAY_TRY(Start(values...));
    while (true) {
      QUAY_ASSIGN(const bool row, Next());
      if (!row) return {};
    }
  }

  /// REQUIRES: as many values as the statement has parameters. Strings must live until the end.
  template <typename... Values>
  Status Start(const Values&... values) {
    Reset();
    int index = 0;
    bool bound = true;
    ((bound = bound && Bind(++index, values)), ...);
    if (!bound) return BindError();
    return {};
  }

  /// False: there are no more rows. After a failure or false the statement is reset.
  Result<bool> Next();
  void Reset();

  int64_t Int(int column) const;
  /// Valid until the next call on this statement.
  std::string_view Bytes(int column) const;
  bool IsNull(int column) const;

 private:
  friend class SqlConnection;
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const;
  };

  template <std::integral T>
  bool Bind(int index, T value) {
    return BindInt(index, static_cast<int64_t>(value));
  }
  bool Bind(int index, std::string_view bytes);
  bool Bind(int index, const std::string& bytes) { return Bind(index, std::string_view(bytes)); }
  bool Bind(int index, SqlText text);
  bool Bind(int index, const std::optional<std::string>& bytes);  // NULL if there is none
  bool BindInt(int index, int64_t value);
  Error BindError() const;

  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
};

class SqlConnection {
 public:
  SqlConnection() = default;

  /// Opens PATH with the locks of one process: other processes are kept out (kBusy) from the first
  /// read on, other connections of this one are not. Nothing is written by opening, reading and
  /// closing, whatever lies in the write-ahead log; see TakeOver.
  static Result<SqlConnection> Open(const std::string& path);

  bool valid() const { return database_ != nullptr; }
  /// Closing may from now on move the log into the database.
  Status TakeOver();

  Result<SqlStatement> Prepare(std::string_view sql);
  /// One or more statements whose rows do not matter.
  Status Execute(const char* sql);
  /// The first column of the first row.
  Result<int64_t> QueryInt(std::string_view sql);
  Result<std::string> QueryText(std::string_view sql);

  /// Rows that the last INSERT, UPDATE or DELETE changed.
  int64_t changes() const;
  int64_t last_row_id() const;
  /// Pages that lie in the write-ahead log since it was last begun anew, by the last commit.
  /// (The log's file says nothing: it keeps its size when the log begins anew.)
  uint64_t log_pages() const { return *log_pages_; }
  bool in_transaction() const;
  /// Ends a transaction that failed, if SQLite has not done so by itself.
  void RollBack();

  sqlite3* handle() const { return database_.get(); }

 private:
  struct Close {
    void operator()(sqlite3* database) const;
  };
  std::unique_ptr<uint64_t> log_pages_ = std::make_unique<uint64_t>(0);  // outlives database_
  std::unique_ptr<sqlite3, Close> database_;
};

/// What the last failing call on `database` was about.
Error SqliteError(sqlite3* database, int code);

}  // namespace quayfs
