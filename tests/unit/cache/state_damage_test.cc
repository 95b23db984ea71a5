// SPDX-License-Identifier: Apache-2.0
//
// State databases that must not be used: each is refused with one line that says what to do, and
// every file in the directory stays as it was, byte for byte.

#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/unique_fd.h"
#include "tests/unit/cache/state_fixture.h"

namespace quayfs {
namespace {

constexpr size_t kPage = 4096;

StateBatch SomeRows(uint64_t first, uint64_t count) {
  StateBatch batch;
  for (uint64_t ino = first; ino < first + count; ++ino) {
    InodeRow row;
    row.ino = ino;
    row.parent = 1;
    row.name = fmt::format("a-name-that-can-be-found-{}", ino);
    row.size = ino;
    batch.PutInode(row).PutContent({ino, 9, 0, 3, true, {"key", "\"etag\"", 9, 0}, 1});
    batch.AddDirty(ino, {0, 9}).PutSeal({ino, 9, 0, 2, {}, {{0, 9}}});
    batch.PutUpload({ino, "key", "upload", {}}).PutPart({ino, 1, {0, 9}, false, "e", 9});
    batch.PutClean({ino, {"key", "\"etag\"", 9, 0}, {{0, 7}}});
    batch.PutOrphan("key", std::to_string(ino)).PutRemoval({std::to_string(ino), "e", 1});
    batch.AddNote({0, "kind", ino, "path", "text", 1});
  }
  return batch;
}

/// The number of a note is the one column that no checksum covers.
StateContents NotesByInode(StateContents all) {
  std::map<int64_t, NoteRow> notes;
  for (const auto& [id, note] : all.notes) notes[static_cast<int64_t>(note.ino)] = note;
  all.notes = std::move(notes);
  return all;
}

class StateDamageTest : public StateTest {
 protected:
  /// A database with rows in every table, closed.
  void MakeClosed(uint64_t rows = 20) {
    auto db = Open();
    ASSERT_TRUE(db);
    ASSERT_TRUE(db->Apply(SomeRows(2, rows), Persist::kSurvivesPowerCut).ok());
  }

  /// What a kill leaves: a log that has not been moved into the database.
  void MakeKilled(uint64_t rows = 20) {
    std::string copy;
    {
      auto db = Open();
      ASSERT_TRUE(db);
      ASSERT_TRUE(db->Apply(SomeRows(2, rows), Persist::kSurvivesKill).ok());
      ASSERT_TRUE(db->Apply(SomeRows(1000, rows), Persist::kSurvivesKill).ok());
      copy = CopyOfOpen();
    }
    for (const auto& entry : std::filesystem::directory_iterator(directory_))
      std::filesystem::remove_all(entry.path());
    std::filesystem::copy(copy, directory_, std::filesystem::copy_options::recursive);
    std::filesystem::remove_all(copy);
    ASSERT_GT(std::filesystem::file_size(log_path()), 0u);
  }

  /// Opening and reading everything, as a mount begins.
  Status OpenAndReadAll() {
    auto db = TryOpen();
    if (!db) return db.error();
    StateContents all;
    return ReadAll(**db, &all);
  }

  void ExpectRefused(Code code, const std::vector<std::string_view>& words) {
    const auto before = Snapshot();
    const Status opened = OpenAndReadAll();
    ASSERT_FALSE(opened.ok());
    EXPECT_EQ(opened.code(), code) << opened.error().ToString();
    const std::string& message = opened.error().message();
    for (const std::string_view word : words)
      EXPECT_NE(message.find(word), std::string::npos) << "'" << word << "' in: " << message;
    EXPECT_NE(message.find(directory_), std::string::npos) << message;
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
    EXPECT_TRUE(Snapshot() == before);
  }

