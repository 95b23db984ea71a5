// SPDX-License-Identifier: Apache-2.0

#include "tests/server/http_connection.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstring>
#include <string_view>

#include "tests/server/http_parser.h"

namespace quayfs::testserver {
namespace {

constexpr size_t kChunkLineMax = 4096;
constexpr size_t kSkipBuffer = 256 << 10;

}  // namespace

HttpConnection::HttpConnection(std::unique_ptr<Stream> stream)
    : stream_(std::move(stream)), buffer_(kHeadSizeMax) {}

Result<std::optional<std::string>> HttpConnection::ReadHead() {
  if (begin_ > 0) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  while (true) {
    // An empty line before a request line is tolerated (RFC 9112 2.2).
    while (end_ - begin_ >= 2 && buffer_[begin_] == '\r' && buffer_[begin_ + 1] == '\n')
      begin_ += 2;
    const std::string_view seen(buffer_.data() + begin_, end_ - begin_);
    const size_t found = seen.find("\r\n\r\n");
    if (found != std::string_view::npos) {
      std::string head(seen.substr(0, found + 4));
      begin_ += head.size();
      return std::optional<std::string>(std::move(head));
    }
    if (end_ == buffer_.size()) return Error(Code::kTooLarge, "the request head is too long");
    QUAY_ASSIGN(const size_t count, stream_->Read(std::span(buffer_).subspan(end_)));
    if (count == 0) return std::optional<std::string>();
    end_ += count;
  }
}

Result<size_t> HttpConnection::Read(std::span<char> out) {
  if (begin_ == end_) return stream_->Read(out);
  const size_t count = std::min(out.size(), end_ - begin_);
  std::memcpy(out.data(), buffer_.data() + begin_, count);
  begin_ += count;
  return count;
}

void HttpConnection::CloseGently() {
  stream_->CloseWrite();
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(2);
  pollfd waiting{stream_->fd(), POLLIN, 0};
  while (std::chrono::steady_clock::now() < deadline && poll(&waiting, 1, 200) > 0) {
    if (recv(stream_->fd(), buffer_.data(), buffer_.size(), 0) <= 0) return;
  }
}

RequestBody::RequestBody(HttpConnection& connection, const RequestHead& head)
    : connection_(connection),
      length_(head.content_length.value_or(0)),
      chunked_(head.chunked),
      awaits_continue_(head.expect_continue && !at_end()) {}

Result<std::string> RequestBody::ReadLine() {
  std::string line;
  while (line.size() < kChunkLineMax) {
    char c = 0;
    QUAY_ASSIGN(const size_t count, connection_.Read({&c, 1}));
    if (count == 0) return Error(Code::kUnavailable, "the client closed inside a request body");
    line += c;
    if (line.ends_with("\r\n")) return line.substr(0, line.size() - 2);
  }
  return Error(Code::kInvalidArgument, "a chunk's head is too long");
}

/// Reads up to the data of the next chunk, or to the end of the body.
Status RequestBody::NextChunk() {
  if (!first_chunk_) {
    QUAY_ASSIGN(const std::string end, ReadLine());
    if (!end.empty()) return Error(Code::kInvalidArgument, "a chunk is longer than it says");
  }
  first_chunk_ = false;
  QUAY_ASSIGN(const std::string line, ReadLine());
  const std::string digits = line.substr(0, line.find(';'));
  const char* end = digits.data() + digits.size();
  const auto parsed = std::from_chars(digits.data(), end, chunk_left_, 16);
  if (digits.empty() || parsed.ec != std::errc() || parsed.ptr != end) {
    return Error(Code::kInvalidArgument, "malformed chunk length");
  }
  if (chunk_left_ > 0) return {};
  while (true) {
    QUAY_ASSIGN(const std::string trailer, ReadLine());
    if (trailer.empty()) break;
  }
  chunks_ended_ = true;
  return {};
}

Result<size_t> RequestBody::Read(std::span<char> out) {
  if (at_end() || out.empty()) return size_t{0};
  if (awaits_continue_) {
    awaits_continue_ = false;
    QUAY_TRY(connection_.stream().Write("HTTP/1.1 100 Continue\r\n\r\n", false));
  }
  if (chunked_ && chunk_left_ == 0) {
    QUAY_TRY(NextChunk());
    if (chunks_ended_) return size_t{0};
  }
  const uint64_t left = chunked_ ? chunk_left_ : length_ - done_;
  QUAY_ASSIGN(const size_t count,
              connection_.Read(out.first(std::min<uint64_t>(out.size(), left))));
  if (count == 0) return Error(Code::kUnavailable, "the client closed inside a request body");
  done_ += count;
  if (chunked_) chunk_left_ -= count;
  return count;
}

Status RequestBody::Skip(uint64_t count) {
  std::vector<char> sink(std::min<uint64_t>(count, kSkipBuffer));
  while (count > 0 && !at_end()) {
    QUAY_ASSIGN(const size_t got,
                Read(std::span(sink).first(std::min<uint64_t>(sink.size(), count))));
    count -= got;
  }
  return {};
}

}  // namespace quayfs::testserver
