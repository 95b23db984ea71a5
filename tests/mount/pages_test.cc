// SPDX-License-Identifier: Apache-2.0
//
// What the README, the manual pages and the help tell people to type is typed, on a machine of its
// own: namespaces in which /etc, /srv, /mnt, /root and /var/cache are not the real ones, and
// `nightly` is a bucket of the test server. What the pages show of places that there are not here
// is replaced as kReplaced says; what is not run stands in kElsewhere, with the reason.

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <cstdio>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/mount/stock_tools.h"

namespace quayfs::mounttest {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// Whoever edits a config makes it one of the test's store.
constexpr const char* kOwnMachine = R"sh(
mkdir "$dir/o" "$dir/bin"
mount -t tmpfs tmpfs "$dir/o"
mkdir "$dir/o/u" "$dir/o/w"
mount -t overlay -o "lowerdir=/etc,upperdir=$dir/o/u,workdir=$dir/o/w" overlay /etc
for folder in /srv /mnt /root /var/cache; do mount -t tmpfs tmpfs "$folder"; done
rm -rf /etc/quayfs
mkdir -p /etc/quayfs /etc/bash_completion.d /mnt/nightly /mnt/archive /mnt/data /mnt/test
(umask 077; echo key:secret | tee /etc/passwd-s3fs /etc/quayfs/nightly.secret >/etc/quayfs/s3.secret)
: >/etc/fstab
unset XDG_CONFIG_HOME
ln -s "$quayfs" "$dir/bin/quayfs"
PATH=$dir/bin:$PATH
cd "$dir"
editor() { sed '/^directory/d; /^\[cache\]/d' "$config" >"$1"; chmod 600 "$1"; }
try() {
  local status=0
  echo "+ $1"
  eval "$1" </dev/null || status=$?
  # Warnings are not failures.
  [[ $1 == "quayfs check"* && $status == 1 ]] || ((status == 0)) || echo "FAILED with $status"
}
)sh";

/// What the pages name, and what there is here.
constexpr std::pair<std::string_view, std::string_view> kReplaced[] = {
    {"/usr/share/quayfs/samples", QUAYFS_SOURCE_DIR "/mount-configs/samples"},
    {"https://s3.example.org", "$anonymous"},  // a test server that lets everybody in
};

struct Elsewhere {
  std::string_view command;
  std::string_view why;
};

/// Every command that is not run here. One that no page has any more is an error, too.
constexpr Elsewhere kElsewhere[] = {
    {"git clone <this repository> quayfs && cd quayfs", "the repository's address is not known"},
    {"sudo scripts/quickstart", "scripts/test runs it, with what it has built"},
    {"scripts/test --quick         # unit and conformance tests; no root, no mounts", "runs us"},
    {"sudo scripts/test            # everything; about 20 minutes on two cores", "runs us"},
    {"quayfs status --watch", "never ends; TerminalTest.WatchShowsATransferAsItIs"},
};

std::vector<std::string> Lines(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

std::string Quoted(std::string text) {
  for (size_t at = text.find('\''); at != std::string::npos; at = text.find('\'', at + 4))
    text.replace(at, 1, "'\\''");
  return "'" + text + "'";
}

std::string Replaced(std::string text) {
  for (const auto& [from, to] : kReplaced) {
    for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size()))
      text.replace(at, from.size(), to);
  }
  return text;
}

/// The blocks that a manual page shows as they are typed.
std::vector<std::string> Blocks(const std::string& name) {
  const std::string page =
      std::regex_replace(ReadFile(QUAYFS_SOURCE_DIR "/man/" + name), std::regex(R"(\\-)"), "-");
  std::vector<std::string> blocks;
  bool inside = false;
  for (const std::string& line : Lines(page)) {
    if (line == ".EX") blocks.emplace_back();
    if (line == ".EX" || line == ".EE") inside = line == ".EX";
    if (inside && line != ".EX") blocks.back() += line + "\n";
  }
  return blocks;
}

/// The blocks of the README that have no output: those of commands, and of configs.
std::vector<std::string> BlocksOfTheReadme(const std::string& kind) {
  std::vector<std::string> blocks;
  bool fenced = false;
  bool wanted = false;
  for (const std::string& line : Lines(ReadFile(QUAYFS_SOURCE_DIR "/README.md"))) {
    if (line.starts_with("```")) {
      fenced = !fenced;
      wanted = fenced && line == "```" + kind;
      if (wanted) blocks.emplace_back();
    } else if (wanted) {
      blocks.back() += line + "\n";
    }
  }
  return blocks;
}

