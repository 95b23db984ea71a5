// SPDX-License-Identifier: Apache-2.0
//
// copy_file_range within the store: whole files, ranges, and what becomes of it when requests fail.

#include "fs/copy_range.h"

#include <algorithm>
#include <random>

#include "tests/unit/fs/core_fixture.h"

namespace quayfs {
namespace {

constexpr uint64_t kMiB = 1ull << 20;

TEST(PlanRangesTest, EveryPlanIsWholeAndAllowed) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 20000; ++i) {
    const uint64_t least = 1 + random() % 50;
    const uint64_t target = random() % 500;
    CopyRequest request;
    request.offset = random() % (target + 1);
    request.length = 2 * least + random() % 300;
    const auto parts = PlanRanges(target, request, least, 1000);
    uint64_t done = 0;
    for (size_t n = 0; n < parts.size(); ++n) {
      const ByteRange range = parts[n].range;
      ASSERT_EQ(range.begin, done);
      ASSERT_GT(range.length(), 0U);
      ASSERT_TRUE(n + 1 == parts.size() || range.length() >= least);
      const ByteRange copied = ByteRange::OfLength(request.offset, request.length);
      if (parts[n].kind == RangePart::kFetched) {
        ASSERT_LE(range.length(), least);
      } else {
        ASSERT_GE(range.length(), least);
        ASSERT_EQ(range.Intersection(copied).length(),
                  parts[n].kind == RangePart::kSource ? range.length() : 0);
      }
      done = range.end;
    }
    ASSERT_EQ(done, std::max(target, request.offset + request.length));
  }
}

std::string Random(size_t size, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::string text(size, '\0');
  for (size_t i = 0; i + 8 <= size; i += 8) {
    const uint64_t value = random();
    std::copy_n(reinterpret_cast<const char*>(&value), 8, text.data() + i);
  }
  return text;
}

class CopyRangeTest : public CoreTest {
 protected:
  void SetUp() override {
    CoreTest::SetUp();
    store_->ChangeCapabilities([](Capabilities& can) { can.part_size_min = 5 * kMiB; });
    ASSERT_TRUE(WriteFile("from", source_).ok());
    ASSERT_TRUE(WriteFile("to", target_).ok());
    from_ = *Open("from", O_RDONLY);
    to_ = *Open("to", O_WRONLY);
    store_->Reset();
  }
  void TearDown() override {
    if (fs_ == nullptr) return;
    EXPECT_TRUE(Close(from_).ok());
    EXPECT_TRUE(Close(to_).ok());
  }
  Result<size_t> Copy(uint64_t from_offset, uint64_t offset, uint64_t length) {
    return fs_->CopyRange(ctx_, *from_, *to_, {from_offset, offset, length});
  }
  std::string Whole(const std::string& path) {
    const auto file = Open(path, O_RDONLY);
    EXPECT_TRUE(file.ok());
    auto text = ReadAt(*file, 0, 200 * kMiB);
    EXPECT_TRUE(Close(*file).ok());
    return text.ok() ? *text : text.error().ToString();
  }
  std::string Spliced(uint64_t from_offset, uint64_t offset, uint64_t length) const {
    std::string text = target_;
    if (text.size() < offset + length) text.resize(offset + length);
    return text.replace(offset, length, source_, from_offset, length);
  }

  const std::string source_ = Random(80 * kMiB + 123, 1);
  const std::string target_ = Random(20 * kMiB + 45, 2);
  OpenFile* from_ = nullptr;
  OpenFile* to_ = nullptr;
};

TEST_F(CopyRangeTest, ALargeRangeIsMadeOfPartsWithinTheStore) {
  // The head is too small for a part, and the target grows.
  const auto copied = Copy(10 * kMiB + 7, 3 * kMiB + 1, 70 * kMiB);
  ASSERT_TRUE(copied.ok()) << copied.error().ToString();
  EXPECT_EQ(*copied, 70 * kMiB);
  EXPECT_EQ(store_->Count("CopyPart"), 1);
  EXPECT_EQ(store_->Count("UploadPart"), 1);
  const std::string wanted = Spliced(10 * kMiB + 7, 3 * kMiB + 1, 70 * kMiB);
  EXPECT_TRUE(Whole("to") == wanted);
  EXPECT_TRUE(Whole("from") == source_);
  EXPECT_TRUE(Close(from_).ok());
  EXPECT_TRUE(Close(to_).ok());
  Mount();
  EXPECT_TRUE(Whole("to") == wanted);
  from_ = *Open("from", O_RDONLY);
  to_ = *Open("to", O_WRONLY);
}

TEST_F(CopyRangeTest, ARangeIntoTheMiddleLeavesTheRest) {
  ASSERT_TRUE(fs_->Allocate(ctx_, *to_, {0, 100 * kMiB, false, false}).ok());
  ASSERT_TRUE(fs_->Fsync(ctx_, *to_).ok());
  const auto copied = Copy(0, 20 * kMiB, 64 * kMiB);
  ASSERT_TRUE(copied.ok()) << copied.error().ToString();
  std::string wanted = Spliced(0, 20 * kMiB, 64 * kMiB);
  wanted.resize(100 * kMiB);
  EXPECT_TRUE(Whole("to") == wanted);
}

