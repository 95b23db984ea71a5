// SPDX-License-Identifier: Apache-2.0
//
// A file system core over a local bucket in a temporary folder, with calls that read like system
// calls.

#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/executor.h"
#include "base/hash.h"
#include "cache/cache.h"
#include "fs/file_system.h"
#include "providers/local_store.h"
#include "tests/unit/fs/counting_store.h"

namespace quayfs {

class CoreTest : public ::testing::Test {
 protected:
  CoreTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "quayfs-core-XXXXXX").string();
    QUAY_CHECK(::mkdtemp(pattern.data()) != nullptr);
    folder_ = pattern;
    std::filesystem::create_directory(folder_ + "/bucket");
    auto store = OpenLocalStore(folder_ + "/bucket");
    QUAY_CHECK(store.ok());
    local_ = std::move(store).value();
    store_ = std::make_unique<CountingStore>(*local_);
  }
  ~CoreTest() override {
    fs_.reset();
    background_.reset();
    cache_.reset();
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }

  /// Everything is in the bucket afterwards, or refused to go there.
  void Sync() {
    if (fs_ == nullptr) return;
    // A step that began before the store came back may still fail.
    if (fs_->SyncAll(ctx_).Is(Code::kUnavailable)) {
      Ignore(fs_->SyncAll(ctx_));  // tests of failures look at pending()
    }
  }

  void Mount() {
    Sync();
    Remount();
  }
  /// Without waiting for the bucket.
  void Remount() {
    fs_.reset();
    background_.reset();
    cache_.reset();
    CacheConfig cache;
    cache.directory = folder_ + "/cache";
    cache.put_size_max = put_size_max_;
    cache.part_size = part_size_;
    cache.dirty_limit = dirty_limit_;
    auto opened = Cache::OpenWith(cache, *store_, SystemDisk(), clock_, open_state_);
    ASSERT_TRUE(opened.ok()) << opened.error().ToString();
    cache_ = std::move(opened).value();
    background_ = std::make_unique<ThreadPool>("background", 64);
    auto fs = FileSystem::Open(config_, *store_, *cache_, *background_, clock_, {});
    ASSERT_TRUE(fs.ok()) << fs.error().ToString();
    fs_ = std::move(fs).value();
    store_->Reset();
  }

  void SetUp() override { Mount(); }

  // --- like system calls; paths are relative to the root
  Result<Entry> Walk(const std::string& path) {
    Entry at;
    at.ino = kRootIno;
    for (const auto& part : std::filesystem::path(path)) {
      auto next = fs_->Lookup(ctx_, at.ino, part.string());
      if (!next.ok()) return next;
      if (next->ino == 0) return Error(Code::kNotFound, path);
      at = *next;
    }
    if (at.ino == kRootIno) return fs_->GetAttributes(ctx_, kRootIno);
    return at;
  }
  std::pair<Ino, std::string> Split(const std::string& path) {
    const std::filesystem::path whole(path);
    const auto parent = Walk(whole.parent_path().string());
    return {parent.ok() ? parent->ino : 0, whole.filename().string()};
  }
  Result<OpenFile*> Open(const std::string& path, int flags, mode_t mode = 0644) {
    const auto [parent, name] = Split(path);
    if ((flags & O_CREAT) != 0) {
      auto created = fs_->Create(ctx_, parent, name, mode, flags);
      if (!created.ok()) return created.error();
      return created->opened.file;
    }
    auto entry = Walk(path);
    if (!entry.ok()) return entry.error();
    auto opened = fs_->Open(ctx_, entry->ino, flags);
    if (!opened.ok()) return opened.error();
    return opened->file;
  }
  Status Close(OpenFile* file) {
    const Status flushed = fs_->Flush(ctx_, *file);
    const Status released = fs_->Release(ctx_, file);
    return flushed.ok() ? released : flushed;
  }
  Status WriteAt(OpenFile* file, uint64_t offset, std::string_view text) {
    auto written = fs_->Write(ctx_, *file, offset, AsBytes(text));
    return written.ok() ? Status() : Status(written.error());
  }
  Result<std::string> ReadAt(OpenFile* file, uint64_t offset, size_t size) {
    std::string text(size, '\0');
    auto read = fs_->Read(ctx_, *file, offset, std::as_writable_bytes(std::span(text)));
    if (!read.ok()) return read.error();
    text.resize(*read);
    return text;
  }
  Status WriteFile(const std::string& path, std::string_view text) {
    QUAY_ASSIGN(OpenFile * file, Open(path, O_CREAT | O_WRONLY | O_TRUNC));
    QUAY_TRY(WriteAt(file, 0, text));
    QUAY_TRY(Close(file));
    return fs_->SyncAll(ctx_);
  }
  Result<std::string> ReadFile(const std::string& path) {
    QUAY_ASSIGN(OpenFile * file, Open(path, O_RDONLY));
    auto text = ReadAt(file, 0, 1 << 20);
    QUAY_TRY(Close(file));
    return text;
  }
  Status MakeDir(const std::string& path) {
    const auto [parent, name] = Split(path);
    auto made = fs_->MakeDirectory(ctx_, parent, name, 0755);
    return made.ok() ? Status() : Status(made.error());
  }
  Status Remove(const std::string& path) {
    const auto [parent, name] = Split(path);
    return fs_->Unlink(ctx_, parent, name);
  }
  Status RemoveDir(const std::string& path) {
    const auto [parent, name] = Split(path);
    return fs_->RemoveDirectory(ctx_, parent, name);
  }
  Status Rename(const std::string& from, const std::string& to, RenameFlags flags = {}) {
    const auto [parent, name] = Split(from);
    const auto [new_parent, new_name] = Split(to);
    return fs_->Rename(ctx_, parent, name, new_parent, new_name, flags);
  }
  Result<Attributes> Stat(const std::string& path) {
    QUAY_ASSIGN(const Entry entry, Walk(path));
    QUAY_ASSIGN(const Entry attributes, fs_->GetAttributes(ctx_, entry.ino));
    return attributes.attributes;
  }
  Status Change(const std::string& path, const AttributeChange& change) {
    QUAY_ASSIGN(const Entry entry, Walk(path));
    auto changed = fs_->SetAttributes(ctx_, entry.ino, change, nullptr);
    return changed.ok() ? Status() : Status(changed.error());
  }
  Result<std::vector<std::string>> List(const std::string& path) {
    QUAY_ASSIGN(const Entry entry, Walk(path));
    QUAY_ASSIGN(OpenDirectory * directory, fs_->OpenDir(ctx_, entry.ino));
    std::vector<std::string> names;
    const Status status =
        fs_->ReadDir(ctx_, *directory, 0, false, [&](const DirectoryEntry& item, uint64_t) {
          if (item.name != "." && item.name != "..") names.push_back(item.name);
          return true;
        });
    fs_->ReleaseDir(directory);
    if (!status.ok()) return status.error();
    std::sort(names.begin(), names.end());
    return names;
  }

  // --- past the mount
  void PutObject(const std::string& key, std::string_view body,
                 const ObjectProperties& properties = {}) {
    const auto put = local_->Put(key, MemorySource(body), properties, Condition::None(), {});
    ASSERT_TRUE(put.ok()) << put.error().ToString();
  }
  std::string GetObject(const std::string& key) {
    Sync();
    StringSink sink;
    const auto got = local_->Get({key, std::nullopt, ""}, sink, {});
    return got.ok() ? sink.text() : "<" + got.error().ToString() + ">";
  }
  std::vector<std::string> Keys() {
    Sync();
    std::vector<std::string> keys;
    ListRequest request;
    do {
      const auto page = local_->List(request, {});
      QUAY_CHECK(page.ok());
      for (const ObjectInfo& object : page->objects) keys.push_back(object.key);
      request.token = page->next_token;
    } while (!request.token.empty());
    return keys;
  }

  uint64_t put_size_max_ = CacheConfig().put_size_max;
  uint64_t part_size_ = CacheConfig().part_size;
  uint64_t dirty_limit_ = CacheConfig().dirty_limit;
  std::string folder_;
  std::unique_ptr<ObjectStore> local_;
  std::unique_ptr<CountingStore> store_;
  FileSystemConfig config_;
  Cache::OpenState open_state_ = &StateDb::Open;
  ManualClock clock_{WallTime(std::chrono::seconds(1'700'000'000))};
  std::unique_ptr<Cache> cache_;
  std::unique_ptr<ThreadPool> background_;
  std::unique_ptr<FileSystem> fs_;
  OpContext ctx_;
};

}  // namespace quayfs
