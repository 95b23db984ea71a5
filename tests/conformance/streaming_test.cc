// SPDX-License-Identifier: Apache-2.0
//
// Bodies stream: large ones take no memory, sinks and sources may fail, callers may change their
// mind.

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <malloc.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <thread>

#include "tests/conformance/store_under_test.h"

namespace quayfs::conformance {
namespace {

constexpr uint64_t kMiB = 1 << 20;
constexpr uint64_t kLarge = 64 * kMiB;

/// Byte i of a large object. Has no period that a buffer's size could divide.
std::byte LargeByte(uint64_t i) { return static_cast<std::byte>((i * 2654435761u) >> 13); }

class LargeSource final : public DataSource {
 public:
  uint64_t size() const override { return kLarge; }
  Status Read(uint64_t offset, std::span<std::byte> out) const override {
    for (size_t i = 0; i < out.size(); ++i) out[i] = LargeByte(offset + i);
    return {};
  }
};

/// Checks what it gets and keeps none of it.
class LargeSink final : public DataSink {
 public:
  explicit LargeSink(uint64_t offset = 0) : offset_(offset) {}
  Status Write(std::span<const std::byte> data) override {
    for (const std::byte byte : data) {
      if (byte != LargeByte(offset_++)) return Error(Code::kCorrupt, "a wrong byte");
    }
    const struct mallinfo2 now = mallinfo2();
    most_used_ = std::max(most_used_, now.uordblks + now.hblkhd);
    return {};
  }
  uint64_t offset() const { return offset_; }
  size_t most_used() const { return most_used_; }

