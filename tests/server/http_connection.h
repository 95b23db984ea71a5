// SPDX-License-Identifier: Apache-2.0
//
// A connection as a sequence of requests: reads heads, and bodies as the framing says. Blocking;
// thread-compatible.

#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tests/server/http_message.h"
#include "tests/server/stream.h"

namespace quayfs::testserver {

class HttpConnection {
 public:
  explicit HttpConnection(std::unique_ptr<Stream> stream);

  Stream& stream() { return *stream_; }
  /// The text of the next request's head with its empty line; none when the client has closed
  /// before it. kTooLarge if the head is longer than kHeadSizeMax.
  Result<std::optional<std::string>> ReadHead();
  /// What follows the head: at least one byte, or 0 at the end of the connection.
  Result<size_t> Read(std::span<char> out);
  /// Sends the end of the stream and reads what the client still sends, for a moment, so that
  /// closing does not reset.
  void CloseGently();

 private:
  std::unique_ptr<Stream> stream_;
  std::vector<char> buffer_;
  size_t begin_ = 0;  // unread bytes of buffer_
  size_t end_ = 0;
};

/// The body of one request, as framed by Content-Length or Transfer-Encoding: chunked.
class RequestBody {
 public:
  RequestBody(HttpConnection& connection, const RequestHead& head);

  /// What Content-Length says, else 0.
  uint64_t length() const { return length_; }
  bool at_end() const { return chunked_ ? chunks_ended_ : done_ == length_; }
  uint64_t received() const { return done_; }
  /// True while the client waits for a 100 that was not sent.
  bool awaits_continue() const { return awaits_continue_; }
  /// The next bytes; 0 at the end of the body. Sends the 100 that the client waits for.
  /// kUnavailable if the client went away, kInvalidArgument if the framing is broken.
  Result<size_t> Read(std::span<char> out);
  /// Reads and drops up to `count` bytes.
  Status Skip(uint64_t count);
  /// Reads and drops the rest.
  Status SkipAll() { return Skip(UINT64_MAX); }

 private:
  Result<std::string> ReadLine();
  Status NextChunk();

  HttpConnection& connection_;
  const uint64_t length_;
  const bool chunked_;
  uint64_t done_ = 0;
  uint64_t chunk_left_ = 0;  // of a chunked body
  bool first_chunk_ = true;
  bool chunks_ended_ = false;
  bool awaits_continue_;
};

}  // namespace quayfs::testserver
