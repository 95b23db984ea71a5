// SPDX-License-Identifier: Apache-2.0
//
// What the tests of the S3 client share: a client over a scripted HttpClient and a clock that
// stands still.

#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/hash.h"
#include "s3/client.h"
#include "tests/unit/s3/fake_http.h"

namespace quayfs::s3 {

class TextSink final : public ByteSink {
 public:
  Status Write(std::span<const std::byte> data) override {
    if (fail_at && text.size() + data.size() > *fail_at)
      return Error(Code::kUnavailable, "the sink is full");
    text.append(reinterpret_cast<const char*>(data.data()), data.size());
    return {};
  }
  std::string text;
  std::optional<size_t> fail_at;
};

class ClientTest : public ::testing::Test {
 protected:
  ClientTest() : clock_(ParseIso("2013-05-24T00:00:00Z").value()) {
    config_.host = "s3.example.org";
    config_.bucket = "bkt";
    config_.credentials = {"AK", "SK", ""};
  }

  Client& client() {
    if (client_ == nullptr) client_ = std::make_unique<Client>(config_, http_, clock_);
    return *client_;
  }

  static std::string ErrorBody(std::string_view code, std::string_view more = "") {
    return "<Error><Code>" + std::string(code) + "</Code>" + std::string(more) + "</Error>";
  }
  static std::string Digits(size_t count) {
    std::string text(count, '0');
    for (size_t i = 0; i < count; ++i) text[i] = static_cast<char>('0' + i % 10);
    return text;
  }
  /// "Fri, 24 May 2013 00:00:00 GMT" and so many seconds.
  static std::string Date(int seconds) {
    return FormatHttpDate(ParseIso("2013-05-24T00:00:00Z").value() + std::chrono::seconds(seconds));
  }

  /// Nothing in the script was left over, and nothing was asked beyond it.
  void ExpectScriptUsed(size_t requests) {
    EXPECT_EQ(http_.left(), 0u);
    EXPECT_EQ(http_.sent().size(), requests) << ::testing::PrintToString(http_.lines());
  }

  ClientConfig config_;
  FakeHttp http_;
  ManualClock clock_;
  CallOptions call_;
  std::unique_ptr<Client> client_;
};

}  // namespace quayfs::s3
