// SPDX-License-Identifier: Apache-2.0
//
// Contents to the store: whole, of one generation, or not at all.

#include <gtest/gtest.h>

#include <thread>

#include "tests/unit/cache/cache_fixture.h"
#include "tests/unit/cache/fault_disk.h"

namespace quayfs {
namespace {

using Kind = FakeRequest::Kind;
constexpr size_t kPart = 64 << 10;

class PublishTest : public CacheTest {
 protected:
  explicit PublishTest(Capabilities capabilities = SmallCapabilities()) : CacheTest(capabilities) {}
  void SetUp() override { Start(); }

  int CountParts(int number) const {
    int count = 0;
    for (const FakeRequest& request : store.log()) {
      count += request.kind == Kind::kPart && request.part == number ? 1 : 0;
    }
    return count;
  }
};

TEST_F(PublishTest, ConditionsAndPropertiesReachTheStore) {
  store.SetObject("a", "theirs");
  auto file = NewFile();
  Write(*file, 0, "ours");
  PublishRequest request = To("a");
  request.condition = Condition::IfAbsent();
  request.properties.metadata["mode"] = "33188";
  EXPECT_TRUE(file->Publish(request, {}).Is(Code::kAlreadyExists));
  EXPECT_TRUE(file->dirty());
  EXPECT_EQ(store.Find("a")->data, "theirs");
  request.condition = Condition::IfEtag(store.Find("a")->etag);
  EXPECT_TRUE(file->Publish(request, {}).ok());
  EXPECT_EQ(store.Find("a")->data, "ours");
  EXPECT_EQ(store.Find("a")->properties.metadata.at("mode"), "33188");
}

TEST_F(PublishTest, ARefusedCompletionLeavesNoUploadBehind) {
  store.SetObject("a", "theirs");
  auto file = NewFile();
  Write(*file, 0, RandomText(300000, 1));
  PublishRequest request = To("a");
  request.condition = Condition::IfAbsent();
  EXPECT_TRUE(file->Publish(request, {}).Is(Code::kAlreadyExists));
  EXPECT_EQ(store.Find("a")->data, "theirs");
  EXPECT_TRUE(Eventually([&] { return store.open_uploads() == 0; }));
}

TEST_F(PublishTest, ARenamedFileCopiesFromItsOldKey) {
  const std::string data = RandomText(1 << 20, 2);
  auto file = OpenObject("old", data);
  Write(*file, 0, "changed");
  PublishOk(*file, "new");
  EXPECT_TRUE(store.Find("new")->data == "changed" + data.substr(7));
  EXPECT_TRUE(store.Find("old")->data == data);
  EXPECT_EQ(file->state().base.key, "new");
  store.Erase("old");
  EXPECT_TRUE(ReadAll(*file) == store.Find("new")->data);
}

TEST_F(PublishTest, ABaseThatChangedIsNotCopiedFrom) {
  auto file = OpenObject("a", RandomText(1 << 20, 3));
  Write(*file, 0, RandomText(20 << 10, 4));
  const std::string theirs = RandomText(1 << 20, 5);
  store.SetObject("a", theirs);
  EXPECT_TRUE(file->Publish(To("a"), {}).Is(Code::kChanged));
  EXPECT_TRUE(store.Find("a")->data == theirs);
  EXPECT_TRUE(file->dirty());
}

TEST_F(PublishTest, TheFirstErrorWins) {
  auto file = NewFile();
  Write(*file, 0, RandomText(1 << 20, 6));
  std::atomic<bool> failed{false};
  store.before = [&](const FakeRequest& request) -> Status {
    if (request.kind != Kind::kPart) return {};
    if (!failed.exchange(true)) return Error(Code::kPermissionDenied, "first");
    return Error(Code::kUnavailable, "later");
  };
  auto info = file->Publish(To("a"), {});
  ASSERT_FALSE(info.ok());
  // Whichever part the store refused first by its own count, no later success or failure hides that
  // one failed.
  EXPECT_TRUE(info.Is(Code::kPermissionDenied) || info.Is(Code::kUnavailable));
  EXPECT_EQ(store.Count(Kind::kComplete), 0);
  EXPECT_TRUE(file->dirty());
  Finish(file);
}

TEST_F(PublishTest, ACallOffEndsItAndTheNextGoesOnWithTheUpload) {
  auto file = NewFile();
  Write(*file, 0, RandomText(1 << 20, 7));
  Gate gate;
  store.before = [&](const FakeRequest& request) -> Status {
    if (request.kind == Kind::kPart) gate.Pass();
    return {};
  };
  std::stop_source stop;
  std::thread publisher([&] {
    auto info = file->Publish(To("a"), {stop.get_token(), std::nullopt});
    EXPECT_TRUE(info.Is(Code::kCancelled));
  });
  gate.WaitForArrivals(3);
  stop.request_stop();
  publisher.join();
  gate.Open();
  EXPECT_TRUE(file->dirty());
  PublishOk(*file, "a");
  EXPECT_TRUE(store.Find("a")->data == RandomText(1 << 20, 7));
  EXPECT_EQ(store.Count(Kind::kCreate), 1);
  EXPECT_EQ(store.open_uploads(), 0u);
  Finish(file);
}

TEST_F(PublishTest, WritesIntoAPartUnderWaySendItAgain) {
  auto file = NewFile();
  std::string data = RandomText(8 * kPart, 8);
  Write(*file, 0, data);
  std::atomic<bool> done{false};
  store.before = [&](const FakeRequest& request) -> Status {
    // Everything has been sent but part 7: part 2 changes now.
    if (request.kind == Kind::kPart && request.part == 7 && !done.exchange(true)) {
      EXPECT_TRUE(Eventually([&] { return CountParts(2) > 0 && CountParts(8) > 0; }));
      Write(*file, kPart + 100, "again");
    }
    return {};
  };
  PublishOk(*file, "a");
  data.replace(kPart + 100, 5, "again");
  EXPECT_TRUE(store.Find("a")->data == data);
  EXPECT_EQ(CountParts(2), 2);
  for (const int number : {1, 3, 4, 5, 6, 7, 8}) EXPECT_EQ(CountParts(number), 1) << number;
  Finish(file);
}

TEST_F(PublishTest, WritesAfterTheSnapshotStayDirty) {
  auto file = NewFile();
  Write(*file, 0, "first contents");
  store.before = [&](const FakeRequest& request) -> Status {
    if (request.kind == Kind::kPut && request.index == 0) Write(*file, 0, "later");
    return {};
  };
  ASSERT_TRUE(file->Publish(To("a"), {}).ok());
  EXPECT_EQ(store.Find("a")->data, "first contents");
  EXPECT_TRUE(file->dirty());
  EXPECT_EQ(file->state().dirty_bytes, 5u);
  PublishOk(*file, "a");
  EXPECT_EQ(store.Find("a")->data, "later contents");
  Finish(file);
}

TEST_F(PublishTest, WritesIntoACopiedRangeAreNotLost) {
  const std::string data = RandomText(1 << 20, 9);
  auto file = OpenObject("a", data);
  Write(*file, 500000, "one");
  std::atomic<bool> done{false};
  store.before = [&](const FakeRequest& request) -> Status {
    if (request.kind == Kind::kPart && !done.exchange(true)) Write(*file, 100, "two");
    return {};
  };
  PublishOk(*file, "a");
  std::string expected = data;
  expected.replace(500000, 3, "one");
  expected.replace(100, 3, "two");
  EXPECT_TRUE(store.Find("a")->data == expected);
  Finish(file);
}

TEST_F(PublishTest, TruncationDuringAnUploadIsPublished) {
  auto file = NewFile();
  const std::string data = RandomText(10 * kPart, 10);
  Write(*file, 0, data);
  std::atomic<bool> done{false};
  store.before = [&](const FakeRequest& request) -> Status {
    if (request.kind == Kind::kPart && request.part == 3 && !done.exchange(true)) {
      EXPECT_TRUE(file->Truncate(100).ok());
    }
    return {};
  };
  PublishOk(*file, "a");
  EXPECT_EQ(store.Find("a")->data, data.substr(0, 100));
  EXPECT_TRUE(Eventually([&] { return store.open_uploads() == 0; }));
  Finish(file);
}

TEST_F(PublishTest, TwoPublicationsTakeTurns) {
  auto file = NewFile();
  Write(*file, 0, RandomText(300000, 11));
  std::thread other([&] { EXPECT_TRUE(file->Publish(To("a"), {}).ok()); });
  EXPECT_TRUE(file->Publish(To("a"), {}).ok());
  other.join();
  EXPECT_EQ(store.open_uploads(), 0u);
}

TEST_F(PublishTest, TransfersStayWithinTheirLimit) {
  std::vector<std::shared_ptr<FileData>> files;
  std::vector<std::thread> publishers;
  for (uint64_t inode = 1; inode <= 6; ++inode) {
    files.push_back(NewFile(inode));
    Write(*files.back(), 0, RandomText(12 * kPart, inode));
  }
  for (uint64_t i = 0; i < files.size(); ++i) {
    publishers.emplace_back([&, i] { PublishOk(*files[i], "a" + std::to_string(i)); });
  }
  for (std::thread& publisher : publishers) publisher.join();
  // 8 transfers, and what runs in the publishers' own threads: creating and completing.
  EXPECT_LE(store.most_at_once(), 8 + 6);
}

// ---- torn publications

/// A file that a writer fills with ever higher generations from the start to the end, one block
/// after the other: at any moment the blocks are some of generation g + 1 and then all of g. Any
/// other picture mixes moments.
class TornTest : public PublishTest {
 protected:
  explicit TornTest(Capabilities capabilities = SmallCapabilities()) : PublishTest(capabilities) {}

