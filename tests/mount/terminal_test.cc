// SPDX-License-Identifier: Apache-2.0
//
// What people see in a terminal, as tmux(1) shows it: `quayfs status --watch` during a transfer,
// and the progress of an umount.

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <regex>
#include <string>

#include "tests/mount/mount_fixture.h"

namespace quayfs::mounttest {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class TerminalTest : public ServerTest {
 protected:
  static constexpr int kFiles = 6;

  void SetUp() override {
    ServerTest::SetUp();
    if (!environment_) return;
    if (RunCommand({"sh", "-c", "command -v tmux"}).status != 0) GTEST_SKIP() << "there is no tmux";
    ASSERT_NO_FATAL_FAILURE(env().Mount());
  }
  void TearDown() override {
    if (!environment_) return;
    server().ClearFaults();
    if (begun_) Tmux({"kill-server"});
  }

  ProgramResult Tmux(const std::vector<std::string>& arguments) {
    std::vector<std::string> words = {"tmux", "-S", env().directory() + "/tmux", "-f", "/dev/null"};
    words.insert(words.end(), arguments.begin(), arguments.end());
    return RunCommand(words);
  }
  /// Runs a line of shell in a terminal of 90 columns and 24 lines.
  void Begin(const std::string& line) {
    const ProgramResult begun =
        Tmux({"new-session", "-d", "-x", "90", "-y", "24", "env LC_ALL=C sh -c '" + line + "'"});
    ASSERT_EQ(begun.status, 0) << begun.err;
    begun_ = true;
  }
  /// Whether the screen matches now; the parts of the match are in found_.
  bool ShowsNow(const std::string& shape) {
    screen_ = Tmux({"capture-pane", "-p"}).out;
    return std::regex_search(screen_, found_, std::regex(shape));
  }
  /// Waits for that.
  bool Shows(const std::string& shape) {
    return Eventually([&] { return ShowsNow(shape); });
  }

  bool begun_ = false;
  std::string screen_;
  std::smatch found_;
};

TEST_F(TerminalTest, WatchShowsATransferAsItIs) {
  ASSERT_NO_FATAL_FAILURE(
      Begin(fmt::format("{} status --watch {}", QUAYFS_PROGRAM, env().mount_point())));
  ASSERT_TRUE(Shows("everything is in the bucket")) << screen_;
  EXPECT_THAT(screen_, HasSubstr(env().mount_point()));
  EXPECT_THAT(screen_, HasSubstr("  conflicts  none\n"));
  EXPECT_THAT(screen_, HasSubstr("  last error none\n"));

  server().SetDelay(std::chrono::milliseconds(20));
  int written = 0;
  EXPECT_TRUE(Eventually([&] {
    WriteFile(Path(fmt::format("f{}", written++)), Pattern(1 << 20, 1));
    return ShowsNow(R"(\n  up +([1-9][0-9.]*) [KMG]?i?B/s\n  down +0 B/s\n)"
                    R"(  requests +([0-9.]+)/s, ([0-9]+) ms each)");
  })) << screen_;
  EXPECT_GT(std::stod(found_[2]), 0);
  EXPECT_GE(std::stoi(found_[3]), 20) << "the server waits as long before it answers";
  EXPECT_TRUE(Shows(R"(\n  +put [0-9.]+/s [0-9]+ ms)")) << screen_;
  ASSERT_TRUE(Shows(R"(\n  cache +\[[#.]{20}\] [1-9][0-9.]* MiB of )")) << screen_;
  server().SetDelay(std::chrono::milliseconds(0));
  env().Sync();

  testserver::Fault refused;
  refused.method = "PUT";
  refused.status = 403;
  refused.code = "AccessDenied";
  refused.count = -1;
  server().AddFault(refused);
  WriteFile(Path("refused"), "x");
  EXPECT_TRUE(Shows(R"(\n  pending +1 file, 1 B)")) << screen_;
  EXPECT_TRUE(Shows(R"(\n  retried +.*refused: .*)")) << screen_;
  EXPECT_TRUE(Shows(R"(\n  last error +[a-z_]+: .*refused)")) << screen_;
  server().ClearFaults();
  EXPECT_TRUE(Shows("everything is in the bucket")) << screen_;
  for (const char* const line : {"  up ", "  down ", "  requests "})
    EXPECT_THAT(screen_, HasSubstr(line));
}

TEST_F(TerminalTest, UmountShowsHowFarItIsAndLeavesNothingBehind) {
  server().SetDelay(std::chrono::seconds(5));  // long enough to be seen
  for (int i = 0; i < kFiles; ++i) WriteFile(Path(fmt::format("f{}", i)), Pattern(100000, 1));
  ASSERT_NO_FATAL_FAILURE(Begin(
      fmt::format("{} umount {}; echo ended with $?; cat", QUAYFS_PROGRAM, env().mount_point())));
  ASSERT_TRUE(
      Shows(R"(\[([#.]{20})\] +([0-9]+) %  ([0-9]+) of ([0-9]+) files, .* of ([0-9.]+) KiB)"))
      << screen_;
  EXPECT_EQ(found_[1], "....................");
  EXPECT_EQ(found_[2], "0");
  EXPECT_EQ(found_[3], "0");
  EXPECT_EQ(std::stoi(found_[4]), kFiles);
  EXPECT_EQ(found_[5], "585.9");
  EXPECT_TRUE(IsMounted(env().mount_point()));
  server().SetDelay(std::chrono::milliseconds(0));
  ASSERT_TRUE(Shows("ended with 0")) << screen_;
  EXPECT_THAT(screen_, Not(HasSubstr("%"))) << "the line is taken away";
  EXPECT_FALSE(IsMounted(env().mount_point()));
  for (int i = 0; i < kFiles; ++i)
    EXPECT_EQ(env().ObjectBody(fmt::format("f{}", i)), Pattern(100000, 1));
}

TEST_F(TerminalTest, ANewConfigIsAskedForAndTheSecretIsNotShown) {
  const std::string file = env().directory() + "/new.toml";
  ASSERT_NO_FATAL_FAILURE(Begin(fmt::format("{} config new {} -o endpoint={}; cat", QUAYFS_PROGRAM,
                                            file, server().endpoint())));
  const auto answer = [this](const std::string& question, const std::string& text) {
    EXPECT_TRUE(Shows(question)) << screen_;
    Tmux({"send-keys", text, "Enter"});
  };
  answer("Provider .*:", "");
  answer("Bucket:", "test");
  answer("Only keys that begin with .*:", "host-b/");
  answer("Access key:", "test-key");
  answer("Secret key .*:", "test-secret");
  EXPECT_TRUE(Shows("is written; try it with:")) << screen_;
  EXPECT_THAT(screen_, Not(HasSubstr("test-secret")));
  env().Unmount();
  const ProgramResult mounted = RunQuayfs(
      {"mount", file, env().mount_point(), "-o", "cache.directory=" + env().directory() + "/c"});
  EXPECT_EQ(mounted.status, 0) << mounted.err;
  EXPECT_EQ(RunQuayfs({"umount", env().mount_point()}).status, 0);
}

}  // namespace
}  // namespace quayfs::mounttest
