// SPDX-License-Identifier: Apache-2.0

#include "base/result.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>

namespace quayfs {
namespace {

Result<int> Half(int n) {
  if (n % 2 != 0) return {Code::kInvalidArgument, "odd: " + std::to_string(n)};
  return n / 2;
}

Status Even(int n) {
  if (n % 2 != 0) return {Code::kBusy, "odd"};
  return {};
}

Result<int> Quarter(int n, int* steps) {
  QUAY_ASSIGN(const int half, Half(n));
  ++*steps;
  QUAY_ASSIGN(const int quarter, Half(half));
  ++*steps;
  return quarter;
}

Status BothEven(int a, int b, int* steps) {
  QUAY_TRY(Even(a));
  ++*steps;
  QUAY_TRY(Even(b));
  ++*steps;
  return {};
}

Result<std::unique_ptr<int>> Boxed(int n) {
  QUAY_ASSIGN(const int half, Half(n));
  return std::make_unique<int>(half);
}

Result<int> Unboxed(int n) {
  QUAY_ASSIGN(std::unique_ptr<int> box, Boxed(n));
  return *box;
}

TEST(ResultTest, HoldsAValueOrAnError) {
  const Result<int> good = Half(8);
  ASSERT_TRUE(good.ok());
  EXPECT_TRUE(static_cast<bool>(good));
  EXPECT_EQ(good.value(), 4);
  EXPECT_EQ(*good, 4);
  EXPECT_FALSE(good.Is(Code::kInvalidArgument));

  const Result<int> bad = Half(7);
  ASSERT_FALSE(bad.ok());
  EXPECT_FALSE(static_cast<bool>(bad));
  EXPECT_EQ(bad.code(), Code::kInvalidArgument);
  EXPECT_TRUE(bad.Is(Code::kInvalidArgument));
  EXPECT_FALSE(bad.Is(Code::kBusy));
  EXPECT_EQ(bad.error().message(), "odd: 7");
}

TEST(ResultTest, StatusIsOkByDefault) {
  EXPECT_TRUE(Status().ok());
  const Status bad(Code::kIo, "x");
  EXPECT_FALSE(bad.ok());
  EXPECT_TRUE(bad.Is(Code::kIo));
  EXPECT_EQ(bad.code(), Code::kIo);
  EXPECT_EQ(bad.error().message(), "x");
}

TEST(ResultTest, ArrowAndMutation) {
  Result<std::string> text = std::string("ab");
  text->push_back('c');
  *text += 'd';
  EXPECT_EQ(text->size(), 4U);
  EXPECT_EQ(std::move(text).value(), "abcd");
}

TEST(ResultTest, AssignGivesTheValueOrReturnsTheError) {
  int steps = 0;
  EXPECT_EQ(Quarter(12, &steps).value(), 3);
  EXPECT_EQ(steps, 2);
  steps = 0;
  EXPECT_EQ(Quarter(6, &steps).error().message(), "odd: 3");
  EXPECT_EQ(steps, 1);
  steps = 0;
  EXPECT_EQ(Quarter(5, &steps).error().message(), "odd: 5");
  EXPECT_EQ(steps, 0);
}

TEST(ResultTest, TryReturnsTheFirstFailure) {
  int steps = 0;
  EXPECT_TRUE(BothEven(2, 4, &steps).ok());
  EXPECT_EQ(steps, 2);
  steps = 0;
  EXPECT_TRUE(BothEven(2, 5, &steps).Is(Code::kBusy));
  EXPECT_EQ(steps, 1);
  steps = 0;
  EXPECT_TRUE(BothEven(1, 4, &steps).Is(Code::kBusy));
  EXPECT_EQ(steps, 0);
}

TEST(ResultTest, MovesWhatCannotBeCopied) {
  EXPECT_EQ(Unboxed(10).value(), 5);
  EXPECT_EQ(Unboxed(3).code(), Code::kInvalidArgument);
}

TEST(ResultTest, MacrosCopyFromANamedResultAndNestInLambdas) {
  const auto use = [](const Result<std::string>& given) -> Result<std::string> {
    QUAY_TRY([&]() -> Status {
      QUAY_TRY(given);
      return {};
    }());
    QUAY_ASSIGN(std::string copy, given);
    copy += '!';
    return copy;
  };
  const Result<std::string> text = std::string("long enough to live on the heap, surely");
  EXPECT_EQ(use(text).value(), *text + "!");
  Result<std::string> bad(Code::kQuota, "full");
  EXPECT_TRUE(use(bad).Is(Code::kQuota));
  EXPECT_EQ(bad.error().message(), "full");
}

TEST(ResultDeathTest, TakingWhatIsNotThereEndsTheProcess) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH({ Ignore(Result<int>(Half(7).value())); }, "check failed");
  EXPECT_DEATH({ Error error = Half(8).error(); }, "check failed");
  EXPECT_DEATH({ Error error = Even(8).error(); }, "check failed");
}

TEST(CheckDeathTest, NamesPlaceAndExpression) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  QUAY_CHECK(1 + 1 == 2);
  EXPECT_DEATH(QUAY_CHECK(1 + 1 == 3), "result_test.cc:[0-9]+: check failed: 1 \\+ 1 == 3");
}

TEST(CheckDeathTest, DcheckIsForDebugBuilds) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  int evaluated = 0;
  QUAY_DCHECK(++evaluated > 0);
#ifdef NDEBUG
  EXPECT_EQ(evaluated, 0);
  QUAY_DCHECK(false);
#else
  EXPECT_EQ(evaluated, 1);
  EXPECT_DEATH(QUAY_DCHECK(false), "check failed");
#endif
}

}  // namespace
}  // namespace quayfs