  static constexpr size_t kBlock = 4 << 10;

  static std::string Block(uint32_t generation) {
    std::string block(kBlock, '\0');
    for (size_t i = 0; i < block.size(); i += 4) std::memcpy(block.data() + i, &generation, 4);
    return block;
  }

  static std::string Problem(const std::string& data, size_t size) {
    if (data.size() != size) return "size " + std::to_string(data.size());
    uint32_t first = 0;
    std::memcpy(&first, data.data(), 4);
    bool stepped = false;
    for (size_t i = 0; i < data.size(); i += 4) {
      uint32_t value = 0;
      std::memcpy(&value, data.data() + i, 4);
      if (!stepped && value + 1 == first && i % kBlock == 0) stepped = true;
      if (value != (stepped ? first - 1 : first)) {
        return "generation " + std::to_string(value) + " at " + std::to_string(i) + ", first " +
               std::to_string(first);
      }
    }
    return "";
  }

  void Run(size_t blocks, int publications, bool with_base) {
    std::shared_ptr<FileData> file;
    std::string start;
    for (size_t i = 0; i < blocks; ++i) start += Block(1);
    if (with_base) {
      file = OpenObject("a", start);
    } else {
      file = NewFile();
      Write(*file, 0, start);
    }
    std::atomic<bool> stop{false};
    std::atomic<uint32_t> generation{1};
    std::thread writer([&] {
      while (!stop) {
        const uint32_t next = generation + 1;
        for (size_t i = 0; i < blocks && !stop; ++i) {
          ASSERT_TRUE(file->Write(i * kBlock, BytesOf(Block(next))).ok());
        }
        if (!stop) generation = next;
      }
    });
    CheckPublications(*file, blocks,
                      [&](int done) { return done < publications || generation <= 2; });
    stop = true;
    writer.join();
    if (HasFatalFailure()) return;
    PublishOk(*file, "a");
    EXPECT_TRUE(store.Find("a")->data == ReadAll(*file));
  }

