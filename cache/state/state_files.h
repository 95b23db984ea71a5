// SPDX-License-Identifier: Apache-2.0
//
// The files of a state database as files: who may open them, and whether they can be what they
// should be. Nothing here changes a database that is there.

#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace quayfs {

/// DIRECTORY and the lock on it. As long as this lives no other StateDb, of this process or of
/// another, touches the files. (Closing any descriptor of a database file would drop SQLite's own
/// locks in this process; so the first look at the file needs a lock that does not lie on it.)
class StateFiles {
 public:
  /// kBusy: it is locked.
  static Result<StateFiles> Lock(const std::string& directory);

  const std::string& directory() const { return directory_; }
  std::string path() const { return directory_ + "/state.db"; }
  std::string log_path() const { return directory_ + "/state.db-wal"; }

  /// Whether there is a database. If so, it is a regular file that can be written to and whose
  /// header says that it is one of ours, of a version up to `newest_version`; if not, nothing is
  /// there that once belonged to one.
  Result<bool> Look(int64_t newest_version) const;

  /// Makes a database: `fill` under another name, then flushed and renamed. Whatever happens, there
  /// is no database or a whole one.
  Status Create(const std::function<Status(const std::string& path)>& fill) const;

  /// Opening makes an empty log where there was none; a database that is refused or has not been
  /// changed is left without it.
  void RemoveEmptyLog() const;

  Status SyncDirectory() const;

  /// How a message about a database that cannot be used ends.
  std::string Advice() const;

 private:
  StateFiles(std::string directory, UniqueFd fd)
      : directory_(std::move(directory)), fd_(std::move(fd)) {}

  std::string directory_;
  UniqueFd fd_;
};

}  // namespace quayfs
