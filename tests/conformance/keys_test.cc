// SPDX-License-Identifier: Apache-2.0
//
// Odd keys: every key that the store takes is a key of its own, in every operation.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "tests/conformance/store_under_test.h"

namespace quayfs::conformance {
namespace {

/// Relative to the test's prefix, which ends with '/'.
std::vector<std::string> OddNames() {
  std::vector<std::string> names = {
      "plain",
      "dir/",
      "dir/file",
      "dir",
      "//",
      "a//b",
      "a/",
      "/leading",
      "trailing/",
      ".",
      "..",
      "./a",
      "../a",
      "a/.",
      "a/..",
      "a/../b",
      "a/./b",
      ".hidden",
      "...",
      "a b",
      " leading blank",
      "trailing blank ",
      "a+b",
      "a%20b",
      "a%2Fb",
      "100%",
      "%",
      "%%",
      "a=b",
      "=",
      "+",
      "a=",
      "a+",
      "q?x=1&y=2",
      "hash#tag",
      "semi;colon",
      "colon:at@",
      "quotes\"'`",
      "back\\slash",
      "<xml>&amp;",
      "[brackets]{braces}|pipe^caret~",
      "comma,dollar$star*paren()!",
      "gr\xc3\xbc\xc3\x9f",
      "\xe4\xb8\xad\xe6\x96\x87/\xe6\x96\x87\xe4\xbb\xb6",
      "\xf0\x9f\x9a\xa2",
      "e\xcc\x81",  // e and a combining accent
      "\xc3\xa9",   // the same to the eye
      "UPPER",
      "upper",
      ".quayfs-tmp/x",
  };
  names.push_back(std::string(255, 'n'));
  names.push_back(std::string(256, 'n'));
  names.push_back(std::string(300, 'm') + "/" + std::string(300, 'm'));
  names.push_back(std::string(200, 'k'));
  names.push_back(std::string(200, 'k') + "..");
  names.push_back(std::string(200, 'k') + "../x");
  names.push_back(std::string(200, 'k') + "/x");
  names.push_back(std::string(201, 'k'));
  for (const char* text : {"%", "\xc3\xa9"}) {
    std::string many;
    while (many.size() < 280) many += text;
    names.push_back(many);
  }
  return names;
}

class Keys : public Conformance {};

TEST_P(Keys, EachIsAnObjectOfItsOwn) {
  const std::vector<std::string> names = OddNames();
  for (size_t i = 0; i < names.size(); ++i) PutText(Key(names[i]), fmt::format("text {}", i));
  for (size_t i = 0; i < names.size(); ++i) {
    EXPECT_EQ(GetText(Key(names[i])), fmt::format("text {}", i)) << names[i];
  }
  std::vector<std::string> expected;
  expected.reserve(names.size());
  for (const std::string& name : names) expected.push_back(Key(name));
  std::sort(expected.begin(), expected.end());
  EXPECT_EQ(ListKeys(prefix()), expected);
  EXPECT_EQ(ListKeys(prefix(), 7), expected);
}

TEST_P(Keys, EachLevelListsItsOwn) {
  const std::vector<std::string> names = OddNames();
  for (const std::string& name : names) PutText(Key(name), "");
  // Descend by delimiter, as a file system does, and collect everything again.
  std::set<std::string> seen;
  std::vector<std::string> pending = {prefix()};
  while (!pending.empty()) {
    const std::string directory = pending.back();
    pending.pop_back();
    const ListPage page = ListAll(directory, "/", 5);
    for (const ObjectInfo& info : page.objects) {
      EXPECT_TRUE(seen.insert(info.key).second) << info.key << " came twice";
    }
    for (const std::string& below : page.common_prefixes) {
      EXPECT_TRUE(below.starts_with(directory) && below.ends_with('/') && below != directory);
      pending.push_back(below);
    }
  }
  EXPECT_EQ(seen.size(), names.size());
  for (const std::string& name : names) EXPECT_TRUE(seen.contains(Key(name))) << name;
}

TEST_P(Keys, CopiesAndDeletes) {
  const std::vector<std::string> names = OddNames();
  for (size_t i = 0; i < names.size(); ++i) {
    const std::string source = Key("s/" + names[i]);
    const std::string target = Key("t/" + names[i]);
    const std::string text = fmt::format("text {}", i);
    PutText(source, text);
    const auto copied = store().Copy(source, "", target, std::nullopt, Condition::None(), call_);
    EXPECT_OK(copied);
    EXPECT_EQ(GetText(target), text) << names[i];
    EXPECT_OK(store().Delete(source, Condition::None(), call_));
    EXPECT_CODE(Code::kNotFound, store().Head(source, call_));
  }
  std::vector<std::string> targets;
  targets.reserve(names.size());
  for (const std::string& name : names) targets.push_back(Key("t/" + name));
  const auto outcomes = store().DeleteMany(targets, call_);
  ASSERT_OK(outcomes);
  for (const DeleteOutcome& outcome : *outcomes) EXPECT_OK(outcome.status);
  EXPECT_TRUE(ListKeys(prefix()).empty());
}

TEST_P(Keys, Uploads) {
  for (const char* name : {"a b+c%20", "gr\xc3\xbc\xc3\x9f/..", "<&>\"", "//x/"}) {
    const std::string key = Key(name);
    const auto id = store().CreateUpload(key, {}, call_);
    ASSERT_OK(id);
    const auto part =
        store().UploadPart(key, *id, 1, MemorySource(std::string_view("text")), call_);
    ASSERT_OK(part);
    const auto parts = store().ListParts(key, *id, call_);
    ASSERT_OK(parts);
    ASSERT_OK(store().CompleteUpload(key, *id, *parts, Condition::None(), call_));
    EXPECT_EQ(GetText(key), "text");
  }
}

TEST_P(Keys, AsLongAsAllowed) {
  const auto limit = static_cast<size_t>(caps().key_size_max);
  std::string key = Key("");
  while (key.size() + 101 <= limit) key += std::string(100, 'd') + "/";
  key += std::string(limit - key.size(), 'f');
  PutText(key, "long");
  EXPECT_EQ(GetText(key), "long");
  EXPECT_EQ(ListKeys(prefix()), std::vector<std::string>{key});
  EXPECT_CODE(Code::kNameTooLong, store().Put(key + "x", MemorySource(std::string_view("x")), {},
                                              Condition::None(), call_));
  EXPECT_CODE(Code::kInvalidArgument, store().Head("", call_));
  EXPECT_CODE(Code::kInvalidArgument,
              store().Put("", MemorySource(std::string_view("x")), {}, Condition::None(), call_));
}

TEST_P(Keys, ControlBytes) {
  // XML cannot carry these; a store either refuses the key or keeps it, and says which.
  for (const char* name :
       {"tab\there", "line\nfeed", "carriage\rreturn", "\x01\x02\x1f", "del\x7f"}) {
    const auto put =
        store().Put(Key(name), MemorySource(std::string_view("x")), {}, Condition::None(), call_);
    if (!put) continue;
    EXPECT_EQ(GetText(Key(name)), "x");
    EXPECT_OK(store().Delete(Key(name), Condition::None(), call_));
    EXPECT_CODE(Code::kNotFound, store().Head(Key(name), call_));
  }
}

INSTANTIATE_TEST_SUITE_P(Stores, Keys, testing::ValuesIn(StoreFactories()), FactoryName);

}  // namespace
}  // namespace quayfs::conformance