  /// `more` is asked with the number of publications so far.
  void CheckPublications(FileData& file, size_t blocks, const std::function<bool(int)>& more) {
    uint32_t last = 0;
    for (int done = 0; more(done); ++done) {
      auto info = file.Publish(To("a"), {});
      ASSERT_TRUE(info.ok()) << info.error().ToString();
      const std::string data = store.Find("a")->data;
      ASSERT_EQ(Problem(data, blocks * kBlock), "") << "publication " << done;
      uint32_t first = 0;
      std::memcpy(&first, data.data(), 4);
      ASSERT_GE(first, last);
      last = first;
    }
  }
};

TEST_F(TornTest, SmallFiles) { Run(8, 100, false); }
TEST_F(TornTest, MultipartThatNeverStopsChanging) { Run(100, 30, false); }
TEST_F(TornTest, MultipartOverABase) { Run(100, 30, true); }

Capabilities WithoutMultipart() {
  Capabilities capabilities = SmallCapabilities();
  capabilities.multipart = false;
  return capabilities;
}

class TornWithoutMultipartTest : public TornTest {
 protected:
  TornWithoutMultipartTest() : TornTest(WithoutMultipart()) {}
};
TEST_F(TornWithoutMultipartTest, LargeFiles) { Run(100, 30, false); }

// ---- one PUT of more than is held in memory: the file itself is its body

/// The cutoff is far above what is held in memory.
class PutFromFileTest : public TornTest {
 protected:
  void SetUp() override {
    fault_disk_.fault = [this](int, std::string_view operation) {
      if (operation != "temporary") return Code::kInternal;
      ++copies;
      return full ? Code::kNoSpace : Code::kInternal;
    };
    disk = &fault_disk_;
    CacheConfig config = SmallConfig(directory.path() + "/cache");
    config.put_size_max = 1ull << 30;
    Start(config);
  }

