// SPDX-License-Identifier: Apache-2.0
//
// What travels with an object besides its bytes.

#include <gtest/gtest.h>

#include "tests/conformance/store_under_test.h"

namespace quayfs::conformance {
namespace {

class Metadata : public Conformance {
 protected:
  ObjectProperties Read(const std::string& key) {
    const auto head = store().Head(key, call_);
    EXPECT_OK(head);
    return head.ok() ? head->properties : ObjectProperties{};
  }
};

TEST_P(Metadata, ComesBackByteForByte) {
  ObjectProperties properties;
  properties.metadata = {
      {"mode", "33188"},
      {"mtime", "1700000000.123456789"},
      {"empty", ""},
      {"blanks", "  two  blanks  "},
      {"newlines", "a\nb\r\nc\n"},
      {"utf8", "gr\xc3\xbc\xc3\x9f dich \xe4\xbd\xa0\xe5\xa5\xbd \xf0\x9f\x9a\xa2"},
      {"not-utf8", std::string("\xff\xfe\x80 \x01\x7f", 6)},
      {"percent", "100% %41 %zz %"},
      {"quotes", "\"double\" 'single' \\back"},
      {"equals", "=?utf-8?B?YWJj?="},
      {"nul", std::string("a\0b", 3)},
      {"xml", "<a>&amp;</a>"},
      {"tab", "\ta\t"},
  };
  PutText(Key("a"), "x", properties);
  for (const auto& [name, value] : properties.metadata) {
    const ObjectProperties read = Read(Key("a"));
    const auto found = read.metadata.find(name);
    ASSERT_NE(found, read.metadata.end()) << name;
    EXPECT_EQ(found->second, value) << name;
  }
  EXPECT_EQ(Read(Key("a")).metadata.size(), properties.metadata.size());
  StringSink sink;
  const auto got = store().Get(GetRequest{Key("a"), {}, {}}, sink, call_);
  ASSERT_OK(got);
  EXPECT_EQ(got->properties.metadata, properties.metadata) << "get tells the same as head";
}

TEST_P(Metadata, EveryByteAlone) {
  ObjectProperties properties;
  for (int byte = 0; byte < 256; ++byte) {
    properties.metadata = {{"b", std::string(1, static_cast<char>(byte))}};
    // One object for a few of them: a request each would be many.
    if (byte % 16 == 0 || byte < 33 || byte == 127) {
      PutText(Key("a"), "x", properties);
      EXPECT_EQ(Read(Key("a")).metadata, properties.metadata) << byte;
    }
  }
}

TEST_P(Metadata, NearlyAsMuchAsAllowed) {
  // Within the two thousand bytes that every store allows, whatever the encoding costs.
  ObjectProperties properties;
  properties.metadata["long"] = std::string(1500, 'v');
  for (int i = 0; i < 10; ++i)
    properties.metadata["name" + std::to_string(i)] = "0123456789012345678";
  PutText(Key("a"), "x", properties);
  EXPECT_EQ(Read(Key("a")).metadata, properties.metadata);
}

TEST_P(Metadata, TooMuchIsRefused) {
  ObjectProperties properties;
  properties.metadata["long"] = std::string(caps().metadata_size_max + 1, 'v');
  EXPECT_CODE(Code::kTooLarge, store().Put(Key("a"), MemorySource(std::string_view("x")),
                                           properties, Condition::None(), call_));
  EXPECT_CODE(Code::kNotFound, store().Head(Key("a"), call_));
}

TEST_P(Metadata, Properties) {
  ObjectProperties properties;
  properties.content_type = "application/x-directory";
  properties.cache_control = "max-age=60, private";
  properties.content_disposition = "attachment; filename=\"a.txt\"";
  properties.content_encoding = "gzip";
  properties.content_language = "de";
  properties.metadata["k"] = "v";
  PutText(Key("a"), "these bytes are not gzip, and come back as they are", properties);
  const ObjectProperties read = Read(Key("a"));
  EXPECT_EQ(read.content_type, properties.content_type);
  EXPECT_EQ(read.cache_control, properties.cache_control);
  EXPECT_EQ(read.content_disposition, properties.content_disposition);
  EXPECT_EQ(read.content_encoding, properties.content_encoding);
  EXPECT_EQ(read.content_language, properties.content_language);
  EXPECT_EQ(read.metadata, properties.metadata);
  EXPECT_EQ(GetText(Key("a")), "these bytes are not gzip, and come back as they are");
}

TEST_P(Metadata, AReplacedObjectKeepsNothing) {
  ObjectProperties properties;
  properties.content_type = "text/x-first";
  properties.metadata["first"] = "1";
  PutText(Key("a"), "x", properties);
  PutText(Key("a"), "y");
  const ObjectProperties read = Read(Key("a"));
  EXPECT_TRUE(read.metadata.empty());
  EXPECT_NE(read.content_type, "text/x-first");
}

TEST_P(Metadata, BadNamesAreRefused) {
  for (const char* name : {"", "with blank", "colon:", "new\nline", "\xc3\xa9"}) {
    ObjectProperties properties;
    properties.metadata[name] = "v";
    EXPECT_CODE(Code::kInvalidArgument, store().Put(Key("a"), MemorySource(std::string_view("x")),
                                                    properties, Condition::None(), call_));
  }
  EXPECT_CODE(Code::kNotFound, store().Head(Key("a"), call_));
}

INSTANTIATE_TEST_SUITE_P(Stores, Metadata, testing::ValuesIn(StoreFactories()), FactoryName);

}  // namespace
}  // namespace quayfs::conformance
