// SPDX-License-Identifier: Apache-2.0

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>  // NOLINT(modernize-deprecated-headers): mkdtemp

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "cache/cache_directory.h"
#include "cache/state/state_open.h"
#include "fs/inode_flags.h"
#include "fs/program/held_export.h"
#include "fs/program/held_state.h"

namespace quayfs::program {
namespace {

using ::testing::HasSubstr;

std::string BytesOf(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

InodeRow Row(uint64_t ino, uint64_t parent, const std::string& name, uint32_t mode) {
  InodeRow row;
  row.ino = ino;
  row.parent = parent;
  row.name = name;
  row.mode = mode;
  row.uid = ::geteuid();
  row.gid = ::getegid();
  row.flags = inode_flags::kPublished;
  return row;
}

class HeldTest : public ::testing::Test {
 protected:
  HeldTest() {
    std::string pattern = ::testing::TempDir() + "/quayfs-held-XXXXXX";
    root_ = mkdtemp(pattern.data());
    cache_ = root_ + "/cache";
    std::filesystem::create_directories(DataRoot(cache_));
  }
  ~HeldTest() override {
    std::error_code ignored;
    std::filesystem::remove_all(root_, ignored);
  }

  /// As another boot has left it, or this one.
  void Write(StateBatch batch, bool this_boot) {
    StateOptions options;
    if (!this_boot) options.boot_id = "another";
    auto db = OpenStateDb(cache_, StateIdentity{"s3 e b p/"}, options);
    ASSERT_TRUE(db.ok()) << db.error().ToString();
    ASSERT_TRUE((*db)->Apply(std::move(batch), Persist::kSurvivesPowerCut).ok());
  }
  void WriteData(uint64_t ino, const std::string& bytes) {
    std::filesystem::create_directories(DataFolder(cache_, ino));
    std::ofstream(DataFile(cache_, ino), std::ios::binary) << bytes;
  }
  HeldState Read() {
    auto held = ReadHeld(cache_, SystemDisk());
    if (held.ok()) return *std::move(held);
    ADD_FAILURE() << held.error().ToString();
    return {};
  }
  ExportReport Export() {
    const HeldState held = Read();
    auto report = ExportHeld(held, root_ + "/out", SystemDisk(), nullptr);
    if (report.ok()) return *std::move(report);
    ADD_FAILURE() << report.error().ToString();
    return {};
  }

  std::string root_;
  std::string cache_;
};

TEST_F(HeldTest, WhatTheBucketHasIsNotHeld) {
  StateBatch batch;
  batch.PutInode(Row(1, 1, "", 0040755)).PutInode(Row(2, 1, "f", 0100644));
  batch.PutContent({2, 5, 5, 1, false, {"f", "e", 5, 0}, 0});
  Write(batch, true);
  const HeldState held = Read();
  EXPECT_TRUE(held.nothing());
  EXPECT_EQ(held.bucket, "s3 e b p/");
}

TEST_F(HeldTest, WhatWasNotSyncedBeforeARestartIsMarked) {
  WriteData(2, "never synced");
  WriteData(3, "synced once, changed since");
  WriteData(4, "short");
  StateBatch batch;
  batch.PutInode(Row(1, 1, "", 0040755)).PutInode(Row(9, 1, "d", 0040700));
  uint64_t ino = 1;
  for (const char* name : {"a", "b", "c"}) {
    batch.PutInode(Row(++ino, 9, name, 0100600));
    batch.PutContent({ino, 100, 0, 5, true, {}, 0}).AddDirty(ino, {0, 10});
  }
  batch.PutSeal({3, 20, 0, 4, {}, {{0, 20}}});
  batch.PutSeal({4, 100, 0, 5, {}, {{0, 10}}});
  Write(batch, false);
  const HeldState held = Read();
  ASSERT_EQ(held.items.size(), 3U);
  EXPECT_EQ(held.items[0].verdict, LeftVerdict::kUnusable);
  EXPECT_EQ(held.items[1].verdict, LeftVerdict::kAsSealed);
  EXPECT_EQ(held.items[2].verdict, LeftVerdict::kAsRecorded);
  EXPECT_TRUE(held.items[2].short_file);
  const ExportReport report = Export();
  EXPECT_FALSE(report.complete());
  EXPECT_EQ(BytesOf(root_ + "/out/d/a.unsynced").substr(0, 10), "never sync");
  for (const char* name : {"b", "c"})
    EXPECT_TRUE(std::filesystem::exists(root_ + "/out/d/" + name + ".unsynced")) << name;
}

TEST_F(HeldTest, NamesThatLeadElsewhereAreNotFollowed) {
  WriteData(2, "bytes");
  WriteData(3, "bytes");
  StateBatch batch;
  batch.PutInode(Row(1, 1, "", 0040755));
  batch.PutInode(Row(2, 1, "../../escaped", 0100600)).PutInode(Row(3, 77, "orphan", 0100600));
  for (const uint64_t ino : {2, 3})
    batch.PutContent({ino, 5, 0, 5, true, {}, 0}).AddDirty(ino, {0, 5});
  Write(batch, true);
  const ExportReport report = Export();
  EXPECT_EQ(report.files, 2U);
  EXPECT_EQ(BytesOf(root_ + "/out/.quayfs-unnamed/2"), "bytes");
  EXPECT_EQ(BytesOf(root_ + "/out/.quayfs-unnamed/3"), "bytes");
  EXPECT_FALSE(std::filesystem::exists(root_ + "/escaped"));
}

TEST_F(HeldTest, SetAsideFilesAreWrittenOutWithTheirReason) {
  const std::string folder = SetAsideFolder(cache_);
  std::filesystem::create_directories(folder);
  std::ofstream(folder + "/7-then") << "look at me";
  std::ofstream(folder + "/8-then") << "and me";
  StateBatch batch;
  batch.AddNote({0, std::string(kSetAsideNote), 7, folder + "/7-then", "'d/f': because", 5});
  batch.AddNote({0, std::string(kSetAsideNote), 6, folder + "/6-removed", "dealt with", 5});
  Write(batch, true);
  const HeldState held = Read();
  EXPECT_EQ(held.set_aside.size(), 2U);
  EXPECT_FALSE(held.nothing());
  const ExportReport report = Export();
  EXPECT_EQ(BytesOf(root_ + "/out/.quayfs-set-aside/7-then"), "look at me");
  EXPECT_EQ(BytesOf(root_ + "/out/.quayfs-set-aside/8-then"), "and me");
  ASSERT_EQ(report.notes.size(), 2U);
  EXPECT_THAT(report.notes[0], HasSubstr("'d/f': because"));
}

TEST_F(HeldTest, ADirectoryInUseIsRefused) {
  std::ofstream(cache_ + "/lock") << "4711\n";
  auto lock = LockHeld(cache_);
  ASSERT_TRUE(lock.ok());
  const auto second = LockHeld(cache_);
  ASSERT_TRUE(second.Is(Code::kBusy));
  EXPECT_THAT(second.error().message(), HasSubstr("in use by process 4711"));
  EXPECT_TRUE(LockHeld(root_).Is(Code::kNotFound));
}

}  // namespace
}  // namespace quayfs::program