  int Puts() const {
    int count = 0;
    for (const FakeRequest& request : store.log()) count += request.kind == Kind::kPut ? 1 : 0;
    return count;
  }

  /// Writes `texts` to the start of the file, one during each PUT, when half of it is gone.
  void Disturb(FileData& file, std::vector<std::string> texts) {
    store.mid_body = [this, &file, texts = std::move(texts)](const FakeRequest& request) -> Status {
      if (request.kind != Kind::kPut) return {};
      pieces_ = Puts() == seen_ ? pieces_ + 1 : 1;
      seen_ = Puts();
      const auto index = static_cast<size_t>(seen_ - 1);
      if (pieces_ == 50 && index < texts.size()) Write(file, 0, texts[index]);
      return {};
    };
  }

  std::atomic<int> copies{0};
  std::atomic<bool> full{false};

 private:
  int seen_ = 0;
  int pieces_ = 0;  // of that PUT
  FaultDisk fault_disk_{SystemDisk()};
};

TEST_F(PutFromFileTest, NothingIsCopied) {
  auto file = NewFile();
  const std::string data = RandomText(100 * kBlock, 20);
  Write(*file, 0, data);
  PublishOk(*file, "a");
  EXPECT_TRUE(store.Find("a")->data == data);
  EXPECT_EQ(Puts(), 1);
  EXPECT_EQ(copies, 0);
}

TEST_F(PutFromFileTest, AWriteEndsTheRequestAndAnotherSendsTheNewContents) {
  auto file = NewFile();
  std::string data = RandomText(100 * kBlock, 21);
  Write(*file, 0, data);
  Disturb(*file, {"new"});
  PublishOk(*file, "a");
  data.replace(0, 3, "new");
  EXPECT_TRUE(store.Find("a")->data == data);
  EXPECT_EQ(Puts(), 2);
  EXPECT_EQ(copies, 0);
  Finish(file);
}

TEST_F(PutFromFileTest, SoDoTruncationAndHoles) {
  auto file = NewFile();
  std::string data = RandomText(100 * kBlock, 22);
  Write(*file, 0, data);
  store.mid_body = [&](const FakeRequest& request) -> Status {
    if (request.kind != Kind::kPut) return {};
    const int puts = Puts();
    const Status changed = puts == 1   ? file->Truncate(data.size() + 10)
                           : puts == 2 ? file->Zero({10, 20})
                                       : Status();
    EXPECT_TRUE(changed.ok());
    return {};
  };
  PublishOk(*file, "a");
  data.resize(data.size() + 10);
  data.replace(10, 10, 10, '\0');
  EXPECT_TRUE(store.Find("a")->data == data);
  EXPECT_EQ(Puts(), 3);
  Finish(file);
}

TEST_F(PutFromFileTest, AFileThatIsDisturbedTooOftenIsCopied) {
  auto file = NewFile();
  std::string data = RandomText(100 * kBlock, 23);
  Write(*file, 0, data);
  Disturb(*file, {"1st", "2nd", "3rd", "4th"});
  ASSERT_TRUE(file->Publish(To("a"), {}).ok());
  data.replace(0, 3, "3rd");
  EXPECT_TRUE(store.Find("a")->data == data);
  EXPECT_EQ(Puts(), 4);
  EXPECT_EQ(copies, 1);
  EXPECT_EQ(file->state().dirty_bytes, 3u);
  Finish(file);
}

TEST_F(PutFromFileTest, OrSentFromMemoryIfTheDiskIsFull) {
  full = true;
  auto file = NewFile();
  std::string data = RandomText(100 * kBlock, 24);
  Write(*file, 0, data);
  Disturb(*file, {"1st", "2nd", "3rd", "4th"});
  ASSERT_TRUE(file->Publish(To("a"), {}).ok());
  data.replace(0, 3, "3rd");
  EXPECT_TRUE(store.Find("a")->data == data);
  EXPECT_EQ(Puts(), 4);
  EXPECT_GE(copies, 1);
  EXPECT_EQ(file->state().dirty_bytes, 3u);
  Finish(file);
}

TEST_F(PutFromFileTest, WhatIsTooLargeForThatWaitsForRoomOrForAQuietMoment) {
  full = true;
  auto file = NewFile();
  ASSERT_TRUE(file->Truncate((1 << 20) + 1).ok());
  store.before = [&](const FakeRequest& request) -> Status {
    if (request.kind == Kind::kPut) Write(*file, 0, "again");
    return {};
  };
  const auto refused = file->Publish(To("a"), {});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.code(), Code::kNoSpace);
  EXPECT_NE(refused.error().message().find("make room there"), std::string::npos);
  EXPECT_FALSE(store.Find("a").has_value());
  EXPECT_TRUE(file->dirty());
  store.before = [](const FakeRequest&) -> Status { return {}; };
  PublishOk(*file, "a");
  EXPECT_EQ(store.Find("a")->data.substr(0, 5), "again");
  Finish(file);
}

// The first try reached the store, and its reply was lost; the second one was ended by a write.
TEST_F(PutFromFileTest, AnEndedRequestIsNotTakenForOneThatDidNotHappen) {
  auto file = OpenObject("a", std::string(100 * kBlock, 'a'));
  std::string data = RandomText(100 * kBlock, 25);
  Write(*file, 0, data);
  store.after = [&](const FakeRequest& request) -> Status {
    if (request.kind != Kind::kPut || Puts() > 1) return {};
    Write(*file, 0, "new");
    return Error(Code::kCancelled, "the file changed while it was being sent");
  };
  const std::string etag = file->state().base.etag;
  auto info = file->Publish({"a", {}, Condition::IfEtag(etag)}, {});
  ASSERT_TRUE(info.ok()) << info.error().ToString();
  data.replace(0, 3, "new");
  EXPECT_TRUE(store.Find("a")->data == data);
  EXPECT_EQ(Puts(), 2);
  Finish(file);
}

TEST_F(PutFromFileTest, NeverTorn) { Run(100, 30, false); }
TEST_F(PutFromFileTest, NeverTornOverABase) { Run(100, 30, true); }
TEST_F(PutFromFileTest, NeverTornOnAFullDisk) {
  full = true;
  Run(100, 30, false);
}

Capabilities WithoutPartCopy() {
  Capabilities capabilities = SmallCapabilities();
  capabilities.part_copy = false;
  return capabilities;
}

class NoPartCopyTest : public PublishTest {
 protected:
  NoPartCopyTest() : PublishTest(WithoutPartCopy()) {}
};

TEST_F(NoPartCopyTest, MissingBytesAreFetchedAndUploaded) {
  const std::string data = RandomText(1 << 20, 12);
  auto file = OpenObject("a", data);
  Write(*file, 500000, "changed");
  PublishOk(*file, "a");
  std::string expected = data;
  expected.replace(500000, 7, "changed");
  EXPECT_TRUE(store.Find("a")->data == expected);
  EXPECT_EQ(store.Count(Kind::kCopyPart), 0);
}

Capabilities WithEqualParts() {
  Capabilities capabilities = SmallCapabilities();
  capabilities.equal_parts = true;
  return capabilities;
}

class EqualPartsTest : public PublishTest {
 protected:
  EqualPartsTest() : PublishTest(WithEqualParts()) {}
};

TEST_F(EqualPartsTest, UnchangedPartsAreCopied) {
  const std::string data = RandomText(10 * kPart + 5, 13);
  auto file = OpenObject("a", data);
  Write(*file, 5 * kPart + 1, "changed");
  PublishOk(*file, "a");
  std::string expected = data;
  expected.replace(5 * kPart + 1, 7, "changed");
  EXPECT_TRUE(store.Find("a")->data == expected);
  EXPECT_EQ(store.Count(Kind::kCopyPart), 9);
  EXPECT_EQ(store.Count(Kind::kPart), 2);
}

// ---- ahead of publication

class StreamingTest : public PublishTest {
 protected:
  void SetUp() override {
    PublishTest::SetUp();
    file = NewFile();
    file->AllowStreaming("a", {});
  }
  void TearDown() override { Finish(file); }

