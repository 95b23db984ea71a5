// SPDX-License-Identifier: Apache-2.0

#include "fs/content_type.h"

#include <gtest/gtest.h>

#include "tests/unit/fs/core_fixture.h"

namespace quayfs {
namespace {

TEST(ContentType, FollowsTheLastExtension) {
  EXPECT_EQ(ContentTypeOfName("site/index.HTML"), "text/html");
  EXPECT_EQ(ContentTypeOfName("a.tar.gz"), "application/gzip");
  EXPECT_EQ(ContentTypeOfName("7z.7z"), "application/x-7z-compressed");
  EXPECT_EQ(ContentTypeOfName("x.zst"), "application/zstd");
  for (const char* name : {"Makefile", ".html", "a.", "a.unknown", "dir.html/file", "", "a/", "."})
    EXPECT_EQ(ContentTypeOfName(name), "") << name;
}

TEST(ContentType, ATypeThatSomebodySetStays) {
  EXPECT_EQ(ContentTypeFor("a.html", "", ""), "text/html");
  EXPECT_EQ(ContentTypeFor("a.html", "", "binary/octet-stream"), "text/html");
  EXPECT_EQ(ContentTypeFor("a.html", "a.html", "text/x-mine"), "text/x-mine");
  EXPECT_EQ(ContentTypeFor("a.html", "b.txt", "text/plain; charset=gbk"),
            "text/plain; charset=gbk");
  EXPECT_EQ(ContentTypeFor("a.html", "b.txt", "text/plain"), "text/html");
  EXPECT_EQ(ContentTypeFor("a", "b.txt", "text/plain"), "application/octet-stream");
}

class ContentTypeTest : public CoreTest {
 protected:
  std::string TypeOf(const std::string& key) {
    Sync();
    const auto head = local_->Head(key, {});
    return head.ok() ? head->properties.content_type : head.error().ToString();
  }
};

TEST_F(ContentTypeTest, OfAFileIsThatOfItsExtension) {
  EXPECT_TRUE(WriteFile("a.html", "<p>").ok());
  EXPECT_TRUE(WriteFile("b", "?").ok());
  EXPECT_EQ(TypeOf("a.html"), "text/html");
  EXPECT_EQ(TypeOf("b"), "application/octet-stream");
}

TEST_F(ContentTypeTest, ARenameToAnotherExtensionTellsTheStore) {
  EXPECT_TRUE(WriteFile("a.tmp", "<p>").ok());
  EXPECT_TRUE(WriteFile("c.txt", "text").ok());
  EXPECT_EQ(TypeOf("a.tmp"), "application/octet-stream");
  EXPECT_TRUE(Rename("a.tmp", "a.html").ok());
  EXPECT_TRUE(Rename("c.txt", "d.txt").ok());
  EXPECT_EQ(TypeOf("a.html"), "text/html");
  EXPECT_EQ(TypeOf("d.txt"), "text/plain");
  EXPECT_EQ(Stat("a.html")->mode & 07777U, 0644U) << "the attributes came along";
}

TEST_F(ContentTypeTest, ATypeOfSomebodyElsesOutlivesAChange) {
  ObjectProperties properties;
  properties.content_type = "text/x-special";
  PutObject("a.html", "theirs", properties);
  AttributeChange change;
  change.mode = 0600;
  EXPECT_TRUE(Change("a.html", change).ok());
  EXPECT_EQ(TypeOf("a.html"), "text/x-special");
}

TEST_F(ContentTypeTest, IsPlainIfTheConfigSaysSo) {
  config_.content_type_by_name = false;
  Mount();
  EXPECT_TRUE(WriteFile("a.html", "<p>").ok());
  EXPECT_EQ(TypeOf("a.html"), "application/octet-stream");
}

}  // namespace
}  // namespace quayfs
