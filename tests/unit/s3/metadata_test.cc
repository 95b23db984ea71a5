// SPDX-License-Identifier: Apache-2.0

#include <gtest/gtest.h>

#include <random>

#include "s3/metadata_codec.h"

namespace quayfs::s3 {
namespace {

TEST(Metadata, OrdinaryValuesTravelUnchanged) {
  for (const char* value :
       {"", "33188", "1700000000.123456789", "a b", R"({"user.x":"YQ=="})", "~!@#$^&*()_+|\\"}) {
    EXPECT_EQ(EncodeMetadataValue(value), value);
  }
}

TEST(Metadata, EverythingElseIsEncoded) {
  EXPECT_EQ(EncodeMetadataValue("100%"), "100%25");
  EXPECT_EQ(EncodeMetadataValue("a\r\nX-Evil: 1"), "a%0D%0AX-Evil: 1");
  EXPECT_EQ(EncodeMetadataValue("é"), "%C3%A9");
  EXPECT_EQ(EncodeMetadataValue(" a  b "), "%20a %20b%20");
  EXPECT_EQ(EncodeMetadataValue("\t"), "%09");
  EXPECT_EQ(EncodeMetadataValue(std::string_view("\0\x7f", 2)), "%00%7F");
}

TEST(Metadata, ValuesOfOtherToolsAreReadLeniently) {
  EXPECT_EQ(DecodeMetadataValue("50% off, 100%"), "50% off, 100%");
  EXPECT_EQ(DecodeMetadataValue("%7B%22a%22%3A1%7D"), R"({"a":1})");
  EXPECT_EQ(DecodeMetadataValue("a+b"), "a+b");
}

TEST(Metadata, AnyBytesComeBack) {
  const auto seed = std::random_device{}();
  RecordProperty("seed", std::to_string(seed));
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  for (int round = 0; round < 2000; ++round) {
    std::string value(random() % 40, '\0');
    const bool narrow = random() % 2 == 0;
    for (char& c : value) c = narrow ? "% a\r2F"[random() % 7] : static_cast<char>(random());
    const std::string encoded = EncodeMetadataValue(value);
    EXPECT_EQ(DecodeMetadataValue(encoded), value);
    for (const char c : encoded) EXPECT_TRUE(c >= ' ' && c <= '~');
    EXPECT_EQ(encoded.find("  "), std::string::npos);
  }
}

TEST(Metadata, Names) {
  EXPECT_TRUE(IsMetadataName("mtime"));
  EXPECT_TRUE(IsMetadataName("--symlink-target"));
  for (const char* bad : {"", "Mode", "a b", "a:b", "a\nb", "é"})
    EXPECT_FALSE(IsMetadataName(bad)) << bad;
  EXPECT_FALSE(IsMetadataName(std::string(257, 'a')));
}

TEST(Metadata, HeadersThereAndBack) {
  HttpHeaders headers;
  const std::map<std::string, std::string> metadata = {
      {"mode", "33188"}, {"name", " two\nlines "}, {"empty", ""}};
  ASSERT_TRUE(AddMetadataHeaders(metadata, &headers).ok());
  EXPECT_EQ(headers.Get("x-amz-meta-mode"), "33188");
  headers.Add("Content-Type", "text/plain");
  headers.Add("X-Amz-Meta-Other", " x ");
  headers.Add("x-amz-meta-other", "y");
  headers.Add("x-amz-meta-", "nameless");
  std::map<std::string, std::string> expected = metadata;
  expected["other"] = "x,y";
  EXPECT_EQ(MetadataFromHeaders(headers), expected);
}

TEST(Metadata, BadNamesAreRefused) {
  HttpHeaders headers;
  EXPECT_TRUE(AddMetadataHeaders({{"a: b\r\nx", "1"}}, &headers).Is(Code::kInvalidArgument));
  ASSERT_TRUE(AddMetadataHeaders({{"Upper", "1"}}, &headers).ok());
  EXPECT_EQ(headers.all().back().name, "x-amz-meta-upper");
}

}  // namespace
}  // namespace quayfs::s3
