// SPDX-License-Identifier: Apache-2.0
//
// One failure at a time, at every place where one can happen: nothing acknowledged is lost, nothing
// wrong is published.

#include <gtest/gtest.h>

#include <set>

#include "tests/unit/cache/cache_fixture.h"
#include "tests/unit/cache/fault_disk.h"

namespace quayfs {
namespace {

class FaultTest : public CacheTest {
 protected:
  FaultTest() { disk = &faulty; }

  CacheConfig Config(int run) const {
    CacheConfig config = SmallConfig(directory.path() + "/" + std::to_string(run));
    config.size_limit = 200 << 10;  // so that evictions happen
    config.transfers = 2;
    return config;
  }

  // What the file must be. Changed only by what the file acknowledged.
  std::string content;
  std::set<std::string> published;  // what the object may be

  void DoWrite(FileData& file, uint64_t offset, std::string_view text) {
    if (!file.Write(offset, BytesOf(text))) return;
    if (offset + text.size() > content.size()) content.resize(offset + text.size(), '\0');
    content.replace(offset, text.size(), text);
  }
  void DoTruncate(FileData& file, size_t size) {
    if (file.Truncate(size)) content.resize(size, '\0');
  }
  void DoRead(FileData& file, uint64_t offset, size_t size) {
    auto text = TryRead(file, offset, size);
    if (!text) return;
    ASSERT_TRUE(*text == content.substr(std::min<size_t>(offset, content.size()), size));
  }
  void DoPublish(FileData& file) {
    auto info = file.Publish(To("a"), {});
    if (info) published.clear();
    published.insert(content);
    CheckObject();
  }
  void CheckObject() {
    auto object = store.Find("a");
    ASSERT_TRUE(object.has_value());
    ASSERT_TRUE(published.contains(object->data)) << "the object is no state that the file had";
  }

  void Scenario(FileData& file) {
    DoRead(file, 100000, 5000);
    DoWrite(file, 200000, RandomText(3000, 1));
    DoWrite(file, 201000, RandomText(500, 2));
    DoRead(file, 199000, 8000);
    DoPublish(file);
    DoTruncate(file, 90000);
    DoWrite(file, 120000, RandomText(2000, 3));
    DoRead(file, 80000, 50000);
    DoTruncate(file, 121000);
    DoTruncate(file, 180000);
    DoPublish(file);
    DoWrite(file, 10, RandomText(200000, 4));
    DoWrite(file, 5000, RandomText(5000, 5));
    DoRead(file, 0, 300000);
    DoPublish(file);
    DoTruncate(file, 30000);
    DoWrite(file, 29000, RandomText(4000, 6));
    DoPublish(file);
  }

  /// Runs the scenario with failures as the hooks arrange them, then without, and sees that all is
  /// well. Returns the number of operations that the hooks could have hit.
  void Run(int run) {
    const std::string data = RandomText(300000, 99);
    content = data;
    published = {data};
    Start(Config(run));
    if (cache == nullptr) return;
    auto file = OpenObject("a", data);
    ASSERT_NO_FATAL_FAILURE(Scenario(*file));
    Disarm();
    EXPECT_TRUE(ReadAll(*file) == content);
    PublishOk(*file, "a");
    EXPECT_TRUE(store.Find("a")->data == content);
    EXPECT_TRUE(ReadAll(*file) == content);
    EXPECT_TRUE(Eventually([&] { return store.open_uploads() == 0; }));
    Finish(file);
  }

  void Disarm() { armed = false; }

  FaultDisk faulty{SystemDisk()};
  std::atomic<bool> armed{true};
};

TEST_F(FaultTest, EveryDiskOperation) {
  for (const Code code : {Code::kNoSpace, Code::kIo}) {
    for (int at = 0, run = 0;; at += 1, ++run) {
      SCOPED_TRACE(testing::Message()
                   << "disk operation " << at << " fails with " << CodeName(code));
      std::atomic<bool> hit{false};
      std::atomic<int> number{0};
      armed = true;
      faulty.fault = [&](int, std::string_view operation) {
        if (!armed || operation == "mkdir") return Code::kInternal;
        if (number++ != at) return Code::kInternal;
        hit = true;
        return code;
      };
      Run(run);
      if (HasFailure()) return cache.reset();  // while what the hooks use is still there
      if (!hit) {
        EXPECT_GT(at, 30);
        break;
      }
    }
  }
}

TEST_F(FaultTest, EveryStoreRequestFails) {
  for (const bool lost_reply : {false, true}) {
    for (const Code code : {Code::kUnavailable, Code::kPermissionDenied}) {
      if (lost_reply && code == Code::kPermissionDenied) continue;
      for (int at = 0, run = 0;; ++at, ++run) {
        SCOPED_TRACE(testing::Message() << "request " << at << " fails with " << CodeName(code)
                                        << (lost_reply ? " after it happened" : ""));
        std::atomic<bool> hit{false};
        std::atomic<int> number{0};
        armed = true;
        const auto hook = [&](const FakeRequest&) -> Status {
          if (!armed || number++ != at) return {};
          hit = true;
          return Error(code, "injected");
        };
        store.before = nullptr;
        store.after = nullptr;
        (lost_reply ? store.after : store.before) = hook;
        Run(run);
        if (HasFailure()) return cache.reset();  // while what the hooks use is still there
        if (!hit) {
          EXPECT_GT(at, lost_reply ? 5 : 15);
          break;
        }
      }
    }
  }
}

TEST_F(FaultTest, ADiskThatStaysFull) {
  for (int at = 0, run = 0;; at += 3, ++run) {
    SCOPED_TRACE(testing::Message() << "no write from operation " << at);
    std::atomic<bool> hit{false};
    std::atomic<int> number{0};
    armed = true;
    faulty.fault = [&](int, std::string_view operation) {
      if (!armed || operation != "write" || number++ < at) return Code::kInternal;
      hit = true;
      return Code::kNoSpace;
    };
    const std::string data = RandomText(300000, 99);
    content = data;
    published = {data};
    Start(Config(run));
    auto file = OpenObject("a", data);
    // On a disk that takes no byte back, bytes that a half-done write destroyed are gone: then
    // nothing is published, and reads say so.
    ASSERT_NO_FATAL_FAILURE(Scenario(*file));
    armed = false;
    auto whole = TryRead(*file, 0, content.size() + 1);
    EXPECT_TRUE(!whole || *whole == content);
    auto info = file->Publish(To("a"), {});
    EXPECT_EQ(info.ok(), whole.ok());
    published.insert(content);
    CheckObject();
    Finish(file);
    if (HasFailure() || !hit) break;
  }
}

}  // namespace
}  // namespace quayfs
