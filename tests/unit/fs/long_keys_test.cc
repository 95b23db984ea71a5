// SPDX-License-Identifier: Apache-2.0
//
// Paths that are longer than the keys a store takes (F6).

#include <filesystem>

#include "fs/key_names.h"
#include "tests/unit/fs/core_fixture.h"

namespace quayfs {
namespace {

class LongKeysTest : public CoreTest {
 protected:
  /// A path of `depth` folders with names of 120 bytes.
  static std::string Deep(int depth) {
    std::string path;
    for (int i = 0; i < depth; ++i) {
      if (i > 0) path += '/';
      path += std::string(119, 'd') + static_cast<char>('a' + i);
    }
    return path;
  }
  void MakeAll(int depth) {
    for (int i = 1; i <= depth; ++i) ASSERT_TRUE(MakeDir(Deep(i)).ok()) << i;
  }
  void ForgetEverything() {
    Sync();
    fs_.reset();
    background_.reset();
    cache_.reset();
    std::filesystem::remove_all(folder_ + "/cache");
    Remount();
  }
};

TEST_F(LongKeysTest, EveryKeyFitsAndEveryPathIsFoundAgainWithAnEmptyCache) {
  MakeAll(30);
  ASSERT_TRUE(WriteFile(Deep(30) + "/file", "at the bottom").ok());
  ASSERT_TRUE(WriteFile(Deep(8) + "/short", "beside the folder").ok());
  for (const std::string& key : Keys()) EXPECT_LE(key.size(), 1024u) << key;
  ForgetEverything();
  EXPECT_EQ(ReadFile(Deep(30) + "/file").value(), "at the bottom");
  EXPECT_EQ(List(Deep(8)).value(),
            (std::vector<std::string>{std::string(119, 'd') + "i", "short"}));
  EXPECT_EQ(List(Deep(30)).value(), std::vector<std::string>{"file"});
  EXPECT_EQ(List("").value(), std::vector<std::string>{Deep(1)});
}

TEST_F(LongKeysTest, RenamingAFolderTakesLongAndShortKeysAlong) {
  MakeAll(7);
  const std::string name(200, 'n');
  ASSERT_TRUE(WriteFile(Deep(7) + "/" + name, "body").ok());
  ASSERT_TRUE(Rename(Deep(1), "short").ok());
  std::string moved = "short" + Deep(7).substr(Deep(1).size());
  EXPECT_EQ(GetObject(moved + "/" + name), "body");
  ASSERT_TRUE(Rename("short", std::string(250, 'x')).ok());
  moved = std::string(250, 'x') + Deep(7).substr(Deep(1).size());
  Sync();
  ForgetEverything();
  EXPECT_EQ(ReadFile(moved + "/" + name).value(), "body");
  const auto entry = Walk(moved);
  ASSERT_TRUE(entry.ok());
  const auto [parent, last] = Split(moved);
  EXPECT_EQ(fs_->RemoveDirectory(ctx_, parent, last).code(), Code::kNotEmpty);
  ASSERT_TRUE(Remove(moved + "/" + name).ok());
  ASSERT_TRUE(RemoveDir(moved).ok());
}

TEST_F(LongKeysTest, AFolderThatOthersImpliedGetsAMarkerSoThatItsLongEntriesAreFound) {
  const std::string folder = std::string(250, 'a') + "/" + std::string(250, 'b') + "/" +
                             std::string(250, 'c') + "/" + std::string(100, 'd');
  PutObject(folder + "/theirs", "x");
  Mount();
  ASSERT_TRUE(WriteFile(folder + "/" + std::string(200, 'e'), "ours").ok());
  ASSERT_TRUE(Remove(folder + "/theirs").ok());
  ForgetEverything();
  EXPECT_EQ(ReadFile(folder + "/" + std::string(200, 'e')).value(), "ours");
}

TEST(ChildKeys, AreBesideTheDirectoryWhereTheyFit) {
  const KeySpace space{"p/", 300};
  EXPECT_EQ(ChildKey(space, "p/dir/", "name", false), "p/dir/name");
  EXPECT_EQ(ChildKey(space, "p/dir/", "name", true), "p/dir/name/");
  const std::string directory = "p/" + std::string(197, 'd') + "/";
  EXPECT_EQ(ChildKey(space, directory, std::string(100, 'n'), false).size(), 300u);
  // One byte more, for the slash, and it goes elsewhere.
  const std::string folder = LongFolder(space, directory);
  EXPECT_EQ(ChildKey(space, directory, std::string(100, 'n'), true),
            folder + std::string(100, 'n') + "/");
  EXPECT_TRUE(folder.starts_with("p/.quayfs/long/"));
  EXPECT_TRUE(HasLongFolder(space, directory));
  EXPECT_FALSE(HasLongFolder(space, "p/dir/"));
  EXPECT_NE(folder, LongFolder(space, "p/other/"));
}

}  // namespace
}  // namespace quayfs
