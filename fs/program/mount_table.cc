// SPDX-License-Identifier: Apache-2.0

#include "fs/program/mount_table.h"

#include <fcntl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "base/text.h"
#include "base/unique_fd.h"

namespace quayfs::program {
namespace {

constexpr const char* kMountInfo = "/proc/self/mountinfo";
// proc(5): the fields before the optional ones.
constexpr size_t kFixedFields = 6;

bool IsOctal(char c) { return c >= '0' && c <= '7'; }

/// The kernel writes space, tab, newline and backslash as \ooo.
std::string Unescape(std::string_view text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size() && IsOctal(text[i + 1]) && IsOctal(text[i + 2]) &&
        IsOctal(text[i + 3])) {
      plain += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 +
                                 (text[i + 3] - '0'));
      i += 3;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

std::optional<dev_t> ParseDevice(std::string_view text) {
  const std::vector<std::string_view> parts = Split(text, ':');
  if (parts.size() != 2) return std::nullopt;
  const Result<uint64_t> major_number = ParseUint(parts[0]);
  const Result<uint64_t> minor_number = ParseUint(parts[1]);
  if (!major_number || !minor_number) return std::nullopt;
  return makedev(static_cast<unsigned>(*major_number), static_cast<unsigned>(*minor_number));
}

std::optional<MountEntry> ParseLine(std::string_view line) {
  const std::vector<std::string_view> fields = Split(line, ' ');
  size_t dash = kFixedFields;
  while (dash < fields.size() && fields[dash] != "-") ++dash;
  if (dash + 2 >= fields.size()) return std::nullopt;
  const std::optional<dev_t> device = ParseDevice(fields[2]);
  if (!device) return std::nullopt;
  MountEntry entry;
  entry.device = *device;
  entry.mount_point = Unescape(fields[4]);
  entry.options = std::string(fields[5]);
  entry.type = Unescape(fields[dash + 1]);
  entry.source = Unescape(fields[dash + 2]);
  if (dash + 3 < fields.size()) entry.super_options = Unescape(fields[dash + 3]);
  return entry;
}

bool Contains(std::string_view mount_point, std::string_view path) {
  if (mount_point == "/") return !path.empty() && path.front() == '/';
  return path.starts_with(mount_point) &&
         (path.size() == mount_point.size() || path[mount_point.size()] == '/');
}

}  // namespace

std::optional<uid_t> MountEntry::owner() const {
  constexpr std::string_view kKey = "user_id=";
  for (const std::string_view option : Split(super_options, ',')) {
    if (!option.starts_with(kKey)) continue;
    const Result<uint64_t> id = ParseUint(option.substr(kKey.size()));
    if (id) return static_cast<uid_t>(*id);
  }
  return std::nullopt;
}

std::vector<MountEntry> ParseMountTable(std::string_view text) {
  std::vector<MountEntry> table;
  for (const std::string_view line : Split(text, '\n')) {
    std::optional<MountEntry> entry = ParseLine(line);
    if (entry) table.push_back(*std::move(entry));
  }
  return table;
}

Result<std::vector<MountEntry>> ReadMountTable() {
  const UniqueFd file(::open(kMountInfo, O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return ErrnoError(errno, std::string("open ") + kMountInfo);
  std::string text;
  std::array<char, 16384> buffer;
  for (;;) {
    const ssize_t got = ::read(file.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoError(errno, std::string("read ") + kMountInfo);
    if (got == 0) break;
    text.append(buffer.data(), static_cast<size_t>(got));
  }
  return ParseMountTable(text);
}

const MountEntry* FindMountAt(const std::vector<MountEntry>& table, std::string_view path) {
  for (auto entry = table.rbegin(); entry != table.rend(); ++entry) {
    if (entry->mount_point == path) return &*entry;
  }
  return nullptr;
}

const MountEntry* FindMountContaining(const std::vector<MountEntry>& table, std::string_view path) {
  const MountEntry* best = nullptr;
  for (const MountEntry& entry : table) {
    if (!Contains(entry.mount_point, path)) continue;
    if (best == nullptr || entry.mount_point.size() >= best->mount_point.size()) best = &entry;
  }
  return best;
}

}  // namespace quayfs::program
