// SPDX-License-Identifier: Apache-2.0

#include "fs/program/held_state.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <stdlib.h>  // NOLINT(modernize-deprecated-headers): mkdtemp
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <set>
#include <utility>

#include "base/text.h"
#include "cache/cache_directory.h"
#include "cache/state/state_open.h"
#include "fs/inode_flags.h"
#include "fs/program/set_aside_list.h"
#include "fs/types.h"

namespace quayfs::program {
namespace {

namespace fs = std::filesystem;

/// A private copy of the database's files; gone with this.
class StateCopy {
 public:
  static Result<StateCopy> Make(const std::string& directory) {
    const char* const temporary = std::getenv("TMPDIR");
    std::string path = temporary != nullptr && temporary[0] == '/' ? temporary : "/tmp";
    path += "/quayfs-recover-XXXXXX";
    if (::mkdtemp(path.data()) == nullptr)
      return ErrnoError(errno, fmt::format("make the directory '{}'", path));
    StateCopy copy(path);
    for (const char* name : {"state.db", "state.db-wal", "state.db-journal"}) {
      std::error_code failed;
      const std::string from = fmt::format("{}/{}", directory, name);
      if (!fs::is_regular_file(fs::symlink_status(from, failed))) continue;
      fs::copy_file(from, fmt::format("{}/{}", path, name), failed);
      if (failed) {
        return Error(Code::kIo, fmt::format("copy '{}' to '{}': {}; TMPDIR names another place",
                                            from, path, failed.message()));
      }
      fs::permissions(fmt::format("{}/{}", path, name),
                      fs::perms::owner_read | fs::perms::owner_write, failed);
    }
    return copy;
  }
  StateCopy(StateCopy&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  StateCopy& operator=(StateCopy&&) = delete;
  ~StateCopy() {
    std::error_code ignored;
    if (!path_.empty()) fs::remove_all(path_, ignored);
  }
  const std::string& path() const { return path_; }

 private:
  explicit StateCopy(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

bool IsPlainName(const std::string& name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == std::string::npos &&
         name.find('\0') == std::string::npos;
}

/// The number that a data file is named after; 0: it is none.
uint64_t InodeOf(const std::string& directory, const std::string& path) {
  const std::string name = path.substr(path.rfind('/') + 1);
  uint64_t ino = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), ino);
  const bool ours =
      error == std::errc() && end == name.data() + name.size() && path == DataFile(directory, ino);
  return ours ? ino : 0;
}

class Reader {
 public:
  Reader(const std::string& directory, Disk& disk) : directory_(directory), disk_(disk) {}

  Result<HeldState> Run() {
    FindDataFiles();
    QUAY_ASSIGN(const StateCopy copy, StateCopy::Make(directory_));
    const Status read = ReadDatabase(copy.path());
    if (!read) {
      held_ = {};
      held_.damage = NamedRight(read.error().message(), copy.path());
      TakeUnknownFiles();
    }
    AddUnnotedSetAside();
    return std::move(held_);
  }

 private:
  // The message is about the copy; a person wants to hear of the original.
  std::string NamedRight(std::string message, const std::string& copy) const {
    for (size_t at = message.find(copy); at != std::string::npos; at = message.find(copy))
      message.replace(at, copy.size(), directory_);
    // It ends with advice, which is to do what is being done.
    if (const size_t advice = message.find("; use another cache directory");
        advice != std::string::npos)
      message.resize(advice);
    return message;
  }

  void FindDataFiles() {
    const auto folders = disk_.List(DataRoot(directory_));
    if (!folders) return;
    for (const DiskEntry& folder : *folders) {
      const std::string path = DataRoot(directory_) + "/" + folder.name;
      const auto entries = disk_.List(path);
      if (!entries) continue;
      for (const DiskEntry& entry : *entries) {
        const std::string file = path + "/" + entry.name;
        const auto info = disk_.Stat(file);
        if (!info || !info->is_regular) continue;
        if (const uint64_t ino = InodeOf(directory_, file); ino != 0) data_files_[ino] = info->size;
      }
    }
  }

