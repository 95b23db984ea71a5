// SPDX-License-Identifier: Apache-2.0
//
// No secret is seen anywhere: not in what any command prints, in a log, in the kernel's tables, on
// a command line or in the environment of the daemon, nor in a file that is left behind.

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/hash.h"
#include "base/text.h"
#include "tests/mount/mount_fixture.h"

namespace quayfs::mounttest {
namespace {

constexpr char kSecret[] = "tOpS3cr3t/Key+With=Signs";
constexpr char kToken[] = "tok3n-that-Nobody-May-See";

std::string Contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

class SecretsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const std::string why = WhyNoFuse(); !why.empty()) GTEST_SKIP() << why;
    testserver::ServerConfig config;
    config.accounts = {{"test-key", kSecret, kToken}};
    server_ = testserver::Server::Start(config).value();
    environment_.emplace("server");
    environment_->SetValue("endpoint", '"' + server_->endpoint() + '"');
    environment_->SetValue("secret_access_key", std::string("\"") + kSecret + '"');
    environment_->SetValue("session_token", std::string("\"") + kToken + '"');
  }
  MountEnvironment& env() { return *environment_; }

  /// In none of the ways it may have been written.
  static void ExpectHidden(const std::string& text, const std::string& where) {
    for (const std::string secret : {kSecret, kToken}) {
      for (const std::string& form :
           {secret, PercentEncode(secret, false), PercentEncode(secret, true), Base64Encode(secret),
            HexEncode(secret)}) {
        EXPECT_EQ(text.find(form), std::string::npos) << where << " shows '" << form << "'";
      }
    }
  }
  static void ExpectHidden(const ProgramResult& result, const std::string& what) {
    ExpectHidden(result.out, what + ", output");
    ExpectHidden(result.err, what + ", errors");
  }

  std::unique_ptr<testserver::Server> server_;
  std::optional<MountEnvironment> environment_;
};

TEST_F(SecretsTest, AreSeenNowhere) {
  const std::string& config = env().config_path();
  ASSERT_NO_FATAL_FAILURE(env().Mount({"-o", "log.level=debug"}));
  WriteFile(env().Path("f"), "contents");
  EXPECT_EQ(RunQuayfs({"sync", env().mount_point()}).status, 0);
  EXPECT_EQ(ReadFile(env().Path("f")), "contents");

  const pid_t pid = env().DaemonPid();
  for (const char* name : {"cmdline", "environ", "mountinfo", "status", "comm"}) {
    const std::string path = "/proc/" + std::to_string(pid) + "/" + name;
    ExpectHidden(Contents(path), path);
  }
  ExpectHidden(Contents("/proc/mounts"), "/proc/mounts");
  for (const std::vector<std::string>& words :
       std::vector<std::vector<std::string>>{{"status", env().mount_point()},
                                             {"status", env().mount_point(), "--json"},
                                             {"metrics", env().mount_point()},
                                             {"config", "show", config},
                                             {"config", "check", config},
                                             {"check", config},
                                             {"check", config, "--json"},
                                             {"check", config, "--orphans"},
                                             {"providers", "s3"}}) {
    ExpectHidden(RunQuayfs(words, std::chrono::seconds(300)), "quayfs " + words[0]);
  }
  // What goes wrong is told without it, too.
  testserver::Fault denied;
  denied.status = 403;
  denied.code = "SignatureDoesNotMatch";
  denied.count = -1;
  server_->AddFault(denied);
  const ProgramResult failed = RunQuayfs({"check", config});
  EXPECT_NE(failed.status, 0);
  ExpectHidden(failed, "quayfs check that fails");
  server_->ClearFaults();
  ASSERT_NO_FATAL_FAILURE(env().Unmount());
  ExpectHidden(env().LogText(), "the log at level debug");
  EXPECT_NE(env().LogText().find("s3.request"), std::string::npos) << "the log is one";
  size_t files = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(env().directory())) {
    if (!entry.is_regular_file() || entry.path() == config) continue;
    ++files;
    ExpectHidden(Contents(entry.path().string()), entry.path().string());
  }
  EXPECT_GT(files, 2U) << "the state database, the log, what check remembers";
}

}  // namespace
}  // namespace quayfs::mounttest