  void Append(size_t from, size_t to) {
    for (size_t offset = from; offset < to; offset += 8192) {
      Write(*file, offset,
            std::string_view(data).substr(offset, std::min<size_t>(8192, to - offset)));
    }
  }
  bool Sent(int parts) {
    return Eventually([&] { return store.Count(Kind::kPart) >= parts && file_idle(); });
  }
  bool file_idle() const { return cache->stats().uploads_in_flight == 0; }

  const std::string data = RandomText(20 * kPart + 777, 14);
  std::shared_ptr<FileData> file;
};

TEST_F(StreamingTest, FinishedPartsGoAhead) {
  Append(0, data.size());
  ASSERT_TRUE(Sent(20));
  EXPECT_EQ(store.Count(Kind::kComplete), 0);
  PublishOk(*file, "a");
  EXPECT_TRUE(store.Find("a")->data == data);
  EXPECT_EQ(store.Count(Kind::kCreate), 1);
  EXPECT_EQ(store.Count(Kind::kPart), 21);
}

TEST_F(StreamingTest, NothingGoesBeforeTwoPartsAreComplete) {
  Append(0, 2 * kPart);
  EXPECT_TRUE(store.log().empty());
  PublishOk(*file, "a");
  EXPECT_TRUE(store.Find("a")->data == data.substr(0, 2 * kPart));
}

TEST_F(StreamingTest, APartThatIsRewrittenIsSentAgain) {
  Append(0, 10 * kPart);
  ASSERT_TRUE(Sent(9));
  Write(*file, 100, "header");
  PublishOk(*file, "a");
  std::string expected = data.substr(0, 10 * kPart);
  expected.replace(100, 6, "header");
  EXPECT_TRUE(store.Find("a")->data == expected);
  EXPECT_EQ(CountParts(1), 2);
  EXPECT_EQ(CountParts(2), 1);
}

TEST_F(StreamingTest, AnotherKeyStartsAfresh) {
  Append(0, 10 * kPart);
  ASSERT_TRUE(Sent(9));
  PublishOk(*file, "b");
  EXPECT_TRUE(store.Find("b")->data == data.substr(0, 10 * kPart));
  EXPECT_FALSE(store.Find("a").has_value());
  EXPECT_TRUE(Eventually([&] { return store.open_uploads() == 0; }));
}

TEST_F(StreamingTest, OtherPropertiesStartAfresh) {
  Append(0, 10 * kPart);
  ASSERT_TRUE(Sent(9));
  PublishRequest request = To("a");
  request.properties.content_type = "text/plain";
  ASSERT_TRUE(file->Publish(request, {}).ok());
  EXPECT_EQ(store.Find("a")->properties.content_type, "text/plain");
  EXPECT_TRUE(store.Find("a")->data == data.substr(0, 10 * kPart));
  EXPECT_TRUE(Eventually([&] { return store.open_uploads() == 0; }));
}

TEST_F(StreamingTest, TruncationDropsWhatWasSent) {
  Append(0, 10 * kPart);
  ASSERT_TRUE(Sent(9));
  ASSERT_TRUE(file->Truncate(10).ok());
  EXPECT_TRUE(Eventually([&] { return store.open_uploads() == 0; }));
  PublishOk(*file, "a");
  EXPECT_EQ(store.Find("a")->data, data.substr(0, 10));
}

TEST_F(StreamingTest, RemovalDropsWhatWasSent) {
  Append(0, 10 * kPart);
  cache->Remove(1);
  EXPECT_TRUE(Eventually([&] { return file_idle() && store.open_uploads() == 0; }));
}

TEST_F(StreamingTest, LettingGoKeepsWhatWasSent) {
  Append(0, 10 * kPart);
  ASSERT_TRUE(Sent(9));
  file.reset();
  auto again = cache->Restore(1);
  ASSERT_TRUE(again.ok());
  file = *std::move(again);
  PublishOk(*file, "a");
  EXPECT_TRUE(store.Find("a")->data == data.substr(0, 10 * kPart));
  EXPECT_EQ(store.Count(Kind::kCreate), 1);
  EXPECT_EQ(store.Count(Kind::kPart), 10);
}

TEST_F(StreamingTest, AFailureAheadIsNobodysConcern) {
  store.before = [](const FakeRequest& request) -> Status {
    if (request.kind == Kind::kPart && request.part == 3)
      return Error(Code::kUnavailable, "broken");
    return {};
  };
  Append(0, 10 * kPart);
  EXPECT_TRUE(Eventually([&] { return CountParts(3) > 0 && file_idle(); }));
  store.before = nullptr;
  PublishOk(*file, "a");
  EXPECT_TRUE(store.Find("a")->data == data.substr(0, 10 * kPart));
  EXPECT_EQ(store.Count(Kind::kCreate), 1);
  EXPECT_EQ(store.open_uploads(), 0u);
}

TEST_F(StreamingTest, AnUploadThatTheStoreForgotIsBegunAgain) {
  Append(0, 10 * kPart);
  ASSERT_TRUE(Sent(9));
  store.ForgetUploads();
  PublishOk(*file, "a");
  EXPECT_TRUE(store.Find("a")->data == data.substr(0, 10 * kPart));
}

TEST_F(StreamingTest, WritingAndPublishingAtOnceStaysWhole) {
  std::thread publisher([&] {
    for (int i = 0; i < 5; ++i) {
      const size_t before = file->size();
      ASSERT_TRUE(file->Publish(To("a"), {}).ok());
      const std::string object = store.Find("a")->data;
      ASSERT_GE(object.size(), before);
      ASSERT_TRUE(object == data.substr(0, object.size()));
    }
  });
  Append(0, data.size());
  publisher.join();
  PublishOk(*file, "a");
  EXPECT_TRUE(store.Find("a")->data == data);
}

}  // namespace
}  // namespace quayfs