  Status ReadDatabase(const std::string& path) {
    std::error_code ignored;
    if (!fs::exists(path + "/state.db", ignored))
      return Error(Code::kNotFound, fmt::format("'{}/state.db' is missing", path));
    StateOptions options;
    options.any_bucket = &held_.bucket;
    QUAY_ASSIGN(const std::unique_ptr<StateDb> state, OpenStateDb(path, {}, options));
    QUAY_TRY(state->ReadInodes([this](InodeRow row) { AddInode(std::move(row)); }));
    std::map<uint64_t, SealRow> seals;
    QUAY_TRY(state->ReadSeals([&](SealRow row) { seals[row.ino] = std::move(row); }));
    QUAY_TRY(state->ReadContents([&](const ContentRow& row, std::vector<ByteRange> dirty) {
      if (!row.modified) return;
      const auto seal = seals.find(row.ino);
      if (seal != seals.end() && seal->second.generation == kCondemned) return;  // set aside
      AddContent(
          row, std::move(dirty),
          JudgeLeftFile(row, seal == seals.end() ? std::nullopt : std::optional(seal->second),
                        state->same_boot()));
    }));
    QUAY_TRY(state->ReadRemovals([this](const RemovalRow& row) {
      // One without a version is a note of what a request may have left, not of what was removed.
      if (!row.etag.empty()) ++held_.removals;
    }));
    QUAY_ASSIGN(held_.known_uploads, ReadKnownUploads(*state));
    held_.set_aside = ListSetAside(*state, disk_);
    TakeItems();
    return {};
  }

  void AddInode(InodeRow row) {
    std::string path;
    const auto parent = paths_.find(row.parent);
    const bool root = row.ino == kRootIno;
    if (!root && parent != paths_.end() && IsPlainName(row.name))
      path = parent->second.empty() ? row.name : parent->second + "/" + row.name;
    const bool placed = root || !path.empty();
    if (placed && S_ISDIR(row.mode)) paths_[row.ino] = path;
    if (placed) places_[row.ino] = path;
    inodes_.push_back(std::move(row));
  }

  void AddContent(const ContentRow& row, std::vector<ByteRange> dirty, LeftVerdict verdict) {
    HeldItem item;
    item.content = true;
    item.row.ino = row.ino;
    item.size = row.size;
    item.base_limit = row.base_limit;
    item.base = row.base;
    item.dirty = std::move(dirty);
    item.verdict = verdict;
    const auto file = data_files_.find(row.ino);
    const uint64_t length = file == data_files_.end() ? 0 : file->second;
    if (file != data_files_.end()) item.data_file = DataFile(directory_, row.ino);
    item.short_file = !item.dirty.empty() && item.dirty.back().end > length;
    contents_.emplace(row.ino, std::move(item));
  }

  static bool NeedsWork(const InodeRow& row) {
    using namespace inode_flags;  // NOLINT: of InodeRow::flags, here only
    if (row.parent == 0) return false;
    const bool published = (row.flags & kPublished) != 0;
    return (row.flags & (kAttributesDirty | kMoved | kRecordDirty)) != 0 ||
           (!published && !S_ISDIR(row.mode));
  }

  void TakeItems() {
    for (InodeRow& row : inodes_) {
      const auto place = places_.find(row.ino);
      const std::string path = place == places_.end() ? "" : place->second;
      const auto content = contents_.find(row.ino);
      // A file that was removed while it was open belongs to nobody any more.
      const bool removed = row.parent == 0;
      if (content != contents_.end()) {
        HeldItem item = std::move(content->second);
        contents_.erase(content);
        item.path = path;
        item.row = row;
        if (!removed) held_.items.push_back(std::move(item));
      } else if (NeedsWork(row)) {
        HeldItem item;
        item.path = path;
        item.row = row;
        held_.items.push_back(std::move(item));
      }
      if (S_ISDIR(row.mode) && !path.empty()) {
        held_.directories.push_back(row);
        held_.directory_paths.push_back(path);
      }
    }
    // Contents that have lost their names.
    for (auto& [ino, item] : contents_) held_.items.push_back(std::move(item));
  }

