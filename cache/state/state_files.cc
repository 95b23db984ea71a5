// SPDX-License-Identifier: Apache-2.0

#include "cache/state/state_files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string_view>
#include <utility>

#include "cache/state/schema.h"

namespace quayfs {
namespace {

// The first bytes of an SQLite database; sqlite.org/fileformat2.html, section 1.3.
constexpr size_t kHeaderSize = 100;
constexpr std::string_view kMagic("SQLite format 3\0", 16);
constexpr size_t kVersionOffset = 60;      // PRAGMA user_version
constexpr size_t kApplicationOffset = 68;  // PRAGMA application_id

bool Exists(const std::string& path) {
  struct stat info {};
  return lstat(path.c_str(), &info) == 0;
}

bool HasBytes(const std::string& path) {
  struct stat info {};
  return lstat(path.c_str(), &info) == 0 && info.st_size > 0;
}

uint32_t BigEndian(const std::array<char, kHeaderSize>& header, size_t offset) {
  uint32_t value = 0;
  for (size_t i = 0; i < 4; ++i)
    value = value << 8 | static_cast<unsigned char>(header.at(offset + i));
  return value;
}

Status SyncFile(const std::string& path) {
  const UniqueFd fd(open(path.c_str(), O_RDWR | O_NOFOLLOW | O_CLOEXEC));
  if (!fd.valid() || fsync(fd.get()) != 0)
    return ErrnoError(errno, fmt::format("cannot flush '{}'", path));
  return {};
}

}  // namespace

Result<StateFiles> StateFiles::Lock(const std::string& directory) {
  UniqueFd fd(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid())
    return ErrnoError(errno, fmt::format("cannot open the cache directory '{}'", directory));
  if (flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK)
      return ErrnoError(errno, fmt::format("cannot lock the cache directory '{}'", directory));
    return Error(Code::kBusy, fmt::format("the state database in '{}' is in use; end the mount "
                                          "that uses it, or use another cache directory",
                                          directory));
  }
  return StateFiles(directory, std::move(fd));
}

std::string StateFiles::Advice() const {
  return fmt::format(
      "; use another cache directory ('quayfs recover {}' saves what this one still holds)",
      directory_);
}

Result<bool> StateFiles::Look(int64_t newest_version) const {
  const UniqueFd fd(open(path().c_str(), O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!fd.valid() && errno == ENOENT) {
    for (const std::string& left : {log_path(), path() + "-journal"}) {
      if (!HasBytes(left)) continue;
      return Error(Code::kCorrupt, fmt::format("'{}' is missing, but its log '{}' is there{}",
                                               path(), left, Advice()));
    }
    return false;
  }
  if (!fd.valid() && (errno == EISDIR || errno == ELOOP || errno == ENXIO))
    return Error(Code::kCorrupt, fmt::format("'{}' is not a file{}", path(), Advice()));
  if (!fd.valid()) {
    const Error error = ErrnoError(errno, fmt::format("cannot open '{}' for writing", path()));
    return Error(error.code(), error.message() + Advice());
  }
  if (faccessat(fd_.get(), ".", W_OK | X_OK, AT_EACCESS) != 0) {
    const Error error = ErrnoError(errno, fmt::format("cannot write to '{}'", directory_));
    return Error(error.code(), error.message() + Advice());
  }
  struct stat info {};
  if (fstat(fd.get(), &info) != 0)
    return ErrnoError(errno, fmt::format("cannot look at '{}'", path()));
  if (!S_ISREG(info.st_mode))
    return Error(Code::kCorrupt, fmt::format("'{}' is not a file{}", path(), Advice()));

  std::array<char, kHeaderSize> header{};
  const ssize_t count = pread(fd.get(), header.data(), header.size(), 0);
  if (count < 0) return ErrnoError(errno, fmt::format("cannot read '{}'", path()));
  if (static_cast<size_t>(count) < header.size() ||
      std::string_view(header.data(), kMagic.size()) != kMagic) {
    return Error(Code::kCorrupt, fmt::format("'{}' is damaged: it does not begin like a database{}",
                                             path(), Advice()));
  }
  if (BigEndian(header, kApplicationOffset) != kStateApplicationId) {
    return Error(Code::kCorrupt,
                 fmt::format("'{}' is a database of another program{}", path(), Advice()));
  }
  const auto version = static_cast<int32_t>(BigEndian(header, kVersionOffset));
  if (version > newest_version) {
    return Error(Code::kNotPermitted,
                 fmt::format("'{}' was made by a newer quayfs (version {}, this one knows {}); "
                             "use that quayfs, or another cache directory",
                             path(), version, newest_version));
  }
  if (HasBytes(path() + "-journal")) {
    return Error(Code::kCorrupt,
                 fmt::format("'{}-journal' was left by another program{}", path(), Advice()));
  }
  return true;
}

Status StateFiles::Create(const std::function<Status(const std::string& path)>& fill) const {
  const std::string made = path() + ".new";
  const auto remove = [&made] {
    for (const char* suffix : {"", "-wal", "-journal", "-shm"}) unlink((made + suffix).c_str());
  };
  remove();  // of one that was interrupted
  const UniqueFd fd(open(made.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd.valid()) return ErrnoError(errno, fmt::format("cannot make '{}'", made));
  Status done = fill(made);
  if (done) done = SyncFile(made);
  // An empty log of an earlier database would otherwise be taken for this one's.
  if (done && Exists(log_path())) unlink(log_path().c_str());
  if (done && rename(made.c_str(), path().c_str()) != 0)
    done = ErrnoError(errno, fmt::format("cannot rename '{}'", made));
  if (!done) {
    remove();
    return done.error().WithContext(fmt::format("cannot make '{}'", path()));
  }
  return SyncDirectory();
}

void StateFiles::RemoveEmptyLog() const {
  const std::string log = log_path();
  if (Exists(log) && !HasBytes(log)) unlink(log.c_str());
}

Status StateFiles::SyncDirectory() const {
  if (fsync(fd_.get()) != 0)
    return ErrnoError(errno, fmt::format("cannot flush the directory '{}'", directory_));
  return {};
}

}  // namespace quayfs
