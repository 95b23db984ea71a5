// SPDX-License-Identifier: Apache-2.0

#include "mount-configs/render.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <string>

#include "base/text.h"
#include "mount-configs/options.h"
#include "tests/unit/mount_configs/test_support.h"

namespace quayfs {
namespace {

using config_test::ErrorOf;
using config_test::OptionsWith;
using config_test::Parse;
using config_test::ReadWholeFile;
using config_test::SourceRoot;
using config_test::TemporaryDirectory;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(RenderEffectiveConfig, ShowsDefaultsAndWhatWasSet) {
  const Result<MountConfig> loaded = Parse("bucket = \"b\"\n[cache]\nsize = \"20GiB\"\n");
  ASSERT_TRUE(loaded.ok()) << ErrorOf(loaded);
  const std::string text = RenderEffectiveConfig(*loaded);
  for (const char* line :
       {"# /etc/quayfs/n.toml\n", "name = \"n\"\n", "provider = \"s3\"\n", "bucket = \"b\"\n",
        "\n[cache]\n", "size = \"20GiB\"\n", "fsync = \"remote\"\n", "consistency = \"60s\"\n",
        "RetryMode = \"Legacy\"\n", "dir_mode = \"0755\"\n"}) {
    EXPECT_THAT(text, HasSubstr(line));
  }
  EXPECT_THAT(text, Not(HasSubstr("zone")));
}

TEST(RenderEffectiveConfig, LoadsAgainAndComesOutTheSame) {
  for (const char* provider : {"s3", "kodo", "qingstor", "local"}) {
    const Result<MountConfig> loaded = Parse(
        std::string("provider = \"") + provider +
        "\"\nbucket = \"/b\\\"q\"\nprefix = \"a b\"\nparameters = "
        "\"RetryCount=5;Use_PathStyle=1\"\n"
        "consistency = \"exclusive\"\n[mount]\nuid = 5\n[network]\nheaders = [\"X-A: \\\\b\"]\n");
    if (std::string(provider) != "local") {
      ASSERT_FALSE(loaded.ok()) << "a bucket's name has no '/'";
      continue;
    }
    ASSERT_TRUE(loaded.ok()) << ErrorOf(loaded);
    const std::string once = RenderEffectiveConfig(*loaded);
    const Result<MountConfig> again = Parse(once);
    ASSERT_TRUE(again.ok()) << ErrorOf(again) << "\n" << once;
    EXPECT_EQ(RenderEffectiveConfig(*again), once);
  }
}

TEST(RenderEffectiveConfig, HoldsNoSecret) {
  const TemporaryDirectory directory;
  const std::string file = directory.Write("s", "hunter2\n");
  const std::string key = "aHVudGVyMmh1bnRlcjJodW50ZXIyaHVudGVyMjEyMzQ=";
  const std::string text =
      "bucket = \"b\"\n[credentials]\naccess_key_id = \"AK\"\nsecret_access_key = \"hunter2\"\n"
      "session_token = { file = \"" +
      file + "\" }\nsse_customer_key = { command = [\"/bin/echo\", \"" + key +
      "\"] }\n[network]\nproxy = \"http://me:hunter2@proxy:3128\"\n"
      "headers = [\"Cookie: hunter2\", \"X-A: b\"]\n";
  const Result<MountConfig> loaded = Parse(text);
  ASSERT_TRUE(loaded.ok()) << ErrorOf(loaded);
  EXPECT_EQ(loaded->store.credentials.session_token, "hunter2");
  EXPECT_EQ(loaded->store.sse_customer_key, key);
  const std::string shown = RenderEffectiveConfig(*loaded);
  EXPECT_THAT(shown, Not(HasSubstr("hunter2")));
  EXPECT_THAT(shown, Not(HasSubstr(key)));
  EXPECT_THAT(shown, HasSubstr("secret_access_key = \"***\"\n"));
  EXPECT_THAT(shown, HasSubstr("session_token = { file = \"" + file + "\" }\n"));
  EXPECT_THAT(shown, HasSubstr("sse_customer_key = { command = [\"/bin/echo\", \"...\"] }\n"));
  EXPECT_THAT(shown, HasSubstr("proxy = \"http://***@proxy:3128\"\n"));
  EXPECT_THAT(shown, HasSubstr("headers = [\"Cookie: ***\", \"X-A: b\"]\n"));
}

TEST(RenderEffectiveConfig, KeysFromTheEnvironmentAreNotPartOfIt) {
  const Result<MountConfig> loaded =
      Parse("bucket = \"b\"\n[credentials]\nenv_auth = true\n",
            OptionsWith({{"AWS_ACCESS_KEY_ID", "AKIA"}, {"AWS_SECRET_ACCESS_KEY", "hunter2"}}));
  ASSERT_TRUE(loaded.ok()) << ErrorOf(loaded);
  const std::string shown = RenderEffectiveConfig(*loaded);
  EXPECT_THAT(shown, Not(HasSubstr("hunter2")));
  EXPECT_THAT(shown, Not(HasSubstr("AKIA")));
  EXPECT_THAT(shown, HasSubstr("env_auth = true\n"));
}

TEST(DescribeOptions, NamesEveryOptionWithinTheWidthOfATerminal) {
  const std::string text = DescribeOptions();
  for (const Option& option : AllOptions()) {
    EXPECT_THAT(text, HasSubstr("\n  " + std::string(option.key) + "\n"));
  }
  for (const std::string_view line : Split(text, '\n')) EXPECT_LE(line.size(), 80U) << line;
}

/// The option reference in quayfs.toml(5) is the table's own. With QUAYFS_WRITE_MAN=1 the page is
/// brought up to date instead.
TEST(ManualPage, OptionReferenceIsThatOfTheTable) {
  const std::filesystem::path path = SourceRoot() / "man" / "quayfs.toml.5";
  const std::string begin = ".\\\" options begin; made from the option table\n";
  const std::string end = ".\\\" options end\n";
  std::string page = ReadWholeFile(path);
  const size_t from = page.find(begin);
  const size_t to = page.find(end);
  ASSERT_NE(from, std::string::npos);
  ASSERT_NE(to, std::string::npos);
  const size_t start = from + begin.size();
  const std::string reference = OptionsManSource();
  if (std::getenv("QUAYFS_WRITE_MAN") != nullptr) {
    page.replace(start, to - start, reference);
    std::ofstream(path, std::ios::binary) << page;
    return;
  }
  EXPECT_TRUE(page.substr(start, to - start) == reference)
      << "run unit_mount_configs with QUAYFS_WRITE_MAN=1 and look at the difference";
}

TEST(ManualPage, EveryOptionHasItsDefault) {
  const std::string page = ReadWholeFile(SourceRoot() / "man" / "quayfs.toml.5");
  for (const Option& option : AllOptions()) {
    const size_t at = page.find(".B " + std::string(option.key) + "\n");
    ASSERT_NE(at, std::string::npos) << option.full_name();
    if (option.default_text.empty()) continue;
    const std::string entry = page.substr(at, page.find(".TP", at) - at);
    std::string plain;
    for (const char c : entry) {
      if (c != '\\') plain += c;
    }
    EXPECT_THAT(plain, HasSubstr("Default: " + std::string(option.default_text)))
        << option.full_name();
  }
}

}  // namespace
}  // namespace quayfs