  /// Without a database every data file may hold what is nowhere else.
  void TakeUnknownFiles() {
    for (const auto& [ino, length] : data_files_) {
      HeldItem item;
      item.content = true;
      item.guessed = true;
      item.row.ino = ino;
      item.size = length;
      item.base_limit = 0;
      if (length > 0) item.dirty = {{0, length}};
      item.data_file = DataFile(directory_, ino);
      held_.items.push_back(std::move(item));
    }
  }

  void AddUnnotedSetAside() {
    const std::string folder = SetAsideFolder(directory_);
    const auto entries = disk_.List(folder);
    if (!entries) return;
    std::set<std::string> noted;
    for (const SetAside& one : held_.set_aside) noted.insert(one.path);
    for (const DiskEntry& entry : *entries) {
      std::string path = folder + "/" + entry.name;
      const auto info = disk_.Stat(path);
      if (!info || !info->is_regular || noted.contains(path)) continue;
      held_.set_aside.push_back({std::move(path), info->size, WallTime(Duration(info->mtime_ns)),
                                 "nothing says what it is"});
    }
  }

  const std::string& directory_;
  Disk& disk_;
  HeldState held_;
  std::map<uint64_t, uint64_t> data_files_;                   // number, length
  std::map<uint64_t, std::string> paths_ = {{kRootIno, ""}};  // of directories
  std::map<uint64_t, std::string> places_;                    // of everything
  std::vector<InodeRow> inodes_;
  std::map<uint64_t, HeldItem> contents_;
};

}  // namespace

std::vector<ByteRange> HeldItem::missing() const {
  std::vector<ByteRange> gaps;
  uint64_t at = 0;
  const uint64_t limit = std::min(base_limit, size);
  for (const ByteRange& range : dirty) {
    if (at < std::min(range.begin, limit)) gaps.push_back({at, std::min(range.begin, limit)});
    at = range.end;
  }
  if (at < limit) gaps.push_back({at, limit});
  return gaps;
}

uint64_t HeldItem::dirty_bytes() const {
  uint64_t bytes = 0;
  for (const ByteRange& range : dirty) bytes += range.length();
  return bytes;
}

uint64_t HeldState::content_bytes() const {
  uint64_t bytes = 0;
  for (const HeldItem& item : items) bytes += item.dirty_bytes();
  return bytes;
}

Result<UniqueFd> LockHeld(const std::string& directory) {
  std::error_code failed;
  const bool ours = fs::exists(directory + "/state.db", failed) ||
                    fs::exists(directory + "/state.db-wal", failed) ||
                    fs::is_directory(DataRoot(directory), failed);
  if (!ours)
    return Error(Code::kNotFound,
                 fmt::format("'{}' is not a cache directory of quayfs", directory));
  UniqueFd fd(::open((directory + "/lock").c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  // One that was removed by hand: nobody can hold it.
  if (!fd.valid() && errno == ENOENT) return fd;
  if (!fd.valid()) return ErrnoError(errno, fmt::format("open '{}/lock'", directory));
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) == 0) return fd;
  if (errno != EWOULDBLOCK) return ErrnoError(errno, fmt::format("lock '{}/lock'", directory));
  std::array<char, 32> text{};
  const ssize_t count = ::pread(fd.get(), text.data(), text.size(), 0);
  const std::string_view holder(text.data(), count > 0 ? static_cast<size_t>(count) : 0);
  return Error(Code::kBusy,
               fmt::format("the cache directory '{}' is in use by process {}; unmount what uses it "
                           "(quayfs status shows the mounts), which uploads what it holds",
                           directory, TrimBlanks(holder)));
}

Result<HeldState> ReadHeld(const std::string& directory, Disk& disk) {
  return Reader(directory, disk).Run();
}

}  // namespace quayfs::program