std::vector<std::string> CommandsOfTheReadme() {
  std::vector<std::string> commands;
  for (const std::string& block : BlocksOfTheReadme("")) {
    if (block.starts_with("---")) continue;  // what a command has printed
    for (const std::string& line : Lines(block)) commands.push_back(line);
  }
  return commands;
}

/// The examples of each command's help. Which commands there are, the completions know.
std::vector<std::string> CommandsOfTheHelp() {
  std::vector<std::string> commands;
  const std::string text = RunQuayfs({"completions", "bash"}).out;
  const std::regex shape(R"(\n    '( ?[a-z -]*)'\)\n      words=)");
  for (std::sregex_iterator it(text.begin(), text.end(), shape), end; it != end; ++it) {
    std::vector<std::string> words;
    std::istringstream stream(it->str(1));
    for (std::string word; stream >> word;) words.push_back(word);
    words.emplace_back("--help");
    for (const std::string& line : Lines(RunQuayfs(words).out)) {
      if (line.starts_with("  quayfs ")) commands.push_back(line.substr(2));
    }
  }
  return commands;
}

class PagesTest : public StockToolsTest {
 protected:
  /// Takes those that are not run here out of `commands`, and those that are there twice; an
  /// entry of kElsewhere that is not among them is a failure.
  static std::vector<std::string> RunHere(const std::vector<std::string>& commands) {
    std::vector<std::string> here;
    std::set<std::string_view> left_out;
    for (const std::string& command : commands) {
      const auto* const found = std::ranges::find(kElsewhere, command, &Elsewhere::command);
      if (found != std::end(kElsewhere)) {
        if (left_out.insert(found->command).second)
          std::printf("not run: %s (%s)\n", command.c_str(), std::string(found->why).c_str());
      } else if (std::ranges::find(here, command) == here.end()) {
        here.push_back(command);
      }
    }
    EXPECT_EQ(left_out.size(), std::size(kElsewhere)) << "something stands on no page any more";
    std::printf("%zu commands are run, %zu are not\n", here.size(), left_out.size());
    return here;
  }
};

/// A line of the script that tries a command, with what has to be before and after it.
std::string Tried(const std::string& command) {
  std::string tried = "try " + Quoted(Replaced(command)) + "\n";
  const bool mounts = command.starts_with("quayfs mount");
  if (mounts && command.find("/mnt/test") != std::string::npos)
    return tried + "try 'quayfs umount /mnt/test'\n";
  if (mounts) return "mountpoint -q /mnt/nightly && umount /mnt/nightly\n" + tried;
  if (command.starts_with("quayfs umount"))
    return tried + "mountpoint -q /mnt/nightly && echo FAILED to unmount\nmount /mnt/nightly\n";
  if (command.starts_with("quayfs recover"))
    return "umount /mnt/nightly\n" + tried + "mount /mnt/nightly\n";
  return tried;
}

TEST_F(PagesTest, WhatTheReadmeTheManualAndTheHelpTellPeopleToTypeWorks) {
  std::string script = kOwnMachine;
  const std::vector<std::string> blocks = Blocks("quayfs.1");
  ASSERT_EQ(blocks.size(), 2U);
  for (const std::string& block : blocks) {
    script += "umask 077\n";  // as configs with secrets want it
    for (size_t at = 0; at < block.size();) {
      // A document belongs to the command before it.
      size_t end = block.find('\n', at);
      if (block.substr(at, end - at).ends_with("<<END")) end = block.find("\nEND\n", at) + 4;
      script += "try " + Quoted(Replaced(block.substr(at, end - at))) + "\n";
      at = end + 1;
    }
  }
  // The second block has mounted it.
  script += "findmnt -n -o SOURCE,FSTYPE /mnt/nightly\nmkdir /mnt/nightly/2026\n";
  std::vector<std::string> commands = CommandsOfTheReadme();
  for (const std::string& command : CommandsOfTheHelp()) commands.push_back(command);
  EXPECT_GE(commands.size(), 25U);
  for (const std::string& command : RunHere(commands)) script += Tried(command);
  script += "umount /mnt/nightly\n";
  const std::string out = Run(script);
  EXPECT_THAT(out, Not(HasSubstr("FAILED"))) << out;
  EXPECT_THAT(out, Not(HasSubstr("not found"))) << out;
  EXPECT_THAT(out, HasSubstr("+ quayfs umount /mnt/demo\n+ "));
  EXPECT_THAT(out, HasSubstr("nightly fuse.quayfs\n"));
  EXPECT_THAT(out, HasSubstr("+ quayfs recover /var/cache/quayfs/nightly\n"));
}

