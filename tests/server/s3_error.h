// SPDX-License-Identifier: Apache-2.0
//
// How a step of a request fails in terms of S3: the status, code and fields of an <Error> reply.

#pragma once

#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/check.h"

namespace quayfs::testserver {

using NameValues = std::vector<std::pair<std::string, std::string>>;

struct S3Error {
  int status = 500;  // 0: the connection is broken, there is nobody to answer
  std::string code;
  std::string message;
  NameValues details;  // further elements of the <Error> body
  NameValues headers;  // further headers of the reply

  S3Error(int http_status, std::string error_code, std::string text)
      : status(http_status), code(std::move(error_code)), message(std::move(text)) {}

  S3Error&& With(std::string name, std::string value) && {
    details.emplace_back(std::move(name), std::move(value));
    return std::move(*this);
  }
  S3Error&& WithHeader(std::string name, std::string value) && {
    headers.emplace_back(std::move(name), std::move(value));
    return std::move(*this);
  }

  static S3Error ConnectionLost() { return {0, "", "the client went away"}; }
  static S3Error Internal(std::string text) { return {500, "InternalError", std::move(text)}; }
};

/// A value, or why there is none.
template <typename T>
class [[nodiscard]] Outcome {
 public:
  // NOLINTNEXTLINE(google-explicit-constructor)
  Outcome(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  // NOLINTNEXTLINE(google-explicit-constructor)
  Outcome(S3Error error) : state_(std::in_place_index<1>, std::move(error)) {}

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }
  T& operator*() {
    QUAY_CHECK(ok());
    return *std::get_if<0>(&state_);
  }
  const T& operator*() const {
    QUAY_CHECK(ok());
    return *std::get_if<0>(&state_);
  }
  T* operator->() { return &**this; }
  const T* operator->() const { return &**this; }
  const S3Error& error() const {
    QUAY_CHECK(!ok());
    return *std::get_if<1>(&state_);
  }

 private:
  std::variant<T, S3Error> state_;
};

/// What is wrong, if anything.
using Problem = std::optional<S3Error>;

}  // namespace quayfs::testserver
