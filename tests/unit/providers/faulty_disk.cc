// SPDX-License-Identifier: Apache-2.0

#include "tests/unit/providers/faulty_disk.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <utility>

namespace quayfs {
namespace {

namespace fs = std::filesystem;

std::string ParentOf(const std::string& path) { return fs::path(path).parent_path().string(); }

bool Exists(const std::string& path) {
  std::error_code ignored;
  return fs::exists(fs::symlink_status(path, ignored));
}

uint64_t InodeOf(const std::string& path) {
  struct stat info {};
  return lstat(path.c_str(), &info) == 0 ? info.st_ino : 0;
}

}  // namespace

class FaultyFile final : public DiskFile {
 public:
  FaultyFile(FaultyDisk& disk, std::unique_ptr<DiskFile> file, uint64_t inode)
      : disk_(disk), file_(std::move(file)), inode_(inode) {}
  Result<size_t> Read(uint64_t offset, std::span<std::byte> out) const override {
    QUAY_TRY(disk_.Step());
    return file_->Read(offset, out);
  }
  Status Write(uint64_t offset, std::span<const std::byte> data) override {
    disk_.unsynced_inodes_.insert(inode_);
    Status step = disk_.Step();
    if (!step.ok()) {
      // Half of it arrived.
      Ignore(file_->Write(offset, data.first(data.size() / 2)));
      return step;
    }
    return file_->Write(offset, data);
  }
  Status Truncate(uint64_t size) override {
    QUAY_TRY(disk_.Step());
    return file_->Truncate(size);
  }
  Status PunchHole(ByteRange range) override {
    QUAY_TRY(disk_.Step());
    return file_->PunchHole(range);
  }
  Result<uint64_t> Size() const override { return file_->Size(); }
  Status SyncData() override {
    QUAY_TRY(disk_.Step());
    QUAY_TRY(file_->SyncData());
    disk_.unsynced_inodes_.erase(inode_);
    return {};
  }
  // None: everything has to go through here.
  int fd() const override { return -1; }

 private:
  FaultyDisk& disk_;
  const std::unique_ptr<DiskFile> file_;
  const uint64_t inode_;
};

FaultyDisk::FaultyDisk(DiskFault fault, int64_t at, std::string stash)
    : fault_(fault), at_(at), stash_(std::move(stash)) {}

Status FaultyDisk::Step() const {
  ++count_;
  const bool dies = fault_ == DiskFault::kKilled || fault_ == DiskFault::kPowerCut;
  const bool fails = fault_ != DiskFault::kNone && (dies ? count_ >= at_ : count_ == at_);
  if (!fails) return {};
  struck_ = true;
  return Error(fault_ == DiskFault::kFull ? Code::kNoSpace : Code::kIo, "an injected fault");
}

std::string FaultyDisk::NewStashName() { return stash_ + "/" + std::to_string(++stashed_); }

Result<std::unique_ptr<DiskFile>> FaultyDisk::Open(const std::string& path, OpenMode mode) {
  QUAY_TRY(Step());
  const bool existed = Exists(path);
  QUAY_ASSIGN(std::unique_ptr<DiskFile> file, SystemDisk().Open(path, mode));
  if (!existed) Remember({ParentOf(path), "", [path] { ::unlink(path.c_str()); }});
  return std::unique_ptr<DiskFile>(
      std::make_unique<FaultyFile>(*this, std::move(file), InodeOf(path)));
}

Result<std::unique_ptr<DiskFile>> FaultyDisk::OpenTemporary(const std::string& directory) {
  QUAY_TRY(Step());
  QUAY_ASSIGN(std::unique_ptr<DiskFile> file, SystemDisk().OpenTemporary(directory));
  return std::unique_ptr<DiskFile>(std::make_unique<FaultyFile>(*this, std::move(file), 0));
}

Status FaultyDisk::MakeDirectory(const std::string& path) {
  QUAY_TRY(Step());
  QUAY_TRY(SystemDisk().MakeDirectory(path));
  Remember({ParentOf(path), "", [path] {
              std::error_code ignored;
              fs::remove_all(path, ignored);
            }});
  return {};
}

Status FaultyDisk::RemoveFile(const std::string& path) {
  QUAY_TRY(Step());
  const std::string kept = NewStashName();
  const bool linked = ::link(path.c_str(), kept.c_str()) == 0;
  QUAY_TRY(SystemDisk().RemoveFile(path));
  if (linked) {
    Remember({ParentOf(path), "", [path, kept] { ::rename(kept.c_str(), path.c_str()); }});
  }
  return {};
}

Status FaultyDisk::RemoveDirectory(const std::string& path) {
  QUAY_TRY(Step());
  QUAY_TRY(SystemDisk().RemoveDirectory(path));
  Remember({ParentOf(path), path, [path] { ::mkdir(path.c_str(), 0700); }});
  return {};
}

Status FaultyDisk::Rename(const std::string& from, const std::string& to) {
  QUAY_TRY(Step());
  const std::string kept = NewStashName();
  const bool linked = ::link(to.c_str(), kept.c_str()) == 0;
  Status renamed = SystemDisk().Rename(from, to);
  if (!renamed.ok()) {
    if (linked) ::unlink(kept.c_str());
    return renamed;
  }
  Remember({ParentOf(to), "", [from, to, kept, linked] {
              ::rename(to.c_str(), from.c_str());
              if (linked) ::rename(kept.c_str(), to.c_str());
            }});
  return {};
}

Status FaultyDisk::Link(const std::string& from, const std::string& to) {
  QUAY_TRY(Step());
  QUAY_TRY(SystemDisk().Link(from, to));
  Remember({ParentOf(to), "", [to] { ::unlink(to.c_str()); }});
  return {};
}

void FaultyDisk::MadeDurable(const std::string& directory) {
  std::vector<std::string> gone;
  std::erase_if(pending_, [&](const Pending& change) {
    if (change.directory != directory) return false;
    if (!change.removed_directory.empty()) gone.push_back(change.removed_directory);
    return true;
  });
  // What was done inside a directory that is durably gone is as durable.
  for (const std::string& inner : gone) MadeDurable(inner);
}

Status FaultyDisk::SyncDirectory(const std::string& path) {
  QUAY_TRY(Step());
  QUAY_TRY(SystemDisk().SyncDirectory(path));
  MadeDurable(path);
  return {};
}

Result<std::vector<DiskEntry>> FaultyDisk::List(const std::string& path) const {
  QUAY_TRY(Step());
  return SystemDisk().List(path);
}

Result<DiskStat> FaultyDisk::Stat(const std::string& path) const {
  QUAY_TRY(Step());
  return SystemDisk().Stat(path);
}

Result<DiskSpace> FaultyDisk::Space(const std::string& path) const {
  return SystemDisk().Space(path);
}

size_t FaultyDisk::PowerCut(size_t keep) {
  const size_t changes = pending_.size();
  while (pending_.size() > keep) {
    pending_.back().undo();
    pending_.pop_back();
  }
  // Data that never reached the disk: the file is there, its blocks are not.
  const fs::path root = fs::path(stash_).parent_path();
  for (const auto& entry : fs::recursive_directory_iterator(root)) {
    if (entry.is_regular_file() && unsynced_inodes_.contains(InodeOf(entry.path().string()))) {
      fs::resize_file(entry.path(), 0);
    }
  }
  return changes;
}

}  // namespace quayfs
