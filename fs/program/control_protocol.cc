// SPDX-License-Identifier: Apache-2.0

#include "fs/program/control_protocol.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "base/hash.h"

namespace quayfs::program {
namespace {

constexpr size_t kReadableMax = 40;
constexpr size_t kDigestChars = 12;

bool IsDirectory(const std::string& path) {
  struct stat facts {};
  return ::stat(path.c_str(), &facts) == 0 && S_ISDIR(facts.st_mode);
}

}  // namespace

std::string ControlDirectory(uid_t uid) {
  if (uid == 0) return "/run/quayfs";
  if (uid == ::geteuid()) {
    const char* const runtime = std::getenv("XDG_RUNTIME_DIR");
    if (runtime != nullptr && runtime[0] == '/') return std::string(runtime) + "/quayfs";
  }
  const std::string run = fmt::format("/run/user/{}", uid);
  if (IsDirectory(run)) return run + "/quayfs";
  return fmt::format("/tmp/quayfs-{}", uid);
}

std::string ControlSocketName(std::string_view mount_point) {
  std::string readable;
  for (const char c : mount_point) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '.' || c == '_';
    readable += plain ? c : '-';
  }
  if (readable.size() > kReadableMax) readable = readable.substr(readable.size() - kReadableMax);
  while (!readable.empty() && readable.front() == '-') readable.erase(0, 1);
  const std::string digest = HexEncode(Sha256(mount_point)).substr(0, kDigestChars);
  return readable.empty() ? digest + ".sock" : readable + "-" + digest + ".sock";
}

Result<std::string> PrepareControlDirectory(uid_t uid, bool create) {
  const std::string path = ControlDirectory(uid);
  if (create && ::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
    return ErrnoError(errno, "make the directory " + path);
  }
  struct stat facts {};
  if (::lstat(path.c_str(), &facts) != 0) return ErrnoError(errno, "the directory " + path);
  if (!S_ISDIR(facts.st_mode) || (facts.st_uid != uid && facts.st_uid != 0) ||
      (facts.st_mode & 022) != 0) {
    return Error(
        Code::kPermissionDenied,
        fmt::format("{} must be a directory that only its owner can write to; remove it", path));
  }
  return path;
}

std::optional<std::string> LineBuffer::Take() {
  const size_t end = bytes_.find('\n');
  if (end == std::string::npos) return std::nullopt;
  std::string line = bytes_.substr(0, end);
  bytes_.erase(0, end + 1);
  return line;
}

}  // namespace quayfs::program
