// SPDX-License-Identifier: Apache-2.0
//
// A cache directory that holds changes which are in no bucket, and that must not be used: `quayfs
// mount` says in one line what to do, nothing is mounted, and what the directory holds stays as it
// was. Once the cause is gone, everything is still there.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/hash.h"
#include "tests/mount/mount_fixture.h"

namespace quayfs::mounttest {
namespace {

class BadCacheTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const std::string why = WhyNoFuse(); !why.empty()) GTEST_SKIP() << why;
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    environment_.emplace("server");
    cache_ = env().directory() + "/cache";
  }
  void TearDown() override {
    if (environment_) env().server()->ClearFaults();
    for (const std::string& place : mounted_) ::umount2(place.c_str(), MNT_DETACH);
    environment_.reset();
  }
  MountEnvironment& env() { return *environment_; }
  std::string state() const { return cache_ + "/state.db"; }

  /// A daemon was killed while the store took nothing.
  void MakeKilled() {
    ASSERT_NO_FATAL_FAILURE(env().Mount());
    testserver::Fault away;
    away.method = "PUT";
    away.code = "ServiceUnavailable";
    away.count = -1;
    env().server()->AddFault(away);
    ASSERT_EQ(::mkdir(env().Path("d").c_str(), 0755), 0);
    WriteFile(env().Path("d/f"), contents_);
    const pid_t pid = env().DaemonPid();
    ASSERT_EQ(::kill(pid, SIGKILL), 0);
    ASSERT_TRUE(Eventually([pid] { return IsGone(pid); }));
    ASSERT_EQ(::umount2(env().mount_point().c_str(), MNT_DETACH), 0);
    env().server()->ClearFaults();
  }

  /// Names, digests; without the lock, whose text is whoever tried last. On a full disk the log may
  /// end in a change that did not fit, which counts for nothing.
  std::map<std::string, std::string> Snapshot() const {
    std::map<std::string, std::string> files;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(cache_)) {
      const std::string name = std::filesystem::relative(entry.path(), cache_).string();
      if (name == "lock" || name == "ballast") continue;
      if (name == "state.db-wal" && std::filesystem::exists(cache_ + "/ballast")) continue;
      files[name] = entry.is_regular_file() ? HexEncode(Sha256(ReadFile(entry.path()))) : "";
    }
    return files;
  }

  void ExpectRefused(const std::vector<std::string>& words) {
    const auto before = Snapshot();
    const ProgramResult refused = env().TryMount();
    EXPECT_EQ(refused.status, 1);
    EXPECT_EQ(refused.out, "");
    for (const std::string& word : words)
      EXPECT_NE(refused.err.find(word), std::string::npos)
          << "'" << word << "' in: " << refused.err;
    EXPECT_EQ(std::count(refused.err.begin(), refused.err.end(), '\n'), 1) << refused.err;
    EXPECT_FALSE(IsMounted(env().mount_point()));
    EXPECT_TRUE(Names(env().mount_point()).empty());
    EXPECT_TRUE(Eventually([this] {
      const std::vector<pid_t> pids = QuayfsWith(env().config_path());
      return std::all_of(pids.begin(), pids.end(), IsGone);
    }));
    EXPECT_THAT(Snapshot(), ::testing::ContainerEq(before));
  }

  /// The cause is gone: nothing was lost.
  void ExpectStillThere() {
    ASSERT_NO_FATAL_FAILURE(env().Mount());
    EXPECT_TRUE(ReadFile(env().Path("d/f")) == contents_);
    ASSERT_NO_FATAL_FAILURE(env().Unmount());
    EXPECT_TRUE(env().ObjectBody("d/f") == contents_);
  }

  void MountSmallDisk() {
    std::filesystem::create_directory(cache_);
    if (::mount("tmpfs", cache_.c_str(), "tmpfs", 0, "size=4m,mode=0700") != 0)
      GTEST_SKIP() << "cannot mount: " << std::strerror(errno);
    mounted_.push_back(cache_);
  }
  void FillDisk() {
    const UniqueFd fd(
        ::open((cache_ + "/ballast").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
    const std::string block(4096, 'x');
    while (::write(fd.get(), block.data(), block.size()) > 0) {
    }
    ASSERT_EQ(errno, ENOSPC);
  }

  const std::string contents_ = Pattern(300'000, 11);
  std::string cache_;
  std::vector<std::string> mounted_;
  std::optional<MountEnvironment> environment_;
};

TEST_F(BadCacheTest, ADamagedDatabase) {
  ASSERT_NO_FATAL_FAILURE(MakeKilled());
  const std::string good = ReadFile(state());
  const auto replace = [&](const std::string& bytes) {
    std::filesystem::resize_file(state(), 0);
    WriteFile(state(), bytes);
  };
  replace("not a database at all");
  ExpectRefused({"state.db", "damaged", "quayfs recover " + cache_});
  replace(good.substr(0, good.size() / 2));
  ExpectRefused({"state.db", "damaged", "quayfs recover " + cache_});
  std::string zeros = good;
  std::fill_n(zeros.begin() + 4096, 4096, '\0');
  replace(zeros);
  ExpectRefused({"state.db", "damaged", "quayfs recover " + cache_});
  replace(good);
  ExpectStillThere();
}

TEST_F(BadCacheTest, SomebodyElsesDatabase) {
  ASSERT_NO_FATAL_FAILURE(MakeKilled());
  const std::string kept = env().directory() + "/kept";
  std::filesystem::rename(state(), kept);
  std::filesystem::rename(state() + "-wal", kept + "-wal");
  const ProgramResult made =
      RunCommand({"sqlite3", state(),
                  "CREATE TABLE accounts (name TEXT); INSERT INTO accounts VALUES ('x');"});
  ASSERT_EQ(made.status, 0) << made.err;
  ExpectRefused({"state.db", cache_});
  std::filesystem::rename(kept, state());
  std::filesystem::rename(kept + "-wal", state() + "-wal");
  ExpectStillThere();
}

TEST_F(BadCacheTest, AMissingDatabaseOrLog) {
  ASSERT_NO_FATAL_FAILURE(MakeKilled());
  for (const std::string& file : {state(), state() + "-wal"}) {
    std::filesystem::rename(file, env().directory() + "/kept");
    ExpectRefused({"missing", "quayfs recover " + cache_});
    std::filesystem::rename(env().directory() + "/kept", file);
  }
  ExpectStillThere();
}

TEST_F(BadCacheTest, AnotherBucketsCache) {
  ASSERT_NO_FATAL_FAILURE(MakeKilled());
  env().SetValue("prefix", "\"elsewhere/\"");
  ExpectRefused({cache_, "host-a/", "elsewhere/", "use another one"});
  env().SetValue("prefix", "\"host-a/\"");
  ExpectStillThere();
}

TEST_F(BadCacheTest, AVersionFromTheFuture) {
  ASSERT_NO_FATAL_FAILURE(MakeKilled());
  const std::string good = ReadFile(state());
  std::string later = good;
  later[63] = 99;  // the version in an SQLite header
  WriteFile(state(), later);
  ExpectRefused({"newer quayfs", "version 99"});
  WriteFile(state(), good);
  ExpectStillThere();
}

TEST_F(BadCacheTest, OneInUse) {
  ASSERT_NO_FATAL_FAILURE(MakeKilled());
  {
    const UniqueFd lock(::open((cache_ + "/lock").c_str(), O_RDWR | O_CLOEXEC));
    // The last threads of the killed daemon may still be on their way out.
    ASSERT_TRUE(Eventually([&] { return ::flock(lock.get(), LOCK_EX | LOCK_NB) == 0; }));
    ExpectRefused({cache_, "in use by process"});
  }
  ExpectStillThere();
}

TEST_F(BadCacheTest, AReadOnlyDisk) {
  ASSERT_NO_FATAL_FAILURE(MakeKilled());
  ASSERT_EQ(::mount(cache_.c_str(), cache_.c_str(), nullptr, MS_BIND, nullptr), 0);
  mounted_.push_back(cache_);
  ASSERT_EQ(::mount(nullptr, cache_.c_str(), nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY, nullptr),
            0);
  ExpectRefused({cache_, "Read-only file system", "quayfs recover"});
  ASSERT_EQ(::umount2(cache_.c_str(), MNT_DETACH), 0);
  mounted_.clear();
  ExpectStillThere();
}

TEST_F(BadCacheTest, AFullDisk) {
  MountSmallDisk();
  if (mounted_.empty()) return;
  // What the first mount makes before it comes to the database.
  std::filesystem::create_directory(cache_ + "/data");
  ASSERT_NO_FATAL_FAILURE(FillDisk());
  ExpectRefused({cache_, "make room"});
  std::filesystem::remove(cache_ + "/ballast");
  ASSERT_NO_FATAL_FAILURE(MakeKilled());
  ASSERT_NO_FATAL_FAILURE(FillDisk());
  ExpectRefused({cache_, "make room"});
  std::filesystem::remove(cache_ + "/ballast");
  ExpectStillThere();
}

}  // namespace
}  // namespace quayfs::mounttest
