// SPDX-License-Identifier: Apache-2.0

#include "tests/server/http_connection.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <string_view>

#include "tests/server/http_parser.h"

namespace quayfs::testserver {

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
      awaits_continue_(head.expect_continue && length_ > 0) {}

Result<size_t> RequestBody::Read(std::span<char> out) {
  if (remaining() == 0 || out.empty()) return size_t{0};
  if (awaits_continue_) {
    awaits_continue_ = false;
    QUAY_TRY(connection_.stream().Write("HTTP/1.1 100 Continue\r\n\r\n", false));
  }
  const size_t wanted = std::min<uint64_t>(out.size(), remaining());
  QUAY_ASSIGN(const size_t count, connection_.Read(out.first(wanted)));
  if (count == 0) return Error(Code::kUnavailable, "the client closed inside a request body");
  done_ += count;
  return count;
}

Status RequestBody::Skip(uint64_t count) {
  std::vector<char> sink(std::min<uint64_t>(std::min(count, remaining()), 256 << 10));
  while (count > 0 && remaining() > 0) {
    QUAY_ASSIGN(const size_t got,
                Read(std::span(sink).first(std::min<uint64_t>(sink.size(), count))));
    count -= got;
  }
  return {};
}

}  // namespace quayfs::testserver
