// SPDX-License-Identifier: Apache-2.0

#include "fs/program/mount_point.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdlib>
#include <vector>

#include "fs/program/mount_table.h"

extern char** environ;

namespace quayfs::program {
namespace {

Result<std::string> RealPath(const std::string& path) {
  char* const resolved = ::realpath(path.c_str(), nullptr);
  if (resolved == nullptr) {
    const int error = errno;
    if (error == ENOENT) {
      return Error(Code::kNotFound,
                   fmt::format("the mount point {} does not exist; create it with: mkdir -p {}",
                               path, path));
    }
    return ErrnoError(error, "the mount point " + path);
  }
  std::string text(resolved);
  std::free(resolved);  // NOLINT(cppcoreguidelines-no-malloc): realpath allocates with malloc
  return text;
}

std::string WithoutTrailingSlashes(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

/// The last component left as it is.
Result<std::string> ResolveParent(const std::string& path) {
  const size_t slash = path.rfind('/');
  const std::string name = slash == std::string::npos ? path : path.substr(slash + 1);
  if (name.empty() || name == "." || name == "..") return RealPath(path);
  const std::string parent = slash == std::string::npos ? "."
                             : slash == 0               ? "/"
                                                        : path.substr(0, slash);
  auto resolved = RealPath(parent);
  if (!resolved) {
    if (!resolved.Is(Code::kNotFound)) return resolved;
    return Error(
        Code::kNotFound,
        fmt::format("the mount point {} does not exist; create it with: mkdir -p {}", path, path));
  }
  return (*resolved == "/" ? "" : *resolved) + "/" + name;
}

Error AlreadyMounted(const MountEntry& entry) {
  return Error(
      Code::kBusy,
      fmt::format("already mounted: {} is served by quayfs ('{}'); quayfs status {} tells more",
                  entry.mount_point, entry.source, entry.mount_point));
}

/// fusermount3 belongs to libfuse and is set-uid root: how others than root unmount.
Status RunFusermount(const std::string& mount_point, bool lazy) {
  std::vector<std::string> words = {"fusermount3", "-u", "-q"};
  if (lazy) words.emplace_back("-z");
  words.emplace_back("--");
  words.push_back(mount_point);
  std::vector<char*> arguments;
  arguments.reserve(words.size() + 1);
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  pid_t pid = 0;
  const int spawned =
      ::posix_spawnp(&pid, "fusermount3", nullptr, nullptr, arguments.data(), environ);
  if (spawned != 0) return ErrnoError(spawned, "run fusermount3");
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0) {
    if (errno != EINTR) return ErrnoError(errno, "wait for fusermount3");
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
  return Error(Code::kBusy, fmt::format("{} is busy, or is not a mount of yours", mount_point));
}

}  // namespace

Result<std::string> ResolveMountPoint(const std::string& path) {
  if (path.empty()) return Error(Code::kInvalidArgument, "the mount point is empty");
  QUAY_ASSIGN(std::string resolved, ResolveParent(WithoutTrailingSlashes(path)));
  QUAY_ASSIGN(const std::vector<MountEntry> table, ReadMountTable());
  if (FindMountAt(table, resolved) != nullptr) return resolved;
  return RealPath(path);
}

Result<PreparedMountPoint> PrepareMountPoint(const std::string& path) {
  PreparedMountPoint prepared;
  QUAY_ASSIGN(prepared.path, ResolveMountPoint(path));
  QUAY_ASSIGN(const std::vector<MountEntry> table, ReadMountTable());
  const MountEntry* const entry = FindMountAt(table, prepared.path);
  if (entry != nullptr && entry->is_quayfs()) {
    if (!IsDeadMount(prepared.path)) return AlreadyMounted(*entry);
    QUAY_TRY(Unmount(prepared.path, true));
    prepared.note = fmt::format(
        "{} was left behind by a quayfs that is gone; it has been unmounted", prepared.path);
    // What lay beneath may be anything, even another mount.
    QUAY_TRY(PrepareMountPoint(prepared.path));
    return prepared;
  }
  struct stat facts {};
  if (::stat(prepared.path.c_str(), &facts) != 0)
    return ErrnoError(errno, "the mount point " + prepared.path);
  if (!S_ISDIR(facts.st_mode)) {
    return Error(Code::kNotDirectory,
                 fmt::format("the mount point {} is not a directory", prepared.path));
  }
  return prepared;
}

bool IsDeadMount(const std::string& path) {
  // Attributes may be cached by the kernel; the room in a file system never is.
  struct statfs facts {};
  return ::statfs(path.c_str(), &facts) != 0 && (errno == ENOTCONN || errno == ECONNABORTED);
}

Status Unmount(const std::string& mount_point, bool lazy) {
  if (::geteuid() != 0) return RunFusermount(mount_point, lazy);
  if (::umount2(mount_point.c_str(), UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0)) == 0) return {};
  const int error = errno;
  if (error == EBUSY) {
    return Error(
        Code::kBusy,
        fmt::format("{} is busy: a program has a file open or stands in it; fuser -vm {} names it",
                    mount_point, mount_point));
  }
  if (error == EINVAL)
    return Error(Code::kInvalidArgument, fmt::format("nothing is mounted at {}", mount_point));
  return ErrnoError(error, "unmount " + mount_point);
}

}  // namespace quayfs::program
