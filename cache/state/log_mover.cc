// SPDX-License-Identifier: Apache-2.0

#include "cache/state/log_mover.h"

namespace quayfs {

Status MoveLog(SqlConnection& connection) {
  const int code = sqlite3_wal_checkpoint_v2(connection.handle(), nullptr,
                                             SQLITE_CHECKPOINT_PASSIVE, nullptr, nullptr);
  if (code == SQLITE_OK || code == SQLITE_FULL || code == SQLITE_BUSY) return {};
  const Error error = SqliteError(connection.handle(), code);
  if (error.code() == Code::kNoSpace) return {};
  return Error(error.code() == Code::kCorrupt ? Code::kCorrupt : Code::kIo, error.message());
}

void LogMover::Begin() {
  if (under_way_.exchange(true)) return;
  pool_.Post([this] {
    const Status moved = Move();
    under_way_ = false;
    if (!moved) failed_(moved.error());
  });
}

Status LogMover::Move() {
  if (!connection_.valid()) {
    // Without one (too many open files, say) the log grows, and whoever commits moves it.
    auto connection = SqlConnection::Open(path_);
    // A connection that has read nothing yet does not know that there is a log.
    if (!connection || !connection->QueryInt("PRAGMA user_version")) return {};
    connection_ = *std::move(connection);
  }
  return MoveLog(connection_);
}

}  // namespace quayfs