  void Flip(const std::string& file, size_t offset) {
    std::string bytes = FileBytes(file);
    ASSERT_LT(offset, bytes.size());
    bytes[offset] = static_cast<char>(bytes[offset] ^ 0x10);
    WriteFileBytes(file, bytes);
  }
};

TEST_F(StateDamageTest, GarbageIsRefused) {
  std::mt19937_64 random(7);
  std::string garbage(3 * kPage, '\0');
  for (char& byte : garbage) byte = static_cast<char>(random());
  WriteFileBytes(path(), garbage);
  ExpectRefused(Code::kCorrupt, {"state.db", "damaged", "quayfs recover"});
}

TEST_F(StateDamageTest, AnEmptyFileIsRefused) {
  WriteFileBytes(path(), "");
  ExpectRefused(Code::kCorrupt, {"damaged", "quayfs recover"});
}

TEST_F(StateDamageTest, TextIsRefused) {
  WriteFileBytes(path(), "not a database\n");
  ExpectRefused(Code::kCorrupt, {"damaged", "quayfs recover"});
}

TEST_F(StateDamageTest, AFolderInItsPlaceIsRefused) {
  ASSERT_EQ(mkdir(path().c_str(), 0700), 0);
  ExpectRefused(Code::kCorrupt, {"not a file", "quayfs recover"});
}

TEST_F(StateDamageTest, ALinkInItsPlaceIsRefused) {
  ASSERT_NO_FATAL_FAILURE(MakeClosed());
  const std::string elsewhere = directory_ + "/elsewhere";
  std::filesystem::rename(path(), elsewhere);
  ASSERT_EQ(symlink(elsewhere.c_str(), path().c_str()), 0);
  ExpectRefused(Code::kCorrupt, {"not a file", "quayfs recover"});
}

TEST_F(StateDamageTest, ADatabaseOfAnotherProgramIsRefused) {
  sqlite3* other = nullptr;
  ASSERT_EQ(sqlite3_open(path().c_str(), &other), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(other, "CREATE TABLE inode(a); INSERT INTO inode VALUES(1)", nullptr,
                         nullptr, nullptr),
            SQLITE_OK);
  sqlite3_close(other);
  ExpectRefused(Code::kCorrupt, {"another program", "quayfs recover"});
}

TEST_F(StateDamageTest, ATruncatedDatabaseIsRefused) {
  ASSERT_NO_FATAL_FAILURE(MakeClosed(200));
  const std::string whole = FileBytes(path());
  ASSERT_GT(whole.size(), 8 * kPage);
  for (const size_t length : {size_t{50}, size_t{100}, kPage - 1, kPage, 3 * kPage,
                              whole.size() / 2, whole.size() - kPage, whole.size() - 1}) {
    SCOPED_TRACE(length);
    WriteFileBytes(path(), whole.substr(0, length));
    ExpectRefused(Code::kCorrupt, {"damaged", "quayfs recover"});
  }
}

TEST_F(StateDamageTest, AMissingDatabaseWithALogIsRefused) {
  ASSERT_NO_FATAL_FAILURE(MakeKilled());
  ASSERT_EQ(unlink(path().c_str()), 0);
  ExpectRefused(Code::kCorrupt, {"missing", "quayfs recover"});
}

TEST_F(StateDamageTest, AMissingLogIsRefused) {
  ASSERT_NO_FATAL_FAILURE(MakeKilled());
  ASSERT_EQ(unlink(log_path().c_str()), 0);
  ExpectRefused(Code::kCorrupt, {"log", "missing", "quayfs recover"});
}

TEST_F(StateDamageTest, AnEmptyLogWhereThereWasOneIsRefused) {
  ASSERT_NO_FATAL_FAILURE(MakeKilled());
  ASSERT_EQ(truncate(log_path().c_str(), 0), 0);
  const std::string before = FileBytes(path());
  const Status opened = OpenAndReadAll();
  EXPECT_TRUE(opened.Is(Code::kCorrupt));
  EXPECT_NE(opened.error().message().find("missing"), std::string::npos);
  EXPECT_TRUE(FileBytes(path()) == before);
  EXPECT_EQ(Snapshot().size(), 1u);  // the log without a byte may go
}

// A log that ends early is what a power cut leaves: what is whole in it counts, and no batch by
// half.
TEST_F(StateDamageTest, ALogThatEndsEarlyIsUsedAsFarAsItGoes) {
  ASSERT_NO_FATAL_FAILURE(MakeKilled());
  const std::string log = FileBytes(log_path());
  const std::string database = FileBytes(path());
  int without = 0;
  for (size_t length = log.size(); length > 0; length -= std::min(length, kPage / 2)) {
    SCOPED_TRACE(length);
    WriteFileBytes(path(), database);
    WriteFileBytes(log_path(), log.substr(0, length));
    auto db = Open();
    ASSERT_TRUE(db);
    const StateContents all = All(*db);
    EXPECT_TRUE(all.inodes.contains(2));
    EXPECT_EQ(all.inodes.contains(1000), all.removals.contains("1019"));
    EXPECT_EQ(all.inodes.contains(1000), all.inodes.contains(1019));
    if (!all.inodes.contains(1000)) ++without;
  }
  EXPECT_GT(without, 0);
}

/// Every place where one bit may change: refused, or (in bytes that mean nothing) read as if
/// nothing had happened. Never other rows than there were.
TEST_F(StateDamageTest, AFlippedBitNeverBecomesAnotherRow) {
  ASSERT_NO_FATAL_FAILURE(MakeClosed(6));
  const std::string whole = FileBytes(path());
  StateContents expected;
  {
    auto db = Open();
    ASSERT_TRUE(db);
    expected = All(*db);
  }
  WriteFileBytes(path(), whole);
  const uint32_t seed = std::random_device{}();
  SCOPED_TRACE(fmt::format("seed {}", seed));
  std::mt19937 random(seed);
  int refused = 0;
  for (int i = 0; i < 200; ++i) {
    const size_t offset = random() % whole.size();
    const int bit = static_cast<int>(random() % 8);
    SCOPED_TRACE(fmt::format("offset {} bit {}", offset, bit));
    std::string bytes = whole;
    bytes[offset] = static_cast<char>(bytes[offset] ^ (1 << bit));
    WriteFileBytes(path(), bytes);
    const auto before = Snapshot();
    auto db = TryOpen();
    StateContents all;
    const Status read = db ? ReadAll(**db, &all) : Status(db.error());
    if (db) db->reset();
    EXPECT_TRUE(Snapshot() == before);
    if (read.ok()) {
      EXPECT_TRUE(NotesByInode(all) == NotesByInode(expected));
      continue;
    }
    ++refused;
    EXPECT_TRUE(read.Is(Code::kCorrupt) || read.Is(Code::kNotPermitted)) << read.error().ToString();
    EXPECT_EQ(read.error().message().find('\n'), std::string::npos);
  }
  EXPECT_GT(refused, 0);
}

TEST_F(StateDamageTest, AFlippedByteInARowIsFoundByItsChecksum) {
  ASSERT_NO_FATAL_FAILURE(MakeClosed());
  const size_t offset = FileBytes(path()).find("a-name-that-can-be-found-7");
  ASSERT_NE(offset, std::string::npos);
  ASSERT_NO_FATAL_FAILURE(Flip(path(), offset + 3));
  ExpectRefused(Code::kCorrupt, {"damaged", "inode", "checksum", "quayfs recover"});
}

TEST_F(StateDamageTest, APageOfZerosIsRefused) {
  ASSERT_NO_FATAL_FAILURE(MakeClosed(200));
  const std::string whole = FileBytes(path());
  for (size_t page = 1; page < whole.size() / kPage; ++page) {
    SCOPED_TRACE(page);
    std::string bytes = whole;
    std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(page * kPage), kPage, '\0');
    WriteFileBytes(path(), bytes);
    ExpectRefused(Code::kCorrupt, {"damaged", "quayfs recover"});
  }
}

TEST_F(StateDamageTest, AnotherBucketIsRefusedByName) {
  ASSERT_NO_FATAL_FAILURE(MakeKilled());
  const auto before = Snapshot();
  const auto opened = OpenStateDb(directory_, StateIdentity{"s3:other/"}, options_);
  ASSERT_TRUE(opened.Is(Code::kNotPermitted));
  for (const char* word : {"kodo:bucket/prefix", "s3:other/", "use another"})
    EXPECT_NE(opened.error().message().find(word), std::string::npos) << opened.error().message();
  EXPECT_TRUE(Snapshot() == before);
}

TEST_F(StateDamageTest, AVersionFromTheFutureIsRefused) {
  for (const bool killed : {false, true}) {
    std::filesystem::remove_all(directory_);
    std::filesystem::create_directory(directory_);
    std::vector<SchemaStep> more(SchemaSteps().begin(), SchemaSteps().end());
    more.push_back({"CREATE TABLE future (a INTEGER) STRICT;"});
    options_.steps = more;
    if (killed) {
      ASSERT_NO_FATAL_FAILURE(MakeKilled());
    } else {
      ASSERT_NO_FATAL_FAILURE(MakeClosed());
    }
    options_.steps = SchemaSteps();
    ExpectRefused(Code::kNotPermitted,
                  {"newer quayfs", "version 3", "knows 2", "use that quayfs, or another"});
  }
}

// A step as a later version may bring it: a table built anew with its rows and their checksums, and
// a table more. (The columns are those that this version writes.)
constexpr const char* kLaterStep = R"sql(
ALTER TABLE removal RENAME TO old_removal;
CREATE TABLE removal (
  object_key BLOB PRIMARY KEY,
  etag BLOB NOT NULL,
  size INTEGER NOT NULL,
  crc INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO removal SELECT object_key, etag, size + 1, row_checksum(object_key, etag, size + 1)
  FROM old_removal;
DROP TABLE old_removal;
CREATE TABLE later (a INTEGER PRIMARY KEY, b BLOB NOT NULL) STRICT;
INSERT INTO later SELECT size, object_key FROM removal LIMIT 1;
)sql";

TEST_F(StateDamageTest, AnOlderVersionIsUpgradedWithItsRows) {
  for (const bool killed : {false, true}) {
    SCOPED_TRACE(killed);
    std::filesystem::remove_all(directory_);
    std::filesystem::create_directory(directory_);
    options_.steps = SchemaSteps();
    if (killed) {
      ASSERT_NO_FATAL_FAILURE(MakeKilled());
    } else {
      ASSERT_NO_FATAL_FAILURE(MakeClosed());
    }
    StateContents before;
    {
      const std::string copy = CopyOfOpen();
      {
        auto db = OpenStateDb(copy, StateIdentity{"kodo:bucket/prefix"}, options_);
        ASSERT_TRUE(db.ok());
        before = All(**db);
      }
      std::filesystem::remove_all(copy);
    }
    std::vector<SchemaStep> more(SchemaSteps().begin(), SchemaSteps().end());
    more.push_back({kLaterStep});
    options_.steps = more;
    {
      auto db = Open();
      ASSERT_TRUE(db);
      StateContents expected = before;
      for (auto& [key, removal] : expected.removals) ++removal.size;
      EXPECT_TRUE(All(*db) == expected);
      EXPECT_FALSE(db->is_new());
    }
    // The older program refuses it from now on.
    options_.steps = SchemaSteps();
    ExpectRefused(Code::kNotPermitted, {"newer quayfs"});
  }
}

TEST_F(StateDamageTest, AnUpgradeThatFailsLeavesTheOldVersion) {
  ASSERT_NO_FATAL_FAILURE(MakeClosed());
  StateContents before;
  {
    auto db = Open();
    ASSERT_TRUE(db);
    before = All(*db);
  }
  std::vector<SchemaStep> more(SchemaSteps().begin(), SchemaSteps().end());
  more.push_back({kLaterStep});
  more.push_back({"INSERT INTO no_such_table VALUES(1);"});
  options_.steps = more;
  EXPECT_FALSE(TryOpen().ok());
  options_.steps = SchemaSteps();
  auto db = Open();
  ASSERT_TRUE(db);
  EXPECT_TRUE(All(*db) == before);
}

TEST_F(StateDamageTest, ADatabaseThatMayNotBeWrittenIsRefused) {
  if (geteuid() == 0) GTEST_SKIP() << "root may write to everything";
  ASSERT_NO_FATAL_FAILURE(MakeKilled());
  ASSERT_EQ(chmod(path().c_str(), 0400), 0);
  ExpectRefused(Code::kPermissionDenied, {"for writing", "quayfs recover"});
}

// Nobody may begin to act on some rows and then find that others are damaged.
TEST_F(StateDamageTest, ADamagedRowIsFoundByOpening) {
  ASSERT_NO_FATAL_FAILURE(MakeClosed());
  const size_t offset = FileBytes(path()).find("a-name-that-can-be-found-7");
  ASSERT_NE(offset, std::string::npos);
  ASSERT_NO_FATAL_FAILURE(Flip(path(), offset));
  EXPECT_TRUE(TryOpen().Is(Code::kCorrupt));
}

/// A directory on a small file system of its own.
class StateOnSmallDiskTest : public StateDamageTest {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "mounting needs root";
    if (mount("tmpfs", directory_.c_str(), "tmpfs", 0, "size=2m,mode=0700") != 0)
      GTEST_SKIP() << "cannot mount: " << std::strerror(errno);
    mounted_ = true;
  }
  void TearDown() override {
    if (!mounted_) return;
    EXPECT_EQ(umount2(directory_.c_str(), MNT_DETACH), 0);
  }
  void Remount(unsigned long flags) {
    ASSERT_EQ(mount(nullptr, directory_.c_str(), nullptr, MS_REMOUNT | flags, "size=2m"), 0)
        << std::strerror(errno);
  }
  void FillDisk() {
    const UniqueFd fd(
        open((directory_ + "/ballast").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
    const std::string block(kPage, 'x');
    while (write(fd.get(), block.data(), block.size()) > 0) {
    }
    ASSERT_EQ(errno, ENOSPC);
  }
  bool mounted_ = false;
};

TEST_F(StateOnSmallDiskTest, AReadOnlyDiskIsRefused) {
  ASSERT_NO_FATAL_FAILURE(MakeKilled());
  ASSERT_NO_FATAL_FAILURE(Remount(MS_RDONLY));
  ExpectRefused(Code::kReadOnly, {"Read-only file system", "quayfs recover"});
  ASSERT_NO_FATAL_FAILURE(Remount(0));
  EXPECT_TRUE(OpenAndReadAll().ok());
}

TEST_F(StateOnSmallDiskTest, AReadOnlyDiskWithoutADatabaseIsRefused) {
  ASSERT_NO_FATAL_FAILURE(Remount(MS_RDONLY));
  ExpectRefused(Code::kReadOnly, {"Read-only file system"});
}

TEST_F(StateOnSmallDiskTest, AFullDiskTakesNoNewDatabase) {
  ASSERT_NO_FATAL_FAILURE(FillDisk());
  ExpectRefused(Code::kNoSpace, {"full", "make room"});
}

TEST_F(StateOnSmallDiskTest, AFullDiskKeepsWhatIsThere) {
  ASSERT_NO_FATAL_FAILURE(MakeKilled());
  ASSERT_NO_FATAL_FAILURE(FillDisk());
  StateContents before;
  {
    auto db = Open();
    ASSERT_TRUE(db);
    before = All(*db);
    // As long as it takes: the log has some room of its own.
    Status applied;
    for (uint64_t i = 0; i < 100 && applied.ok(); ++i)
      applied = db->Apply(SomeRows(10'000 + 20 * i, 20), Persist::kSurvivesKill);
    ASSERT_TRUE(applied.Is(Code::kNoSpace)) << applied.error().ToString();
    EXPECT_NE(applied.error().message().find("full"), std::string::npos);
    EXPECT_TRUE(All(*db) == before);
    // It goes on once there is room.
    ASSERT_EQ(unlink((directory_ + "/ballast").c_str()), 0);
    applied = db->Apply(SomeRows(10'000, 1), Persist::kSurvivesPowerCut);
    EXPECT_TRUE(applied.ok()) << applied.error().ToString();
  }
  auto db = Open();
  ASSERT_TRUE(db);
  EXPECT_EQ(All(*db).inodes.size(), before.inodes.size() + 1);
}

TEST_F(StateOnSmallDiskTest, AnUpgradeOnAFullDiskLeavesTheOldVersion) {
  ASSERT_NO_FATAL_FAILURE(MakeClosed(300));
  ASSERT_NO_FATAL_FAILURE(FillDisk());
  std::vector<SchemaStep> more(SchemaSteps().begin(), SchemaSteps().end());
  more.push_back({kLaterStep});
  options_.steps = more;
  const auto opened = TryOpen();
  ASSERT_TRUE(opened.Is(Code::kNoSpace)) << (opened.ok() ? "" : opened.error().ToString());
  options_.steps = SchemaSteps();
  auto db = Open();
  ASSERT_TRUE(db);
  EXPECT_EQ(All(*db).removals.size(), 300u);
}

}  // namespace
}  // namespace quayfs