TEST_F(PagesTest, TheLinesOfFstabInTheManualMount) {
  testserver::ServerConfig config;
  config.buckets = {"pub"};
  config.allow_anonymous = true;
  auto anonymous = testserver::Server::Start(config);
  ASSERT_TRUE(anonymous.ok());
  const std::vector<std::string> blocks = Blocks("mount.quayfs.8");
  ASSERT_EQ(blocks.size(), 1U);
  const std::string out = Run(std::string(kOwnMachine) + "anonymous=" + (*anonymous)->endpoint() +
                              "\ncat >/etc/fstab <<END\n" + Replaced(blocks[0]) + R"sh(END
editor /etc/quayfs/nightly.toml
editor /etc/quayfs/archive.toml
say mount -a
say findmnt -n -o SOURCE,FSTYPE,TARGET -t fuse.quayfs
say mount /mnt/archive
say touch /mnt/nightly/a /mnt/archive/b
say touch /mnt/data/c
say umount -a -t fuse.quayfs
say findmnt -t fuse.quayfs
)sh");
  EXPECT_THAT(out, HasSubstr("/etc/quayfs/nightly.toml fuse.quayfs /mnt/nightly\n"));
  EXPECT_THAT(out,
              HasSubstr("s3://pub/data            fuse.quayfs /mnt/data\n+ mount /mnt/archive\n"))
      << "noauto is left alone";
  EXPECT_THAT(out, HasSubstr("touch: cannot touch '/mnt/data/c': Read-only file system\n= 1\n"));
  EXPECT_THAT(out, ::testing::EndsWith("+ findmnt -t fuse.quayfs\n"));
  EXPECT_TRUE(env().ObjectBody("a").has_value()) << out;
  EXPECT_TRUE(env().ObjectBody("b").has_value()) << out;
}

TEST_F(PagesTest, TheConfigsInTheReadmeAndTheManualAreRight) {
  std::vector<std::string> configs = BlocksOfTheReadme("toml");
  for (const std::string& block : Blocks("quayfs.toml.5")) configs.push_back(block);
  ASSERT_EQ(configs.size(), 5U);
  std::string script = kOwnMachine;
  for (const std::string& config : configs) {
    script += "mkdir -p /srv/objects/demo\n(umask 077; cat >/etc/quayfs/shown.toml) <<'END'\n" +
              config + "END\ntry 'quayfs config check shown'\n";
  }
  // The last one needs nothing else.
  script +=
      "try 'quayfs mount shown /mnt/test && echo x >/mnt/test/f && quayfs umount /mnt/test'\n";
  const std::string out = Run(script);
  EXPECT_THAT(out, Not(HasSubstr("FAILED"))) << out;
}

// What systemd runs every 15 seconds for the node exporter.
TEST_F(PagesTest, TheMetricsUnitWritesWhatPrometheusReads) {
  const std::string unit = ReadFile(QUAYFS_SOURCE_DIR "/packaging/systemd/quayfs-metrics.service");
  std::smatch found;
  ASSERT_TRUE(std::regex_search(unit, found, std::regex("\nExecStart=(.*)\n")));
  const std::string out = Run(std::string(kOwnMachine) + R"sh(
mount -t tmpfs tmpfs /var/lib
mkdir -p /var/lib/prometheus/node-exporter
editor /etc/quayfs/nightly.toml
quayfs mount nightly /mnt/nightly
)sh" + found.str(1) + R"sh(
ls -A /var/lib/prometheus/node-exporter
grep -c 'quayfs_info{mount="/mnt/nightly"' /var/lib/prometheus/node-exporter/quayfs.prom
umount /mnt/nightly
)sh");
  EXPECT_EQ(out, "quayfs.prom\n1\n");
}

}  // namespace
}  // namespace quayfs::mounttest
