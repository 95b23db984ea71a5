// SPDX-License-Identifier: Apache-2.0
//
// Names through a real mount: rename(2) with every error it documents, directories, symbolic links.

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "tests/mount/mount_fixture.h"

namespace quayfs::mounttest {
namespace {

class NamesTest : public MountTest {
 protected:
  int Rename(const std::string& from, const std::string& to) {
    return Try(::rename(Path(from).c_str(), Path(to).c_str()));
  }
  int RenameWith(const std::string& from, const std::string& to, unsigned flags) {
    return Try(::renameat2(AT_FDCWD, Path(from).c_str(), AT_FDCWD, Path(to).c_str(), flags));
  }
  int MakeDirectory(const std::string& name) { return Try(::mkdir(Path(name).c_str(), 0755)); }
};

TEST_P(NamesTest, AFileMovesAndReplacesAFile) {
  WriteFile(Path("a"), "new");
  WriteFile(Path("b"), "old");
  EXPECT_EQ(Rename("a", "b"), 0);
  EXPECT_EQ(ReadFile(Path("b")), "new");
  EXPECT_EQ(Try(::access(Path("a").c_str(), F_OK)), ENOENT);
  EXPECT_EQ(env().ObjectNames(), std::vector<std::string>{"b"});
  EXPECT_EQ(env().ObjectBody("b"), "new");
}

TEST_P(NamesTest, AnOpenFileMovesWithItsWriter) {
  const UniqueFd file(::open(Path("a").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
  ASSERT_EQ(::write(file.get(), "one ", 4), 4);
  ASSERT_EQ(Rename("a", "b"), 0);
  ASSERT_EQ(::write(file.get(), "two", 3), 3);
  ASSERT_EQ(::fsync(file.get()), 0) << std::strerror(errno);
  EXPECT_EQ(ReadFile(Path("b")), "one two");
  EXPECT_EQ(env().ObjectNames(), std::vector<std::string>{"b"});
  EXPECT_EQ(env().ObjectBody("b"), "one two");
}

TEST_P(NamesTest, ADirectoryMovesWithAllThatIsInIt) {
  ASSERT_EQ(MakeDirectory("d"), 0);
  ASSERT_EQ(MakeDirectory("d/e"), 0);
  WriteFile(Path("d/1"), "1");
  WriteFile(Path("d/e/2"), "2");
  EXPECT_EQ(Rename("d", "n"), 0);
  EXPECT_EQ(ReadFile(Path("n/1")), "1");
  EXPECT_EQ(ReadFile(Path("n/e/2")), "2");
  EXPECT_EQ(Try(::access(Path("d").c_str(), F_OK)), ENOENT);
  ASSERT_NO_FATAL_FAILURE(env().Unmount());
  EXPECT_EQ(env().ObjectNames(), (std::vector<std::string>{"n/", "n/1", "n/e/", "n/e/2"}));
}

TEST_P(NamesTest, ADirectoryReplacesAnEmptyDirectoryOnly) {
  ASSERT_EQ(MakeDirectory("d"), 0);
  WriteFile(Path("d/f"), "f");
  ASSERT_EQ(MakeDirectory("empty"), 0);
  ASSERT_EQ(MakeDirectory("full"), 0);
  WriteFile(Path("full/g"), "g");
  EXPECT_EQ(Rename("d", "full"), ENOTEMPTY);
  EXPECT_EQ(ReadFile(Path("d/f")), "f");
  EXPECT_EQ(ReadFile(Path("full/g")), "g");
  EXPECT_EQ(Rename("d", "empty"), 0);
  EXPECT_EQ(ReadFile(Path("empty/f")), "f");
}

TEST_P(NamesTest, RenameRefusesWhatRenameRefuses) {
  ASSERT_EQ(MakeDirectory("d"), 0);
  ASSERT_EQ(MakeDirectory("d/e"), 0);
  WriteFile(Path("f"), "f");
  EXPECT_EQ(Rename("missing", "x"), ENOENT);
  EXPECT_EQ(Rename("f", "missing/x"), ENOENT);
  EXPECT_EQ(Rename("f", "d"), EISDIR);
  EXPECT_EQ(Rename("d", "f"), ENOTDIR);
  EXPECT_EQ(Rename("f/x", "y"), ENOTDIR);
  EXPECT_EQ(Rename("d", "d/e/x"), EINVAL);
  EXPECT_EQ(Rename("d/e", "d"), ENOTEMPTY);
  EXPECT_EQ(Rename("f", std::string(NAME_MAX + 1, 'n')), ENAMETOOLONG);
  EXPECT_EQ(Rename("f", "f"), 0);
  EXPECT_EQ(ReadFile(Path("f")), "f");
  EXPECT_EQ(Names(env().mount_point()), (std::vector<std::string>{"d", "f"}));
}

TEST_P(NamesTest, NoReplaceKeepsWhatIsThere) {
  WriteFile(Path("a"), "a");
  WriteFile(Path("b"), "b");
  EXPECT_EQ(RenameWith("a", "b", RENAME_NOREPLACE), EEXIST);
  EXPECT_EQ(ReadFile(Path("b")), "b");
  ASSERT_NO_FATAL_FAILURE(env().PutObject("c", "from elsewhere"));
  ASSERT_NO_FATAL_FAILURE(env().Remount());
  EXPECT_EQ(RenameWith("a", "c", RENAME_NOREPLACE), EEXIST);
  EXPECT_EQ(RenameWith("a", "d", RENAME_NOREPLACE), 0);
  EXPECT_EQ(ReadFile(Path("d")), "a");
}

TEST_P(NamesTest, DirectoriesAreMadeAndRemoved) {
  EXPECT_EQ(MakeDirectory("d"), 0);
  EXPECT_EQ(env().ObjectNames(), std::vector<std::string>{"d/"});
  EXPECT_EQ(MakeDirectory("d"), EEXIST);
  EXPECT_EQ(MakeDirectory("missing/d"), ENOENT);
  WriteFile(Path("d/f"), "f");
  EXPECT_EQ(MakeDirectory("d/f/e"), ENOTDIR);
  EXPECT_EQ(Try(::rmdir(Path("d").c_str())), ENOTEMPTY);
  EXPECT_EQ(Try(::rmdir(Path("d/f").c_str())), ENOTDIR);
  EXPECT_EQ(Try(::unlink(Path("d").c_str())), EISDIR);
  EXPECT_EQ(Try(::rmdir(Path("missing").c_str())), ENOENT);
  EXPECT_EQ(Try(::unlink(Path("d/f").c_str())), 0);
  EXPECT_EQ(Try(::unlink(Path("d/f").c_str())), ENOENT);
  EXPECT_EQ(Try(::rmdir(Path("d").c_str())), 0);
  EXPECT_EQ(env().ObjectNames(), std::vector<std::string>{});
}

TEST_P(NamesTest, ADirectoryThatOthersFilledIsNotEmpty) {
  ASSERT_EQ(MakeDirectory("d"), 0);
  ASSERT_NO_FATAL_FAILURE(env().Unmount());
  ASSERT_NO_FATAL_FAILURE(env().PutObject("d/theirs", "x"));
  ASSERT_NO_FATAL_FAILURE(env().Mount());
  EXPECT_EQ(Try(::rmdir(Path("d").c_str())), ENOTEMPTY);
  EXPECT_EQ(env().ObjectBody("d/theirs"), "x");
}

TEST_P(NamesTest, SymbolicLinksKeepTheirTarget) {
  const std::string target = "../some where/\xc3\xa9";
  ASSERT_EQ(::symlink(target.c_str(), Path("link").c_str()), 0) << std::strerror(errno);
  std::array<char, 256> text{};
  EXPECT_EQ(::readlink(Path("link").c_str(), text.data(), text.size()),
            static_cast<ssize_t>(target.size()));
  EXPECT_EQ(std::string(text.data()), target);
  EXPECT_EQ(Try(::symlink("x", Path("link").c_str())), EEXIST);
  struct stat facts {};
  ASSERT_EQ(::lstat(Path("link").c_str(), &facts), 0);
  EXPECT_TRUE(S_ISLNK(facts.st_mode));
  EXPECT_EQ(facts.st_size, static_cast<off_t>(target.size()));
  ASSERT_NO_FATAL_FAILURE(env().Remount());
  text.fill('\0');
  EXPECT_EQ(::readlink(Path("link").c_str(), text.data(), text.size()),
            static_cast<ssize_t>(target.size()));
  EXPECT_EQ(std::string(text.data()), target);
  WriteFile(Path("file"), "x");
  EXPECT_EQ(Try(static_cast<int>(::readlink(Path("file").c_str(), text.data(), text.size()))),
            EINVAL);
}

TEST_P(NamesTest, NamesMayBeLongAndOfAnyBytes) {
  const std::string longest(NAME_MAX, 'n');
  WriteFile(Path(longest), "long");
  EXPECT_EQ(ReadFile(Path(longest)), "long");
  EXPECT_EQ(Try(::open(Path(longest + "n").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644)),
            ENAMETOOLONG);
  for (const std::string name : {"with blank", "per%cent", "plus+and&", "\xc3\xbcml\xc3\xa4ut",
                                 "a'b\"c", "#?x=1", "back\\slash"}) {
    WriteFile(Path(name), name);
    EXPECT_EQ(ReadFile(Path(name)), name);
  }
  std::vector<std::string> names = Names(env().mount_point());
  EXPECT_EQ(names.size(), 8U);
  ASSERT_NO_FATAL_FAILURE(env().Remount());
  EXPECT_EQ(Names(env().mount_point()), names);
}

/// Keys that no file system would make, in three levels.
std::map<std::string, std::string> OddKeys() {
  const std::vector<std::string> segments = {
      "a",        "A",   " ",    ".",     "..",
      "...",      "%",   "%~",   "%~%2E", "%~a",
      "%25",      "a%f", "\x01", "\n",    "\x7f",
      "\xc3\xa9", "~",   "\\",   "\"",    "&<>",
      "#?+=",     "-rf", "a b",  "",      std::string(200, 'l')};
  std::map<std::string, std::string> keys;
  for (const std::string& first : segments) {
    if (!first.empty()) keys[first] = "";
    for (const std::string& second : segments) {
      if (!second.empty()) keys[first + "/" + second] = "";
    }
  }
  for (auto& [key, body] : keys) body = "body of " + key;
  return keys;
}

void Gather(const std::string& folder, std::map<std::string, std::string>* files) {
  for (const std::string& name : Names(folder)) {
    const std::string path = folder + "/" + name;
    struct stat facts {};
    ASSERT_EQ(::lstat(path.c_str(), &facts), 0) << path;
    if (S_ISDIR(facts.st_mode)) {
      Gather(path, files);
    } else {
      const bool fresh = files->emplace(ReadFile(path), path).second;
      EXPECT_TRUE(fresh) << path;
    }
  }
}

class OddKeysOnAMountTest : public ServerTest {};

TEST_F(OddKeysOnAMountTest, EachIsAFileOfItsOwnAndCanBeChangedAndRemoved) {
  const std::map<std::string, std::string> keys = OddKeys();
  ASSERT_GE(keys.size(), 500U);
  for (const auto& [key, body] : keys) ASSERT_NO_FATAL_FAILURE(env().PutObject(key, body));
  ASSERT_NO_FATAL_FAILURE(env().Mount());
  std::map<std::string, std::string> files;
  Gather(env().mount_point(), &files);
  EXPECT_EQ(files.size(), keys.size());
  for (const auto& [key, body] : keys) EXPECT_EQ(files.count(body), 1U) << key;
  // What is written to such a name goes to its key, and to no other.
  for (const auto& [body, path] : files) WriteFile(path, "new " + body);
  env().Sync();
  for (const auto& [key, body] : keys)
    EXPECT_EQ(server().Body("test", env().prefix() + key), "new " + body) << key;
  for (const auto& [body, path] : files) EXPECT_EQ(Try(::unlink(path.c_str())), 0) << path;
  for (const std::string& name : env().ObjectNames())
    EXPECT_TRUE(name.empty() || name.back() == '/') << name;
}

INSTANTIATE_FOR_ALL_BACKENDS(NamesTest);

}  // namespace
}  // namespace quayfs::mounttest
