// SPDX-License-Identifier: Apache-2.0
//
// Listings through a real mount: long ones, positions in them, and objects that others have put
// there.

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <set>
#include <string>

#include "tests/mount/mount_fixture.h"

namespace quayfs::mounttest {
namespace {

constexpr size_t kMany = 3000;

std::vector<std::string> ManyNames(const std::string& directory) {
  std::vector<std::string> names;
  for (size_t i = 0; i < kMany; ++i)
    names.push_back(directory + "entry-" + std::to_string(10000 + i));
  return names;
}

class DirectoriesTest : public MountTest {
 protected:
  void SetUp() override {
    if (const std::string why = WhyNoFuse(); !why.empty()) GTEST_SKIP() << why;
    environment_.emplace(GetParam());
  }
};

TEST_P(DirectoriesTest, ALongListingIsCompleteAndItsPositionsHold) {
  ASSERT_NO_FATAL_FAILURE(env().PutObjects(ManyNames("d/")));
  ASSERT_NO_FATAL_FAILURE(env().Mount());
  EXPECT_EQ(Names(Path("d")), ManyNames(""));

  DIR* const stream = ::opendir(Path("d").c_str());
  ASSERT_NE(stream, nullptr);
  std::vector<std::pair<long, std::string>> positions;  // where each entry begins
  for (;;) {
    const long position = ::telldir(stream);
    const dirent* const entry = ::readdir(stream);
    if (entry == nullptr) break;
    positions.emplace_back(position, entry->d_name);
  }
  ASSERT_EQ(positions.size(), kMany + 2);
  for (const size_t index : {size_t{2500}, size_t{17}, size_t{1000}, kMany + 1, size_t{0}}) {
    ::seekdir(stream, positions[index].first);
    const dirent* const entry = ::readdir(stream);
    ASSERT_NE(entry, nullptr) << index;
    EXPECT_EQ(entry->d_name, positions[index].second) << index;
  }
  ::rewinddir(stream);
  std::set<std::string> again;
  while (const dirent* entry = ::readdir(stream)) again.insert(entry->d_name);
  EXPECT_EQ(again.size(), kMany + 2);
  ::closedir(stream);
}

TEST_P(DirectoriesTest, RemovingWhileListingMissesNothing) {
  std::vector<std::string> names = ManyNames("d/");
  names.resize(300);
  ASSERT_NO_FATAL_FAILURE(env().PutObjects(names));
  ASSERT_NO_FATAL_FAILURE(env().Mount());
  DIR* const stream = ::opendir(Path("d").c_str());
  ASSERT_NE(stream, nullptr);
  size_t removed = 0;
  while (const dirent* entry = ::readdir(stream)) {
    const std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    EXPECT_EQ(Try(::unlink(Path("d/" + name).c_str())), 0) << name;
    ++removed;
  }
  ::closedir(stream);
  EXPECT_EQ(removed, names.size());
  EXPECT_EQ(Names(Path("d")), std::vector<std::string>{});
}

TEST_P(DirectoriesTest, ObjectsThatOthersPutAppear) {
  env().SetTopLines("consistency = \"1ms\"");
  ASSERT_NO_FATAL_FAILURE(env().Mount());
  EXPECT_EQ(Names(env().mount_point()), std::vector<std::string>{});
  ASSERT_NO_FATAL_FAILURE(env().PutObject("new", "theirs"));
  ASSERT_NO_FATAL_FAILURE(env().PutObject("deep/er/file", "deep"));
  ASSERT_TRUE(Eventually([this] { return ::access(Path("new").c_str(), F_OK) == 0; }));
  EXPECT_EQ(ReadFile(Path("new")), "theirs");
  EXPECT_EQ(ReadFile(Path("deep/er/file")), "deep");
  EXPECT_EQ(Names(env().mount_point()), (std::vector<std::string>{"deep", "new"}));
  ASSERT_NO_FATAL_FAILURE(env().PutObject("new", "theirs, changed"));
  EXPECT_TRUE(Eventually([this] { return ReadFile(Path("new")) == "theirs, changed"; }));
}

TEST_P(DirectoriesTest, OddKeysHurtNobody) {
  // Not every store takes every key; what it takes must not break the listing of the rest.
  const std::vector<std::string> odd = {"a//b",
                                        "//c",
                                        "x/./y",
                                        "x/../z",
                                        "dir/",
                                        "dir",
                                        "bell\a",
                                        "new\nl",
                                        "trailing/ ",
                                        ".hidden",
                                        "..",
                                        ".",
                                        std::string(300, 'n')};
  ASSERT_NO_FATAL_FAILURE(env().PutObject("plain", "plain"));
  for (const std::string& name : odd) {
    if (env().server() != nullptr)
      env().server()->PutDirect("test", env().prefix() + name, "odd", {});
  }
  if (env().server() == nullptr) {
    for (const std::string name : {"a/b", "bell\a", "new\nl", "trailing/ ", ".hidden"}) {
      ASSERT_NO_FATAL_FAILURE(env().PutObject(name, "odd"));
    }
  }
  ASSERT_NO_FATAL_FAILURE(env().Mount());
  const std::vector<std::string> names = Names(env().mount_point());
  EXPECT_TRUE(std::find(names.begin(), names.end(), "plain") != names.end());
  EXPECT_TRUE(std::find(names.begin(), names.end(), ".hidden") != names.end());
  for (const std::string& name : names) {
    struct stat facts {};
    EXPECT_EQ(::lstat(Path(name).c_str(), &facts), 0) << name << ": " << std::strerror(errno);
    EXPECT_EQ(name.find('/'), std::string::npos);
    if (S_ISDIR(facts.st_mode)) Names(Path(name));
  }
  EXPECT_EQ(ReadFile(Path("plain")), "plain");
  EXPECT_GT(env().DaemonPid(), 0);
}

TEST_P(DirectoriesTest, OurOwnFolderIsHidden) {
  ASSERT_NO_FATAL_FAILURE(env().PutObject(".quayfs/links/1", "x"));
  ASSERT_NO_FATAL_FAILURE(env().PutObject("seen", "x"));
  ASSERT_NO_FATAL_FAILURE(env().Mount());
  EXPECT_EQ(Names(env().mount_point()), std::vector<std::string>{"seen"});
  EXPECT_EQ(Try(::access(Path(".quayfs").c_str(), F_OK)), ENOENT);
  EXPECT_NE(Try(::mkdir(Path(".quayfs").c_str(), 0755)), 0);
}

INSTANTIATE_FOR_ALL_BACKENDS(DirectoriesTest);
INSTANTIATE_FOR_KODO(DirectoriesTest);

}  // namespace
}  // namespace quayfs::mounttest
