// SPDX-License-Identifier: Apache-2.0
//
// Each entry of a readdirplus counts as a lookup, which the kernel forgets one day, provided that
// it has got the answer.

#include <gtest/gtest.h>

#include "tests/unit/fuse/fake_file_system.h"
#include "tests/unit/fuse/kernel.h"

namespace quayfs {
namespace {

class CountingFileSystem final : public FakeFileSystem {
 public:
  void Forget(Ino ino, uint64_t lookups) override {
    const MutexLock lock(mutex_);
    counts_[ino] -= static_cast<int64_t>(lookups);
  }
  /// Three entries, then what the test says.
  Status ReadDir(const OpContext& context, OpenDirectory& /*directory*/, uint64_t offset, bool plus,
                 const std::function<bool(const DirectoryEntry&, uint64_t)>& take) override {
    if (blocks && !context.may_block) return Error(Code::kWouldBlock, "");
    for (uint64_t i = offset; i < 3; ++i) {
      DirectoryEntry entry;
      entry.name = "file-" + std::to_string(i);
      entry.ino = 100 + i;
      entry.type = S_IFREG;
      if (plus && i != 1) {
        entry.full.emplace();
        entry.full->ino = entry.ino;
        const MutexLock lock(mutex_);
        ++counts_[entry.ino];
      }
      if (!take(entry, i + 1)) {
        if (entry.full) Forget(entry.ino, 1);
        return {};
      }
    }
    return outcome;
  }
  int64_t Count() {
    const MutexLock lock(mutex_);
    int64_t sum = 0;
    for (const auto& [ino, count] : counts_) {
      EXPECT_GE(count, 0) << ino;
      sum += count;
    }
    return sum;
  }

  bool blocks = false;
  Status outcome;

 private:
  Mutex mutex_{LockRank::kLeaf};
  std::map<Ino, int64_t> counts_ QUAY_GUARDED_BY(mutex_);
};

class FuseDirectories : public ::testing::TestWithParam<bool> {
 protected:
  FuseDirectories() { file_system_.blocks = GetParam(); }
  Kernel::Reply ReadDir(uint32_t opcode, uint32_t size, bool refused = false) {
    Kernel kernel(file_system_);
    if (refused) kernel.RefuseNextReply();
    uint64_t handle = 0;  // of a directory that nobody looks into
    fuse_read_in in{};
    in.fh = reinterpret_cast<uintptr_t>(&handle);
    in.size = size;
    const uint64_t request = kernel.Send(opcode, FUSE_ROOT_ID, in);
    kernel.WaitForAll();
    return kernel.ReplyTo(request);
  }

  CountingFileSystem file_system_;
};

TEST_P(FuseDirectories, ADeliveredPageIsCounted) {
  const Kernel::Reply reply = ReadDir(FUSE_READDIRPLUS, 4096);
  EXPECT_EQ(reply.error, 0);
  EXPECT_NE(reply.body.find("file-2"), std::string::npos);
  EXPECT_EQ(file_system_.Count(), 2);
}

TEST_P(FuseDirectories, WhatDoesNotFitIsNotCounted) {
  const Kernel::Reply reply = ReadDir(FUSE_READDIRPLUS, 200);
  EXPECT_EQ(reply.error, 0);
  EXPECT_NE(reply.body.find("file-0"), std::string::npos);
  EXPECT_EQ(reply.body.find("file-1"), std::string::npos);
  EXPECT_EQ(file_system_.Count(), 1);
}

TEST_P(FuseDirectories, AFailureGivesTheLookupsBack) {
  file_system_.outcome = Error(Code::kIo, "the second page does not come");
  EXPECT_NE(ReadDir(FUSE_READDIRPLUS, 4096).error, 0);
  EXPECT_EQ(file_system_.Count(), 0);
}

TEST_P(FuseDirectories, AnAnswerThatNobodyTakesGivesTheLookupsBack) {
  ReadDir(FUSE_READDIRPLUS, 4096, /*refused=*/true);
  EXPECT_EQ(file_system_.Count(), 0);
}

TEST_P(FuseDirectories, PlainListingsCountNothing) {
  EXPECT_NE(ReadDir(FUSE_READDIR, 4096).body.find("file-1"), std::string::npos);
  EXPECT_EQ(file_system_.Count(), 0);
}

INSTANTIATE_TEST_SUITE_P(Threads, FuseDirectories, ::testing::Bool(),
                         [](const auto& waits) { return waits.param ? "Waiting" : "AtOnce"; });

}  // namespace
}  // namespace quayfs
