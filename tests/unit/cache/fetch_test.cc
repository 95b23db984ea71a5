// SPDX-License-Identifier: Apache-2.0
//
// Bytes from the store: who waits for what, and who wins.

#include <gtest/gtest.h>

#include <thread>

#include "tests/unit/cache/cache_fixture.h"
#include "tests/unit/cache/fault_disk.h"

namespace quayfs {
namespace {

using Kind = FakeRequest::Kind;

class FetchTest : public CacheTest {
 protected:
  void SetUp() override { Start(); }

  const std::string data = RandomText(1 << 20, 7);
};

TEST_F(FetchTest, EveryGetIsPinnedToTheVersion) {
  auto file = OpenObject("a", data);
  const std::string etag = store.Find("a")->etag;
  EXPECT_TRUE(ReadAll(*file) == data);
  for (const FakeRequest& request : store.log()) EXPECT_EQ(request.if_match, etag);
}

TEST_F(FetchTest, RandomReadsFetchOneBlock) {
  auto file = OpenObject("a", data);
  auto text = TryRead(*file, 100001, 10);
  ASSERT_TRUE(text.ok());
  EXPECT_EQ(*text, data.substr(100001, 10));
  ASSERT_EQ(store.log().size(), 1u);
  EXPECT_EQ(store.log()[0].range, (ByteRange{98304, 102400}));
}

TEST_F(FetchTest, ManyReadersShareOneGet) {
  auto file = OpenObject("a", data);
  Gate gate;
  store.before = [&](const FakeRequest&) -> Status {
    gate.Pass();
    return {};
  };
  std::vector<std::thread> readers;
  readers.reserve(8);
  std::atomic<int> right{0};
  for (int i = 0; i < 8; ++i) {
    readers.emplace_back([&, i] {
      auto text = TryRead(*file, 8192 + i, 1000);
      if (text.ok() && *text == data.substr(8192 + i, 1000)) ++right;
    });
  }
  gate.WaitForArrivals(1);
  // All of them want bytes of the block that is on its way.
  gate.Open();
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(right, 8);
  EXPECT_EQ(store.Count(Kind::kGet), 1);
  Finish(file);
}

TEST_F(FetchTest, BytesAreReadableWhileTheRestIsOnItsWay) {
  auto file = OpenObject("a", data.substr(0, 60 << 10));
  Gate gate;
  uint64_t sent = 0;
  store.mid_body = [&](const FakeRequest&) {
    sent += store.piece;
    if (sent == 16 << 10) gate.Pass();
    return Status();
  };
  ReadPattern pattern;
  auto text = TryRead(*file, 0, 16 << 10, &pattern);  // one GET brings more than this
  ASSERT_TRUE(text.ok());
  EXPECT_TRUE(*text == data.substr(0, 16 << 10));
  gate.Open();
  EXPECT_TRUE(ReadAll(*file) == data.substr(0, 60 << 10));
  Finish(file);
}

TEST_F(FetchTest, AFailureIsForThoseWhoWaitAndIsTriedAgainForOthers) {
  auto file = OpenObject("a", data);
  std::atomic<int> failures{1};
  store.before = [&](const FakeRequest& request) -> Status {
    if (request.range.begin == 0 && failures-- > 0) return Error(Code::kUnavailable, "no route");
    return {};
  };
  auto other = TryRead(*file, 500000, 100);
  EXPECT_TRUE(other.ok());
  auto text = TryRead(*file, 0, 100);
  ASSERT_FALSE(text.ok());
  EXPECT_EQ(text.error().message(), "no route");
  text = TryRead(*file, 0, 100);
  ASSERT_TRUE(text.ok());
  EXPECT_EQ(*text, data.substr(0, 100));
  Finish(file);
}

TEST_F(FetchTest, AnotherVersionIsReported) {
  auto file = OpenObject("a", data);
  ASSERT_TRUE(TryRead(*file, 0, 100).ok());
  store.SetObject("a", std::string(data.size(), 'x'));
  EXPECT_TRUE(TryRead(*file, 0, 100).ok());  // cached
  EXPECT_TRUE(TryRead(*file, 500000, 100).Is(Code::kChanged));
  store.Erase("a");
  EXPECT_TRUE(TryRead(*file, 500000, 100).Is(Code::kNotFound));
}

TEST_F(FetchTest, ReplaceShowsTheNewVersion) {
  auto file = OpenObject("a", data);
  ASSERT_TRUE(TryRead(*file, 0, 100).ok());
  const std::string next(70000, 'n');
  file->Replace({"a", store.SetObject("a", next), next.size()});
  EXPECT_EQ(file->size(), next.size());
  EXPECT_TRUE(ReadAll(*file) == next);
  ASSERT_TRUE(file->Truncate(100000).ok());
  EXPECT_TRUE(ReadAll(*file) == next + std::string(30000, '\0'));
}

TEST_F(FetchTest, ARebasedFileKeepsItsBytesAndReadsTheRestElsewhere) {
  auto file = OpenObject("a", data);
  ASSERT_TRUE(TryRead(*file, 0, 100).ok());
  const std::string etag = store.SetObject("b", data);
  store.Erase("a");
  file->Rebase({"b", etag, data.size()});
  EXPECT_TRUE(ReadAll(*file) == data);
}

TEST_F(FetchTest, ALocalWriteDuringAFetchWins) {
  auto file = OpenObject("a", data);
  Gate gate;
  store.mid_body = [&](const FakeRequest&) {
    gate.Pass();
    return Status();
  };
  std::thread reader([&] { EXPECT_TRUE(TryRead(*file, 0, 64 << 10).ok()); });
  gate.WaitForArrivals(1);
  Write(*file, 30000, "local");
  ASSERT_TRUE(file->Truncate(900000).ok());
  gate.Open();
  reader.join();
  std::string expected = data.substr(0, 900000);
  expected.replace(30000, 5, "local");
  EXPECT_TRUE(ReadAll(*file) == expected);
  Finish(file);
}

// A byte that was written, published and evicted while a fetch of the old version was under way
// must not come back from that fetch.
TEST_F(FetchTest, AFetchOfAnOldVersionBringsNothingBack) {
  CacheConfig config = SmallConfig(directory.path() + "/tiny");
  config.size_limit = 0;
  Start(config);
  const std::string old = data.substr(0, 40 << 10);
  auto file = OpenObject("a", old);
  Gate gate;
  std::atomic<bool> first{true};
  store.mid_body = [&](const FakeRequest& request) {
    if (request.kind == Kind::kGet && first.exchange(false)) gate.Pass();
    return Status();
  };
  std::thread reader([&] { Ignore(TryRead(*file, 4096, 36 << 10)); });
  gate.WaitForArrivals(1);
  const std::string changed = RandomText(40 << 10, 99);
  Write(*file, 0, changed);
  PublishOk(*file, "a");  // and evicted at once, for lack of room
  EXPECT_TRUE(Eventually([&] { return cache->stats().clean_bytes <= (36 << 10); }));
  gate.Open();
  reader.join();
  EXPECT_TRUE(ReadAll(*file) == changed);
  Finish(file);
}

TEST_F(FetchTest, WhoMayNotWaitIsToldAndTheFetchGoesOn) {
  auto file = OpenObject("a", data);
  ReadPattern pattern;
  std::string out(100, ' ');
  const auto bytes = std::as_writable_bytes(std::span(out.data(), out.size()));
  EXPECT_TRUE(file->Read(0, bytes, pattern, false, {}).Is(Code::kWouldBlock));
  EXPECT_TRUE(Eventually([&] { return file->Read(0, bytes, pattern, false, {}).ok(); }));
  EXPECT_EQ(out, data.substr(0, 100));
}

TEST_F(FetchTest, AReaderCanBeCalledOff) {
  auto file = OpenObject("a", data);
  Gate gate;
  store.before = [&](const FakeRequest&) -> Status {
    gate.Pass();
    return {};
  };
  std::stop_source stop;
  std::thread reader([&] {
    ReadPattern pattern;
    std::string out(100, ' ');
    auto read = file->Read(0, std::as_writable_bytes(std::span(out.data(), out.size())), pattern,
                           true, {stop.get_token(), std::nullopt});
    EXPECT_TRUE(read.Is(Code::kCancelled));
  });
  gate.WaitForArrivals(1);
  stop.request_stop();
  reader.join();
  gate.Open();
  Finish(file);
}

TEST_F(FetchTest, SequentialReadersAreKeptAhead) {
  auto file = OpenObject("a", data);
  ReadPattern pattern;
  std::string all;
  for (uint64_t offset = 0; offset < data.size(); offset += 4096) {
    auto text = TryRead(*file, offset, 4096, &pattern);
    ASSERT_TRUE(text.ok());
    all += *text;
  }
  EXPECT_TRUE(all == data);
  // About one GET per fetch_part, not one per read.
  EXPECT_LE(store.Count(Kind::kGet), 24);
}

TEST_F(FetchTest, AShortReplyIsAnError) {
  const std::string etag = store.SetObject("a", data.substr(0, 1000));
  auto file = cache->Open(1, {"a", etag, 50000});  // the object is not what the listing said
  ASSERT_TRUE(file.ok());
  EXPECT_FALSE(TryRead(**file, 0, 50000).ok());
}

// Between the moment when the store has our new object and the moment when we know, a pinned GET
// fails through our own doing.
TEST_F(FetchTest, ReadersDoNotSeeOurOwnPublicationAsAChange) {
  auto file = OpenObject("a", data);
  Write(*file, 0, "changed");
  Gate gate;
  store.after = [&](const FakeRequest& request) -> Status {
    if (request.kind == Kind::kComplete) gate.Pass();
    return {};
  };
  std::thread publisher([&] { PublishOk(*file, "a"); });
  gate.WaitForArrivals(1);
  std::thread reader([&] {
    auto text = TryRead(*file, 700000, 100);
    ASSERT_TRUE(text.ok()) << text.error().ToString();
    EXPECT_EQ(*text, data.substr(700000, 100));
  });
  EXPECT_TRUE(Eventually([&] { return store.Count(Kind::kGet) >= 2; }));
  gate.Open();
  publisher.join();
  reader.join();
  Finish(file);
}

class FullDiskTest : public CacheTest {
 protected:
  void SetUp() override {
    disk = &faulty;
    Start();
  }
  FaultDisk faulty{SystemDisk()};
};

TEST_F(FullDiskTest, ReadsGoAroundADiskThatIsFull) {
  const std::string data = RandomText(200000, 8);
  auto file = OpenObject("a", data);
  Write(*file, 1000, "dirty");
  faulty.fault = [](int, std::string_view operation) {
    return operation == "write" ? Code::kNoSpace : Code::kInternal;
  };
  std::string expected = data;
  expected.replace(1000, 5, "dirty");
  EXPECT_TRUE(ReadAll(*file) == expected);
  EXPECT_TRUE(file->Write(0, BytesOf("x")).Is(Code::kNoSpace));
  EXPECT_TRUE(ReadAll(*file) == expected);
  Finish(file);
}

TEST_F(FullDiskTest, WritersTakeTheRoomOfCleanBytes) {
  const std::string data = RandomText(200000, 9);
  auto cached = OpenObject("a", data, 1);
  EXPECT_TRUE(ReadAll(*cached) == data);
  // Full until something is given back.
  std::atomic<bool> full{true};
  faulty.fault = [&](int, std::string_view operation) {
    if (operation == "punch") full = false;
    return operation == "write" && full ? Code::kNoSpace : Code::kInternal;
  };
  auto file = NewFile(2);
  Write(*file, 0, "hello");
  EXPECT_EQ(cache->stats().clean_bytes, 0u);
  EXPECT_TRUE(ReadAll(*cached) == data);
  cached.reset();
  Finish(file);
}

}  // namespace
}  // namespace quayfs
