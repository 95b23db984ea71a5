// SPDX-License-Identifier: Apache-2.0

#include "providers/local_names.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <vector>

#include "base/text.h"

namespace quayfs {
namespace {

/// Follows a path back to its key, as a listing does; "" if a component is not ours.
std::string KeyOf(const std::string& path) {
  std::string key;
  bool continuing = false;
  for (const std::string_view component : Split(path, '/')) {
    const auto name = ParseLocalName(component, continuing);
    if (!name) return "";
    key += name->text;
    if (name->kind == LocalName::Kind::kPrefix) key += '/';
    continuing = name->kind == LocalName::Kind::kContinued;
  }
  return key;
}

void CheckPath(const std::string& key) {
  const std::string path = LocalObjectPath(key);
  for (const std::string_view component : Split(path, '/')) {
    EXPECT_FALSE(component.empty()) << path;
    EXPECT_LE(component.size(), 201u) << path;
    EXPECT_NE(component[0], '.') << path << " could name a folder of ours, '.' or '..'";
    EXPECT_EQ(component.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123"
                                          "456789-_.~%+="),
              std::string_view::npos);
  }
  EXPECT_EQ(KeyOf(path), key);
}

TEST(LocalNames, Examples) {
  EXPECT_EQ(LocalObjectPath("notes"), "notes=");
  EXPECT_EQ(LocalObjectPath("photos/2024/beach.jpg"), "photos/2024/beach.jpg=");
  EXPECT_EQ(LocalObjectPath("photos/2024/"), "photos/2024/=");
  EXPECT_EQ(LocalObjectPath("//"), "%/%/=");
  EXPECT_EQ(LocalObjectPath("a//b"), "a/%/b=");
  EXPECT_EQ(LocalObjectPath("../.hidden"), "%2E./%2Ehidden=");
  EXPECT_EQ(LocalObjectPath("a=+%"), "a%3D%2B%25=");
  EXPECT_EQ(LocalDirectoryPath(""), "");
  EXPECT_EQ(LocalDirectoryPath("a/b/"), "a/b/");
  EXPECT_EQ(LocalObjectPath(std::string(250, 'x')),
            std::string(200, 'x') + "+/" + std::string(50, 'x') + "=");
}

TEST(LocalNames, ALongPieceNeverBecomesAParentDirectory) {
  // Behind a cut, ".." would be the whole name of a directory.
  EXPECT_EQ(LocalObjectPath(std::string(200, 'x') + "../y"), std::string(200, 'x') + "+/%2E./y=");
  CheckPath(std::string(200, 'x') + "../y");
  CheckPath(std::string(400, '.'));
}

TEST(LocalNames, EveryByteAndEveryLength) {
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    CheckPath(std::string(1, c));
    CheckPath("a" + std::string(1, c) + "b");
    for (size_t length = 60; length < 70; ++length) CheckPath(std::string(length, c));
    for (size_t length = 195; length < 210; ++length) CheckPath(std::string(length, c));
    CheckPath(std::string(1024, c));
  }
}

TEST(LocalNames, RandomKeysHavePathsOfTheirOwn) {
  const auto seed = std::random_device()();
  std::printf("seed %u\n", seed);
  std::mt19937 random(seed);
  const std::string alphabet = "ab./%=+~\x01\xff";
  std::map<std::string, std::string> keys;
  for (int i = 0; i < 20000; ++i) {
    std::string key(1 + random() % (i % 100 == 0 ? 1024 : 12), '\0');
    for (char& c : key) c = alphabet[random() % alphabet.size()];
    CheckPath(key);
    const auto [entry, inserted] = keys.emplace(LocalObjectPath(key), key);
    EXPECT_EQ(entry->second, key) << "two keys with one path";
  }
}

TEST(LocalNames, NamesThatAreNotOurs) {
  for (const char* name : {"", ".", "..", ".quayfs-tmp", "lost+found", "a b", "%zz", "%2e", "%41",
                           "%4", "%%", "short+", "+", "a%=", "caf\xc3\xa9"}) {
    EXPECT_FALSE(ParseLocalName(name, false).has_value()) << name;
  }
  EXPECT_FALSE(ParseLocalName("%", true).has_value());
  EXPECT_FALSE(ParseLocalName("=", true).has_value());
  EXPECT_TRUE(ParseLocalName("=", false).has_value());
  EXPECT_TRUE(ParseLocalName("%", false).has_value());
}

}  // namespace
}  // namespace quayfs
