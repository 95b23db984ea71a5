// SPDX-License-Identifier: Apache-2.0

#include "mount-configs/compose.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace quayfs {
namespace {

using ::testing::HasSubstr;

std::string ErrorOf(const Settings& settings) {
  const auto text = ComposeMountConfig(settings, "/etc/quayfs/n.toml");
  return text.ok() ? "" : std::string(text.error().message());
}

TEST(Compose, HasWhatWasChosenAndNothingElse) {
  Settings settings;
  settings.options = {"cache-size=5GiB", "provider=kodo", "ro", "bucket=b", "region=", "uid=0"};
  settings.secret_file = "/etc/quayfs/n.secret";
  settings.options.emplace_back("access_key_id=AK");
  const auto text = ComposeMountConfig(settings, "/etc/quayfs/n.toml");
  ASSERT_TRUE(text.ok()) << text.error().message();
  EXPECT_EQ(
      text->substr(text->find('\n') + 1),
      "provider = \"kodo\"\nbucket = \"b\"\n\n[credentials]\naccess_key_id = \"AK\"\n"
      "secret_access_key = { file = \"/etc/quayfs/n.secret\" }\n\n[cache]\nsize = \"5GiB\"\n\n"
      "[mount]\nread_only = true\nuid = 0\n");
}

TEST(Compose, ASecretThatWasTypedIsQuoted) {
  Settings settings;
  settings.options = {"bucket=b", "access_key_id=AK"};
  settings.secret = "a\"b\\c";
  const auto text = ComposeMountConfig(settings, "/etc/quayfs/n.toml");
  ASSERT_TRUE(text.ok()) << text.error().message();
  EXPECT_THAT(*text, HasSubstr("secret_access_key = \"a\\\"b\\\\c\"\n"));
}

TEST(Compose, SaysWhatIsWrong) {
  EXPECT_THAT(ErrorOf({.options = {"bukcet=b"}}), HasSubstr("did you mean 'bucket'?"));
  EXPECT_THAT(ErrorOf({.options = {"bucket"}}), HasSubstr("'bucket' needs a value"));
  EXPECT_THAT(ErrorOf({.options = {"bucket=b", "cache.size=much"}}),
              HasSubstr("'cache.size' must be a size"));
  EXPECT_THAT(ErrorOf({.options = {"bucket=b", "secret_access_key=x"}}),
              HasSubstr("must not stand on a command line"));
  EXPECT_THAT(ErrorOf({.options = {"provider=aws"}}), HasSubstr("missing key 'bucket'"));
  EXPECT_THAT(ErrorOf({.options = {"bucket=b", "access_key_id=AK"}}),
              HasSubstr("secret_access_key"));
}

}  // namespace
}  // namespace quayfs
