// SPDX-License-Identifier: Apache-2.0
//
// A file of the cache against a string, under random operations.

#include <gtest/gtest.h>

#include <random>

#include "tests/unit/cache/cache_fixture.h"

namespace quayfs {
namespace {

class ModelTest : public CacheTest {
 protected:
  void Run(uint64_t seed, int steps, bool streaming) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    std::mt19937_64 random(seed);
    const auto below = [&](uint64_t limit) { return random() % limit; };
    CacheConfig config = SmallConfig(directory.path() + "/" + std::to_string(seed));
    config.size_limit = 100000 + below(200000);
    Start(config);
    std::string content = RandomText(below(2) == 0 ? 0 : below(400000), seed);
    std::shared_ptr<FileData> file = content.empty() ? NewFile() : OpenObject("a", content);
    ReadPattern pattern;
    for (int step = 0; step < steps; ++step) {
      SCOPED_TRACE(testing::Message() << "step " << step);
      const uint64_t offset = below(content.size() + 1000);
      const uint64_t length = below(below(4) == 0 ? 100000 : 3000);
      switch (below(12)) {
        case 0:
        case 1:
        case 2: {
          auto text = TryRead(*file, offset, length, below(2) == 0 ? nullptr : &pattern);
          ASSERT_TRUE(text.ok()) << text.error().ToString();
          const std::string expected =
              offset < content.size() ? content.substr(offset, length) : "";
          ASSERT_TRUE(*text == expected) << offset << " " << length;
          break;
        }
        case 3:
        case 4:
        case 5: {
          const std::string text = RandomText(length, random());
          const uint64_t at = below(4) == 0 ? content.size() : offset;
          if (length > 0 && at + length > content.size()) content.resize(at + length, '\0');
          if (length > 0) content.replace(at, length, text);
          Write(*file, at, text);
          break;
        }
        case 6: {
          const uint64_t size = below(2) == 0 ? offset : below(400000);
          content.resize(size, '\0');
          ASSERT_TRUE(file->Truncate(size).ok());
          break;
        }
        case 7: {
          const std::string key = below(4) == 0 ? "b" : "a";
          PublishOk(*file, key);
          ASSERT_TRUE(store.Find(key)->data == content);
          break;
        }
        case 8: {  // somebody else has the room
          const std::string other = RandomText(250000, 1);
          auto filler = OpenObject("filler", other, 2);
          ASSERT_TRUE(ReadAll(*filler) == other);
          break;
        }
        case 9:
          if (!file->dirty()) {
            content = RandomText(below(300000), random());
            const std::string key = file->state().base.key;
            file->Replace({key, store.SetObject(key, content), content.size()});
          }
          break;
        case 10: {
          const BaseVersion base = file->state().base;
          if (!base.exists()) break;
          file.reset();
          auto again = cache->Open(1, base);
          ASSERT_TRUE(again.ok());
          file = *again;
          break;
        }
        default:
          if (streaming) file->AllowStreaming("a", {});
          if (file->state().base.exists() && below(4) == 0) {
            const BaseVersion base = file->state().base;
            const auto object = store.Find(base.key);
            file->Rebase({"moved", store.SetObject("moved", object->data), base.size});
          }
      }
      ASSERT_EQ(file->size(), content.size());
    }
    ASSERT_TRUE(ReadAll(*file) == content);
    PublishOk(*file, "a");
    ASSERT_TRUE(store.Find("a")->data == content);
    EXPECT_TRUE(Eventually([&] { return store.open_uploads() == 0; }));
    Finish(file);
  }
};

TEST_F(ModelTest, AgreesWithAString) {
  const uint64_t first = std::random_device{}();
  for (uint64_t seed = first; seed < first + 12 && !HasFailure(); ++seed) Run(seed, 250, false);
}

TEST_F(ModelTest, AgreesWithAStringWhileSendingAhead) {
  const uint64_t first = std::random_device{}();
  for (uint64_t seed = first; seed < first + 12 && !HasFailure(); ++seed) Run(seed, 250, true);
}

}  // namespace
}  // namespace quayfs
