// SPDX-License-Identifier: Apache-2.0

#include "base/text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace quayfs {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();

TEST(TextTest, TrimBlanks) {
  EXPECT_EQ(TrimBlanks(" \t\r\n a b \n"), "a b");
  EXPECT_EQ(TrimBlanks("ab"), "ab");
  EXPECT_EQ(TrimBlanks(" \t "), "");
  EXPECT_EQ(TrimBlanks(""), "");
  EXPECT_EQ(TrimBlanks("\va\v"), "\va\v");
}

TEST(TextTest, LowerCaseIsAsciiOnly) {
  EXPECT_EQ(ToLower("AbZ09[]@"), "abz09[]@");
  EXPECT_EQ(ToLower("\xc3\x89"), "\xc3\x89");
  EXPECT_TRUE(EqualsIgnoreCase("ETag", "etag"));
  EXPECT_TRUE(EqualsIgnoreCase("", ""));
  EXPECT_FALSE(EqualsIgnoreCase("etag", "etags"));
  EXPECT_FALSE(EqualsIgnoreCase("a[", "a{"));
}

TEST(TextTest, Split) {
  EXPECT_THAT(Split("", ','), ElementsAre(""));
  EXPECT_THAT(Split("a", ','), ElementsAre("a"));
  EXPECT_THAT(Split("a,b,,c,", ','), ElementsAre("a", "b", "", "c", ""));
}

TEST(TextTest, ParseUint) {
  EXPECT_EQ(ParseUint("0").value(), 0U);
  EXPECT_EQ(ParseUint("007").value(), 7U);
  EXPECT_EQ(ParseUint("18446744073709551615").value(), kMax);
  for (const char* text : {"", "-1", "+1", " 1", "1 ", "1.0", "0x10", "18446744073709551616",
                           "99999999999999999999", "1e3"}) {
    EXPECT_TRUE(ParseUint(text).Is(Code::kInvalidArgument)) << text;
  }
}

TEST(TextTest, ParseSize) {
  const std::pair<const char*, uint64_t> cases[] = {
      {"0", 0},
      {"4096", 4096},
      {"12B", 12},
      {"64KiB", 65536},
      {"5 MiB", 5242880},
      {"20GiB", uint64_t{20} << 30},
      {"3TiB", uint64_t{3} << 40},
      {"2PiB", uint64_t{2} << 50},
      {"15EiB", uint64_t{15} << 60},
      {"10kB", 10'000},
      {"10KB", 10'000},
      {"10MB", 10'000'000},
      {"10GB", 10'000'000'000},
      {"10TB", 10'000'000'000'000},
      {"10PB", 10'000'000'000'000'000},
      {"10EB", 10'000'000'000'000'000'000U},
      {"1gib", uint64_t{1} << 30},
  };
  for (const auto& [text, bytes] : cases) {
    const auto size = ParseSize(text);
    ASSERT_TRUE(size.ok()) << text;
    EXPECT_EQ(*size, bytes) << text;
  }
}

TEST(TextTest, ParseSizeRejects) {
  for (const char* text : {"", " ", "KiB", "-1", "1.5GiB", "1 ", " 1", "1KiBs", "1Kib2", "16EiB",
                           "18446744073709551616", "1\tKiB", "1Mi", "0x10"}) {
    EXPECT_TRUE(ParseSize(text).Is(Code::kInvalidArgument)) << text;
  }
}

TEST(TextTest, ParseSizeAsksWhichKindOfMegaIsMeant) {
  const auto size = ParseSize("64m");
  ASSERT_TRUE(size.Is(Code::kInvalidArgument));
  EXPECT_THAT(size.error().message(), HasSubstr("write MiB for powers of 1024 or MB"));
}

TEST(TextTest, FormatSize) {
  EXPECT_EQ(FormatSize(0), "0 B");
  EXPECT_EQ(FormatSize(1023), "1023 B");
  EXPECT_EQ(FormatSize(1024), "1 KiB");
  EXPECT_EQ(FormatSize(1536), "1.5 KiB");
  EXPECT_EQ(FormatSize(1024 * 1024 - 1), "1 MiB");
  EXPECT_EQ(FormatSize((uint64_t{20} << 30) + (uint64_t{1} << 28)), "20.3 GiB");
  EXPECT_EQ(FormatSize(uint64_t{1023} << 50), "1023 PiB");
  EXPECT_EQ(FormatSize(kMax), "16 EiB");
}

TEST(TextTest, PercentEncode) {
  EXPECT_EQ(PercentEncode("AZaz09-_.~", false), "AZaz09-_.~");
  EXPECT_EQ(PercentEncode("a/b c", false), "a%2Fb%20c");
  EXPECT_EQ(PercentEncode("a/b c", true), "a/b%20c");
  EXPECT_EQ(PercentEncode("+=&?%*'()!:@", true), "%2B%3D%26%3F%25%2A%27%28%29%21%3A%40");
  EXPECT_EQ(PercentEncode("\xc3\xa9", true), "%C3%A9");
  EXPECT_EQ(PercentEncode(std::string_view("\0\x1f\x7f\xff", 4), true), "%00%1F%7F%FF");
}

TEST(TextTest, PercentDecode) {
  EXPECT_EQ(PercentDecode("a%2Fb%2fc", false), "a/b/c");
  EXPECT_EQ(PercentDecode("a+b%20c", false), "a+b c");
  EXPECT_EQ(PercentDecode("a+b%20c%2B", true), "a b c+");
  EXPECT_EQ(PercentDecode("100%", false), "100%");
  EXPECT_EQ(PercentDecode("%2", false), "%2");
  EXPECT_EQ(PercentDecode("%zz%4x%41", false), "%zz%4xA");
  EXPECT_EQ(PercentDecode("%%41", false), "%A");
  EXPECT_EQ(PercentDecode("%2541", false), "%41");
}

TEST(TextTest, PercentEncodingOfRandomBytesComesBack) {
  const uint32_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  for (int i = 0; i < 500; ++i) {
    std::string raw(random() % 50, '\0');
    for (char& c : raw) c = static_cast<char>(random());
    ASSERT_EQ(PercentDecode(PercentEncode(raw, i % 2 == 0), i % 3 == 0), raw);
  }
}

TEST(TextTest, NearestName) {
  const std::vector<std::string> names = {"bucket",    "endpoint",   "region",
                                          "cache_dir", "cache_size", "fs"};
  EXPECT_EQ(NearestName("bucket", names), "bucket");
  EXPECT_EQ(NearestName("bukcet", names), "bucket");
  EXPECT_EQ(NearestName("buckets", names), "bucket");
  EXPECT_EQ(NearestName("Endpoint", names), "endpoint");
  EXPECT_EQ(NearestName("cachesize", names), "cache_size");
  EXPECT_EQ(NearestName("cache_dri", names), "cache_dir");
  EXPECT_EQ(NearestName("password", names), "");
  EXPECT_EQ(NearestName("", names), "");
  EXPECT_EQ(NearestName("x", names), "");
  EXPECT_EQ(NearestName("bucket", {}), "");
}

}  // namespace
}  // namespace quayfs
