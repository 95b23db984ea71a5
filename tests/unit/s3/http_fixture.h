// SPDX-License-Identifier: Apache-2.0
//
// What the tests of the HTTP client have in common.

#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "s3/http.h"
#include "tests/unit/s3/raw_server.h"

namespace quayfs::s3::testing {

/// Far more than anything here takes; only there so that a hang ends as a failure.
constexpr std::chrono::seconds kHang{60};

inline CallOptions Patient() {
  CallOptions call;
  call.deadline = std::chrono::steady_clock::now() + kHang;
  return call;
}

inline std::unique_ptr<HttpClient> NewClient(const HttpConfig& config = {}) {
  auto client = MakeHttpClient(config);
  EXPECT_TRUE(client.ok()) << client.error().ToString();
  return client.ok() ? std::move(client).value() : nullptr;
}

inline HttpRequest NewRequest(uint16_t port, std::string method, std::string path = "/") {
  HttpRequest request;
  request.method = std::move(method);
  request.scheme = "http";
  request.host = "127.0.0.1";
  request.port = port;
  request.path = std::move(path);
  return request;
}

class Reply final : public ResponseHandler {
 public:
  Status OnHeaders(int s, const HttpHeaders& h) override {
    ++headers_calls;
    EXPECT_TRUE(body.empty());
    status = s;
    headers = h;
    return {};
  }
  Status OnData(std::span<const std::byte> data) override {
    EXPECT_EQ(headers_calls, 1);
    body.append(reinterpret_cast<const char*>(data.data()), data.size());
    return {};
  }

  int headers_calls = 0;
  int status = 0;
  HttpHeaders headers;
  std::string body;
};

class TextBody final : public RequestBody {
 public:
  explicit TextBody(std::string text) : text_(std::move(text)) {}
  uint64_t size() const override { return text_.size(); }
  Status Read(uint64_t offset, std::span<std::byte> out) const override {
    EXPECT_LE(offset + out.size(), text_.size());
    std::memcpy(out.data(), text_.data() + offset, out.size());
    return {};
  }

 private:
  const std::string text_;
};

/// `size` bytes in which every position is recognisable, without holding them.
class PatternBody final : public RequestBody {
 public:
  explicit PatternBody(uint64_t size) : size_(size) {}
  static char At(uint64_t offset) {
    return static_cast<char>((offset * 0x9E3779B97F4A7C15u) >> 56);
  }
  uint64_t size() const override { return size_; }
  Status Read(uint64_t offset, std::span<std::byte> out) const override {
    for (size_t i = 0; i < out.size(); ++i) out[i] = static_cast<std::byte>(At(offset + i));
    return {};
  }

 private:
  const uint64_t size_;
};

}  // namespace quayfs::s3::testing
