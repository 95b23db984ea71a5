// SPDX-License-Identifier: Apache-2.0
//
// `quayfs recover`: a daemon was killed while the store took nothing; what its cache directory
// holds is shown, written out, and brought to the bucket without a mount.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/hash.h"
#include "tests/mount/mount_fixture.h"

namespace quayfs::mounttest {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr size_t kBig = 1 << 20;
constexpr off_t kMiddle = 500'000;

class RecoverTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const std::string why = WhyNoFuse(); !why.empty()) GTEST_SKIP() << why;
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    environment_.emplace("server");
    env().SetTopLines("parameters = \"RetryMode=Standard;RetryInterval=100;RetryCount=0\"");
    cache_ = env().directory() + "/cache";
    out_ = env().directory() + "/out";
  }
  void TearDown() override {
    if (environment_) env().server()->ClearFaults();
  }
  MountEnvironment& env() { return *environment_; }

  /// Nothing changes in the bucket any more; it can be read.
  void LoseStore() {
    for (const char* method : {"PUT", "POST", "DELETE"}) {
      testserver::Fault away;
      away.method = method;
      away.code = "ServiceUnavailable";
      away.count = -1;
      env().server()->AddFault(away);
    }
  }

  void Kill() {
    const pid_t pid = env().DaemonPid();
    ASSERT_EQ(::kill(pid, SIGKILL), 0);
    ASSERT_TRUE(Eventually([pid] { return IsGone(pid); }));
    ASSERT_EQ(::umount2(env().mount_point().c_str(), MNT_DETACH), 0);
  }

  /// Files of each kind that wait for the bucket, in the cache directory of a daemon that is dead.
  void MakeHeld() {
    ASSERT_NO_FATAL_FAILURE(env().Mount());
    WriteFile(env().Path("big"), big_);
    WriteFile(env().Path("old-name"), "renamed");
    WriteFile(env().Path("gone"), "removed");
    ASSERT_NO_FATAL_FAILURE(env().Remount());
    LoseStore();
    ASSERT_EQ(::mkdir(env().Path("d").c_str(), 0750), 0);
    WriteFile(env().Path("d/new"), new_);
    ASSERT_EQ(::chmod(env().Path("d/new").c_str(), 0640), 0);
    ASSERT_EQ(::chown(env().Path("d/new").c_str(), 1234, 2345), 0);
    ASSERT_EQ(::symlink("../big", env().Path("d/link").c_str()), 0);
    const timespec times[2] = {{1'600'000'001, 5}, {1'600'000'000, 123'456'789}};
    ASSERT_EQ(::utimensat(AT_FDCWD, env().Path("d/new").c_str(), times, 0), 0);
    {
      const UniqueFd file(::open(env().Path("big").c_str(), O_WRONLY | O_CLOEXEC));
      ASSERT_EQ(::pwrite(file.get(), "changed", 7, kMiddle), 7);
    }
    big_.replace(kMiddle, 7, "changed");
    ASSERT_EQ(::rename(env().Path("old-name").c_str(), env().Path("new-name").c_str()), 0);
    ASSERT_EQ(::unlink(env().Path("gone").c_str()), 0);
  }

  std::map<std::string, std::string> Snapshot() const {
    std::map<std::string, std::string> files;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(cache_)) {
      const std::string name = std::filesystem::relative(entry.path(), cache_).string();
      files[name] = entry.is_regular_file() ? HexEncode(Sha256(ReadFile(entry.path()))) : "";
    }
    return files;
  }

  ProgramResult Recover(std::vector<std::string> more) {
    more.insert(more.begin(), {"recover", cache_});
    // The last threads of a killed daemon may still hold the lock for a moment.
    ProgramResult result;
    EXPECT_TRUE(Eventually([&] {
      result = RunQuayfs(more);
      return result.err.find("in use by process") == std::string::npos;
    })) << result.err;
    return result;
  }

  std::string new_ = Pattern(300'000, 3);
  std::string big_ = Pattern(kBig, 4);
  std::string cache_;
  std::string out_;
  std::optional<MountEnvironment> environment_;
};

