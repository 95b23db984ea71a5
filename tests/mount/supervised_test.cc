// SPDX-License-Identifier: Apache-2.0
//
// A daemon under supervision, killed with -9: the mount comes back by itself, and what was pending
// is uploaded. The supervisor is a few lines of shell that do what Restart=on-failure does, with
// the lines of the unit that is installed.

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <sys/wait.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <regex>
#include <string>
#include <thread>

#include "tests/mount/mount_fixture.h"

namespace quayfs::mounttest {
namespace {

using ::testing::HasSubstr;

/// What stands after "NAME=" in the unit, without the mark that its failure does not matter.
std::string UnitLine(const std::string& name) {
  const std::string unit = ReadFile(QUAYFS_SOURCE_DIR "/packaging/systemd/quayfs@.service");
  std::smatch found;
  const std::regex shape("\n" + name + "=-?([^\n]*)");
  return std::regex_search(unit, found, shape) ? found[1].str() : "";
}

// $prepare, $start, $after: lines of the unit. Ends when the daemon ends well.
constexpr const char* kSupervisor = R"sh(
while :; do
  eval "$prepare"
  eval "exec $start" 2>>"$dir/log" &
  echo $! >"$dir/pid.new" && mv "$dir/pid.new" "$dir/pid"
  wait $!
  status=$?
  eval "$after"
  ((status == 0)) && exit 0
  echo "ended with $status" >>"$dir/ends"
  sleep 0.1
done
)sh";

class SupervisedTest : public ServerTest {
 protected:
  void SetUp() override {
    ServerTest::SetUp();
    if (environment_) env().WriteConfig();
  }
  /// A line as systemd would run it here.
  std::string Here(std::string line) {
    line = std::regex_replace(line, std::regex("/etc/quayfs/%i\\.toml"), env().config_path());
    line = std::regex_replace(line, std::regex("^quayfs "), std::string(QUAYFS_PROGRAM) + " ");
    return line;
  }
  std::string Script() {
    return fmt::format(
        "dir='{}' MOUNT_POINT='{}' MOUNT_OPTIONS=rw\nprepare='{}'\nstart='{}'\n"
        "after='{}'\n{}",
        env().directory(), env().mount_point(), Here(UnitLine("ExecStartPre")),
        Here(UnitLine("ExecStart")), Here(UnitLine("ExecStopPost")), kSupervisor);
  }
  pid_t DaemonNow() {
    std::ifstream file(env().directory() + "/pid");
    pid_t pid = -1;
    file >> pid;
    return pid;
  }
};

TEST_F(SupervisedTest, AKilledDaemonsMountComesBackByItselfAndLosesNothing) {
  EXPECT_EQ(UnitLine("Restart"), "on-failure");
  ASSERT_THAT(UnitLine("ExecStart"), HasSubstr("quayfs mount --foreground"));
  ASSERT_THAT(UnitLine("ExecStopPost"), HasSubstr("umount --if-dead"));
  ProgramResult supervised;
  std::thread supervisor([&] {
    supervised = RunCommand({"bash", "-c", Script()}, std::chrono::seconds(300));
  });
  EXPECT_TRUE(Eventually([this] { return IsMounted(env().mount_point()); })) << env().LogText();

  testserver::Fault fault;
  fault.method = "PUT";
  fault.count = -1;
  server().AddFault(fault);
  for (int round = 0; round < 2; ++round) {
    const std::string name = fmt::format("f{}", round);
    WriteFile(Path(name), "not in the bucket");
    const pid_t killed = DaemonNow();
    EXPECT_EQ(::kill(killed, SIGKILL), 0);
    EXPECT_TRUE(Eventually([&] {
      return DaemonNow() != killed && IsMounted(env().mount_point()) &&
             std::ifstream(Path(name)).good();
    })) << env().LogText();
    EXPECT_EQ(ReadFile(Path(name)), "not in the bucket");
  }
  server().ClearFaults();
  // Nobody asks for it.
  EXPECT_TRUE(Eventually([this] {
    const auto names = env().ObjectNames();
    return std::count(names.begin(), names.end(), "f0") == 1 &&
           std::count(names.begin(), names.end(), "f1") == 1;
  })) << env().LogText();
  EXPECT_EQ(ReadFile(env().directory() + "/ends"), "ended with 137\nended with 137\n");

  EXPECT_EQ(::kill(DaemonNow(), SIGTERM), 0);
  supervisor.join();
  EXPECT_EQ(supervised.status, 0) << supervised.err;
  EXPECT_FALSE(IsMounted(env().mount_point()));
}

}  // namespace
}  // namespace quayfs::mounttest
