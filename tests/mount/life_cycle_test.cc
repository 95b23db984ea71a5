// SPDX-License-Identifier: Apache-2.0
//
// Mounting and unmounting as a person or systemd does it: what works says nothing, what does not
// says one readable line, leaves nothing mounted, and no daemon.

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/mount/mount_fixture.h"

namespace quayfs::mounttest {
namespace {

class LifeCycleTest : public MountTest {};

TEST_P(LifeCycleTest, StatusTellsWhatIsGoingOn) {
  const ProgramResult result = RunQuayfs({"status", env().mount_point(), "--json"});
  ASSERT_EQ(result.status, 0) << result.err;
  const nlohmann::json report = nlohmann::json::parse(result.out);
  ASSERT_EQ(report.at("mounts").size(), 1U);
  const nlohmann::json& mount = report["mounts"][0];
  EXPECT_EQ(mount.at("mount_point"), env().mount_point());
  EXPECT_EQ(mount.at("pid"), env().DaemonPid());
  EXPECT_EQ(mount.at("state"), "serving");
  EXPECT_EQ(mount.at("config"), env().config_path());
  EXPECT_EQ(mount.at("pending").at("files"), 0);
  EXPECT_TRUE(mount.at("capabilities").contains("put_if_absent"));
  EXPECT_EQ(result.out.find("secret"), std::string::npos);
  const ProgramResult text = RunQuayfs({"status"});
  EXPECT_NE(text.out.find(env().mount_point()), std::string::npos);
}

TEST_P(LifeCycleTest, TheControlSocketIsOnlyForItsOwner) {
  const std::string directory = ::geteuid() == 0 ? "/run/quayfs" : "";
  if (directory.empty()) GTEST_SKIP() << "looks for root's sockets";
  struct stat facts {};
  ASSERT_EQ(::stat(directory.c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777, 0700U);
  size_t found = 0;
  std::string name = env().directory();
  name = name.substr(name.rfind('.') + 1);
  for (const std::string& entry : Names(directory)) {
    if (entry.find(name) == std::string::npos) continue;
    ++found;
    const std::string path = fmt::format("{}/{}", directory, entry);
    ASSERT_EQ(::stat(path.c_str(), &facts), 0);
    EXPECT_TRUE(S_ISSOCK(facts.st_mode));
    EXPECT_EQ(facts.st_mode & 0777, 0600U);
  }
  EXPECT_EQ(found, 1U);
  ASSERT_NO_FATAL_FAILURE(env().Unmount());
  for (const std::string& entry : Names(directory)) EXPECT_EQ(entry.find(name), std::string::npos);
}

TEST_P(LifeCycleTest, TheSecondMountAtTheSamePlaceIsRefused) {
  const ProgramResult again = env().TryMount();
  EXPECT_EQ(again.status, 1);
  EXPECT_NE(again.err.find("already mounted"), std::string::npos) << again.err;
  EXPECT_EQ(std::count(again.err.begin(), again.err.end(), '\n'), 1) << again.err;
  WriteFile(Path("still"), "works");
  EXPECT_GT(env().DaemonPid(), 0);
}

TEST_P(LifeCycleTest, TheSecondMountWithTheSameCacheIsRefused) {
  const std::string other = env().directory() + "/other";
  ASSERT_EQ(::mkdir(other.c_str(), 0755), 0);
  const ProgramResult again = RunQuayfs({"mount", env().config_path(), other});
  EXPECT_EQ(again.status, 1);
  EXPECT_EQ(std::count(again.err.begin(), again.err.end(), '\n'), 1) << again.err;
  EXPECT_FALSE(IsMounted(other));
}

TEST_P(LifeCycleTest, UmountWaitsForTheDaemon) {
  WriteFile(Path("f"), "x");
  const pid_t pid = env().DaemonPid();
  ASSERT_NO_FATAL_FAILURE(env().Unmount());
  EXPECT_TRUE(IsGone(pid));
  EXPECT_EQ(env().ObjectBody("f"), "x");
}

TEST_P(LifeCycleTest, ABusyMountStays) {
  WriteFile(Path("f"), "x");
  const UniqueFd file(::open(Path("f").c_str(), O_RDONLY | O_CLOEXEC));
  const ProgramResult refused = RunQuayfs({"umount", env().mount_point()});
  EXPECT_EQ(refused.status, 1);
  EXPECT_NE(refused.err.find("busy"), std::string::npos) << refused.err;
  EXPECT_EQ(std::count(refused.err.begin(), refused.err.end(), '\n'), 1) << refused.err;
  EXPECT_EQ(ReadFile(Path("f")), "x");
}

TEST_P(LifeCycleTest, PlainUmountLosesNothing) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  WriteFile(Path("f"), Pattern(9 << 20, 6));
  const pid_t pid = env().DaemonPid();
  ASSERT_EQ(::umount2(env().mount_point().c_str(), 0), 0) << std::strerror(errno);
  ASSERT_TRUE(Eventually([pid] { return IsGone(pid); }));
  EXPECT_TRUE(env().ObjectBody("f") == Pattern(9 << 20, 6));
}

TEST_P(LifeCycleTest, SigtermPublishesWhatIsPending) {
  const UniqueFd file(::open(Path("pending").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
  ASSERT_EQ(::write(file.get(), "not flushed", 11), 11);
  const pid_t pid = env().DaemonPid();
  ASSERT_EQ(::kill(pid, SIGTERM), 0);
  ASSERT_TRUE(Eventually([pid] { return IsGone(pid); })) << env().LogText();
  EXPECT_FALSE(IsMounted(env().mount_point()));
  EXPECT_EQ(env().ObjectBody("pending"), "not flushed");
}

TEST_P(LifeCycleTest, SyncReturnsWhenOpenFilesAreInTheBucket) {
  const UniqueFd file(::open(Path("open").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
  ASSERT_EQ(::write(file.get(), "half", 4), 4);
  const ProgramResult result = RunQuayfs({"sync", Path("open")});
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_EQ(env().ObjectBody("open"), "half");
}

TEST_P(LifeCycleTest, WhatADeadDaemonLeftIsClearedAway) {
  WriteFile(Path("f"), "kept");
  const pid_t pid = env().DaemonPid();
  ASSERT_EQ(::kill(pid, SIGKILL), 0);
  ASSERT_TRUE(Eventually([pid] { return IsGone(pid); }));
  ASSERT_TRUE(
      Eventually([this] { return Try(::access(env().mount_point().c_str(), F_OK)) == ENOTCONN; }));
  const ProgramResult again = env().TryMount();
  ASSERT_EQ(again.status, 0) << again.err;
  EXPECT_NE(again.err.find("unmounted"), std::string::npos) << again.err;
  EXPECT_EQ(ReadFile(Path("f")), "kept");
}

TEST_P(LifeCycleTest, UmountClearsAwayWhatADeadDaemonLeft) {
  const pid_t pid = env().DaemonPid();
  ASSERT_EQ(::kill(pid, SIGKILL), 0);
  ASSERT_TRUE(Eventually([pid] { return IsGone(pid); }));
  EXPECT_EQ(RunQuayfs({"umount", env().mount_point()}).status, 0);
  EXPECT_FALSE(IsMounted(env().mount_point()));
  if (::geteuid() != 0) return;
  const std::string name = env().directory().substr(env().directory().rfind('.') + 1);
  for (const std::string& entry : Names("/run/quayfs"))
    EXPECT_EQ(entry.find(name), std::string::npos);
}

TEST_P(LifeCycleTest, AReadOnlyMountRefusesChanges) {
  WriteFile(Path("f"), "x");
  ASSERT_NO_FATAL_FAILURE(env().Unmount());
  ASSERT_NO_FATAL_FAILURE(env().Mount({"-o", "ro,noatime,_netdev,x-systemd.automount,nofail"}));
  EXPECT_EQ(ReadFile(Path("f")), "x");
  EXPECT_EQ(Try(::open(Path("g").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644)), EROFS);
  EXPECT_EQ(Try(::unlink(Path("f").c_str())), EROFS);
  EXPECT_EQ(Try(::chmod(Path("f").c_str(), 0600)), EROFS);
}

TEST_P(LifeCycleTest, OwnersAndModesCanBeGivenWithO) {
  ASSERT_NO_FATAL_FAILURE(env().PutObject("bare", "x"));
  ASSERT_NO_FATAL_FAILURE(env().Unmount());
  ASSERT_NO_FATAL_FAILURE(env().Mount({"-o", "uid=1234,gid=4321,umask=0027"}));
  struct stat facts {};
  ASSERT_EQ(::stat(Path("bare").c_str(), &facts), 0);
  EXPECT_EQ(facts.st_uid, 1234U);
  EXPECT_EQ(facts.st_gid, 4321U);
  EXPECT_EQ(facts.st_mode & 07777, 0640U);
}

TEST_P(LifeCycleTest, TheForegroundDaemonEndsOnSigint) {
  ASSERT_NO_FATAL_FAILURE(env().Unmount());
  const pid_t pid = StartQuayfs({"mount", env().config_path(), env().mount_point(), "--foreground"},
                                env().directory() + "/fg.log");
  ASSERT_GT(pid, 0);
  ASSERT_TRUE(Eventually([this] { return IsMounted(env().mount_point()); }));
  WriteFile(Path("f"), "x");
  ASSERT_EQ(::kill(pid, SIGINT), 0);
  int status = -1;
  ASSERT_EQ(::waitpid(pid, &status, 0), pid);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
  EXPECT_FALSE(IsMounted(env().mount_point()));
  EXPECT_EQ(env().ObjectBody("f"), "x");
}

TEST_P(LifeCycleTest, CheckFindsAllWell) {
  const ProgramResult result =
      RunQuayfs({"check", env().config_path(), "--json"}, std::chrono::seconds(300));
  // All servers here speak plain http, which is worth a warning.
  const bool lacking = GetParam() != "local";
  EXPECT_LE(result.status, lacking ? 1 : 0) << result.out << result.err;
  const nlohmann::json report = nlohmann::json::parse(result.out);
  EXPECT_NE(report.at("result"), "failed") << result.out;
  EXPECT_GE(report.at("checks").size(), 10U);
  EXPECT_EQ(env().ObjectNames(), std::vector<std::string>{}) << "left behind";
}

INSTANTIATE_FOR_ALL_BACKENDS(LifeCycleTest);

/// Mounts that must not come about.
class MountFailureTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const std::string why = WhyNoFuse(); !why.empty()) GTEST_SKIP() << why;
    environment_.emplace("server");
  }
  MountEnvironment& env() { return *environment_; }

  /// One line that holds all of `words`, a status that is not 0, nothing mounted and nobody left.
  void ExpectRefused(const ProgramResult& result, const std::vector<std::string>& words) {
    EXPECT_GT(result.status, 0);
    EXPECT_LT(result.status, 128);
    EXPECT_EQ(result.out, "");
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
    for (const std::string& word : words)
      EXPECT_NE(result.err.find(word), std::string::npos) << "'" << word << "' in: " << result.err;
    EXPECT_EQ(result.err.find("test-secret"), std::string::npos);
    EXPECT_FALSE(IsMounted(env().mount_point()));
    for (const pid_t pid : QuayfsWith(env().config_path()))
      EXPECT_TRUE(Eventually([pid] { return IsGone(pid); }));
  }

  std::optional<MountEnvironment> environment_;
};

TEST_F(MountFailureTest, AnUnknownKeyInTheConfig) {
  env().SetTopLines("buckte = \"x\"");
  ExpectRefused(env().TryMount(), {"buckte", "bucket", env().config_path()});
}

TEST_F(MountFailureTest, AMissingConfig) {
  ExpectRefused(RunQuayfs({"mount", env().directory() + "/no.toml", env().mount_point()}),
                {"no.toml"});
}

TEST_F(MountFailureTest, AConfigWithASecretThatOthersCanRead) {
  env().WriteConfig();
  ASSERT_EQ(::chmod(env().config_path().c_str(), 0644), 0);
  ExpectRefused(RunQuayfs({"mount", env().config_path(), env().mount_point()}), {"chmod"});
}

TEST_F(MountFailureTest, AWrongSecret) {
  env().SetValue("secret_access_key", "\"wrong\"");
  ExpectRefused(env().TryMount(), {"secret", "credentials.secret_access_key"});
}

TEST_F(MountFailureTest, AnUnknownKeyId) {
  env().SetValue("access_key_id", "\"nobody\"");
  ExpectRefused(env().TryMount(), {"nobody", "credentials.access_key_id"});
}

TEST_F(MountFailureTest, AMissingBucket) {
  env().SetValue("bucket", "\"elsewhere\"");
  ExpectRefused(env().TryMount(), {"elsewhere", "bucket"});
}

TEST_F(MountFailureTest, AnEndpointWhereNobodyListens) {
  // A port that is bound and does not listen refuses for as long as it is held.
  const UniqueFd held(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_storage address{};
  socklen_t size = sizeof(address);
  address.ss_family = AF_INET;
  ASSERT_EQ(::bind(held.get(), reinterpret_cast<sockaddr*>(&address), 16), 0)
      << std::strerror(errno);
  ASSERT_EQ(::getsockname(held.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  const auto* const bytes = reinterpret_cast<const unsigned char*>(&address);
  const int port = bytes[2] * 256 + bytes[3];
  env().SetValue("endpoint", "\"http://127.0.0.1:" + std::to_string(port) + "\"");
  ExpectRefused(env().TryMount(), {"cannot reach", "endpoint"});
}

TEST_F(MountFailureTest, AnEndpointThatNeverAnswers) {
  testserver::Fault fault;
  fault.kind = testserver::FaultKind::kBlackHole;
  fault.count = -1;
  env().server()->AddFault(fault);
  ExpectRefused(env().TryMount(), {"cannot reach", "endpoint"});
}

TEST_F(MountFailureTest, AServerInTrouble) {
  testserver::Fault fault;
  fault.status = 503;
  fault.code = "ServiceUnavailable";
  fault.count = -1;
  env().server()->AddFault(fault);
  ExpectRefused(env().TryMount(), {"in trouble"});
}

TEST_F(MountFailureTest, AnUnknownOption) {
  ExpectRefused(env().TryMount({"-o", "alow_other"}), {"alow_other", "allow_other"});
}

TEST_F(MountFailureTest, ASecretOnTheCommandLine) {
  ExpectRefused(env().TryMount({"-o", "secret_access_key=test-sicret"}),
                {"secret_access_key", "config"});
}

TEST_F(MountFailureTest, AMissingMountPoint) {
  env().WriteConfig();
  ExpectRefused(RunQuayfs({"mount", env().config_path(), env().directory() + "/nowhere"}),
                {"nowhere", "mkdir"});
}

TEST_F(MountFailureTest, AMountPointThatIsAFile) {
  env().WriteConfig();
  ExpectRefused(RunQuayfs({"mount", env().config_path(), env().config_path()}),
                {"not a directory"});
}

TEST_F(MountFailureTest, NothingToUnmount) {
  ExpectRefused(RunQuayfs({"umount", env().mount_point()}), {"nothing is mounted"});
}

TEST_F(MountFailureTest, AnUnknownCommand) { ExpectRefused(RunQuayfs({"mout"}), {"--help"}); }

TEST_F(MountFailureTest, CheckSaysWhatToChange) {
  env().SetValue("secret_access_key", "\"wrong\"");
  env().WriteConfig();
  const ProgramResult result = RunQuayfs({"check", env().config_path()});
  EXPECT_EQ(result.status, 2);
  EXPECT_NE(result.out.find("credentials.secret_access_key"), std::string::npos) << result.out;
}

TEST_F(MountFailureTest, CheckWarnsOfIgnoredConditions) {
  testserver::ServerConfig config;
  config.conditional_writes = false;
  auto server = testserver::Server::Start(config);
  ASSERT_TRUE(server.ok());
  env().SetValue("endpoint", "\"" + (*server)->endpoint() + "\"");
  env().WriteConfig();
  const ProgramResult result = RunQuayfs({"check", env().config_path()}, std::chrono::seconds(300));
  EXPECT_EQ(result.status, 1) << result.out;
  EXPECT_NE(result.out.find("put if absent          warning"), std::string::npos) << result.out;
  EXPECT_TRUE((*server)->Keys("test").empty());
}

}  // namespace
}  // namespace quayfs::mounttest
