// SPDX-License-Identifier: Apache-2.0
//
// The parts of an HTTP/1.1 message as the server sees them. Plain data; thread-compatible.

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/server/blob.h"
#include "tests/server/s3_error.h"

namespace quayfs::testserver {

/// Header fields in the order of arrival, names in lower case, values without blanks at their ends.
class HeaderList {
 public:
  void Add(std::string name, std::string value) {
    fields_.emplace_back(std::move(name), std::move(value));
  }
  bool Has(std::string_view name) const { return Find(name) != nullptr; }
  /// The first value, or null.
  const std::string* Find(std::string_view name) const;
  /// The first value, or "".
  std::string Get(std::string_view name) const;
  /// All values, joined by `separator`.
  std::string Joined(std::string_view name, std::string_view separator) const;
  size_t Count(std::string_view name) const;
  void Remove(std::string_view name);
  const NameValues& fields() const { return fields_; }

 private:
  NameValues fields_;
};

/// A query string, decoded ('+' is a space), in the order of arrival.
class Query {
 public:
  Query() = default;
  explicit Query(std::string_view raw);
  bool Has(std::string_view name) const { return Find(name) != nullptr; }
  const std::string* Find(std::string_view name) const;
  std::string Get(std::string_view name) const;
  const NameValues& pairs() const { return pairs_; }

 private:
  NameValues pairs_;
};

struct RequestHead {
  std::string method;
  std::string raw_path;   // as on the wire, percent-encoded
  std::string raw_query;  // after '?', as on the wire
  bool http10 = false;
  HeaderList headers;
  std::optional<uint64_t> content_length;
  bool chunked = false;          // Transfer-Encoding was sent
  bool expect_continue = false;  // the client waits for 100 before it sends the body
  bool keep_alive = true;
};

/// What goes back. The body is `blob` if there is one, else `text`.
struct Reply {
  int status = 200;
  NameValues headers;  // without Content-Length, Date, Connection and the request ids
  std::string text;
  std::optional<Blob> blob;
  bool close = false;  // close the connection after this
  bool drop = false;   // no reply at all: the client has gone

  uint64_t body_size() const { return blob ? blob->size() : text.size(); }
  void Set(std::string_view name, std::string value);
};

std::string_view ReasonPhrase(int status);

}  // namespace quayfs::testserver
