// SPDX-License-Identifier: Apache-2.0
//
// Hard links (H1 to H4), over a local bucket.

#include <atomic>
#include <chrono>
#include <filesystem>
#include <thread>

#include "fs/link_record.h"
#include "tests/unit/fs/core_fixture.h"

namespace quayfs {
namespace {

class LinksTest : public CoreTest {
 protected:
  Status MakeLink(const std::string& from, const std::string& to) {
    QUAY_ASSIGN(const Entry entry, Walk(from));
    const auto [parent, name] = Split(to);
    const auto made = fs_->Link(ctx_, entry.ino, parent, name);
    return made.ok() ? Status() : Status(made.error());
  }
  uint32_t Count(const std::string& path) {
    const auto attributes = Stat(path);
    return attributes.ok() ? attributes->nlink : 0;
  }
  void ForgetEverything() {
    Sync();
    fs_.reset();
    background_.reset();
    cache_.reset();
    std::filesystem::remove_all(folder_ + "/cache");
    Remount();
  }
  std::vector<std::string> KeysBelow(const std::string& prefix) {
    std::vector<std::string> found;
    for (const std::string& key : Keys()) {
      if (key.starts_with(prefix)) found.push_back(key);
    }
    return found;
  }
  /// How many objects hold `body`.
  int Copies(const std::string& body) {
    int copies = 0;
    for (const std::string& key : Keys()) copies += GetObject(key) == body ? 1 : 0;
    return copies;
  }
};

TEST_F(LinksTest, NamesShareOneInodeAndOneObject) {
  ASSERT_TRUE(WriteFile("a", "the data").ok());
  ASSERT_TRUE(MakeDir("d").ok());
  ASSERT_TRUE(MakeLink("a", "d/b").ok());
  EXPECT_EQ(Stat("a")->ino, Stat("d/b")->ino);
  EXPECT_EQ(Count("a"), 2u);
  ASSERT_TRUE(WriteFile("d/b", "new data").ok());
  EXPECT_EQ(ReadFile("a").value(), "new data");
  EXPECT_EQ(GetObject("a"), "new data");
  EXPECT_EQ(Copies("new data"), 1);
  EXPECT_EQ(KeysBelow(".quayfs/links/").size(), 1u);
  EXPECT_EQ(MakeLink("a", "d/b").code(), Code::kAlreadyExists);
  EXPECT_EQ(MakeLink("d", "e").code(), Code::kNotPermitted);
}

TEST_F(LinksTest, CountsAndContentsAreFoundAgainWithAnEmptyCache) {
  ASSERT_TRUE(MakeDir("x").ok());
  ASSERT_TRUE(MakeDir("y").ok());
  ASSERT_TRUE(WriteFile("x/a", "data").ok());
  ASSERT_TRUE(MakeLink("x/a", "y/b").ok());
  ASSERT_TRUE(MakeLink("y/b", "c").ok());
  for (const std::string first : {"c", "y/b", "x/a"}) {
    ForgetEverything();
    EXPECT_EQ(Count(first), 3u) << first;
    EXPECT_EQ(ReadFile(first).value(), "data") << first;
    EXPECT_EQ(Stat("c")->ino, Stat("x/a")->ino);
    EXPECT_EQ(Stat("y/b")->ino, Stat("x/a")->ino);
  }
}

TEST_F(LinksTest, CountsSurviveARemountWithTheCache) {
  ASSERT_TRUE(WriteFile("a", "data").ok());
  ASSERT_TRUE(MakeLink("a", "b").ok());
  Remount();  // without waiting for the bucket
  EXPECT_EQ(Count("b"), 2u);
  EXPECT_EQ(Stat("a")->ino, Stat("b")->ino);
  ASSERT_TRUE(Remove("a").ok());
  Remount();
  EXPECT_EQ(Count("b"), 1u);
  EXPECT_EQ(ReadFile("b").value(), "data");
  EXPECT_EQ(GetObject("b"), "data");
  EXPECT_EQ(Keys(), std::vector<std::string>{"b"});
}

TEST_F(LinksTest, RemovingTheFirstNameMovesTheData) {
  ASSERT_TRUE(WriteFile("a", "data").ok());
  ASSERT_TRUE(MakeLink("a", "b").ok());
  ASSERT_TRUE(MakeLink("a", "c").ok());
  Sync();
  ASSERT_TRUE(Remove("a").ok());
  EXPECT_EQ(Count("b"), 2u);
  EXPECT_EQ(GetObject("b"), "data");
  EXPECT_EQ(Copies("data"), 1);
  ForgetEverything();
  EXPECT_EQ(Count("c"), 2u);
  EXPECT_EQ(ReadFile("c").value(), "data");
  ASSERT_TRUE(Remove("b").ok());
  ForgetEverything();
  EXPECT_EQ(Count("c"), 1u);
  EXPECT_EQ(ReadFile("c").value(), "data");
  EXPECT_EQ(Keys(), std::vector<std::string>{"c"});
}

TEST_F(LinksTest, RemovingAnyNameWithAnEmptyCacheLeavesTheOthers) {
  for (const std::string gone : {"p", "q", "r"}) {
    ASSERT_TRUE(WriteFile("p", "data").ok());
    ASSERT_TRUE(MakeLink("p", "q").ok());
    ASSERT_TRUE(MakeLink("p", "r").ok());
    ForgetEverything();
    ASSERT_TRUE(Remove(gone).ok());
    ForgetEverything();
    for (const std::string left : {"p", "q", "r"}) {
      if (left == gone) continue;
      EXPECT_EQ(Count(left), 2u) << left << " after " << gone;
      EXPECT_EQ(ReadFile(left).value(), "data");
    }
    for (const std::string left : {"p", "q", "r"}) {
      if (left == gone) continue;
      ASSERT_TRUE(Remove(left).ok());
    }
    EXPECT_EQ(Keys(), std::vector<std::string>{});
  }
}

TEST_F(LinksTest, RenameOverAndBetweenNames) {
  ASSERT_TRUE(WriteFile("a", "data").ok());
  ASSERT_TRUE(MakeLink("a", "b").ok());
  // Two names of one file: nothing happens.
  ASSERT_TRUE(Rename("a", "b").ok());
  ASSERT_TRUE(Rename("b", "a").ok());
  EXPECT_EQ(Count("a"), 2u);
  // Onto the first name: the data survive under the other.
  ASSERT_TRUE(WriteFile("n", "other").ok());
  ASSERT_TRUE(Rename("n", "a").ok());
  EXPECT_EQ(ReadFile("a").value(), "other");
  EXPECT_EQ(ReadFile("b").value(), "data");
  EXPECT_EQ(Count("a"), 1u);
  EXPECT_EQ(Count("b"), 1u);
  EXPECT_EQ(GetObject("a"), "other");
  EXPECT_EQ(GetObject("b"), "data");
  EXPECT_EQ(Keys(), (std::vector<std::string>{"a", "b"}));
}

TEST_F(LinksTest, RenamedFoldersTakeTheirNamesAlong) {
  ASSERT_TRUE(MakeDir("d").ok());
  ASSERT_TRUE(WriteFile("d/a", "data").ok());
  ASSERT_TRUE(MakeLink("d/a", "d/b").ok());
  ASSERT_TRUE(MakeLink("d/a", "out").ok());
  for (const bool with_cache : {true, false}) {
    if (!with_cache) ForgetEverything();
    const std::string from = with_cache ? "d" : "e";
    const std::string to = with_cache ? "e" : "f";
    ASSERT_TRUE(Rename(from, to).ok());
    ForgetEverything();
    EXPECT_EQ(Count("out"), 3u) << to;
    EXPECT_EQ(Count(to + "/b"), 3u);
    EXPECT_EQ(ReadFile("out").value(), "data");
    EXPECT_EQ(Copies("data"), 1);
  }
}

// The record is all that the next mount knows of a further name: it has to follow one that moves
// with a folder, though nobody has looked at it, or at the file, before.
TEST_F(LinksTest, TheRecordFollowsANameThatMovesUnseen) {
  ASSERT_TRUE(MakeDir("d").ok());
  ASSERT_TRUE(WriteFile("out", "data").ok());
  ASSERT_TRUE(MakeLink("out", "d/b").ok());
  ForgetEverything();
  ASSERT_TRUE(Rename("d", "e").ok());
  ForgetEverything();
  EXPECT_EQ(Count("out"), 2u);
  ASSERT_TRUE(Remove("out").ok());
  ForgetEverything();
  EXPECT_EQ(ReadFile("e/b").value(), "data");
  EXPECT_EQ(Keys(), (std::vector<std::string>{"e/", "e/b"}));
}

// However long it takes to look at a name that moves, the record of its file is not written before.
TEST_F(LinksTest, ARecordIsNotWrittenWithoutTheNamesThatMoveAlong) {
  ASSERT_TRUE(MakeDir("d").ok());
  ASSERT_TRUE(WriteFile("d/a", "data").ok());
  ASSERT_TRUE(MakeLink("d/a", "d/b").ok());
  ASSERT_TRUE(MakeLink("d/a", "out").ok());
  ForgetEverything();
  std::atomic<int> records{0};
  store_->before = [&](const std::string& operation, const std::string& key) -> Status {
    if (operation == "Put" && key.starts_with(".quayfs/links/")) ++records;
    const auto late = std::chrono::steady_clock::now() + std::chrono::seconds(1);
    // The other one's record is on its way by then, if nothing holds it back.
    while (operation == "Head" && key == "d/b" && records == 0 &&
           std::chrono::steady_clock::now() < late) {
      std::this_thread::yield();
    }
    return {};
  };
  ASSERT_TRUE(Rename("d", "e").ok());
  ForgetEverything();
  store_->before = [](const std::string&, const std::string&) { return Status(); };
  EXPECT_EQ(Count("out"), 3u);
  EXPECT_EQ(Count("e/b"), 3u);
}

TEST_F(LinksTest, AnOpenFileKeepsItsDataWhenItsFirstNameGoes) {
  ASSERT_TRUE(WriteFile("a", "data").ok());
  ASSERT_TRUE(MakeLink("a", "b").ok());
  const auto file = Open("a", O_RDWR);
  ASSERT_TRUE(file.ok());
  ASSERT_TRUE(Remove("a").ok());
  ASSERT_TRUE(WriteAt(*file, 0, "DATA").ok());
  Sync();
  ASSERT_TRUE(Close(*file).ok());
  EXPECT_EQ(ReadFile("b").value(), "DATA");
  EXPECT_EQ(GetObject("b"), "DATA");
}

TEST_F(LinksTest, LinksToLinksAndSpecialFiles) {
  const auto [parent, name] = Split("link");
  ASSERT_TRUE(fs_->MakeSymlink(ctx_, parent, name, "target").ok());
  ASSERT_TRUE(fs_->MakeNode(ctx_, parent, "fifo", S_IFIFO | 0600, 0).ok());
  ASSERT_TRUE(MakeLink("link", "link2").ok());
  ASSERT_TRUE(MakeLink("fifo", "fifo2").ok());
  ForgetEverything();
  EXPECT_EQ(fs_->ReadLink(ctx_, Stat("link2")->ino).value(), "target");
  EXPECT_TRUE(S_ISFIFO(Stat("fifo2")->mode));
  EXPECT_EQ(Count("fifo2"), 2u);
  ASSERT_TRUE(Remove("link").ok());
  ForgetEverything();
  EXPECT_EQ(fs_->ReadLink(ctx_, Stat("link2")->ino).value(), "target");
}

TEST_F(LinksTest, ANameWhoseDataSomebodyDeletedSaysSoAndCanBeRemoved) {
  ASSERT_TRUE(WriteFile("a", "data").ok());
  ASSERT_TRUE(MakeLink("a", "b").ok());
  Sync();
  ASSERT_TRUE(local_->Delete("a", Condition::None(), {}).ok());
  ForgetEverything();
  EXPECT_EQ(ReadFile("b").code(), Code::kCorrupt);
  EXPECT_TRUE(Remove("b").ok());
}

TEST(LinkRecord, RoundTrips) {
  LinkRecord record;
  record.data = "a dir/with\nnewline";
  record.names = {"x", "\xff/\x01"};
  const auto parsed = ParseLinkRecord(FormatLinkRecord(record));
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(parsed->data, record.data);
  EXPECT_EQ(parsed->names, record.names);
  EXPECT_EQ(ParseLinkRecord("").code(), Code::kCorrupt);
  EXPECT_EQ(ParseLinkRecord("quayfs-links 1\n").code(), Code::kCorrupt);
  EXPECT_EQ(ParseLinkRecord("data x\n").code(), Code::kCorrupt);
  EXPECT_TRUE(IsLinkId(NewLinkId()));
  EXPECT_FALSE(IsLinkId("../../etc/passwd"));
}

}  // namespace
}  // namespace quayfs
