// SPDX-License-Identifier: Apache-2.0
//
// C1 for the database: a child process applies batches and acknowledges each over a pipe, and is
// killed at some moment. Everything acknowledged is there afterwards, no batch is there by half,
// and the next child goes on from there.

#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <random>
#include <string>
#include <utility>

#include "base/unique_fd.h"
#include "tests/unit/cache/state_fixture.h"

namespace quayfs {
namespace {

constexpr const char* kCounter = "batches";

/// The batch of a number: the same in every process.
StateBatch BatchOf(int64_t number) {
  std::mt19937_64 random(static_cast<uint64_t>(number));
  const uint64_t ino = 2 + random() % 40;
  const uint64_t at = random() % 1000;
  StateBatch batch;
  batch.SetNumber(kCounter, number);
  InodeRow row;
  row.ino = ino;
  row.parent = 1;
  row.name = std::string(random() % 60, 'n') + std::to_string(number);
  switch (random() % 8) {
    case 0:
      batch.DropInode(ino).DropContent(ino);
      break;
    case 1:
      batch.PutInode(row).PutContent({ino, at, 0, at, true, {}, 0}).SetDirty(ino, {});
      break;
    case 2:
      batch.PutUpload({ino, "key", std::to_string(number), {}});
      batch.PutPart({ino, 1, {0, 9}, false, std::to_string(number), 9});
      break;
    case 3:
      batch.PutRemoval({std::to_string(ino), std::to_string(number), 1}).DropUpload(ino);
      break;
    case 4:
      batch.DropRemoval(std::to_string(ino)).AddNote({0, "kind", ino, row.name, "", number});
      break;
    default:
      batch.PutInode(row).PutContent({ino, 2000, 0, at, true, {}, number});
      batch.AddDirty(ino, {at, at + 1 + random() % 300}).CutDirty(ino, {500, 510});
      break;
  }
  return batch;
}

Persist PersistOf(int64_t number) {
  return number % 97 == 0 ? Persist::kSurvivesPowerCut : Persist::kSurvivesKill;
}

class StateKillTest : public StateTest {
 protected:
  StateKillTest() { options_.checkpoint_bytes = 40 << 10; }  // so that checkpoints are hit too

  /// The child's life; never returns.
  [[noreturn]] void Work(int acknowledge) {
    auto db = TryOpen();
    if (!db) ::_exit(1);
    const auto last = (*db)->Number(kCounter, 0);
    if (!last) ::_exit(2);
    for (int64_t number = *last + 1;; ++number) {
      if (!(*db)->Apply(BatchOf(number), PersistOf(number)).ok()) ::_exit(3);
      if (::write(acknowledge, &number, sizeof number) != sizeof number) ::_exit(4);
    }
  }

  /// Kills a child after it has acknowledged `count` batches; returns the last acknowledged number.
  int64_t KillAfter(int count) {
    std::array<int, 2> ends{};
    EXPECT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
    UniqueFd reading(ends[0]);
    UniqueFd writing(ends[1]);
    const pid_t child = ::fork();
    if (child == 0) Work(writing.get());
    writing.Reset();
    int64_t acknowledged = -1;
    const auto take = [&] {
      int64_t number = 0;
      if (::read(reading.get(), &number, sizeof number) != sizeof number) return false;
      acknowledged = number;
      return true;
    };
    for (int i = 0; i < count && take(); ++i) {
    }
    EXPECT_EQ(::kill(child, SIGKILL), 0);
    int status = 0;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFSIGNALED(status)) << "the child ended by itself: " << WEXITSTATUS(status);
    while (take()) {  // what it had said before it was killed
    }
    return acknowledged;
  }
};

TEST_F(StateKillTest, WhatWasAcknowledgedIsThere) {
  const uint32_t seed = std::random_device{}();
  fmt::print("seed {}\n", seed);
  std::mt19937 random(seed);
  // Another database that was never killed says what there should be.
  const std::string model_directory = directory_ + "-model";
  std::filesystem::create_directory(model_directory);
  {
    auto model = OpenStateDb(model_directory, StateIdentity{"model"}, {});
    ASSERT_TRUE(model.ok());
    int64_t modelled = 0;
    const int rounds = std::getenv("QUAYFS_TEST_LONG") != nullptr ? 300 : 12;
    for (int round = 0; round < rounds; ++round) {
      SCOPED_TRACE(round);
      const int64_t acknowledged = KillAfter(static_cast<int>(1 + random() % 300));
      auto db = Open();
      ASSERT_TRUE(db);
      EXPECT_TRUE(db->same_boot());
      const int64_t last = db->Number(kCounter, 0).value();
      // The one that was under way may be there or not.
      ASSERT_GE(last, acknowledged);
      ASSERT_LE(last, acknowledged + 1);
      while (modelled < last)
        ASSERT_TRUE((*model)->Apply(BatchOf(++modelled), Persist::kSurvivesKill).ok());
      ASSERT_TRUE(All(*db) == All(**model));
    }
  }
  std::filesystem::remove_all(model_directory);
}

TEST_F(StateKillTest, AnotherProcessIsKeptOut) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
  UniqueFd reading(ends[0]);
  UniqueFd writing(ends[1]);
  const pid_t child = ::fork();
  if (child == 0) Work(writing.get());
  writing.Reset();
  int64_t number = 0;
  ASSERT_EQ(::read(reading.get(), &number, sizeof number), ssize_t{sizeof number});
  const auto opened = TryOpen();
  EXPECT_TRUE(opened.Is(Code::kBusy));
  if (!opened) {
    EXPECT_NE(opened.error().message().find(directory_), std::string::npos);
    EXPECT_NE(opened.error().message().find("in use"), std::string::npos);
    EXPECT_EQ(opened.error().message().find('\n'), std::string::npos);
  }
  ::kill(child, SIGKILL);
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_TRUE(Open());
}

}  // namespace
}  // namespace quayfs
