// SPDX-License-Identifier: Apache-2.0
//
// A cache in a temporary directory over a FakeObjectStore.

#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>  // NOLINT(modernize-deprecated-headers): mkdtemp

#include <atomic>
#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <thread>

#include "base/disk.h"
#include "cache/cache.h"
#include "tests/unit/cache/fake_object_store.h"

namespace quayfs {

inline std::string RandomText(size_t size, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::string text(size, '\0');
  for (size_t i = 0; i < size; i += 8) {
    const uint64_t value = random();
    std::memcpy(text.data() + i, &value, std::min<size_t>(8, size - i));
  }
  return text;
}

inline std::span<const std::byte> BytesOf(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

/// Blocks whoever passes until it is opened; tells when somebody is there.
class Gate {
 public:
  void Pass() {
    MutexLock lock(mutex_);
    ++arrived_;
    changed_.NotifyAll();
    while (!open_) changed_.Wait(mutex_);
  }
  void WaitForArrivals(int count) {
    MutexLock lock(mutex_);
    while (arrived_ < count) changed_.Wait(mutex_);
  }
  void Open() {
    MutexLock lock(mutex_);
    open_ = true;
    changed_.NotifyAll();
  }

 private:
  Mutex mutex_{LockRank::kLeaf};
  CondVar changed_;
  int arrived_ QUAY_GUARDED_BY(mutex_) = 0;
  bool open_ QUAY_GUARDED_BY(mutex_) = false;
};

/// True once `done` is; false if that takes so long that something hangs.
inline bool Eventually(const std::function<bool()>& done) {
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (!done()) {
    if (std::chrono::steady_clock::now() > give_up) return false;
    std::this_thread::yield();
  }
  return true;
}

class TempDirectory {
 public:
  TempDirectory() : TempDirectory(std::filesystem::temp_directory_path().string()) {}
  explicit TempDirectory(const std::string& place) {
    std::string pattern = place + "/quayfs-cache-XXXXXX";
    path_ = mkdtemp(pattern.data());
  }
  ~TempDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempDirectory(const TempDirectory&) = delete;
  TempDirectory& operator=(const TempDirectory&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

/// Small numbers, so that small files exercise everything.
inline CacheConfig SmallConfig(const std::string& directory) {
  CacheConfig config;
  config.directory = directory;
  config.put_size_max = 64 << 10;
  config.part_size = 64 << 10;
  config.fetch_block = 4 << 10;
  config.fetch_part = 64 << 10;
  config.read_ahead_max = 256 << 10;
  config.snapshot_memory = 256 << 10;
  config.transfers = 8;
  return config;
}

inline Capabilities SmallCapabilities() {
  Capabilities capabilities;
  capabilities.part_size_min = 16 << 10;
  return capabilities;
}

class CacheTest : public testing::Test {
 protected:
  explicit CacheTest(Capabilities capabilities = SmallCapabilities()) : store(capabilities) {
    store.piece = 4 << 10;
  }

  void Start(const CacheConfig& config) {
    auto opened = Cache::Open(config, store, *disk);
    ASSERT_TRUE(opened.ok()) << opened.error().ToString();
    cache = *std::move(opened);
  }
  void Start() { Start(SmallConfig(directory.path() + "/cache")); }

  std::shared_ptr<FileData> NewFile(uint64_t inode = 1) {
    auto file = cache->Create(inode);
    EXPECT_TRUE(file.ok());
    return *std::move(file);
  }
  std::shared_ptr<FileData> OpenObject(const std::string& key, const std::string& data,
                                       uint64_t inode = 1) {
    const std::string etag = store.SetObject(key, data);
    auto file = cache->Open(inode, {key, etag, data.size()});
    EXPECT_TRUE(file.ok());
    return *std::move(file);
  }

  static Result<std::string> TryRead(FileData& file, uint64_t offset, size_t size,
                                     ReadPattern* pattern = nullptr) {
    ReadPattern fresh;
    fresh.next_offset = ~0ull >> 1;  // not sequential
    std::string out(size, '?');
    auto count = file.Read(offset, std::as_writable_bytes(std::span(out.data(), out.size())),
                           pattern == nullptr ? fresh : *pattern, true, {});
    if (!count) return count.error();
    out.resize(*count);
    return out;
  }
  static std::string ReadAll(FileData& file) {
    auto text = TryRead(file, 0, file.size() + 1);
    EXPECT_TRUE(text.ok()) << text.error().ToString();
    return text.ok() ? *text : "";
  }
  static void Write(FileData& file, uint64_t offset, std::string_view text) {
    Status status = file.Write(offset, BytesOf(text));
    ASSERT_TRUE(status.ok()) << status.error().ToString();
  }
  static PublishRequest To(const std::string& key) { return {key, {}, {}}; }
  void PublishOk(FileData& file, const std::string& key) {
    auto info = file.Publish(To(key), {});
    ASSERT_TRUE(info.ok()) << info.error().ToString();
    EXPECT_FALSE(file.dirty());
    auto object = store.Find(key);
    ASSERT_TRUE(object.has_value());
    EXPECT_EQ(info->etag, object->etag);
  }

  void TearDown() override { cache.reset(); }
  /// Ends everything that might still call hooks which use variables of the test.
  void Finish(std::shared_ptr<FileData>& file) {
    file.reset();
    cache.reset();
  }

  TempDirectory directory;
  FakeObjectStore store;
  Disk* disk = &SystemDisk();
  std::unique_ptr<Cache> cache;
};

}  // namespace quayfs
