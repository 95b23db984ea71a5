// SPDX-License-Identifier: Apache-2.0
//
// Puts a reply on the wire, whole or spoiled by a fault. Blocking; thread-compatible.

#pragma once

#include <functional>
#include <optional>
#include <string>

#include "tests/server/http_message.h"
#include "tests/server/server.h"
#include "tests/server/stream.h"

namespace quayfs::testserver {

/// What is not in the Reply itself.
struct ReplyFrame {
  bool head_only = false;  // the request was a HEAD
  bool keep_alive = true;
  std::string date;  // HTTP date by the server's clock
  std::string request_id;
};

/// How to spoil it.
struct Spoil {
  std::optional<uint64_t> stop_after;  // send this many bytes of the body, then no more
  uint64_t length_added = 0;           // Content-Length says more than there is
  std::string extra;                   // bytes behind the body
  std::optional<uint64_t> flip_at;     // one bit of this byte of the body is flipped
  uint64_t bytes_per_second = 0;       // of the body; 0 = full speed
  std::function<bool(std::chrono::milliseconds)> pause;  // for the speed; false: give up
};

class ReplyWriter {
 public:
  ReplyWriter(Stream& stream, const Reply& reply, const ReplyFrame& frame, const Spoil& spoil);

  /// The bytes of the body that will be sent if nothing goes wrong.
  uint64_t planned() const { return planned_; }
  /// Calls `before_last` before the last byte goes out, exactly once if it gets that far.
  Status Send(const std::function<void()>& before_last);
  /// Bytes of the body that went out.
  uint64_t sent() const { return sent_; }

 private:
  std::string Head() const;
  Status SendSmall(const std::string& head, const std::function<void()>& before_last);
  Status SendBlob(const std::function<void()>& before_last);
  Status SendPiece(const Piece& piece, uint64_t length);
  Status SendSlowly(std::string_view data);
  bool Plain() const { return !spoil_.flip_at && spoil_.bytes_per_second == 0; }

  Stream& stream_;
  const Reply& reply_;
  const ReplyFrame& frame_;
  const Spoil& spoil_;
  uint64_t planned_ = 0;
  uint64_t sent_ = 0;
};

}  // namespace quayfs::testserver
