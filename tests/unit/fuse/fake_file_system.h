// SPDX-License-Identifier: Apache-2.0
//
// A FileSystem in which nothing is there and nothing works: tests override what they need.

#pragma once

#include <string>

#include "fs/file_system.h"

namespace quayfs {

class FakeFileSystem : public FileSystem {
 public:
  Result<Entry> Lookup(const OpContext&, Ino, std::string_view) override { return None(); }
  void Forget(Ino, uint64_t) override {}
  Result<Entry> MakeNode(const OpContext&, Ino, std::string_view, mode_t, dev_t) override {
    return None();
  }
  Result<Entry> MakeDirectory(const OpContext&, Ino, std::string_view, mode_t) override {
    return None();
  }
  Result<Entry> Link(const OpContext&, Ino, Ino, std::string_view) override { return None(); }
  Result<Entry> MakeSymlink(const OpContext&, Ino, std::string_view, std::string_view) override {
    return None();
  }
  Status Unlink(const OpContext&, Ino, std::string_view) override { return None(); }
  Status RemoveDirectory(const OpContext&, Ino, std::string_view) override { return None(); }
  Status Rename(const OpContext&, Ino, std::string_view, Ino, std::string_view,
                RenameFlags) override {
    return None();
  }
  Result<Entry> GetAttributes(const OpContext&, Ino) override { return None(); }
  Result<Entry> SetAttributes(const OpContext&, Ino, const AttributeChange&, OpenFile*) override {
    return None();
  }
  Result<std::string> ReadLink(const OpContext&, Ino) override { return None(); }
  Result<Opened> Open(const OpContext&, Ino, int) override { return None(); }
  Result<Created> Create(const OpContext&, Ino, std::string_view, mode_t, int) override {
    return None();
  }
  Result<size_t> Read(const OpContext&, OpenFile&, uint64_t, std::span<std::byte>) override {
    return None();
  }
  Result<size_t> Write(const OpContext&, OpenFile&, uint64_t, std::span<const std::byte>) override {
    return None();
  }
  Status Flush(const OpContext&, OpenFile&) override { return None(); }
  Status Fsync(const OpContext&, OpenFile&) override { return None(); }
  Status Release(const OpContext&, OpenFile*) override { return None(); }
  Status Allocate(const OpContext&, OpenFile&, const AllocateRequest&) override { return None(); }
  Result<std::optional<uint64_t>> Seek(const OpContext&, OpenFile&, uint64_t, bool) override {
    return None();
  }
  Result<size_t> CopyRange(const OpContext&, OpenFile&, OpenFile&, const CopyRequest&) override {
    return None();
  }
  Result<std::string> GetXattr(const OpContext&, Ino, std::string_view) override { return None(); }
  Result<std::vector<std::string>> ListXattrs(const OpContext&, Ino) override { return None(); }
  Status SetXattr(const OpContext&, Ino, std::string_view, std::string_view, XattrMode) override {
    return None();
  }
  Status RemoveXattr(const OpContext&, Ino, std::string_view) override { return None(); }
  Result<OpenDirectory*> OpenDir(const OpContext&, Ino) override { return None(); }
  Status ReadDir(const OpContext&, OpenDirectory&, uint64_t, bool,
                 const std::function<bool(const DirectoryEntry&, uint64_t)>&) override {
    return None();
  }
  Status FsyncDir(const OpContext&, OpenDirectory&) override { return None(); }
  void ReleaseDir(OpenDirectory*) override {}
  Result<FileSystemStats> StatFs(const OpContext&) override { return None(); }
  Status SyncAll(const OpContext&) override { return {}; }
  PendingWork pending() const override { return {}; }

 private:
  static Error None() { return {Code::kNotSupported, "not in this test"}; }
};

}  // namespace quayfs
