// SPDX-License-Identifier: Apache-2.0

#include "cache/state/state_db.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <limits>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/unit/cache/state_fixture.h"

namespace quayfs {
namespace {

using StateDbTest = StateTest;

InodeRow FullInode(uint64_t ino) {
  InodeRow row;
  row.ino = ino;
  row.parent = 1;
  row.name = std::string("n\0\xff'\"\n", 6);
  row.mode = 0x81ff;
  row.uid = 0xffffffff;
  row.gid = 0xfffffffe;
  row.rdev = 0xffffffffffffffff;
  row.size = 1ull << 62;
  row.atime = -1;
  row.mtime = std::numeric_limits<int64_t>::max();
  row.ctime = std::numeric_limits<int64_t>::min();
  row.symlink_target = "a/../b";
  row.flags = 0x80000001;
  row.generation = 7;
  row.version = {"key/\xc3\xa4", "\"etag\"", 12, 1700000000};
  row.properties.content_type = "text/plain";
  row.properties.expires = "never";
  row.properties.metadata = {{"mode", "33188"}, {"", ""}, {"x", std::string("\0\x80", 2)}};
  return row;
}

ContentRow Content(uint64_t ino) { return {ino, 100, 50, 3, false, {"k", "\"e\"", 60, 5}, -7}; }

TEST_F(StateDbTest, ANewDatabaseIsEmptyAndSaysSo) {
  {
    auto db = Open();
    ASSERT_TRUE(db);
    EXPECT_TRUE(db->is_new());
    EXPECT_TRUE(db->same_boot());
    EXPECT_EQ(All(*db), StateContents());
    EXPECT_EQ(db->Number("next_ino", 42).value(), 42);
  }
  auto db = Open();
  ASSERT_TRUE(db);
  EXPECT_FALSE(db->is_new());
  EXPECT_EQ(All(*db), StateContents());
}

TEST_F(StateDbTest, EveryRowComesBackAsItWasPut) {
  StateContents expected;
  InodeRow plain;
  plain.ino = 1;
  plain.parent = 1;
  expected.inodes = {{1, plain}, {9, FullInode(9)}};
  expected.contents = {{9, {Content(9), {{0, 4}, {8, 1ull << 62}}}}, {10, {Content(10), {}}}};
  expected.contents.at(10).first.modified = true;
  expected.seals = {
      {9, {9, 100, 40, 3, {"k", "e", 1, 2}, {{0, 1}, {1, 2}, {1ull << 40, 1ull << 41}}}},
      {10, {10, 0, 0, 4, {}, {}, SealBytes::kLost}}};
  expected.uploads = {{9,
                       {{9, "k", "id", FullInode(9).properties},
                        {{9, 1, {0, 5}, false, "\"p1\"", 5}, {9, 10000, {5, 6}, true, "", 1}}}},
                      {11, {{11, "", "", {}}, {}}}};
  expected.orphans = {{{"k", "id"}, true}, {{"k", ""}, true}};
  expected.removals = {{std::string("\0", 1), {std::string("\0", 1), "e", 3}}, {"", {"", "", 0}}};
  expected.notes = {{1, {1, "conflict", 9, "a/b", "text", 5}}, {2, {2, "", 0, "", "", -5}}};

  const auto check = [&](StateDb& db) {
    EXPECT_EQ(All(db), expected);
    EXPECT_EQ(db.Number("next", 0).value(), -3);
  };
  {
    auto db = Open();
    ASSERT_TRUE(db);
    StateBatch batch;
    for (const auto& [ino, row] : expected.inodes) batch.PutInode(row);
    for (const auto& [ino, row] : expected.contents) {
      batch.PutContent(row.first);
      for (const ByteRange& range : row.second) batch.AddDirty(ino, range);
    }
    for (const auto& [ino, row] : expected.seals) batch.PutSeal(row);
    for (const auto& [ino, row] : expected.uploads) {
      batch.PutUpload(row.first);
      for (const PartRow& part : row.second) batch.PutPart(part);
    }
    for (const auto& [orphan, there] : expected.orphans)
      batch.PutOrphan(orphan.first, orphan.second);
    for (const auto& [key, row] : expected.removals) batch.PutRemoval(row);
    for (const auto& [id, row] : expected.notes) {
      NoteRow added = row;
      added.id = 0;
      batch.AddNote(added);
    }
    batch.SetNumber("next", 8).SetNumber("next", -3);
    EXPECT_FALSE(batch.empty());
    ASSERT_TRUE(db->Apply(batch, Persist::kSurvivesKill).ok());
    check(*db);
  }
  auto db = Open();
  ASSERT_TRUE(db);
  check(*db);
}

TEST_F(StateDbTest, DropsTakeWhatBelongsToThem) {
  auto db = Open();
  ASSERT_TRUE(db);
  StateBatch put;
  for (const uint64_t ino : {5ull, 6ull}) {
    put.PutInode(FullInode(ino)).PutContent(Content(ino)).AddDirty(ino, {1, 2});
    put.PutSeal({ino, 1, 1, 1, {}, {}}).PutUpload({ino, "k", "u", {}});
    put.PutPart({ino, 1, {0, 1}, false, "e", 1}).PutPart({ino, 2, {1, 2}, false, "e", 1});
    put.PutOrphan("k", std::to_string(ino)).PutRemoval({std::to_string(ino), "e", 1});
    put.AddNote({0, "k", ino, "p", "t", 1});
  }
  ASSERT_TRUE(db->Apply(put, Persist::kSurvivesKill).ok());
  StateContents left = All(*db);

  const auto step = [&](StateBatch batch) {
    ASSERT_TRUE(db->Apply(std::move(batch), Persist::kSurvivesKill).ok());
    EXPECT_EQ(All(*db), left);
  };
  left.inodes.erase(5);
  step(std::move(StateBatch().DropInode(5)));
  left.uploads.at(6).second.pop_back();
  step(std::move(StateBatch().DropPart(6, 2)));
  left.uploads.at(6) = {{6, "k", "u2", {}}, {}};
  step(std::move(StateBatch().PutUpload({6, "k", "u2", {}})));
  left.seals.at(6).bytes = SealBytes::kKept;
  step(std::move(StateBatch().SealKept(6).SealKept(7)));
  step(std::move(StateBatch().DropContentIfClean(5)));  // it is not
  left.contents.erase(5);
  left.seals.erase(5);
  left.uploads.erase(5);
  step(std::move(StateBatch().DropContent(5)));
  left.seals.erase(6);
  step(std::move(StateBatch().DropSeal(6)));
  left.uploads.erase(6);
  step(std::move(StateBatch().DropUpload(6)));
  left.orphans.erase({"k", "5"});
  step(std::move(StateBatch().DropOrphan("k", "5")));
  left.removals.erase("5");
  step(std::move(StateBatch().DropRemoval("5")));
  left.notes.erase(1);
  step(std::move(StateBatch().DropNote(1)));
  left.contents.clear();
  step(std::move(StateBatch().CutDirty(6, {0, UINT64_MAX}).DropContentIfClean(6)));
}

TEST_F(StateDbTest, DropContentIfCleanKeepsModifiedContent) {
  auto db = Open();
  ASSERT_TRUE(db);
  ContentRow modified = Content(5);
  modified.modified = true;
  ASSERT_TRUE(db->Apply(std::move(StateBatch().PutContent(modified).DropContentIfClean(5)),
                        Persist::kSurvivesKill)
                  .ok());
  EXPECT_EQ(All(*db).contents.size(), 1u);
  ASSERT_TRUE(db->Apply(std::move(StateBatch().PutContent(Content(5)).DropContentIfClean(5)),
                        Persist::kSurvivesKill)
                  .ok());
  EXPECT_EQ(All(*db).contents.size(), 0u);
}

TEST_F(StateDbTest, DirtyRangesMergeAndAreCutLikeASet) {
  auto db = Open();
  ASSERT_TRUE(db);
  const auto dirty_after = [&](StateBatch batch) {
    EXPECT_TRUE(db->Apply(std::move(batch), Persist::kSurvivesKill).ok());
    return All(*db).contents.at(3).second;
  };
  using Ranges = std::vector<ByteRange>;
  EXPECT_EQ(dirty_after(std::move(StateBatch().PutContent(Content(3)).AddDirty(3, {10, 20}))),
            (Ranges{{10, 20}}));
  EXPECT_EQ(dirty_after(std::move(StateBatch().AddDirty(3, {30, 40}).AddDirty(3, {50, 60}))),
            (Ranges{{10, 20}, {30, 40}, {50, 60}}));
  EXPECT_EQ(dirty_after(std::move(StateBatch().AddDirty(3, {20, 25}))),
            (Ranges{{10, 25}, {30, 40}, {50, 60}}));  // touches
  EXPECT_EQ(dirty_after(std::move(StateBatch().AddDirty(3, {25, 55}))), (Ranges{{10, 60}}));
  EXPECT_EQ(dirty_after(std::move(StateBatch().AddDirty(3, {12, 13}))), (Ranges{{10, 60}}));
  EXPECT_EQ(dirty_after(std::move(StateBatch().CutDirty(3, {20, 30}).CutDirty(3, {5, 11}))),
            (Ranges{{11, 20}, {30, 60}}));
  EXPECT_EQ(dirty_after(std::move(StateBatch().CutDirty(3, {20, 30}).CutDirty(3, {8, 8}))),
            (Ranges{{11, 20}, {30, 60}}));
  EXPECT_EQ(dirty_after(std::move(StateBatch().SetDirty(3, {{7, 9}, {1, 2}, {2, 4}}))),
            (Ranges{{1, 4}, {7, 9}}));
  EXPECT_EQ(dirty_after(std::move(StateBatch().SetDirty(3, {}))), Ranges());
}

TEST_F(StateDbTest, ABatchWithARowThatCannotBeIsRefusedWhole) {
  auto db = Open();
  ASSERT_TRUE(db);
  ASSERT_TRUE(
      db->Apply(std::move(StateBatch().PutContent(Content(3))), Persist::kSurvivesKill).ok());
  const StateContents before = All(*db);
  InodeRow no_number;
  InodeRow huge;
  huge.ino = 4;
  huge.size = UINT64_MAX;
  const std::vector<StateBatch> bad = {
      StateBatch().PutInode(no_number),
      StateBatch().PutInode(huge),
      StateBatch().AddDirty(3, {5, 5}),
      StateBatch().AddDirty(3, {6, 5}),
      StateBatch().AddDirty(3, {0, UINT64_MAX}),
      StateBatch().AddDirty(4, {0, 1}),                    // no content
      StateBatch().SetDirty(4, {{0, 1}}),                  // no content
      StateBatch().PutPart({3, 1, {0, 1}, false, "", 1}),  // no upload
      StateBatch().PutUpload({3, "k", "u", {}}).PutPart({3, 0, {0, 1}, false, "", 1}),
      StateBatch().PutSeal({3, 1, 1, 1, {}, {{5, 6}, {0, 1}}}),
  };
  for (size_t i = 0; i < bad.size(); ++i) {
    StateBatch batch = bad[i];
    const Status applied = db->Apply(std::move(batch), Persist::kSurvivesKill);
    EXPECT_TRUE(applied.Is(Code::kInvalidArgument)) << i;
    EXPECT_EQ(All(*db), before) << i;
  }
  StateBatch half = std::move(StateBatch().PutInode(FullInode(8)));
  half.AddDirty(3, {5, 5});
  EXPECT_TRUE(db->Apply(half, Persist::kSurvivesKill).Is(Code::kInvalidArgument));
  EXPECT_EQ(All(*db), before);
  EXPECT_TRUE(
      db->Apply(std::move(StateBatch().PutInode(FullInode(8))), Persist::kSurvivesKill).ok());
}

TEST_F(StateDbTest, ParentsComeFirstWhateverTheirNumbers) {
  auto db = Open();
  ASSERT_TRUE(db);
  // 2 in 9 in 5 in 7 in 1; 3 in 2; 4 in a folder that is not there; 6 is linked nowhere.
  const std::vector<std::pair<uint64_t, uint64_t>> links = {{1, 1}, {2, 9}, {3, 2}, {4, 77},
                                                            {5, 7}, {6, 0}, {7, 1}, {9, 5}};
  StateBatch batch;
  for (const auto& [ino, parent] : links) {
    InodeRow row;
    row.ino = ino;
    row.parent = parent;
    batch.PutInode(row);
  }
  ASSERT_TRUE(db->Apply(batch, Persist::kSurvivesKill).ok());
  std::set<uint64_t> seen = {0, 77};
  size_t count = 0;
  ASSERT_TRUE(db->ReadInodes([&](const InodeRow& row) {
                  EXPECT_TRUE(row.parent == row.ino || seen.contains(row.parent)) << row.ino;
                  EXPECT_TRUE(seen.insert(row.ino).second);
                  ++count;
                }).ok());
  EXPECT_EQ(count, links.size());

  InodeRow loop;
  loop.ino = 7;
  loop.parent = 2;
  ASSERT_TRUE(db->Apply(std::move(StateBatch().PutInode(loop)), Persist::kSurvivesKill).ok());
  EXPECT_TRUE(db->ReadInodes([](const InodeRow&) {}).Is(Code::kCorrupt));
}

TEST_F(StateDbTest, NumbersOfNotesAreNotUsedAgain) {
  auto db = Open();
  ASSERT_TRUE(db);
  const NoteRow note = {0, "k", 1, "p", "t", 1};
  ASSERT_TRUE(
      db->Apply(std::move(StateBatch().AddNote(note).DropNote(1)), Persist::kSurvivesKill).ok());
  ASSERT_TRUE(db->Apply(std::move(StateBatch().AddNote(note)), Persist::kSurvivesKill).ok());
  EXPECT_EQ(All(*db).notes.begin()->first, 2);
}

TEST_F(StateDbTest, TheFilesAreForTheirOwnerAndGoWhenClosed) {
  {
    auto db = Open();
    ASSERT_TRUE(db);
    ASSERT_TRUE(db->Apply(std::move(StateBatch().SetNumber("a", 1)), Persist::kSurvivesKill).ok());
    for (const std::string& file : {path(), log_path()}) {
      struct stat info {};
      ASSERT_EQ(stat(file.c_str(), &info), 0) << file;
      EXPECT_EQ(info.st_mode & 07777, 0600u) << file;
    }
  }
  EXPECT_EQ(Snapshot().size(), 1u);  // state.db
}

TEST_F(StateDbTest, OnlyOneHasItOpen) {
  auto db = Open();
  ASSERT_TRUE(db);
  EXPECT_TRUE(TryOpen().Is(Code::kBusy));
  ASSERT_TRUE(db->Apply(std::move(StateBatch().SetNumber("a", 1)), Persist::kSurvivesKill).ok());
  db.reset();
  EXPECT_TRUE(Open());
}

// The log's file keeps its size when the log begins anew; going by it, every batch would flush.
TEST_F(StateDbTest, OnlyFewBatchesMoveTheLogIntoTheDatabase) {
  options_.checkpoint_bytes = 64 << 10;
  auto db = Open();
  ASSERT_TRUE(db);
  constexpr uint64_t kBatches = 400;
  int moved = 0;
  std::string before = FileBytes(path());
  // It is moved in another thread, which may take its time.
  for (uint64_t ino = 1; ino <= kBatches || (moved < 3 && ino < 100'000); ++ino) {
    ASSERT_TRUE(
        db->Apply(std::move(StateBatch().PutInode(FullInode(ino))), Persist::kSurvivesKill).ok());
    std::string after = FileBytes(path());
    if (after != before) ++moved;
    before = std::move(after);
    if (ino == kBatches) {
      EXPECT_LE(moved, 100);
    }
  }
  EXPECT_GE(moved, 3);
}

// What a move leaves behind is enough to keep the log growing for ever.
TEST_F(StateDbTest, TheLogBeginsAnewThoughCommitsNeverPause) {
  options_.checkpoint_bytes = 1 << 20;
  auto db = Open();
  ASSERT_TRUE(db);
  // Bytes 12 to 15 of a log count how often it has begun anew (sqlite.org/fileformat2.html).
  const auto beginnings = [this] {
    std::array<char, 16> head{};
    std::ifstream(path() + "-wal", std::ios::binary).read(head.data(), head.size());
    return std::string(head.data() + 12, 4);
  };
  uint64_t ino = 0;
  const auto apply = [&] {
    ++ino;
    return db->Apply(std::move(StateBatch().PutInode(FullInode(ino))), Persist::kSurvivesKill);
  };
  // The first one moves it, the second begins it anew.
  ASSERT_TRUE(apply().ok());
  ASSERT_TRUE(apply().ok());
  const std::string first = beginnings();
  for (int i = 0; i < 400'000 && (i % 1000 != 0 || beginnings() == first); ++i)
    ASSERT_TRUE(apply().ok());
  EXPECT_NE(beginnings(), first);
}

TEST_F(StateDbTest, ThreadsApplyBatchesOfTheirOwn) {
  constexpr int kThreads = 4;
  constexpr int kBatches = 300;
  options_.checkpoint_bytes = 64 << 10;
  {
    auto db = Open();
    ASSERT_TRUE(db);
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&db, t] {
        for (int i = 0; i < kBatches; ++i) {
          InodeRow row;
          row.ino = static_cast<uint64_t>(1 + t * kBatches + i);
          const Persist persist = i % 50 == 0 ? Persist::kSurvivesPowerCut : Persist::kSurvivesKill;
          StateBatch batch;
          batch.PutInode(row).SetNumber("of" + std::to_string(t), i);
          EXPECT_TRUE(db->Apply(std::move(batch), persist).ok());
          EXPECT_EQ(db->Number("of" + std::to_string(t), -1).value(), i);
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  auto db = Open();
  ASSERT_TRUE(db);
  EXPECT_EQ(All(*db).inodes.size(), size_t{kThreads * kBatches});
}

}  // namespace
}  // namespace quayfs
