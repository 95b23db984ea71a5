// SPDX-License-Identifier: Apache-2.0

#include "fs/key_names.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

namespace quayfs {
namespace {

using std::string_literals::operator""s;

TEST(KeyNames, OrdinarySegmentsAreTheirOwnNames) {
  for (const std::string segment :
       {"a", "a b", "%", "~", "%20", "\x01\n\xff", "...", ".quayfs", "a%~b"}) {
    EXPECT_EQ(NameOf(segment), segment);
    EXPECT_EQ(SegmentOf(segment)->text, segment);
    EXPECT_FALSE(SegmentOf(segment)->shadowed);
  }
}

TEST(KeyNames, OddSegmentsGetReversibleNames) {
  EXPECT_EQ(NameOf(""), "%~");
  EXPECT_EQ(NameOf("."), "%~%2E");
  EXPECT_EQ(NameOf(".."), "%~%2E%2E");
  EXPECT_EQ(NameOf("%~x"), "%~%25~x");
  EXPECT_EQ(NameOf("a\0b"s), "%~a%00b");
  EXPECT_EQ(NameOf("a", true), "%~a%f");
  EXPECT_EQ(NameOf("", true), "%~%f");
}

TEST(KeyNames, EveryNameStandsForOneSegment) {
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  std::set<std::string> names;
  std::set<std::pair<std::string, bool>> segments;
  for (int i = 0; i < 20000; ++i) {
    std::string segment(random() % 6, '\0');
    for (char& c : segment) c = "%~.f0a2E5\0"[random() % 10];
    const bool shadowed = random() % 4 == 0;
    const auto name = NameOf(segment, shadowed);
    ASSERT_TRUE(name.has_value());
    EXPECT_EQ(name->find('\0'), std::string::npos);
    EXPECT_NE(*name, ".");
    EXPECT_NE(*name, "..");
    EXPECT_NE(*name, "");
    const auto back = SegmentOf(*name);
    ASSERT_TRUE(back.has_value()) << *name;
    EXPECT_EQ(back->text, segment);
    EXPECT_EQ(back->shadowed, shadowed);
    EXPECT_EQ(names.insert(*name).second, segments.insert({segment, shadowed}).second) << *name;
  }
}

TEST(KeyNames, NamesThatNothingHas) {
  for (const char* name : {"%~x", "%~%2e", "%~%41", "%~%zz", "%~a%2E"})
    EXPECT_FALSE(SegmentOf(name).has_value()) << name;
}

TEST(KeyNames, LengthLimit) {
  EXPECT_TRUE(NameOf(std::string(255, 'x')).has_value());
  EXPECT_FALSE(NameOf(std::string(256, 'x')).has_value());
  EXPECT_FALSE(NameOf(std::string(254, 'x'), true).has_value());
}

}  // namespace
}  // namespace quayfs
