// SPDX-License-Identifier: Apache-2.0

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "mount-configs/render.h"
#include "providers/profiles.h"
#include "providers/resolve.h"
#include "tests/unit/mount_configs/test_support.h"

namespace quayfs {
namespace {

using config_test::ErrorOf;
using config_test::OptionsWith;
using config_test::ReadWholeFile;
using config_test::SourceRoot;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

std::vector<std::filesystem::path> Samples() {
  std::vector<std::filesystem::path> paths;
  for (const auto& entry :
       std::filesystem::directory_iterator(SourceRoot() / "mount-configs" / "samples")) {
    paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

LoadOptions WithoutSecrets() {
  LoadOptions options = OptionsWith({{"HOME", "/root"}});
  options.resolve_secrets = false;
  return options;
}

TEST(Samples, AreThereAndLoadWithoutAWarning) {
  std::vector<std::string> names;
  for (const std::filesystem::path& path : Samples()) {
    names.push_back(path.filename().string());
    SCOPED_TRACE(names.back());
    // As if others could read it: no sample holds a secret itself.
    const Result<MountConfig> loaded =
        ParseMountConfig(ReadWholeFile(path), path.string(), true, WithoutSecrets());
    ASSERT_TRUE(loaded.ok()) << ErrorOf(loaded);
    EXPECT_THAT(loaded->warnings, IsEmpty());
    EXPECT_FALSE(loaded->store.bucket.empty());
  }
  EXPECT_THAT(names, ::testing::ElementsAre("aws.toml", "backup-host.toml", "ceph.toml",
                                            "kodo.toml", "local.toml", "minio.toml",
                                            "qingstor.toml", "s3-compatible.toml"));
}

/// With keys in place, each names a store that can be opened: what it says is not only well-formed
/// but valid for its provider.
TEST(Samples, AreValidForTheirProvider) {
  for (const std::filesystem::path& path : Samples()) {
    const std::string name = path.filename().string();
    SCOPED_TRACE(name);
    Result<MountConfig> loaded =
        ParseMountConfig(ReadWholeFile(path), path.string(), true, WithoutSecrets());
    ASSERT_TRUE(loaded.ok()) << ErrorOf(loaded);
    const Result<const Profile*> profile = FindProfile(loaded->store.provider);
    ASSERT_TRUE(profile.ok());
    if ((*profile)->protocol != Protocol::kS3) continue;
    loaded->store.credentials = {"AK", "SK", ""};
    const Result<ResolvedStore> resolved = ResolveStore(loaded->store);
    EXPECT_TRUE(resolved.ok()) << resolved.error().message();
  }
}

/// Whatever is broken in a file, loading ends with a config or a message, and no message repeats
/// the secret.
TEST(Samples, BrokenInAnyWayTheyNeverCrashOrLeak) {
  constexpr int kRounds = 400;
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  const std::string secret = "q7Zx9KwPvT3mLrYb";
  const std::vector<std::string> pieces = {"\"",
                                           "'",
                                           "=",
                                           "[",
                                           "]",
                                           "{",
                                           "}",
                                           "\n",
                                           "\\",
                                           "#",
                                           ".",
                                           "\xff",
                                           std::string(1, '\0'),
                                           "\"\"\"",
                                           "[[",
                                           "1e999",
                                           "0x",
                                           "-",
                                           "\\u",
                                           "true",
                                           "99999999999999999999",
                                           "{ command = [\"/bin/false\"] }"};
  const auto below = [&random](size_t limit) { return limit == 0 ? 0 : random() % limit; };
  for (const std::filesystem::path& path : Samples()) {
    const std::string original = ReadWholeFile(path);
    for (int round = 0; round < kRounds; ++round) {
      std::string text = original;
      const size_t credentials = text.find("[credentials]\n");
      if (credentials != std::string::npos) {
        text.insert(credentials + 14, "session_token = \"" + secret + "\"\n");
      }
      const size_t changes = 1 + below(4);
      for (size_t change = 0; change < changes; ++change) {
        const size_t at = below(text.size());
        switch (below(4)) {
          case 0:
            text.erase(at, 1 + below(20));
            break;
          case 1:
            text.insert(at, pieces[below(pieces.size())]);
            break;
          case 2:
            text[at] = static_cast<char>(below(256));
            break;
          default:
            text.insert(below(text.size()), text.substr(at, below(60)));
            break;
        }
      }
      const Result<MountConfig> loaded = ParseMountConfig(text, "n.toml", false, WithoutSecrets());
      if (loaded.ok()) {
        if (loaded->store.credentials.session_token == secret) {
          EXPECT_THAT(RenderEffectiveConfig(*loaded), Not(HasSubstr(secret)));
        }
      } else {
        EXPECT_FALSE(loaded.error().message().empty());
      }
    }
  }
}

/// The same, but only the line of the secret is damaged.
TEST(Samples, ADamagedSecretIsNeverQuoted) {
  const std::string head = "bucket = \"b\"\n[credentials]\naccess_key_id = \"AK\"\n";
  const std::string secret = "q7Zx9KwPvT3mLrYb";
  for (const std::string& line :
       {"secret_access_key = " + secret, "secret_access_key = \"" + secret,
        "secret_access_key = '" + secret, "secret_access_key = \"" + secret + "\" x",
        "secret_access_key = [\"" + secret + "\"]", "secret_access_key = { " + secret + " = 1 }",
        "secret_access_key = { value = \"" + secret + "\" }",
        "secret_access_key = { command = [\"" + secret + "\"] }",
        "secret_acces_key = \"" + secret + "\"", "secret_access_key = \"" + secret + "\\n\"",
        "sse_customer_key = \"" + secret + "\""}) {
    const Result<MountConfig> loaded =
        ParseMountConfig(head + line + "\n", "n.toml", false, WithoutSecrets());
    EXPECT_FALSE(loaded.ok()) << line;
    EXPECT_THAT(ErrorOf(loaded), HasSubstr("n.toml:")) << line;
    EXPECT_THAT(ErrorOf(loaded), Not(HasSubstr(secret.substr(0, 8)))) << line;
  }
}

}  // namespace
}  // namespace quayfs
