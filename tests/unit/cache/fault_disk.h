// SPDX-License-Identifier: Apache-2.0
//
// A disk that fails when it is told to. A write that fails has written half of its data.

#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/disk.h"

namespace quayfs {

class FaultDisk final : public Disk {
 public:
  explicit FaultDisk(Disk& disk) : disk_(disk) {}

  /// Asked before each operation ("write", "punch", "open", ...), with a running number; kInternal
  /// (the default) lets it through.
  std::function<Code(int number, std::string_view operation)> fault;
  int operations() const { return next_; }

  Result<std::unique_ptr<DiskFile>> Open(const std::string& path, OpenMode mode) override {
    QUAY_TRY(Check("open"));
    return Wrap(disk_.Open(path, mode));
  }
  Result<std::unique_ptr<DiskFile>> OpenTemporary(const std::string& directory) override {
    QUAY_TRY(Check("temporary"));
    return Wrap(disk_.OpenTemporary(directory));
  }
  Status MakeDirectory(const std::string& path) override {
    QUAY_TRY(Check("mkdir"));
    return disk_.MakeDirectory(path);
  }
  Status RemoveFile(const std::string& path) override {
    QUAY_TRY(Check("remove"));
    return disk_.RemoveFile(path);
  }
  Status RemoveDirectory(const std::string& path) override { return disk_.RemoveDirectory(path); }
  Status Rename(const std::string& from, const std::string& to) override {
    return disk_.Rename(from, to);
  }
  Status Link(const std::string& from, const std::string& to) override {
    return disk_.Link(from, to);
  }
  Status SyncDirectory(const std::string& path) override { return disk_.SyncDirectory(path); }
  Result<std::vector<DiskEntry>> List(const std::string& path) const override {
    return disk_.List(path);
  }
  Result<DiskStat> Stat(const std::string& path) const override { return disk_.Stat(path); }
  Result<DiskSpace> Space(const std::string& path) const override { return disk_.Space(path); }

 private:
  class File final : public DiskFile {
   public:
    File(FaultDisk& disk, std::unique_ptr<DiskFile> file) : disk_(disk), file_(std::move(file)) {}
    Result<size_t> Read(uint64_t offset, std::span<std::byte> out) const override {
      QUAY_TRY(disk_.Check("read"));
      return file_->Read(offset, out);
    }
    Status Write(uint64_t offset, std::span<const std::byte> data) override {
      if (Status status = disk_.Check("write"); !status) {
        Ignore(file_->Write(offset, data.first(data.size() / 2)));
        return status;
      }
      return file_->Write(offset, data);
    }
    Status Truncate(uint64_t size) override {
      QUAY_TRY(disk_.Check("truncate"));
      return file_->Truncate(size);
    }
    Status PunchHole(ByteRange range) override {
      if (Status status = disk_.Check("punch"); !status) {
        Ignore(file_->PunchHole({range.begin, range.begin + range.length() / 2}));
        return status;
      }
      return file_->PunchHole(range);
    }
    Result<uint64_t> Size() const override { return file_->Size(); }
    Status SyncData() override {
      QUAY_TRY(disk_.Check("sync"));
      return file_->SyncData();
    }
    int fd() const override { return -1; }  // so that every byte passes through here

   private:
    FaultDisk& disk_;
    const std::unique_ptr<DiskFile> file_;
  };

  Status Check(std::string_view operation) {
    const int number = next_++;
    const Code code = fault ? fault(number, operation) : Code::kInternal;
    if (code == Code::kInternal) return {};
    return Error(code, "injected failure of " + std::string(operation));
  }

  Result<std::unique_ptr<DiskFile>> Wrap(Result<std::unique_ptr<DiskFile>> opened) {
    if (!opened) return opened.error();
    return std::unique_ptr<DiskFile>(std::make_unique<File>(*this, *std::move(opened)));
  }

  Disk& disk_;
  std::atomic<int> next_{0};
};

}  // namespace quayfs
