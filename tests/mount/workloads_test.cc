// SPDX-License-Identifier: Apache-2.0
//
// What well-known programs cost in requests, with 20 ms added to each. Times are printed for
// people.

#include <fmt/format.h>
#include <sys/stat.h>

#include <chrono>
#include <filesystem>
#include <iostream>
#include <set>

#include "tests/mount/mount_fixture.h"

namespace quayfs::mounttest {
namespace {

constexpr int kFolders = 20;
constexpr int kFilesPerFolder = 50;
constexpr int kFiles = kFolders * kFilesPerFolder;
constexpr std::chrono::milliseconds kDelay(20);

class WorkloadsTest : public ServerTest {
 protected:
  void SetUp() override {
    ASSERT_NO_FATAL_FAILURE(ServerTest::SetUp());
    if (IsSkipped()) return;
    ASSERT_NO_FATAL_FAILURE(env().Mount());
  }
  bool Has(const std::string& program) {
    return RunCommand({"sh", "-c", "command -v " + program}).status == 0;
  }
  std::string MakeTree() {
    std::string tree = env().directory() + "/tree";
    for (int d = 0; d < kFolders; ++d) {
      const std::string folder = tree + "/d" + std::to_string(d);
      std::filesystem::create_directories(folder);
      for (int f = 0; f < kFilesPerFolder; ++f)
        WriteFile(folder + "/f" + std::to_string(f), Pattern(1500 + 10 * f, d * 100 + f));
    }
    return tree;
  }
  /// Runs `words` with the server's delay on, waits for the bucket, and prints what it took.
  void Measure(const std::string& name, const std::vector<std::string>& words) {
    server().SetDelay(kDelay);
    server().ResetLog();
    const auto begin = std::chrono::steady_clock::now();
    const auto since = [&] {
      return std::chrono::duration_cast<std::chrono::milliseconds>(
                 std::chrono::steady_clock::now() - begin)
          .count();
    };
    const ProgramResult result = RunCommand(words);
    const auto returned = since();
    ASSERT_EQ(result.status, 0) << result.err;
    env().Sync();
    const auto done = since();
    server().SetDelay(std::chrono::milliseconds(0));
    std::cout << name << " returned after " << returned << " ms, all in the bucket after " << done
              << " ms: " << Shown() << std::endl;
  }
  void ExpectTree(const std::string& tree, const std::string& name) {
    for (int d = 0; d < kFolders; ++d) {
      for (int f = 0; f < kFilesPerFolder; ++f) {
        const std::string path = fmt::format("/d{}/f{}", d, f);
        ASSERT_EQ(server().Body("test", env().prefix() + name + path), ReadFile(tree + path));
      }
    }
  }
};

TEST_F(WorkloadsTest, UntarIsOnePutPerFile) {
  const std::string tree = MakeTree();
  const std::string archive = env().directory() + "/tree.tar";
  ASSERT_EQ(RunCommand({"tar", "-C", env().directory(), "-cf", archive, "tree"}).status, 0);
  ASSERT_NO_FATAL_FAILURE(Measure("tar -x", {"tar", "-C", env().mount_point(), "-xf", archive}));
  EXPECT_LE(Requests(), static_cast<uint64_t>(kFiles) * 105 / 100) << Shown();
  ExpectTree(tree, "tree");
}

TEST_F(WorkloadsTest, RsyncIsOnePutPerFileAndTheSecondTimeNone) {
  if (!Has("rsync")) GTEST_SKIP() << "rsync is not installed";
  const std::string tree = MakeTree();
  const std::vector<std::string> words = {"rsync", "-a", tree, env().mount_point() + "/"};
  ASSERT_NO_FATAL_FAILURE(Measure("rsync -a", words));
  EXPECT_LE(Requests(), static_cast<uint64_t>(kFiles) * 105 / 100) << Shown();
  ExpectTree(tree, "tree");
  ASSERT_NO_FATAL_FAILURE(Measure("rsync -a, again,", words));
  EXPECT_EQ(Requests(), 0U) << Shown();
  ASSERT_NO_FATAL_FAILURE(env().Remount());
  ASSERT_NO_FATAL_FAILURE(Measure("rsync -a, after a remount,", words));
  EXPECT_EQ(Requests(), server().Count("ListObjectsV2")) << Shown();
}

TEST_F(WorkloadsTest, ResticIsOnePutPerRepositoryFile) {
  if (!Has("restic")) GTEST_SKIP() << "restic is not installed";
  ASSERT_NO_FATAL_FAILURE(env().Unmount());
  ASSERT_NO_FATAL_FAILURE(env().Mount({"-o", "durability.fsync=local"}));
  const std::string tree = MakeTree();
  const std::string cache = env().directory() + "/restic-cache";
  const auto restic = [&](const std::string& command, const std::string& what) {
    return std::vector<std::string>{"env", "RESTIC_PASSWORD=p", "restic", "--cache-dir", cache,
                                    "-r",  Path("repository"),  command,  what};
  };
  ASSERT_EQ(RunCommand(restic("init", "--quiet")).status, 0);
  env().Sync();
  const std::vector<std::string> keys = server().Keys("test");
  const std::set<std::string> before(keys.begin(), keys.end());
  ASSERT_NO_FATAL_FAILURE(Measure("restic backup", restic("backup", tree)));
  size_t made = 0;
  for (const std::string& key : server().Keys("test")) {
    const bool is_lock = key.find("/locks/") != std::string::npos && key.back() != '/';
    EXPECT_FALSE(is_lock) << key;
    if (before.count(key) == 0 && key.back() != '/') ++made;
  }
  // A lock may live long enough to be seen. Folders' times change.
  size_t puts = 0;
  std::string shown;
  for (const auto& record : server().Log()) {
    if (record.operation != "PutObject" || record.key.back() == '/') continue;
    ++puts;
    shown += record.key + "\n";
  }
  EXPECT_GE(made, 3U);
  EXPECT_LE(puts, made + 1) << shown << Shown();
  EXPECT_EQ(RunCommand(restic("check", "--read-data")).status, 0);
}

}  // namespace
}  // namespace quayfs::mounttest