 private:
  uint64_t offset_;
  size_t most_used_ = 0;
};

size_t HeapInUse() {
  const struct mallinfo2 now = mallinfo2();
  return now.uordblks + now.hblkhd;
}

class Streaming : public Conformance {};

TEST_P(Streaming, ALargeObjectTakesNoMemory) {
  const auto put = store().Put(Key("large"), LargeSource(), {}, Condition::None(), call_);
  ASSERT_OK(put);
  EXPECT_EQ(put->size, kLarge);
  const size_t before = HeapInUse();
  LargeSink sink;
  const auto got = store().Get(GetRequest{Key("large"), {}, put->etag}, sink, call_);
  ASSERT_OK(got);
  EXPECT_EQ(sink.offset(), kLarge);
  // The in-process server keeps its objects in a folder; what it holds for one reply is in here
  // too. Sanitizers have allocators of their own, of which mallinfo knows nothing.
  EXPECT_LT(sink.most_used(), before + 16 * kMiB);
  LargeSink tail(kLarge - 5 * kMiB - 3);
  ASSERT_OK(store().Get(GetRequest{Key("large"), ByteRange{kLarge - 5 * kMiB - 3, kLarge}, ""},
                        tail, call_));
  EXPECT_EQ(tail.offset(), kLarge);
}

TEST_P(Streaming, ASinkThatFailsEndsTheTransfer) {
  class FailingSink final : public DataSink {
   public:
    Status Write(std::span<const std::byte> data) override {
      EXPECT_FALSE(failed_) << "written to after it had failed";
      taken_ += data.size();
      if (taken_ < 100'000) return {};
      failed_ = true;
      return Error(Code::kNoSpace, "the sink is full");
    }

   private:
    uint64_t taken_ = 0;
    bool failed_ = false;
  };
  PutText(Key("a"), Pattern(2 * kMiB, 1));
  FailingSink sink;
  EXPECT_CODE(Code::kNoSpace, store().Get(GetRequest{Key("a"), {}, {}}, sink, call_));
  EXPECT_EQ(GetText(Key("a")).size(), 2 * kMiB) << "the store works on";
}

TEST_P(Streaming, ASourceThatFailsWritesNothing) {
  class FailingSource final : public DataSource {
   public:
    uint64_t size() const override { return 4 * kMiB; }
    Status Read(uint64_t offset, std::span<std::byte> out) const override {
      if (offset + out.size() > 2 * kMiB) return Error(Code::kIo, "the source is broken");
      std::fill(out.begin(), out.end(), std::byte{'x'});
      return {};
    }
  };
  PutText(Key("a"), "old");
  EXPECT_CODE(Code::kIo, store().Put(Key("a"), FailingSource(), {}, Condition::None(), call_));
  EXPECT_EQ(GetText(Key("a")), "old");
  EXPECT_CODE(Code::kIo, store().Put(Key("new"), FailingSource(), {}, Condition::None(), call_));
  EXPECT_CODE(Code::kNotFound, store().Head(Key("new"), call_));
}

TEST_P(Streaming, ACancelledCallEnds) {
  std::stop_source stop;
  stop.request_stop();
  CallOptions call;
  call.cancel = stop.get_token();
  PutText(Key("a"), "text");
  StringSink sink;
  EXPECT_CODE(Code::kCancelled, store().Get(GetRequest{Key("a"), {}, {}}, sink, call));
  EXPECT_CODE(Code::kCancelled, store().Head(Key("a"), call));
  EXPECT_CODE(Code::kCancelled, store().Put(Key("b"), MemorySource(std::string_view("x")), {},
                                            Condition::None(), call));
  EXPECT_CODE(Code::kCancelled, store().List(ListRequest{prefix(), "", "", 10}, call));
  EXPECT_CODE(Code::kCancelled, store().Delete(Key("a"), Condition::None(), call));
  EXPECT_EQ(GetText(Key("a")), "text");
  EXPECT_CODE(Code::kNotFound, store().Head(Key("b"), call_));
}

TEST_P(Streaming, CancellingStopsATransferThatRuns) {
  class StoppingSink final : public DataSink {
   public:
    explicit StoppingSink(std::stop_source& stop) : stop_(stop) {}
    Status Write(std::span<const std::byte> data) override {
      taken_ += data.size();
      stop_.request_stop();
      return {};
    }
    uint64_t taken() const { return taken_; }

   private:
    std::stop_source& stop_;
    uint64_t taken_ = 0;
  };
  ASSERT_OK(store().Put(Key("large"), LargeSource(), {}, Condition::None(), call_));
  std::stop_source stop;
  CallOptions call;
  call.cancel = stop.get_token();
  StoppingSink sink(stop);
  EXPECT_CODE(Code::kCancelled, store().Get(GetRequest{Key("large"), {}, {}}, sink, call));
  EXPECT_LT(sink.taken(), kLarge);
}

TEST_P(Streaming, ADeadlineThatHasPassedEndsACall) {
  PutText(Key("a"), "text");
  CallOptions call;
  call.deadline = std::chrono::steady_clock::now() - std::chrono::seconds(1);
  StringSink sink;
  EXPECT_CODE(Code::kTimedOut, store().Get(GetRequest{Key("a"), {}, {}}, sink, call));
  EXPECT_CODE(Code::kTimedOut, store().Put(Key("a"), MemorySource(std::string_view("new")), {},
                                           Condition::None(), call));
  EXPECT_EQ(GetText(Key("a")), "text");
}

TEST_P(Streaming, ManyThreadsAtOnce) {
  constexpr int kThreads = 8;
  std::vector<std::thread> threads;
  threads.reserve(kThreads);
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 8; ++i) {
        const std::string key = Key(fmt::format("{}/{}", t, i));
        const std::string text = Pattern(1000, static_cast<uint32_t>(t * 100 + i));
        PutText(key, text);
        EXPECT_EQ(GetText(key), text);
        if (i % 2 != 0) continue;
        EXPECT_OK(store().Delete(key, Condition::None(), call_));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(ListKeys(prefix()).size(), 32u);
}

INSTANTIATE_TEST_SUITE_P(Stores, Streaming, testing::ValuesIn(StoreFactories()), FactoryName);

}  // namespace
}  // namespace quayfs::conformance
