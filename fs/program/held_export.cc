// SPDX-License-Identifier: Apache-2.0

#include "fs/program/held_export.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>
#include <map>
#include <memory>
#include <utility>

#include "base/text.h"
#include "fs/inode_flags.h"

namespace quayfs::program {
namespace {

constexpr const char* kUnnamed = ".quayfs-unnamed";
constexpr const char* kSetAside = ".quayfs-set-aside";
constexpr uint64_t kChunk = 1u << 20;
constexpr int64_t kSecond = 1'000'000'000;

timespec Time(int64_t nanoseconds) {
  int64_t seconds = nanoseconds / kSecond;
  int64_t rest = nanoseconds % kSecond;
  if (rest < 0) {
    rest += kSecond;
    --seconds;
  }
  return {static_cast<time_t>(seconds), static_cast<long>(rest)};
}

Status CopyRange(const DiskFile& from, DiskFile& to, ByteRange range) {
  std::vector<std::byte> buffer(static_cast<size_t>(std::min(kChunk, range.length())));
  for (uint64_t at = range.begin; at < range.end;) {
    const auto part = static_cast<size_t>(std::min<uint64_t>(buffer.size(), range.end - at));
    QUAY_ASSIGN(const size_t got, from.Read(at, std::span(buffer).first(part)));
    if (got == 0) break;  // the data file is short; told elsewhere
    QUAY_TRY(to.Write(at, std::span<const std::byte>(buffer).first(got)));
    at += got;
  }
  return {};
}

/// Writes to a place in a file.
class FileSink final : public DataSink {
 public:
  FileSink(DiskFile& file, uint64_t offset) : file_(file), offset_(offset) {}
  Status Write(std::span<const std::byte> data) override {
    QUAY_TRY(file_.Write(offset_, data));
    offset_ += data.size();
    return {};
  }

 private:
  DiskFile& file_;
  uint64_t offset_;
};

class Exporter {
 public:
  Exporter(const HeldState& held, std::string directory, Disk& disk, ObjectStore* store)
      : held_(held), root_(std::move(directory)), disk_(disk), store_(store) {
    for (size_t i = 0; i < held.directories.size(); ++i)
      directories_.emplace(held.directory_paths[i], &held.directories[i]);
  }

  Result<ExportReport> Run() {
    QUAY_TRY(PrepareRoot());
    for (const HeldItem& item : held_.items) {
      if (Status done = Export(item); !done) Failed(NameOf(item), done.error());
    }
    for (const SetAside& one : held_.set_aside) {
      if (Status done = CopyAside(one); !done) Failed(one.path, done.error());
    }
    DressDirectories();
    return std::move(report_);
  }

 private:
  static std::string NameOf(const HeldItem& item) {
    return item.path.empty() ? fmt::format("{}/{}", kUnnamed, item.row.ino) : item.path;
  }

  void Failed(const std::string& what, const Error& error) {
    report_.failed.push_back(fmt::format("{}: {}", what, error.message()));
  }
  void Note(const std::string& what, const std::string& why) {
    report_.notes.push_back(fmt::format("{}: {}", what, why));
  }

  Status PrepareRoot() {
    Status made = disk_.MakeDirectory(root_);
    if (made) return {};
    if (!made.Is(Code::kAlreadyExists)) return made;
    QUAY_ASSIGN(const auto entries, disk_.List(root_));
    if (entries.empty()) return {};
    return Error(
        Code::kNotEmpty,
        fmt::format("'{}' is not empty; name a directory that is, or is not there", root_));
  }

  Status MakeParents(const std::string& path) {
    for (size_t slash = path.find('/'); slash != std::string::npos;
         slash = path.find('/', slash + 1)) {
      const std::string parent = path.substr(0, slash);
      if (made_.contains(parent)) continue;
      Status made = disk_.MakeDirectory(root_ + "/" + parent);
      if (!made && !made.Is(Code::kAlreadyExists)) return made;
      const auto row = directories_.find(parent);
      made_.emplace(parent, row == directories_.end() ? nullptr : row->second);
    }
    return {};
  }

  Status Export(const HeldItem& item) {
    const std::string name = NameOf(item);
    QUAY_TRY(MakeParents(name));
    const std::string to = root_ + "/" + name;
    if (item.content) return ExportContent(item, name);
    if ((item.row.flags & inode_flags::kIsName) != 0) {
      Note(name, "a further name of another file; the names are not exported");
      return {};
    }
    if (S_ISDIR(item.row.mode)) {
      Status made = disk_.MakeDirectory(to);
      if (!made && !made.Is(Code::kAlreadyExists)) return made;
      made_.emplace(name, &item.row);
      return {};
    }
    if (S_ISLNK(item.row.mode) && !item.row.symlink_target.empty()) {
      if (::symlink(item.row.symlink_target.c_str(), to.c_str()) != 0)
        return ErrnoError(errno, "make the symbolic link");
      ++report_.files;
      return Dress(to, item.row);
    }
    if (!S_ISREG(item.row.mode)) {
      if (::mknod(to.c_str(), item.row.mode & (S_IFMT | 0600), item.row.rdev) != 0)
        return ErrnoError(errno, "make the special file");
      ++report_.files;
      return Dress(to, item.row);
    }
    return ExportUnchanged(item, name);
  }

