// SPDX-License-Identifier: Apache-2.0

#include "base/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/log_format.h"
#include "base/mutex.h"

namespace quayfs {
namespace {

using testing::ElementsAre;
using testing::MatchesRegex;

class LogTest : public testing::Test {
 protected:
  LogTest() {
    previous_ = SetLogSink([this](LogLevel level, std::string_view line) {
      MutexLock lock(mutex_);
      levels_.push_back(level);
      lines_.emplace_back(line);
    });
    SetLogThreshold(LogLevel::kDebug);
  }
  ~LogTest() override {
    SetLogSink(std::move(previous_));
    SetLogThreshold(LogLevel::kInfo);
  }

  // The lines so far, without their times.
  std::vector<std::string> Lines() {
    MutexLock lock(mutex_);
    std::vector<std::string> result;
    for (const std::string& line : lines_) result.push_back(line.substr(line.find(' ') + 1));
    return result;
  }
  std::string ValueOf(std::string_view value) {
    Log(LogLevel::kInfo, "e", {{"k", value}});
    const std::string line = Lines().back();
    EXPECT_EQ(line.substr(0, 9), "info e k=");
    return line.substr(9);
  }

  Mutex mutex_{LockRank::kLeaf};
  std::vector<LogLevel> levels_;
  std::vector<std::string> lines_;
  LogSink previous_;
};

TEST_F(LogTest, OneEventIsOneLine) {
  Log(LogLevel::kWarning, "upload.failed",
      {{"key", "a/b"}, {"error", std::string("not found")}, {"attempt", 3}, {"retry", true}});
  EXPECT_THAT(Lines(), ElementsAre("warning upload.failed key=\"a/b\" error=\"not found\" "
                                   "attempt=3 retry=true"));
  EXPECT_THAT(levels_, ElementsAre(LogLevel::kWarning));
  const std::string time = lines_[0].substr(0, lines_[0].find(' '));
  EXPECT_EQ(time.size(), 24U);
  EXPECT_TRUE(ParseIso(time).ok()) << time;
}

TEST_F(LogTest, FieldsOfEveryKind) {
  Log(LogLevel::kError, "e",
      {{"u", uint64_t{18446744073709551615U}},
       {"i", -5},
       {"b", false},
       {"d", 1.5},
       {"c", "plain"},
       {"v", std::string_view("view")}});
  Log(LogLevel::kDebug, "bare");
  EXPECT_THAT(Lines(),
              ElementsAre("error e u=18446744073709551615 i=-5 b=false d=1.500000 c=plain v=view",
                          "debug bare"));
}

TEST_F(LogTest, ThresholdHidesWhatIsBelow) {
  SetLogThreshold(LogLevel::kWarning);
  EXPECT_FALSE(LogEnabled(LogLevel::kDebug));
  EXPECT_FALSE(LogEnabled(LogLevel::kInfo));
  EXPECT_TRUE(LogEnabled(LogLevel::kWarning));
  EXPECT_TRUE(LogEnabled(LogLevel::kError));
  Log(LogLevel::kInfo, "hidden");
  Log(LogLevel::kError, "seen");
  EXPECT_THAT(Lines(), ElementsAre("error seen"));
}

TEST_F(LogTest, ValuesAreQuotedWhereNeeded) {
  EXPECT_EQ(ValueOf("plain-1.2:3+4_5"), "plain-1.2:3+4_5");
  EXPECT_EQ(ValueOf(""), "\"\"");
  EXPECT_EQ(ValueOf("two words"), "\"two words\"");
  EXPECT_EQ(ValueOf("a=b"), "\"a=b\"");
  EXPECT_EQ(ValueOf("a/b"), "\"a/b\"");
}

TEST_F(LogTest, AValueNeverStartsANewLineOrLeavesItsQuotes) {
  EXPECT_EQ(ValueOf("say \"hi\""), "\"say \\\"hi\\\"\"");
  EXPECT_EQ(ValueOf("back\\slash"), "\"back\\\\slash\"");
  EXPECT_EQ(ValueOf("one\ntwo\r\tthree"), "\"one\\ntwo\\r\\tthree\"");
  EXPECT_EQ(ValueOf(std::string_view("nul\0", 4)), "\"nul\\x00\"");
  EXPECT_EQ(ValueOf("\x1b[31m\x7f"), "\"\\x1b[31m\\x7f\"");
}

TEST_F(LogTest, TextStaysReadableAndBrokenTextIsEscaped) {
  EXPECT_EQ(ValueOf("\u00e9\u4e2d\U0001f600"), "\"\u00e9\u4e2d\U0001f600\"");
  EXPECT_EQ(ValueOf("\xff"), "\"\\xff\"");
  EXPECT_EQ(ValueOf("\xc3"), "\"\\xc3\"");           // cut short
  EXPECT_EQ(ValueOf("\xc3(x"), "\"\\xc3(x\"");       // no continuation
  EXPECT_EQ(ValueOf("\xc0\x8a"), "\"\\xc0\\x8a\"");  // a newline in disguise
  EXPECT_EQ(ValueOf("\xe0\x80\x8a"), "\"\\xe0\\x80\\x8a\"");
  EXPECT_EQ(ValueOf("\xed\xa0\x80"), "\"\\xed\\xa0\\x80\"");  // half a surrogate pair
  EXPECT_EQ(ValueOf("\xf4\x90\x80\x80"), "\"\\xf4\\x90\\x80\\x80\"");
  EXPECT_EQ(ValueOf("\xc2\x9b"), "\"\\xc2\\x9b\"");     // starts a terminal command
  EXPECT_EQ(ValueOf("\u2028"), "\"\\xe2\\x80\\xa8\"");  // a line separator
  EXPECT_EQ(ValueOf("\u202e"), "\"\\xe2\\x80\\xae\"");  // turns the text around
}

TEST_F(LogTest, KeysAndEventsCannotBreakTheLineEither) {
  Log(LogLevel::kInfo, "odd event\n", {{"odd key\n", 1}});
  EXPECT_THAT(Lines(), ElementsAre("info \"odd event\\n\" \"odd key\\n\"=1"));
}

TEST_F(LogTest, AsJsonEveryLineIsOneObject) {
  SetLogFormat(LogFormat::kJson);
  Log(LogLevel::kWarning, "upload.failed",
      {{"key", "a \"b\"\\\n\x1b\u202e\u00e9"},
       {"broken", "\xff\x80"},
       {"n", uint64_t{18446744073709551615U}},
       {"digits", "12"},
       {"yes", true},
       {"d", 1.5},
       {"none", std::numeric_limits<double>::infinity()}});
  SetLogFormat(LogFormat::kText);
  ASSERT_EQ(lines_.size(), 1U);
  EXPECT_EQ(lines_[0].find_first_of(std::string_view("\n\x1b", 2)), std::string::npos);
  const auto line = nlohmann::json::parse(lines_[0]);
  EXPECT_TRUE(ParseIso(line["time"].get<std::string>()).ok());
  EXPECT_EQ(line["level"], "warning");
  EXPECT_EQ(line["event"], "upload.failed");
  EXPECT_EQ(line["key"], "a \"b\"\\\n\x1b\u202e\u00e9");
  EXPECT_EQ(line["broken"], "\\xff\\x80");
  EXPECT_EQ(line["n"], 18446744073709551615U);
  EXPECT_EQ(line["digits"], "12") << "what was a text stays one";
  EXPECT_EQ(line["yes"], true);
  EXPECT_EQ(line["d"], 1.5);
  EXPECT_EQ(line["none"], "inf");
}

TEST_F(LogTest, OfWhatComesAgainAndAgainOneLineTellsHowMuchWasLeftOut) {
  SetLogRate({2, std::chrono::hours(1)});
  for (int i = 0; i < 5; ++i) Log(LogLevel::kError, "often", {{"i", i}});
  Log(LogLevel::kInfo, "once");
  for (int i = 0; i < 5; ++i) Log(LogLevel::kDebug, "asked.for");
  EXPECT_EQ(Lines().size(), 2U + 1U + 5U) << "debug lines are what somebody wants to see";
  TellLeftOut();
  EXPECT_THAT(Lines().back(), testing::StartsWith("warning log.left_out of=often lines=3 "));
  TellLeftOut();
  EXPECT_EQ(Lines().size(), 9U) << "once";
  Log(LogLevel::kError, "often", {{"i", 5}});
  EXPECT_EQ(Lines().back(), "error often i=5") << "a new window";

  // A window that is over tells by itself, with the next line.
  SetLogRate({1, Duration(0)});
  Log(LogLevel::kError, "a");
  Log(LogLevel::kError, "a");
  EXPECT_EQ(Lines().back(), "error a");
  SetLogRate({});
  for (int i = 0; i < 100; ++i) Log(LogLevel::kError, "any");
  EXPECT_EQ(Lines().size(), 112U);
}

TEST_F(LogTest, SetLogSinkGivesThePreviousOneBack) {
  std::vector<std::string> inner;
  LogSink ours =
      SetLogSink([&inner](LogLevel, std::string_view line) { inner.emplace_back(line); });
  Log(LogLevel::kInfo, "inner");
  SetLogSink(std::move(ours));
  Log(LogLevel::kInfo, "outer");
  EXPECT_EQ(inner.size(), 1U);
  EXPECT_THAT(Lines(), ElementsAre("info outer"));
}

TEST_F(LogTest, WritesWholeLinesToStderrByDefault) {
  LogSink ours = SetLogSink(nullptr);
  testing::internal::CaptureStderr();
  Log(LogLevel::kInfo, "plain", {{"n", 1}});
  // The sink that was there by default is a sink that can be put back.
  SetLogSink(SetLogSink(nullptr));
  Log(LogLevel::kInfo, "again");
  const std::string text = testing::internal::GetCapturedStderr();
  SetLogSink(std::move(ours));
  EXPECT_THAT(text, MatchesRegex("[^ ]+ info plain n=1\n[^ ]+ info again\n"));
}

TEST_F(LogTest, ThreadsMayLogAtOnce) {
  std::vector<std::thread> threads;
  threads.reserve(4);
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([t] {
      for (int i = 0; i < 100; ++i) Log(LogLevel::kInfo, "e", {{"t", t}, {"i", i}});
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(Lines().size(), 400U);
}

TEST(IsSecretNameTest, KnowsWhatMustNotBeShown) {
  for (const char* name : {"Authorization",
                           "authorization",
                           "Proxy-Authorization",
                           "Cookie",
                           "Set-Cookie",
                           "x-amz-security-token",
                           "X-Amz-Security-Token",
                           "x-qs-security-token",
                           "security_token",
                           "session_token",
                           "secret_key",
                           "SecretAccessKey",
                           "secret_access_key",
                           "password",
                           "x-amz-server-side-encryption-customer-key",
                           "x-amz-copy-source-server-side-encryption-customer-key",
                           "x-qs-encryption-customer-key",
                           "X-Amz-Signature",
                           "Signature",
                           "token",
                           "key_passphrase",
                           "private_key"}) {
    EXPECT_TRUE(IsSecretName(name)) << name;
  }
  for (const char* name :
       {"", "key", "etag", "x-amz-request-id", "x-amz-date", "continuation-token",
        "next_continuation_token", "access_key_id", "content-md5", "host",
        "x-amz-server-side-encryption-customer-algorithm"}) {
    EXPECT_FALSE(IsSecretName(name)) << name;
  }
}

}  // namespace
}  // namespace quayfs
