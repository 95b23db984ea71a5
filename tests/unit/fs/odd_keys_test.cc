// SPDX-License-Identifier: Apache-2.0
//
// Every key is reachable under a name, whatever the keys beside it are (F4), and what others do to
// the object of a file with unpublished changes (C5).

#include <map>
#include <set>
#include <vector>

#include "tests/unit/fs/core_fixture.h"

namespace quayfs {
namespace {

class OddKeysTest : public CoreTest {
 protected:
  static std::vector<std::string> Segments() {
    std::vector<std::string> segments = {
        "a",   "A",   " ",     ".",    "..",  "...",  "%",     "%~",       "%~%2E", "%~a",
        "%25", "a%f", "%~a%f", "\x01", "\n",  "\x7f", "\xff",  "\xc3\xa9", "~",     "\\",
        "\"",  "*",   "&<>",   "#?+=", "-rf", "a b",  "a.tar", "_$x",      "CON",
    };
    segments.push_back(std::string(200, 'l'));
    segments.push_back(std::string(255, 'm'));
    return segments;
  }
  /// What is shown below `ino`: bodies of files.
  void Gather(Ino ino, std::multimap<std::string, std::string>* found, const std::string& path) {
    const auto directory = fs_->OpenDir(ctx_, ino);
    ASSERT_TRUE(directory.ok());
    std::set<std::string> names;
    const Status read =
        fs_->ReadDir(ctx_, **directory, 0, false, [&](const DirectoryEntry& item, uint64_t) {
          if (item.name == "." || item.name == "..") return true;
          EXPECT_TRUE(names.insert(item.name).second);
          return true;
        });
    EXPECT_TRUE(read.ok());
    fs_->ReleaseDir(*directory);
    for (const std::string& name : names) {
      EXPECT_LE(name.size(), 255u);
      EXPECT_EQ(name.find('/'), std::string::npos);
      const auto entry = fs_->Lookup(ctx_, ino, name);
      ASSERT_TRUE(entry.ok()) << path << "/" << name;
      ASSERT_NE(entry->ino, 0u) << path << "/" << name;
      if (S_ISDIR(entry->attributes.mode)) {
        Gather(entry->ino, found, path + "/" + name);
        continue;
      }
      const auto opened = fs_->Open(ctx_, entry->ino, O_RDONLY);
      ASSERT_TRUE(opened.ok()) << path << "/" << name;
      found->emplace(ReadAt(opened->file, 0, 4096).value(), path + "/" + name);
      EXPECT_TRUE(Close(opened->file).ok());
    }
  }
};

TEST_F(OddKeysTest, ACorpusOfKeysIsReachableKeyByKey) {
  std::set<std::string> keys;
  for (const std::string& first : Segments()) {
    keys.insert(first);
    for (size_t i = 0; i < Segments().size(); i += 2) keys.insert(first + "/" + Segments()[i]);
    keys.insert(first + "//deep");
  }
  ASSERT_GE(keys.size(), 500u);
  for (const std::string& key : keys) PutObject(key, key);
  Mount();
  std::multimap<std::string, std::string> found;
  Gather(kRootIno, &found, "");
  // The mark of a file beside a folder of its name has no room in a name of 255 bytes.
  ASSERT_EQ(keys.erase(std::string(255, 'm')), 1u);
  for (const std::string& key : keys) EXPECT_EQ(found.count(key), 1u) << "'" << key << "'";
  EXPECT_EQ(found.size(), keys.size());
}

TEST_F(OddKeysTest, RemovingAFileBesideAFolderOfItsNameRemovesTheFile) {
  PutObject("a", "the file");
  PutObject("a/b", "in the folder");
  Mount();
  EXPECT_EQ(List("").value(), (std::vector<std::string>{"%~a%f", "a"}));
  EXPECT_EQ(ReadFile("%~a%f").value(), "the file");
  ASSERT_TRUE(Rename("%~a%f", "other").ok());
  EXPECT_EQ(GetObject("other"), "the file");
  EXPECT_EQ(GetObject("a/b"), "in the folder");
  EXPECT_EQ(ReadFile("a/b").value(), "in the folder");
}

TEST_F(OddKeysTest, AFileWithChangesComesBackIfSomebodyRemovesItsObject) {
  ASSERT_TRUE(WriteFile("f", "first").ok());
  const auto file = Open("f", O_WRONLY | O_TRUNC);
  ASSERT_TRUE(file.ok());
  ASSERT_TRUE(WriteAt(*file, 0, "second").ok());
  ASSERT_TRUE(local_->Delete("f", Condition::None(), {}).ok());
  ASSERT_TRUE(Close(*file).ok());
  EXPECT_EQ(GetObject("f"), "second");
}

}  // namespace
}  // namespace quayfs