TEST_F(CopyRangeTest, WhatDoesNotPayIsCopiedByTheCaller) {
  EXPECT_TRUE(Copy(0, 0, kMiB).Is(Code::kNotSupported)) << "a small range";
  EXPECT_TRUE(Copy(0, 21 * kMiB, 70 * kMiB).Is(Code::kNotSupported)) << "beyond the end";
  EXPECT_TRUE(Copy(source_.size(), 0, 70 * kMiB).Is(Code::kNotSupported)) << "nothing to copy";
  store_->ChangeCapabilities([](Capabilities& can) { can.part_copy = false; });
  EXPECT_TRUE(Copy(0, 0, 70 * kMiB).Is(Code::kNotSupported)) << "no copies of parts";
  EXPECT_EQ(store_->Count("CreateUpload"), 0);
  EXPECT_TRUE(Whole("to") == target_);
}

TEST_F(CopyRangeTest, AFailedCopyChangesNothing) {
  for (const char* operation : {"CreateUpload", "CopyPart", "CompleteUpload"}) {
    store_->before = [&](const std::string& name, const std::string& key) -> Status {
      if (name == operation && key == "to") return Error(Code::kPermissionDenied, "not now");
      return {};
    };
    EXPECT_TRUE(Copy(0, 0, 70 * kMiB).Is(Code::kNotSupported)) << operation;
    EXPECT_TRUE(Whole("to") == target_) << operation;
  }
  store_->before = [](const std::string&, const std::string&) { return Status(); };
  EXPECT_TRUE(local_->ListUploads("", {})->empty());
  const auto copied = Copy(0, 0, 70 * kMiB);
  ASSERT_TRUE(copied.ok()) << copied.error().ToString();
  EXPECT_TRUE(Whole("to") == Spliced(0, 0, 70 * kMiB));
}

TEST_F(CopyRangeTest, AnUnclearEndIsFoundOut) {
  store_->after = [&](const std::string& name, const std::string& key) -> Status {
    if (name == "CompleteUpload" && key == "to") return Error(Code::kUnavailable, "lost");
    return {};
  };
  const auto copied = Copy(0, 0, 70 * kMiB);
  store_->after = [](const std::string&, const std::string&) { return Status(); };
  ASSERT_TRUE(copied.ok()) << copied.error().ToString();
  EXPECT_TRUE(Whole("to") == Spliced(0, 0, 70 * kMiB));
  // It goes on as a file like others.
  ASSERT_TRUE(WriteAt(to_, 5, "more").ok());
  ASSERT_TRUE(fs_->Fsync(ctx_, *to_).ok());
  EXPECT_EQ(Whole("to").substr(0, 12),
            Spliced(0, 0, 70 * kMiB).replace(5, 4, "more").substr(0, 12));
}

TEST_F(CopyRangeTest, ASourceThatAnotherClientReplacesIsNotMixedIn) {
  store_->before = [&](const std::string& name, const std::string& key) -> Status {
    if (name == "CreateUpload" && key == "to") {
      EXPECT_TRUE(local_->Put("from", MemorySource("theirs"), {}, {}, {}).ok());
    }
    return {};
  };
  EXPECT_TRUE(Copy(0, 0, 70 * kMiB).Is(Code::kNotSupported));
  EXPECT_TRUE(Whole("to") == target_);
  EXPECT_TRUE(local_->ListUploads("", {})->empty());
}

TEST_F(CopyRangeTest, ATargetThatAnotherClientReplacesIsNotLost) {
  store_->before = [&](const std::string& name, const std::string& key) -> Status {
    if (name == "CreateUpload" && key == "to") {
      EXPECT_TRUE(local_->Put("to", MemorySource("theirs"), {}, {}, {}).ok());
    }
    return {};
  };
  EXPECT_TRUE(Copy(0, 0, 70 * kMiB).Is(Code::kNotSupported));
  store_->before = [](const std::string&, const std::string&) { return Status(); };
  StringSink sink;
  ASSERT_TRUE(local_->Get({"to", std::nullopt, ""}, sink, {}).ok());
  EXPECT_EQ(sink.text(), "theirs");
}

TEST_F(CopyRangeTest, StatfsShowsTheStoresRoomAndWhatWaitsForIt) {
  store_->space = StoreSpace{1000 * kMiB, 600 * kMiB};
  auto stats = fs_->StatFs(ctx_);
  ASSERT_TRUE(stats.ok());
  EXPECT_EQ(stats->total_bytes, 1000 * kMiB);
  EXPECT_EQ(stats->free_bytes, 600 * kMiB);
  ASSERT_TRUE(WriteAt(to_, 0, std::string(kMiB, 'x')).ok());
  stats = fs_->StatFs(ctx_);
  EXPECT_EQ(stats->free_bytes, 599 * kMiB);
  store_->space = StoreSpace{1000 * kMiB, 0};
  EXPECT_EQ(fs_->StatFs(ctx_)->free_bytes, 0U);
}

}  // namespace
}  // namespace quayfs
