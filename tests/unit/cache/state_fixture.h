// SPDX-License-Identifier: Apache-2.0
//
// A directory with a state database, opened and closed at will.

#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>  // NOLINT(modernize-deprecated-headers): mkdtemp

#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/hash.h"
#include "cache/state/state_db.h"
#include "cache/state/state_open.h"

namespace quayfs {

inline bool operator==(const StoredVersion& a, const StoredVersion& b) {
  return a.key == b.key && a.etag == b.etag && a.size == b.size &&
         a.modified_seconds == b.modified_seconds;
}
inline bool operator==(const ObjectProperties& a, const ObjectProperties& b) {
  return a.content_type == b.content_type && a.cache_control == b.cache_control &&
         a.content_disposition == b.content_disposition &&
         a.content_encoding == b.content_encoding && a.content_language == b.content_language &&
         a.expires == b.expires && a.metadata == b.metadata;
}
inline bool operator==(const InodeRow& a, const InodeRow& b) {
  return a.ino == b.ino && a.parent == b.parent && a.name == b.name && a.mode == b.mode &&
         a.uid == b.uid && a.gid == b.gid && a.rdev == b.rdev && a.size == b.size &&
         a.atime == b.atime && a.mtime == b.mtime && a.ctime == b.ctime &&
         a.symlink_target == b.symlink_target && a.flags == b.flags &&
         a.generation == b.generation && a.version == b.version && a.properties == b.properties;
}
inline bool operator==(const ContentRow& a, const ContentRow& b) {
  return a.ino == b.ino && a.size == b.size && a.base_limit == b.base_limit &&
         a.generation == b.generation && a.modified == b.modified && a.base == b.base &&
         a.changed_at == b.changed_at;
}
inline bool operator==(const SealRow& a, const SealRow& b) {
  return a.ino == b.ino && a.size == b.size && a.base_limit == b.base_limit &&
         a.generation == b.generation && a.base == b.base && a.dirty == b.dirty &&
         a.bytes == b.bytes;
}
inline bool operator==(const UploadRow& a, const UploadRow& b) {
  return a.ino == b.ino && a.key == b.key && a.upload_id == b.upload_id &&
         a.properties == b.properties;
}
inline bool operator==(const PartRow& a, const PartRow& b) {
  return a.ino == b.ino && a.number == b.number && a.range == b.range && a.copied == b.copied &&
         a.etag == b.etag && a.size == b.size;
}
inline bool operator==(const RemovalRow& a, const RemovalRow& b) {
  return a.key == b.key && a.etag == b.etag && a.size == b.size;
}
inline bool operator==(const NoteRow& a, const NoteRow& b) {
  return a.kind == b.kind && a.ino == b.ino && a.path == b.path && a.text == b.text && a.at == b.at;
}

inline bool operator==(const CleanRow& a, const CleanRow& b) {
  return a.ino == b.ino && a.base == b.base && a.sums == b.sums;
}

/// All that a database holds.
struct StateContents {
  std::map<uint64_t, InodeRow> inodes;
  std::map<uint64_t, std::pair<ContentRow, std::vector<ByteRange>>> contents;
  std::map<uint64_t, SealRow> seals;
  std::map<uint64_t, CleanRow> cleans;
  std::map<uint64_t, std::pair<UploadRow, std::vector<PartRow>>> uploads;
  std::map<std::pair<std::string, std::string>, bool> orphans;
  std::map<std::string, RemovalRow> removals;
  std::map<int64_t, NoteRow> notes;

  friend bool operator==(const StateContents&, const StateContents&) = default;
};

inline Status ReadAll(StateDb& db, StateContents* all) {
  QUAY_TRY(db.ReadInodes([&](InodeRow row) { all->inodes.emplace(row.ino, row); }));
  QUAY_TRY(db.ReadContents([&](ContentRow row, std::vector<ByteRange> dirty) {
    all->contents.emplace(row.ino, std::pair(row, std::move(dirty)));
  }));
  QUAY_TRY(db.ReadSeals([&](SealRow row) { all->seals.emplace(row.ino, row); }));
  QUAY_TRY(db.ReadCleans([&](CleanRow row) { all->cleans.emplace(row.ino, row); }));
  QUAY_TRY(db.ReadUploads([&](UploadRow row, std::vector<PartRow> parts) {
    all->uploads.emplace(row.ino, std::pair(row, std::move(parts)));
  }));
  QUAY_TRY(db.ReadOrphans([&](std::string key, std::string id) {
    all->orphans.emplace(std::pair(std::move(key), std::move(id)), true);
  }));
  QUAY_TRY(db.ReadRemovals([&](RemovalRow row) { all->removals.emplace(row.key, row); }));
  return db.ReadNotes([&](NoteRow row) { all->notes.emplace(row.id, row); });
}

inline std::string FileBytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

inline void WriteFileBytes(const std::string& path, const std::string& bytes) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << bytes;
}

class StateTest : public ::testing::Test {
 protected:
  StateTest() {
    std::string pattern = ::testing::TempDir() + "/quayfs-state-XXXXXX";
    directory_ = mkdtemp(pattern.data());
  }
  ~StateTest() override {
    std::error_code ignored;
    std::filesystem::remove_all(directory_, ignored);
  }

  std::string path() const { return directory_ + "/state.db"; }
  std::string log_path() const { return path() + "-wal"; }

  Result<std::unique_ptr<StateDb>> TryOpen() {
    return OpenStateDb(directory_, StateIdentity{"kodo:bucket/prefix"}, options_);
  }

  std::unique_ptr<StateDb> Open() {
    auto db = TryOpen();
    if (!db) {
      ADD_FAILURE() << db.error().ToString();
      return nullptr;
    }
    return std::move(db).value();
  }

  static StateContents All(StateDb& db) {
    StateContents all;
    const Status read = ReadAll(db, &all);
    EXPECT_TRUE(read.ok()) << read.error().ToString();
    return all;
  }

  /// Names and digests of everything in the directory.
  std::map<std::string, std::string> Snapshot() const {
    std::map<std::string, std::string> files;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(directory_)) {
      const std::string name = std::filesystem::relative(entry.path(), directory_).string();
      files[name] = entry.is_regular_file() ? HexEncode(Sha256(FileBytes(entry.path()))) : "";
    }
    return files;
  }

  /// As a kill leaves the files while the database is open.
  std::string CopyOfOpen() const {
    std::string copy = directory_ + "-copy";
    std::filesystem::remove_all(copy);
    std::filesystem::copy(directory_, copy, std::filesystem::copy_options::recursive);
    return copy;
  }

  std::string directory_;
  StateOptions options_;
};

}  // namespace quayfs
