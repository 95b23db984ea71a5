// SPDX-License-Identifier: Apache-2.0
//
// Files of the cache: reading, writing, publishing.

#include "cache/file_data.h"

#include <gtest/gtest.h>

#include "tests/unit/cache/cache_fixture.h"

namespace quayfs {
namespace {

using Kind = FakeRequest::Kind;

class FileDataTest : public CacheTest {
 protected:
  void SetUp() override { Start(); }
};

TEST_F(FileDataTest, NewEmptyFileIsPublishedWithOnePut) {
  auto file = NewFile();
  EXPECT_TRUE(file->dirty());
  EXPECT_EQ(file->size(), 0u);
  PublishOk(*file, "a");
  EXPECT_EQ(store.Find("a")->data, "");
  EXPECT_EQ(store.log().size(), 1u);
}

TEST_F(FileDataTest, SmallFileIsOnePutAndThenClean) {
  auto file = NewFile();
  Write(*file, 0, "hello");
  Write(*file, 10, "world");
  PublishOk(*file, "a");
  EXPECT_EQ(store.Find("a")->data, std::string("hello\0\0\0\0\0world", 15));
  EXPECT_EQ(store.log().size(), 1u);
  EXPECT_EQ(file->state().base.key, "a");
  EXPECT_EQ(file->state().base.size, 15u);
  EXPECT_EQ(file->state().cached_bytes, 15u);
  EXPECT_EQ(ReadAll(*file), store.Find("a")->data);
  EXPECT_EQ(store.log().size(), 1u);
}

TEST_F(FileDataTest, LargeFileIsMultipart) {
  auto file = NewFile();
  const std::string data = RandomText((1 << 20) + 123, 1);
  Write(*file, 0, data);
  PublishOk(*file, "a");
  EXPECT_TRUE(store.Find("a")->data == data);
  EXPECT_EQ(store.Count(Kind::kPut), 0);
  EXPECT_EQ(store.Count(Kind::kComplete), 1);
  EXPECT_EQ(store.open_uploads(), 0u);
}

TEST_F(FileDataTest, ChangeInTheMiddleUploadsOnePartAndCopiesTheRest) {
  const std::string data = RandomText(1 << 20, 2);
  auto file = OpenObject("a", data);
  Write(*file, 500000, "changed");
  PublishOk(*file, "a");
  std::string expected = data;
  expected.replace(500000, 7, "changed");
  EXPECT_TRUE(store.Find("a")->data == expected);
  EXPECT_EQ(store.Count(Kind::kPart), 1);
  EXPECT_EQ(store.Count(Kind::kCopyPart), 2);
  for (const FakeRequest& request : store.log()) {
    if (request.kind == Kind::kGet || request.kind == Kind::kCopyPart) {
      EXPECT_FALSE(request.if_match.empty());
    }
  }
  EXPECT_TRUE(ReadAll(*file) == expected);
}

TEST_F(FileDataTest, ReadsComeFromTheStoreOnce) {
  const std::string data = RandomText(300000, 3);
  auto file = OpenObject("a", data);
  EXPECT_TRUE(ReadAll(*file) == data);
  const size_t requests = store.log().size();
  EXPECT_TRUE(ReadAll(*file) == data);
  EXPECT_EQ(store.log().size(), requests);
}

TEST_F(FileDataTest, ShrinkAndExtendShowsZeros) {
  auto file = OpenObject("a", std::string(100000, 'x'));
  ASSERT_TRUE(file->Truncate(50).ok());
  ASSERT_TRUE(file->Truncate(200).ok());
  EXPECT_EQ(ReadAll(*file), std::string(50, 'x') + std::string(150, '\0'));
  PublishOk(*file, "a");
  EXPECT_EQ(store.Find("a")->data, std::string(50, 'x') + std::string(150, '\0'));
}

TEST_F(FileDataTest, AFailedPartKeepsEverythingDirtyAndTheUpload) {
  auto file = NewFile();
  const std::string data = RandomText(1 << 20, 4);
  Write(*file, 0, data);
  store.before = [](const FakeRequest& request) -> Status {
    if (request.kind == Kind::kPart && request.part == 5)
      return Error(Code::kUnavailable, "broken");
    return {};
  };
  auto info = file->Publish(To("a"), {});
  ASSERT_TRUE(info.Is(Code::kUnavailable));
  EXPECT_EQ(info.error().message(), "broken");
  EXPECT_TRUE(file->dirty());
  EXPECT_EQ(file->state().dirty_bytes, data.size());
  EXPECT_FALSE(store.Find("a").has_value());
  EXPECT_EQ(store.open_uploads(), 1U);
  store.before = nullptr;
  PublishOk(*file, "a");
  EXPECT_EQ(store.open_uploads(), 0U);
  EXPECT_TRUE(store.Find("a")->data == data);
}

}  // namespace
}  // namespace quayfs