TEST_F(RecoverTest, ShowsWhatIsHeldAndChangesNothing) {
  ASSERT_NO_FATAL_FAILURE(MakeHeld());
  const ProgramResult busy = RunQuayfs({"recover", cache_, "--list"});
  EXPECT_EQ(busy.status, 2);
  EXPECT_THAT(busy.err, HasSubstr("in use by process " + std::to_string(env().DaemonPid())));
  EXPECT_EQ(std::count(busy.err.begin(), busy.err.end(), '\n'), 1) << busy.err;
  ASSERT_NO_FATAL_FAILURE(Kill());
  ASSERT_EQ(Recover({"--list"}).status, 1);
  const auto before = Snapshot();
  const ProgramResult listed = Recover({"--list"});
  EXPECT_EQ(listed.status, 1);
  EXPECT_EQ(listed.err, "");
  for (const char* words :
       {"content", "d/new\n", "293 KiB", "big  (other bytes of it are in ", "renamed", "new-name",
        "d/link", "1 object still to be removed", "belongs to s3 "})
    EXPECT_THAT(listed.out, HasSubstr(words));
  EXPECT_THAT(listed.out, Not(HasSubstr("test-secret")));
  EXPECT_THAT(Snapshot(), ::testing::ContainerEq(before));
}

TEST_F(RecoverTest, InJsonItSaysTheSame) {
  ASSERT_NO_FATAL_FAILURE(MakeHeld());
  ASSERT_NO_FATAL_FAILURE(Kill());
  const ProgramResult listed = Recover({"--json"});
  EXPECT_EQ(listed.status, 1) << listed.err;
  const auto held = nlohmann::json::parse(listed.out);
  EXPECT_EQ(held["nothing_left"], false);
  EXPECT_EQ(held["removals"], 1);
  EXPECT_EQ(held["damage"], "");
  std::map<std::string, nlohmann::json> items;
  for (const auto& item : held["items"]) items[item["path"].get<std::string>()] = item;
  EXPECT_EQ(items["d/new"]["kind"], "content");
  EXPECT_EQ(items["d/new"]["bytes"], new_.size());
  EXPECT_EQ(items["big"]["remark"], "other bytes of it are in the bucket");
  EXPECT_EQ(items["new-name"]["kind"], "renamed");
  const ProgramResult exported = Recover({"--json", "--export", out_});
  EXPECT_EQ(exported.status, 1) << exported.err;
  const auto report = nlohmann::json::parse(exported.out)["exported"];
  EXPECT_EQ(report["to"], out_);
  EXPECT_EQ(report["notes"].size(), 2U) << report;
  EXPECT_TRUE(report["failed"].empty());
  env().server()->ClearFaults();
  const ProgramResult uploaded = Recover({"--json", "-q", "--config", env().config_path()});
  EXPECT_EQ(uploaded.status, 0) << uploaded.out << uploaded.err;
  EXPECT_EQ(nlohmann::json::parse(uploaded.out)["nothing_left"], true);
}