  /// Only its name or its attributes are newer than the bucket.
  Status ExportUnchanged(const HeldItem& item, const std::string& name) {
    HeldItem whole = item;
    whole.size = whole.base_limit = item.row.version.size;
    whole.base = item.row.version;
    if (store_ != nullptr) return ExportContent(whole, name);
    Note(name, fmt::format("only its name or attributes have changed; its bytes are in the bucket, "
                           "at '{}'",
                           item.row.version.key));
    return {};
  }

  Status ExportContent(const HeldItem& item, const std::string& name) {
    const std::string plain = root_ + "/" + name;
    QUAY_ASSIGN(const std::unique_ptr<DiskFile> to, disk_.Open(plain, OpenMode::kCreateExclusive));
    if (!item.data_file.empty()) {
      QUAY_ASSIGN(const std::unique_ptr<DiskFile> from,
                  disk_.Open(item.data_file, OpenMode::kRead));
      for (const ByteRange& range : item.dirty) QUAY_TRY(CopyRange(*from, *to, range));
    }
    std::string suffix;
    if (const std::vector<ByteRange> missing = item.missing(); !missing.empty()) {
      const Status fetched = Fetch(item.base, missing, *to);
      if (!fetched) {
        suffix = ".partial";
        uint64_t bytes = 0;
        for (const ByteRange& range : missing) bytes += range.length();
        Note(name + suffix,
             fmt::format("{} of it are in the bucket, at '{}', and not here: {}", FormatSize(bytes),
                         item.base.key, fetched.error().message()));
      }
    }
    QUAY_TRY(to->Truncate(item.size));
    QUAY_TRY(to->SyncData());
    if (!item.trusted() && !item.guessed) {
      suffix += ".unsynced";
      Note(name + suffix, item.short_file
                              ? "the cache disk has lost bytes of it"
                              : "the machine was restarted before all of it was synced; look at it "
                                "before you trust it");
    } else if (item.guessed) {
      Note(name,
           "without the database nobody knows its name, nor whether zeros in it are bytes "
           "that are in the bucket only");
    }
    if (item.row.mode != 0) QUAY_TRY(Dress(plain, item.row));
    if (!suffix.empty()) QUAY_TRY(disk_.Rename(plain, plain + suffix));
    ++report_.files;
    report_.bytes += item.size;
    return {};
  }

  Status Fetch(const StoredVersion& base, const std::vector<ByteRange>& missing, DiskFile& to) {
    if (store_ == nullptr) return Error(Code::kNotFound, "--config says how to reach the bucket");
    for (const ByteRange& range : missing) {
      FileSink sink(to, range.begin);
      GetRequest request;
      request.key = base.key;
      request.range = range;
      request.if_match = base.etag;
      QUAY_TRY(store_->Get(request, sink, {}));
    }
    return {};
  }

  Status CopyAside(const SetAside& one) {
    const std::string name =
        fmt::format("{}/{}", kSetAside, one.path.substr(one.path.rfind('/') + 1));
    QUAY_TRY(MakeParents(name));
    QUAY_ASSIGN(const std::unique_ptr<DiskFile> from, disk_.Open(one.path, OpenMode::kRead));
    QUAY_ASSIGN(const std::unique_ptr<DiskFile> to,
                disk_.Open(root_ + "/" + name, OpenMode::kCreateExclusive));
    QUAY_ASSIGN(const uint64_t size, from->Size());
    QUAY_TRY(CopyRange(*from, *to, {0, size}));
    QUAY_TRY(to->SyncData());
    ++report_.files;
    report_.bytes += size;
    Note(name, one.why);
    return {};
  }

  /// Owner, mode, times; in this order, because a change of owner takes mode bits away.
  static Status Dress(const std::string& path, const InodeRow& row) {
    if (::geteuid() == 0 && ::lchown(path.c_str(), row.uid, row.gid) != 0)
      return ErrnoError(errno, "set the owner");
    if (!S_ISLNK(row.mode) && ::chmod(path.c_str(), row.mode & 07777) != 0)
      return ErrnoError(errno, "set the mode");
    const std::array<timespec, 2> times = {Time(row.atime), Time(row.mtime)};
    if (::utimensat(AT_FDCWD, path.c_str(), times.data(), AT_SYMLINK_NOFOLLOW) != 0)
      return ErrnoError(errno, "set the times");
    return {};
  }

  /// When nothing is made in them any more, the innermost first.
  void DressDirectories() {
    for (auto it = made_.rbegin(); it != made_.rend(); ++it) {
      if (it->second == nullptr) continue;
      const Status dressed = Dress(root_ + "/" + it->first, *it->second);
      if (!dressed) Failed(it->first, dressed.error());
    }
  }

  const HeldState& held_;
  const std::string root_;
  Disk& disk_;
  ObjectStore* const store_;
  std::map<std::string, const InodeRow*> directories_;
  std::map<std::string, const InodeRow*> made_;  // null: nothing is known of it
  ExportReport report_;
};

}  // namespace

Result<ExportReport> ExportHeld(const HeldState& held, const std::string& directory, Disk& disk,
                                ObjectStore* store) {
  return Exporter(held, directory, disk, store).Run();
}

}  // namespace quayfs::program
