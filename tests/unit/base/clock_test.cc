// SPDX-License-Identifier: Apache-2.0

#include "base/clock.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <random>
#include <string>
#include <thread>

namespace quayfs {
namespace {

using std::chrono::hours;
using std::chrono::nanoseconds;
using std::chrono::seconds;

WallTime AtSecond(int64_t unix_seconds) { return WallTime(seconds(unix_seconds)); }

constexpr int64_t kMay24 = 1369353600;  // 2013-05-24T00:00:00Z

TEST(ClockTest, SystemClockMovesForward) {
  Clock& clock = SystemClock();
  EXPECT_EQ(&clock, &SystemClock());
  EXPECT_GT(clock.Now(), AtSecond(1'600'000'000));
  const SteadyTime before = clock.Steady();
  EXPECT_TRUE(clock.Sleep(std::chrono::milliseconds(2), {}));
  EXPECT_GE(clock.Steady() - before, std::chrono::milliseconds(2));
}

TEST(ClockTest, SleepOfNothingReturnsAtOnce) {
  EXPECT_TRUE(SystemClock().Sleep(Duration::zero(), {}));
  EXPECT_TRUE(SystemClock().Sleep(seconds(-5), {}));
}

TEST(ClockTest, SleepEndsWhenCancelled) {
  std::stop_source source;
  std::thread other([&source] { source.request_stop(); });
  // So long that adding it to the present overflows.
  EXPECT_FALSE(SystemClock().Sleep(Duration::max(), source.get_token()));
  other.join();
  EXPECT_FALSE(SystemClock().Sleep(Duration::zero(), source.get_token()));
}

TEST(ManualClockTest, StandsStillUntilMoved) {
  ManualClock clock(AtSecond(kMay24));
  EXPECT_EQ(clock.Now(), AtSecond(kMay24));
  const SteadyTime steady = clock.Steady();
  EXPECT_NE(steady, SteadyTime{});
  clock.Advance(seconds(5));
  EXPECT_EQ(clock.Now(), AtSecond(kMay24 + 5));
  EXPECT_EQ(clock.Steady() - steady, seconds(5));
  EXPECT_EQ(clock.slept(), Duration::zero());
}

TEST(ManualClockTest, SleepMovesIt) {
  ManualClock clock;
  const SteadyTime steady = clock.Steady();
  EXPECT_TRUE(clock.Sleep(seconds(2), {}));
  EXPECT_TRUE(clock.Sleep(seconds(3), {}));
  EXPECT_TRUE(clock.Sleep(seconds(-3), {}));
  EXPECT_EQ(clock.slept(), seconds(5));
  EXPECT_EQ(clock.Now(), AtSecond(5));
  EXPECT_EQ(clock.Steady() - steady, seconds(5));
  std::stop_source source;
  source.request_stop();
  EXPECT_FALSE(clock.Sleep(seconds(2), source.get_token()));
  EXPECT_EQ(clock.slept(), seconds(5));
}

TEST(TimeTextTest, Formats) {
  EXPECT_EQ(FormatIsoBasic(AtSecond(kMay24)), "20130524T000000Z");
  EXPECT_EQ(FormatIsoExtended(AtSecond(kMay24)), "2013-05-24T00:00:00.000Z");
  EXPECT_EQ(FormatHttpDate(AtSecond(kMay24)), "Fri, 24 May 2013 00:00:00 GMT");
  EXPECT_EQ(FormatHttpDate(AtSecond(784111777)), "Sun, 06 Nov 1994 08:49:37 GMT");
  EXPECT_EQ(FormatHttpDate(AtSecond(0)), "Thu, 01 Jan 1970 00:00:00 GMT");
  EXPECT_EQ(FormatIsoExtended(AtSecond(kMay24) + nanoseconds(678'999'999)),
            "2013-05-24T00:00:00.678Z");
  EXPECT_EQ(FormatIsoExtended(AtSecond(0) - nanoseconds(1)), "1969-12-31T23:59:59.999Z");
  EXPECT_EQ(FormatIsoBasic(AtSecond(951782400)), "20000229T000000Z");
}

TEST(TimeTextTest, ParsesHttpDates) {
  EXPECT_EQ(ParseHttpDate("Fri, 24 May 2013 00:00:00 GMT").value(), AtSecond(kMay24));
  EXPECT_EQ(ParseHttpDate("Sun, 06 Nov 1994 08:49:37 GMT").value(), AtSecond(784111777));
  EXPECT_EQ(ParseHttpDate("Sat, 31 Dec 2016 23:59:60 GMT").value(), AtSecond(1483228800));
}

TEST(TimeTextTest, RejectsWhatIsNotAnHttpDate) {
  for (const char* text : {
           "",
           "Fri, 24 May 2013 00:00:00",
           "Fri, 24 May 2013 00:00:00 GMT ",
           " Fri, 24 May 2013 00:00:00 GMT",
           "Fri, 24 May 2013 00:00:00 UTC",
           "Fri, 4 May 2013 00:00:00 GMT",
           "Fri,24 May 2013 00:00:00 GMT",
           "fri, 24 May 2013 00:00:00 GMT",
           "Xyz, 24 May 2013 00:00:00 GMT",
           "Fri, 24 Mai 2013 00:00:00 GMT",
           "Fri, 31 Apr 2013 00:00:00 GMT",
           "Fri, 29 Feb 2013 00:00:00 GMT",
           "Fri, 00 May 2013 00:00:00 GMT",
           "Fri, 24 May 2013 24:00:00 GMT",
           "Fri, 24 May 2013 00:60:00 GMT",
           "Fri, 24 May 2013 00:00:61 GMT",
           "Fri, 24 May -013 00:00:00 GMT",
           "Fri, +4 May 2013 00:00:00 GMT",
           "Fri, 24 May 9999 00:00:00 GMT",
           "Fri, 24 May 1066 00:00:00 GMT",
           "Friday, 24-May-13 00:00:00 GMT",
           "Fri May 24 00:00:00 2013",
       }) {
    EXPECT_TRUE(ParseHttpDate(text).Is(Code::kInvalidArgument)) << text;
  }
}

TEST(TimeTextTest, ParsesIsoTimes) {
  EXPECT_EQ(ParseIso("2013-05-24T00:00:00Z").value(), AtSecond(kMay24));
  EXPECT_EQ(ParseIso("2013-05-24T00:00:00.000Z").value(), AtSecond(kMay24));
  EXPECT_EQ(ParseIso("20130524T000000Z").value(), AtSecond(kMay24));
  EXPECT_EQ(ParseIso("2013-05-24T00:00:00.5Z").value(),
            AtSecond(kMay24) + nanoseconds(500'000'000));
  EXPECT_EQ(ParseIso("2013-05-24T00:00:00.123456789Z").value(),
            AtSecond(kMay24) + nanoseconds(123'456'789));
  EXPECT_EQ(ParseIso("2013-05-24T00:00:00.1234567899999Z").value(),
            AtSecond(kMay24) + nanoseconds(123'456'789));
  EXPECT_EQ(ParseIso("1969-12-31T23:59:59Z").value(), AtSecond(-1));
}

TEST(TimeTextTest, RejectsWhatIsNotAnIsoTime) {
  for (const char* text : {
           "",
           "2013-05-24",
           "2013-05-24T00:00:00",
           "2013-05-24T00:00:00+01:00",
           "2013-05-24 00:00:00Z",
           "2013-05-24T00:00:00.Z",
           "2013-05-24T00:00:00Zx",
           "2013-5-24T00:00:00Z",
           "2013-0524T00:00:00Z",
           "20130524T00:00:00Z",
           "2013-13-24T00:00:00Z",
           "2013-00-24T00:00:00Z",
           "2013-02-30T00:00:00Z",
           "2013-05-24T25:00:00Z",
           "2500-05-24T00:00:00Z",
           "2013-05-24t00:00:00z",
       }) {
    EXPECT_TRUE(ParseIso(text).Is(Code::kInvalidArgument)) << text;
  }
}

TEST(TimeTextTest, RandomTimesComeBack) {
  const uint32_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  std::uniform_int_distribution<int64_t> any_second(-5'000'000'000, 9'000'000'000);
  for (int i = 0; i < 20'000; ++i) {
    const WallTime time = AtSecond(any_second(random));
    ASSERT_EQ(ParseHttpDate(FormatHttpDate(time)).value(), time) << FormatHttpDate(time);
    ASSERT_EQ(ParseIso(FormatIsoBasic(time)).value(), time) << FormatIsoBasic(time);
    const WallTime precise = time + std::chrono::milliseconds(i % 1000);
    ASSERT_EQ(ParseIso(FormatIsoExtended(precise)).value(), precise) << FormatIsoExtended(precise);
  }
}

}  // namespace
}  // namespace quayfs