TEST_F(RecoverTest, WritesOutWhatIsHeld) {
  ASSERT_NO_FATAL_FAILURE(MakeHeld());
  ASSERT_NO_FATAL_FAILURE(Kill());
  ASSERT_EQ(Recover({"--list"}).status, 1);
  const auto before = Snapshot();
  const ProgramResult exported = Recover({"--export", out_});
  EXPECT_EQ(exported.status, 1) << exported.err;  // not everything is here
  EXPECT_THAT(exported.out, HasSubstr("big.partial"));
  EXPECT_THAT(exported.out, HasSubstr("new-name: only its name"));
  EXPECT_TRUE(ReadFile(out_ + "/d/new") == new_);
  struct stat info {};
  ASSERT_EQ(::stat((out_ + "/d/new").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0640U);
  EXPECT_EQ(info.st_uid, 1234U);
  EXPECT_EQ(info.st_gid, 2345U);
  EXPECT_EQ(info.st_mtim.tv_sec, 1'600'000'000);
  EXPECT_EQ(info.st_mtim.tv_nsec, 123'456'789);
  ASSERT_EQ(::stat((out_ + "/d").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0750U);
  EXPECT_EQ(std::filesystem::read_symlink(out_ + "/d/link"), "../big");
  const std::string partial = ReadFile(out_ + "/big.partial");
  EXPECT_EQ(partial.size(), kBig);
  EXPECT_EQ(partial.substr(kMiddle, 7), "changed");
  EXPECT_EQ(partial.substr(0, 9), std::string(9, '\0'));
  // A directory in which something lies is not touched.
  const ProgramResult again = Recover({"--export", out_});
  EXPECT_EQ(again.status, 2);
  EXPECT_THAT(again.err, HasSubstr("not empty"));

  // With the bucket at hand nothing is missing.
  const ProgramResult whole = Recover({"--export", out_ + "2", "--config", env().config_path()});
  EXPECT_EQ(whole.status, 0) << whole.out << whole.err;
  EXPECT_TRUE(ReadFile(out_ + "2/big") == big_);
  EXPECT_EQ(ReadFile(out_ + "2/new-name"), "renamed");
  EXPECT_THAT(Snapshot(), ::testing::ContainerEq(before));
}

TEST_F(RecoverTest, BringsWhatIsHeldToTheBucket) {
  ASSERT_NO_FATAL_FAILURE(MakeHeld());
  ASSERT_NO_FATAL_FAILURE(Kill());
  const ProgramResult away = Recover({"--config", env().config_path()});
  EXPECT_EQ(away.status, 1) << away.out << away.err;
  EXPECT_THAT(away.out, HasSubstr("d/new"));
  EXPECT_NE(away.err, "");

  env().server()->ClearFaults();
  const ProgramResult uploaded = Recover({"--config", env().config_path()});
  EXPECT_EQ(uploaded.status, 0) << uploaded.out << uploaded.err;
  EXPECT_THAT(uploaded.out, HasSubstr("holds nothing"));
  const auto body = [this](const std::string& key) {
    return env().server()->Body("test", env().prefix() + key);
  };
  EXPECT_TRUE(body("d/new") == new_);
  EXPECT_TRUE(body("big") == big_);
  EXPECT_EQ(body("new-name"), "renamed");
  EXPECT_EQ(body("d/link"), "../big");
  EXPECT_EQ(body("old-name"), std::nullopt);
  EXPECT_EQ(body("gone"), std::nullopt);
  EXPECT_EQ(Recover({"--list"}).status, 0);

  // Another mount, with a cache of its own, sees the same; and so does the next with this one.
  ASSERT_NO_FATAL_FAILURE(env().Mount());
  EXPECT_TRUE(ReadFile(env().Path("d/new")) == new_);
  struct stat info {};
  ASSERT_EQ(::stat(env().Path("d/new").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0640U);
  EXPECT_EQ(info.st_mtim.tv_nsec, 123'456'789);
}

TEST_F(RecoverTest, WritesOutWhatADamagedDirectoryHolds) {
  ASSERT_NO_FATAL_FAILURE(MakeHeld());
  ASSERT_NO_FATAL_FAILURE(Kill());
  ASSERT_EQ(Recover({"--list"}).status, 1);
  WriteFile(cache_ + "/state.db", "no database any more");
  const auto before = Snapshot();
  const ProgramResult listed = Recover({});
  EXPECT_EQ(listed.status, 1);
  EXPECT_THAT(listed.err, HasSubstr("'" + cache_ + "/state.db' is damaged"));
  EXPECT_THAT(listed.out, HasSubstr("name not known"));
  const ProgramResult refused = Recover({"--config", env().config_path()});
  EXPECT_EQ(refused.status, 2);
  EXPECT_THAT(refused.err, HasSubstr("--export"));
  const ProgramResult exported = Recover({"--export", out_});
  EXPECT_EQ(exported.status, 1);
  bool found = false;
  for (const std::string& name : Names(out_ + "/.quayfs-unnamed"))
    found = found || ReadFile(out_ + "/.quayfs-unnamed/" + name) == new_;
  EXPECT_TRUE(found) << exported.out;
  EXPECT_THAT(Snapshot(), ::testing::ContainerEq(before));
}

TEST_F(RecoverTest, RefusesWhatIsNoCacheDirectory) {
  const ProgramResult result = RunQuayfs({"recover", env().directory()});
  EXPECT_EQ(result.status, 2);
  EXPECT_THAT(result.err, HasSubstr("not a cache directory"));
  EXPECT_EQ(RunQuayfs({"recover", env().directory(), "--list", "--export", out_}).status, 2);
}

}  // namespace
}  // namespace quayfs::mounttest
