// SPDX-License-Identifier: Apache-2.0
//
// Result<T>: a value or an Error. Ignoring one is a compile error.
//
//   Result<int> Parse(std::string_view text);
//   QUAY_ASSIGN(int n, Parse(text));   // returns the error to our caller
//   QUAY_TRY(Flush());                 // the same for Result<void>

#pragma once

#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>

#include "base/check.h"
#include "base/error.h"

namespace quayfs {

// A Result is made from what a function returns, by plain `return value;` or `return error;`.
// NOLINTBEGIN(google-explicit-constructor)

template <typename T>
class [[nodiscard]] Result {
 public:
  using value_type = T;

  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}
  Result(Code code, std::string message) : Result(Error(code, std::move(message))) {}

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }

  /// REQUIRES: ok().
  T& value() & {
    QUAY_CHECK(ok());
    return *std::get_if<0>(&state_);
  }
  const T& value() const& {
    QUAY_CHECK(ok());
    return *std::get_if<0>(&state_);
  }
  T&& value() && {
    QUAY_CHECK(ok());
    return std::move(*std::get_if<0>(&state_));
  }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  /// REQUIRES: !ok().
  const Error& error() const& {
    QUAY_CHECK(!ok());
    return *std::get_if<1>(&state_);
  }
  Error&& error() && {
    QUAY_CHECK(!ok());
    return std::move(*std::get_if<1>(&state_));
  }
  Code code() const { return error().code(); }
  bool Is(Code code) const { return !ok() && error().code() == code; }

 private:
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  using value_type = void;

  Result() = default;
  Result(Error error) : error_(std::move(error)) {}
  Result(Code code, std::string message) : Result(Error(code, std::move(message))) {}

  bool ok() const { return !error_.has_value(); }
  explicit operator bool() const { return ok(); }
  const Error& error() const& {
    QUAY_CHECK(!ok());
    return *error_;
  }
  Error&& error() && {
    QUAY_CHECK(!ok());
    return std::move(*error_);
  }
  Code code() const { return error().code(); }
  bool Is(Code code) const { return !ok() && error().code() == code; }

 private:
  std::optional<Error> error_;
};

// NOLINTEND(google-explicit-constructor)

using Status = Result<void>;

/// For the rare failure that may be dropped on purpose. Say why in a comment beside the call.
template <typename T>
void Ignore(const Result<T>& /*result*/) {}

}  // namespace quayfs

#define QUAY_CONCAT_INNER(a, b) a##b
#define QUAY_CONCAT(a, b) QUAY_CONCAT_INNER(a, b)

// The counter keeps names apart where one of these is used inside a lambda inside another. A Result
// that has a name of its own elsewhere is copied from, a temporary is moved from.
// NOLINTBEGIN(bugprone-macro-parentheses): names and declarations cannot stand in parentheses.
#define QUAY_TRY_IMPL(result, expression)                    \
  do {                                                       \
    if (auto&& result = (expression); !result.ok()) {        \
      return std::forward<decltype(result)>(result).error(); \
    }                                                        \
  } while (false)

#define QUAY_TRY(expression) QUAY_TRY_IMPL(QUAY_CONCAT(quay_result_, __COUNTER__), expression)

#define QUAY_ASSIGN_IMPL(result, declaration, expression)  \
  auto&& result = (expression);                            \
  if (!result.ok()) {                                      \
    return std::forward<decltype(result)>(result).error(); \
  }                                                        \
  declaration = std::forward<decltype(result)>(result).value()

#define QUAY_ASSIGN(declaration, expression) \
  QUAY_ASSIGN_IMPL(QUAY_CONCAT(quay_result_, __COUNTER__), declaration, expression)
// NOLINTEND(bugprone-macro-parentheses)
