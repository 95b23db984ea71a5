// SPDX-License-Identifier: Apache-2.0
//
// Conditions: a store that claims one honours it, also in a race; one that does not claim it says
// so and changes nothing.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "tests/conformance/store_under_test.h"

namespace quayfs::conformance {
namespace {

class Conditions : public Conformance {
 protected:
  Result<ObjectInfo> Put(const std::string& key, std::string_view text,
                         const Condition& condition) {
    return store().Put(key, MemorySource(text), {}, condition, call_);
  }

  /// Runs `writer` in 16 threads at once; says how many succeeded, and that all others failed with
  /// `refusal`.
  int Race(Code refusal, const std::function<Status(int)>& writer) {
    constexpr int kWriters = 16;
    std::atomic<int> waiting{kWriters};
    std::atomic<int> won{0};
    std::vector<std::thread> threads;
    threads.reserve(kWriters);
    for (int i = 0; i < kWriters; ++i) {
      threads.emplace_back([&, i] {
        --waiting;
        while (waiting > 0) std::this_thread::yield();
        const Status status = writer(i);
        if (status.ok()) {
          ++won;
        } else {
          EXPECT_CODE(refusal, status);
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    return won;
  }
};

Status StatusOf(const Result<ObjectInfo>& result) {
  if (result.ok()) return {};
  return result.error();
}

TEST_P(Conditions, PutIfAbsent) {
  if (!caps().put_if_absent) {
    EXPECT_CODE(Code::kNotSupported, Put(Key("a"), "first", Condition::IfAbsent()));
    EXPECT_CODE(Code::kNotFound, store().Head(Key("a"), call_));
    return;
  }
  EXPECT_OK(Put(Key("a"), "first", Condition::IfAbsent()));
  EXPECT_CODE(Code::kAlreadyExists, Put(Key("a"), "second", Condition::IfAbsent()));
  EXPECT_EQ(GetText(Key("a")), "first");
  ASSERT_OK(store().Delete(Key("a"), Condition::None(), call_));
  EXPECT_OK(Put(Key("a"), "third", Condition::IfAbsent()));
  EXPECT_EQ(GetText(Key("a")), "third");
}

TEST_P(Conditions, PutIfMatch) {
  const ObjectInfo first = PutText(Key("a"), "first");
  if (!caps().put_if_match) {
    EXPECT_CODE(Code::kNotSupported, Put(Key("a"), "second", Condition::IfEtag(first.etag)));
    EXPECT_EQ(GetText(Key("a")), "first");
    return;
  }
  const auto second = Put(Key("a"), "second", Condition::IfEtag(first.etag));
  ASSERT_OK(second);
  EXPECT_CODE(Code::kChanged, Put(Key("a"), "third", Condition::IfEtag(first.etag)));
  EXPECT_EQ(GetText(Key("a")), "second");
  EXPECT_OK(Put(Key("a"), "fourth", Condition::IfEtag(second->etag)));
  EXPECT_CODE(Code::kChanged, Put(Key("none"), "x", Condition::IfEtag(first.etag)));
  EXPECT_CODE(Code::kNotFound, store().Head(Key("none"), call_));
}

TEST_P(Conditions, CompleteUpload) {
  const ObjectInfo first = PutText(Key("a"), "first");
  const ObjectInfo second = PutText(Key("a"), "second");
  const auto complete = [&](const std::string& key, const Condition& condition) {
    const auto id = store().CreateUpload(key, {}, call_);
    EXPECT_OK(id);
    const auto part =
        store().UploadPart(key, *id, 1, MemorySource(std::string_view("uploaded")), call_);
    EXPECT_OK(part);
    Status status = StatusOf(store().CompleteUpload(key, *id, {*part}, condition, call_));
    EXPECT_OK(store().AbortUpload(key, *id, call_));
    return status;
  };
  if (!caps().complete_if_absent) {
    EXPECT_CODE(Code::kNotSupported, complete(Key("a"), Condition::IfAbsent()));
    EXPECT_CODE(Code::kNotSupported, complete(Key("new"), Condition::IfAbsent()));
  } else {
    EXPECT_CODE(Code::kAlreadyExists, complete(Key("a"), Condition::IfAbsent()));
    EXPECT_OK(complete(Key("new"), Condition::IfAbsent()));
  }
  EXPECT_EQ(GetText(Key("a")), "second");
  if (!caps().complete_if_match) {
    EXPECT_CODE(Code::kNotSupported, complete(Key("a"), Condition::IfEtag(second.etag)));
    EXPECT_EQ(GetText(Key("a")), "second");
  } else {
    EXPECT_CODE(Code::kChanged, complete(Key("a"), Condition::IfEtag(first.etag)));
    EXPECT_EQ(GetText(Key("a")), "second");
    EXPECT_OK(complete(Key("a"), Condition::IfEtag(second.etag)));
    EXPECT_EQ(GetText(Key("a")), "uploaded");
  }
}

TEST_P(Conditions, Delete) {
  const ObjectInfo first = PutText(Key("a"), "first");
  const ObjectInfo second = PutText(Key("a"), "second");
  EXPECT_CODE(Code::kInvalidArgument, store().Delete(Key("a"), Condition::IfAbsent(), call_));
  if (!caps().delete_if_match) {
    EXPECT_CODE(Code::kNotSupported,
                store().Delete(Key("a"), Condition::IfEtag(second.etag), call_));
    EXPECT_EQ(GetText(Key("a")), "second");
    return;
  }
  EXPECT_CODE(Code::kChanged, store().Delete(Key("a"), Condition::IfEtag(first.etag), call_));
  EXPECT_EQ(GetText(Key("a")), "second");
  EXPECT_OK(store().Delete(Key("a"), Condition::IfEtag(second.etag), call_));
  EXPECT_CODE(Code::kNotFound, store().Head(Key("a"), call_));
}

TEST_P(Conditions, Copy) {
  PutText(Key("source"), "source");
  const auto copy = [&](const std::string& key, const Condition& condition) {
    return StatusOf(store().Copy(Key("source"), "", key, std::nullopt, condition, call_));
  };
  if (!caps().copy_if_absent) {
    EXPECT_CODE(Code::kNotSupported, copy(Key("a"), Condition::IfAbsent()));
    EXPECT_CODE(Code::kNotFound, store().Head(Key("a"), call_));
    return;
  }
  EXPECT_OK(copy(Key("a"), Condition::IfAbsent()));
  PutText(Key("a"), "another");
  EXPECT_CODE(Code::kAlreadyExists, copy(Key("a"), Condition::IfAbsent()));
  EXPECT_EQ(GetText(Key("a")), "another");
}

TEST_P(Conditions, OneOfSixteenCreatesAnObject) {
  if (!caps().put_if_absent) GTEST_SKIP() << "this store has no exclusive creation";
  for (int round = 0; round < 5; ++round) {
    const std::string key = Key(fmt::format("race{}", round));
    std::atomic<int> winner{-1};
    const int won = Race(Code::kAlreadyExists, [&](int i) {
      const auto info = Put(key, fmt::format("writer {}", i), Condition::IfAbsent());
      if (info.ok()) winner = i;
      return StatusOf(info);
    });
    EXPECT_EQ(won, 1);
    EXPECT_EQ(GetText(key), fmt::format("writer {}", winner.load()));
  }
}

TEST_P(Conditions, OneOfSixteenReplacesAVersion) {
  if (!caps().put_if_match) GTEST_SKIP() << "this store has no conditional replacement";
  for (int round = 0; round < 5; ++round) {
    const std::string key = Key(fmt::format("race{}", round));
    const ObjectInfo old = PutText(key, "old");
    std::atomic<int> winner{-1};
    const int won = Race(Code::kChanged, [&](int i) {
      const auto info = Put(key, fmt::format("writer {}", i), Condition::IfEtag(old.etag));
      if (info.ok()) winner = i;
      return StatusOf(info);
    });
    EXPECT_EQ(won, 1);
    EXPECT_EQ(GetText(key), fmt::format("writer {}", winner.load()));
  }
}

TEST_P(Conditions, OneOfSixteenCompletesAnUpload) {
  if (!caps().complete_if_absent) GTEST_SKIP() << "this store has no exclusive completion";
  const int won = Race(Code::kAlreadyExists, [&](int i) -> Status {
    QUAY_ASSIGN(const std::string id, store().CreateUpload(Key("race"), {}, call_));
    const std::string text = fmt::format("writer {}", i);
    QUAY_ASSIGN(const PartInfo part,
                store().UploadPart(Key("race"), id, 1, MemorySource(text), call_));
    const auto info = store().CompleteUpload(Key("race"), id, {part}, Condition::IfAbsent(), call_);
    QUAY_TRY(store().AbortUpload(Key("race"), id, call_));
    return StatusOf(info);
  });
  EXPECT_EQ(won, 1);
}

TEST_P(Conditions, WhoReadsDuringARaceReadsOneWholeVersion) {
  const std::string key = Key("race");
  PutText(key, std::string(50'000, '0'));
  std::atomic<bool> done{false};
  std::thread reader([&] {
    while (!done) {
      const std::string text = GetText(key);
      ASSERT_EQ(text.size(), 50'000u);
      ASSERT_EQ(text.find_first_not_of(text[0]), std::string::npos) << "two versions in one";
    }
  });
  std::vector<std::thread> writers;
  for (char digit = '1'; digit <= '4'; ++digit) {
    writers.emplace_back([&, digit] {
      for (int i = 0; i < 10; ++i) PutText(key, std::string(50'000, digit));
    });
  }
  for (std::thread& writer : writers) writer.join();
  done = true;
  reader.join();
}

INSTANTIATE_TEST_SUITE_P(Stores, Conditions, testing::ValuesIn(StoreFactories()), FactoryName);

}  // namespace
}  // namespace quayfs::conformance
