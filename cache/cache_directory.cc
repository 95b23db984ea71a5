// SPDX-License-Identifier: Apache-2.0

#include "cache/cache_directory.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "base/text.h"

namespace quayfs {
namespace {

constexpr int kLevels = 64;  // of missing parent directories
constexpr off_t kLeastRoom = 64 << 10;

Status MakeWithParents(const std::string& path, Disk& disk, int levels) {
  Status made = disk.MakeDirectory(path);
  if (made || made.Is(Code::kAlreadyExists)) return {};
  const size_t slash = path.find_last_of('/');
  if (!made.Is(Code::kNotFound) || slash == std::string::npos || slash == 0 || levels == 0)
    return made;
  QUAY_TRY(MakeWithParents(path.substr(0, slash), disk, levels - 1));
  made = disk.MakeDirectory(path);
  if (made.Is(Code::kAlreadyExists)) return {};
  return made;
}

Status CheckOwnership(const std::string& path) {
  struct stat info {};
  if (lstat(path.c_str(), &info) != 0)
    return ErrnoError(errno, fmt::format("cannot look at '{}'", path));
  if (S_ISLNK(info.st_mode)) {
    return Error(
        Code::kNotPermitted,
        fmt::format("the cache directory '{}' is a symbolic link; name the real directory", path));
  }
  if (!S_ISDIR(info.st_mode)) {
    return Error(Code::kNotPermitted,
                 fmt::format("the cache directory '{}' is not a directory", path));
  }
  if (info.st_uid != geteuid()) {
    return Error(
        Code::kNotPermitted,
        fmt::format(
            "the cache directory '{}' belongs to user {}, not to {}; run chown, or choose another",
            path, info.st_uid, geteuid()));
  }
  if ((info.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    return Error(
        Code::kNotPermitted,
        fmt::format("others may write to the cache directory '{}'; run chmod 700 on it", path));
  }
  return {};
}

std::string HolderOf(int fd) {
  char text[32] = {};
  const ssize_t count = pread(fd, text, sizeof text - 1, 0);
  return count > 0 ? std::string(TrimBlanks(std::string_view(text, static_cast<size_t>(count))))
                   : "unknown";
}

Error CannotUse(int error, const std::string& directory, const std::string& what) {
  const char* advice = "";
  if (error == ENOSPC || error == EDQUOT) advice = "; make room there";
  if (error == EROFS)
    advice = "; choose another cache directory ('quayfs recover' saves what this one still holds)";
  const Error plain = ErrnoError(error, what);
  return {plain.code(),
          fmt::format("the cache directory '{}': {}{}", directory, plain.message(), advice)};
}

Result<UniqueFd> TakeLock(const std::string& directory) {
  const std::string path = directory + "/lock";
  UniqueFd fd(open(path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd.valid()) return CannotUse(errno, directory, "cannot open 'lock'");
  if (flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return ErrnoError(errno, fmt::format("cannot lock '{}'", path));
    return Error(
        Code::kBusy,
        fmt::format("the cache directory '{}' is in use by process {}; every mount needs its own",
                    directory, HolderOf(fd.get())));
  }
  const std::string pid = fmt::format("{}\n", getpid());
  if (ftruncate(fd.get(), 0) != 0 ||
      pwrite(fd.get(), pid.data(), pid.size(), 0) != static_cast<ssize_t>(pid.size())) {
    return CannotUse(errno, directory, "cannot write to 'lock'");
  }
  return fd;
}

}  // namespace

Result<CacheDirectory> CacheDirectory::Open(const std::string& directory, Disk& disk) {
  if (directory.empty()) return Error(Code::kInvalidArgument, "no cache directory is configured");
  QUAY_TRY(MakeWithParents(directory, disk, kLevels));
  QUAY_TRY(CheckOwnership(directory));
  QUAY_ASSIGN(UniqueFd lock, TakeLock(directory));
  const std::string data = DataRoot(directory);
  if (Status made = disk.MakeDirectory(data); !made && !made.Is(Code::kAlreadyExists))
    return made.error();
  return CacheDirectory(std::move(lock));
}

// The database would notice late: its first changes may fit where the files there have room.
Status CheckRoom(const std::string& directory) {
  const UniqueFd probe(open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  const bool taken = probe.valid() && fallocate(probe.get(), 0, 0, kLeastRoom) == 0;
  // Where the file system cannot be asked like this, the first change tells.
  if (taken || (errno != ENOSPC && errno != EDQUOT)) return {};
  return CannotUse(errno, directory, "it has no room for changes");
}

std::string DataRoot(const std::string& directory) { return directory + "/data"; }

std::string DataFolder(const std::string& directory, uint64_t inode) {
  return fmt::format("{}/data/{:02x}", directory, inode & 0xff);
}

std::string DataFile(const std::string& directory, uint64_t inode) {
  return fmt::format("{}/data/{:02x}/{}", directory, inode & 0xff, inode);
}

std::string SetAsideFolder(const std::string& directory) { return directory + "/set-aside"; }

}  // namespace quayfs
