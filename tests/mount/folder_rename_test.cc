// SPDX-License-Identifier: Apache-2.0
//
// Renames of folders: at once in the mount, object by object in the bucket, and never half done to
// the eye, whatever becomes of the daemon meanwhile.

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <random>
#include <thread>

#include "tests/mount/mount_fixture.h"

namespace quayfs::mounttest {
namespace {

constexpr int kObjects = 1000;
constexpr std::chrono::milliseconds kDelay(20);

class FolderRenameTest : public ServerTest {
 protected:
  static std::string Name(int i) { return fmt::format("s{}/f{}", i % 5, i); }
  static std::string Text(int i) { return fmt::format("contents of {}", i); }
  void MakeObjects(const std::string& folder) {
    for (int i = 0; i < kObjects; ++i) {
      server().PutDirect("test", env().prefix() + folder + "/" + Name(i), Text(i),
                         {{"x-amz-meta-note", "mine"}});
    }
  }
  static std::vector<std::string> Expected() {
    std::vector<std::string> names;
    names.reserve(kObjects);
    for (int i = 0; i < kObjects; ++i) names.push_back(Name(i));
    std::sort(names.begin(), names.end());
    return names;
  }
  std::vector<std::string> Found(const std::string& folder) const {
    std::vector<std::string> names;
    for (const std::string& below : Names(Path(folder))) {
      for (const std::string& name : Names(Path(fmt::format("{}/{}", folder, below))))
        names.push_back(fmt::format("{}/{}", below, name));
    }
    return names;
  }
  bool Exists(const std::string& name) const {
    struct stat found = {};
    return ::lstat(Path(name).c_str(), &found) == 0;
  }
  /// All of it is at `name`, and nothing at `other`.
  void ExpectAt(const std::string& name, const std::string& other) {
    ASSERT_FALSE(Exists(other)) << other << env().LogText();
    ASSERT_EQ(Found(name), Expected()) << env().LogText();
  }
  void ExpectBucketAt(const std::string& name) {
    size_t objects = 0;
    for (const std::string& key : server().Keys("test")) {
      if (key.back() == '/') {
        EXPECT_TRUE(key == env().prefix() || key.rfind(env().prefix() + name + "/", 0) == 0) << key;
        continue;
      }
      ++objects;
      EXPECT_EQ(key.rfind(env().prefix() + name + "/", 0), 0U) << key;
    }
    EXPECT_EQ(objects, static_cast<size_t>(kObjects));
    for (int i = 0; i < kObjects; ++i) {
      const std::string key = env().prefix() + name + "/" + Name(i);
      ASSERT_EQ(server().Body("test", key), Text(i)) << key;
      ASSERT_EQ(server().Headers("test", key)["x-amz-meta-note"], "mine") << key;
    }
  }
};

TEST_F(FolderRenameTest, CostsACopyPerObjectAndReturnsAtOnce) {
  MakeObjects("old");
  ASSERT_NO_FATAL_FAILURE(env().Mount());
  // What nobody has looked at yet has to be looked at before it moves: it may have hard links.
  ASSERT_EQ(RunCommand({"ls", "-lR", env().mount_point()}).status, 0);
  server().SetDelay(kDelay);
  server().ResetLog();
  const auto begin = std::chrono::steady_clock::now();
  const auto since = [&] {
    return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() -
                                                                 begin)
        .count();
  };
  ASSERT_EQ(::rename(Path("old").c_str(), Path("new").c_str()), 0) << std::strerror(errno);
  const auto returned = since();
  for (int i = 0; i < 3; ++i) ASSERT_NO_FATAL_FAILURE(ExpectAt("new", "old"));
  env().Sync();
  const auto done = since();
  std::cout << "rename of " << kObjects << " objects returned after " << returned
            << " ms, done after " << done << " ms: " << Shown() << std::endl;
  EXPECT_EQ(server().Count("CopyObject"), static_cast<uint64_t>(kObjects)) << Shown();
  // The rest is the markers of the folders, the removals in batches, and a look at what is removed.
  EXPECT_LE(Requests(), static_cast<uint64_t>(kObjects) * 12 / 10) << Shown();
  server().SetDelay(std::chrono::milliseconds(0));
  ExpectBucketAt("new");
}

TEST_F(FolderRenameTest, SurvivesKillsAtAnyMoment) {
  std::mt19937_64 random(TestSeed());
  const int turns = LongRun() ? 50 : 3;
  MakeObjects("a");
  ASSERT_NO_FATAL_FAILURE(env().Mount());
  std::string from = "a";
  std::string to = "b";
  for (int turn = 0; turn < turns; ++turn) {
    server().SetDelay(kDelay);
    ASSERT_EQ(Found(from), Expected());
    // First, one that may not have returned.
    std::thread renaming(
        [&] { static_cast<void>(std::rename(Path(from).c_str(), Path(to).c_str())); });
    if (random() % 2 == 0) renaming.join();
    const bool returned = !renaming.joinable();
    for (int kill = 0; kill < 3; ++kill) {
      // Not a wait for anything: the moment of the kill is the test's input.
      std::this_thread::sleep_for(std::chrono::milliseconds(random() % (kill == 0 ? 300 : 900)));
      ASSERT_NO_FATAL_FAILURE(env().Kill());
      if (renaming.joinable()) renaming.join();
      ASSERT_NO_FATAL_FAILURE(env().Mount());
      if (!returned && kill == 0 && Exists(from)) std::swap(from, to);
      ASSERT_NO_FATAL_FAILURE(ExpectAt(to, from));
    }
    server().SetDelay(std::chrono::milliseconds(0));
    env().Sync();
    ASSERT_NO_FATAL_FAILURE(ExpectBucketAt(to));
    ASSERT_NO_FATAL_FAILURE(ExpectAt(to, from));
    std::swap(from, to);
  }
}

}  // namespace
}  // namespace quayfs::mounttest
