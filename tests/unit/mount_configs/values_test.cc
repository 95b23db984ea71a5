// SPDX-License-Identifier: Apache-2.0

#include "mount-configs/values.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "base/text.h"
#include "mount-configs/url_text.h"

namespace quayfs {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(ParseDuration, UnitsAddUp) {
  EXPECT_EQ(*ParseDuration("90s"), Duration(seconds(90)));
  EXPECT_EQ(*ParseDuration("1h30m"), Duration(seconds(5400)));
  EXPECT_EQ(*ParseDuration("250ms"), Duration(milliseconds(250)));
  EXPECT_EQ(*ParseDuration("2d"), Duration(hours(48)));
  EXPECT_EQ(*ParseDuration("1m1ms"), Duration(milliseconds(60001)));
  EXPECT_EQ(*ParseDuration("0"), Duration{0});
  EXPECT_EQ(*ParseDuration("0s"), Duration{0});
}

TEST(ParseDuration, RefusesWhatCouldBeMisread) {
  for (const char* text : {"", "60", "s", "1x", "1s1h", "1s1s", "-1s", "1.5s", "1 s", " 1s", "1S",
                           "367d", "99999999999999999999s", "18446744073709551615h", "1h 30m"}) {
    EXPECT_FALSE(ParseDuration(text).ok()) << text;
  }
}

TEST(FormatDuration, IsUndoneByParse) {
  for (const int64_t ms :
       {0, 1, 250, 1000, 60000, 90000, 120000, 3600000, 5400000, 86400000, 90061001}) {
    const Duration duration{milliseconds(ms)};
    const Result<Duration> back = ParseDuration(FormatDuration(duration));
    ASSERT_TRUE(back.ok()) << FormatDuration(duration);
    EXPECT_EQ(*back, duration);
  }
  EXPECT_EQ(FormatDuration(seconds(60)), "60s");
  EXPECT_EQ(FormatDuration(seconds(5400)), "1h30m");
}

TEST(FormatExactSize, IsUndoneByParse) {
  for (const uint64_t bytes : {uint64_t{0}, uint64_t{1}, uint64_t{1000}, uint64_t{1024},
                               uint64_t{1536}, uint64_t{20} << 30, uint64_t{1} << 50, UINT64_MAX}) {
    const Result<uint64_t> back = ParseSize(FormatExactSize(bytes));
    ASSERT_TRUE(back.ok()) << FormatExactSize(bytes);
    EXPECT_EQ(*back, bytes);
  }
  EXPECT_EQ(FormatExactSize(uint64_t{20} << 30), "20GiB");
}

TEST(ParseBool, KnowsTheUsualWords) {
  for (const char* text : {"true", "TRUE", "yes", "on", "1"}) EXPECT_TRUE(*ParseBool(text)) << text;
  for (const char* text : {"false", "No", "OFF", "0"}) EXPECT_FALSE(*ParseBool(text)) << text;
  for (const char* text : {"", "2", "tru", "y", "true "})
    EXPECT_FALSE(ParseBool(text).ok()) << text;
}

TEST(QuoteToml, EscapesWhatTomlWouldMisread) {
  EXPECT_EQ(QuoteToml("a\"b\\c\n\x7f"), "\"a\\\"b\\\\c\\u000A\\u007F\"");
  const TomlDocument document = ParseToml("k = " + QuoteToml("a\"b\\c\n\t\x01"));
  ASSERT_TRUE(document.errors.empty());
  EXPECT_EQ(document.root.entries.at(0).value.text, "a\"b\\c\n\t\x01");
}

TEST(Url, PasswordsAreMaskedAndNeverShown) {
  EXPECT_EQ(WithoutUserInfo("http://me:pw@proxy:1"), "http://***@proxy:1");
  EXPECT_EQ(WithoutUserInfo("http://proxy:1"), "http://proxy:1");
  const Result<std::string> endpoint = NormalizeEndpoint("ftp://me:hunter2@host");
  ASSERT_FALSE(endpoint.ok());
  EXPECT_EQ(endpoint.error().message().find("hunter2"), std::string::npos);
  const Status proxy = CheckProxy("http://me:hunter2@ho st:99999");
  ASSERT_FALSE(proxy.ok());
  EXPECT_EQ(proxy.error().message().find("hunter2"), std::string::npos);
  EXPECT_TRUE(CheckProxy("http://me:p@ss@proxy.example.org:3128").ok());
}

TEST(Toml, BrokenDocumentsDoNotQuoteThemselves) {
  for (const char* text : {"s = abcHUNTER2", "s = \"abcHUNTER2", "s = 12HUNTER2", "s HUNTER2",
                           "s = \"a\" HUNTER2", "s = 1234567890123456789012345678901234567890",
                           "[HUNTER2", "HUNTER2/x = 1", "s = 2020-HUNTER2", "s = 'HUNTER2"}) {
    const TomlDocument document = ParseToml(text);
    ASSERT_EQ(document.errors.size(), 1U) << text;
    const std::string& message = document.errors.front().message;
    EXPECT_EQ(message.find("HUNTER"), std::string::npos) << message;
    EXPECT_EQ(message.find("12345678901234567890"), std::string::npos) << message;
  }
}

TEST(Toml, DepthAndSizeAreLimited) {
  std::string deep = "a = ";
  for (int i = 0; i < 5000; ++i) deep += "[";
  EXPECT_FALSE(ParseToml(deep).errors.empty());
  std::string dotted = "a";
  for (int i = 0; i < 3000; ++i) dotted += ".a";
  EXPECT_FALSE(ParseToml(dotted + " = 1").errors.empty());
  EXPECT_FALSE(ParseToml(std::string(300 * 1024, '\n')).errors.empty());
  EXPECT_FALSE(ParseToml("a = \"" + std::string(10000, 'x') + "\"").errors.empty());
}

TEST(Toml, PositionsAreThoseOfTheFile) {
  const TomlDocument document = ParseToml("# c\nb = 1\n\n[cache]\n  size = \"1GiB\"\n");
  ASSERT_EQ(document.root.entries.size(), 2U);
  EXPECT_EQ(document.root.entries[0].key, "b");
  EXPECT_EQ(document.root.entries[0].position.line, 2U);
  const TomlEntry& size = document.root.entries[1].value.entries.at(0);
  EXPECT_EQ(size.position.line, 5U);
  EXPECT_EQ(size.position.column, 3U);
}

}  // namespace
}  // namespace quayfs
