// SPDX-License-Identifier: Apache-2.0

#include "providers/object_store.h"

#include <gtest/gtest.h>

#include <array>

namespace quayfs {
namespace {

TEST(SameEtag, WhatDoesNotMatter) {
  const std::string hex = "0123456789abcdef0123456789ABCDEF";
  const std::string upper = "0123456789ABCDEF0123456789abcdef";
  EXPECT_TRUE(SameEtag("\"" + hex + "\"", hex));
  EXPECT_TRUE(SameEtag("W/\"" + hex + "\"", "\"" + hex + "\""));
  EXPECT_TRUE(SameEtag(hex, upper));
  EXPECT_TRUE(SameEtag(hex + "-3", "\"" + upper + "-3\""));
}

TEST(SameEtag, WhatMatters) {
  EXPECT_FALSE(SameEtag("", ""));
  EXPECT_FALSE(SameEtag("\"\"", "\"\""));
  EXPECT_FALSE(SameEtag("\"a\"", "\"b\""));
  EXPECT_FALSE(SameEtag("\"Opaque\"", "\"opaque\"")) << "only digests are without case";
  EXPECT_FALSE(SameEtag("0123456789abcdef0123456789abcdef", "0123456789abcdef0123456789abcdef-1"));
}

TEST(MemorySource, ReadsOnlyWhatIsThere) {
  const MemorySource source(std::string_view("hello"));
  EXPECT_EQ(source.size(), 5u);
  std::array<std::byte, 3> out{};
  EXPECT_TRUE(source.Read(2, out).ok());
  EXPECT_EQ(out[2], std::byte{'o'});
  EXPECT_FALSE(source.Read(3, out).ok());
  EXPECT_FALSE(source.Read(~0ull, out).ok());
}

}  // namespace
}  // namespace quayfs
