// SPDX-License-Identifier: Apache-2.0

#include "tests/server/reply_writer.h"

#include <algorithm>

namespace quayfs::testserver {
namespace {

// Up to this size head and body go out in one write.
constexpr uint64_t kSmallBody = 64 << 10;

bool HasNoBody(int status) { return status == 204 || status == 304 || status < 200; }

}  // namespace

ReplyWriter::ReplyWriter(Stream& stream, const Reply& reply, const ReplyFrame& frame,
                         const Spoil& spoil)
    : stream_(stream), reply_(reply), frame_(frame), spoil_(spoil) {
  if (frame.head_only || HasNoBody(reply.status)) return;
  planned_ = reply.body_size();
  if (spoil.stop_after) planned_ = std::min(planned_, *spoil.stop_after);
}

std::string ReplyWriter::Head() const {
  std::string head = "HTTP/1.1 " + std::to_string(reply_.status) + " ";
  head += ReasonPhrase(reply_.status);
  head += "\r\nServer: quayfs-testserver\r\nDate: " + frame_.date +
          "\r\nx-amz-request-id: " + frame_.request_id + "\r\nx-amz-id-2: quayfs-testserver\r\n";
  for (const auto& [name, value] : reply_.headers) {
    head.append(name).append(": ").append(value).append("\r\n");
  }
  if (!HasNoBody(reply_.status)) {
    head += "Content-Length: " + std::to_string(reply_.body_size() + spoil_.length_added) + "\r\n";
  }
  if (!frame_.keep_alive) head += "Connection: close\r\n";
  return head + "\r\n";
}

Status ReplyWriter::Send(const std::function<void()>& before_last) {
  const std::string head = Head();
  if (planned_ == 0) {
    before_last();
    return stream_.Write(head + spoil_.extra, false);
  }
  if (Plain() && planned_ <= kSmallBody) return SendSmall(head, before_last);
  QUAY_TRY(stream_.Write(head, Plain()));
  if (reply_.blob) return SendBlob(before_last);
  std::string text = reply_.text.substr(0, planned_);
  if (spoil_.flip_at && *spoil_.flip_at < text.size()) {
    text[*spoil_.flip_at] = static_cast<char>(text[*spoil_.flip_at] ^ 1);
  }
  if (spoil_.bytes_per_second > 0 && text.size() > 1) {
    QUAY_TRY(SendSlowly(std::string_view(text).substr(0, text.size() - 1)));
    text.erase(0, text.size() - 1);
  }
  before_last();
  QUAY_TRY(stream_.Write(text + spoil_.extra, false));
  sent_ += text.size();
  return {};
}

Status ReplyWriter::SendSmall(const std::string& head, const std::function<void()>& before_last) {
  std::string body;
  if (reply_.blob) {
    QUAY_ASSIGN(body, reply_.blob->Slice(0, planned_).ReadAll());
  } else {
    body = reply_.text.substr(0, planned_);
  }
  before_last();
  QUAY_TRY(stream_.Write(head + body + spoil_.extra, false));
  sent_ = body.size();
  return {};
}

Status ReplyWriter::SendBlob(const std::function<void()>& before_last) {
  // The last byte (of the part that is sent) goes out alone, after the log has been written.
  for (const uint64_t end : {planned_ - 1, planned_}) {
    if (end == planned_) before_last();
    const Blob part = reply_.blob->Slice(sent_, end - sent_);
    for (const Piece& piece : part.pieces()) QUAY_TRY(SendPiece(piece, piece.length));
  }
  return spoil_.extra.empty() ? Status() : stream_.Write(spoil_.extra, false);
}

Status ReplyWriter::SendPiece(const Piece& piece, uint64_t length) {
  const char* memory = piece.chunk->memory();
  if (Plain()) {
    if (memory != nullptr) {
      QUAY_TRY(stream_.Write({memory + piece.offset, length}, false));
    } else {
      QUAY_ASSIGN(const UniqueFd file, piece.chunk->Open());
      QUAY_TRY(stream_.WriteFile(file.get(), piece.offset, length));
    }
    sent_ += length;
    return {};
  }
  Blob blob;
  blob.Append(piece);
  BlobReader reader(blob);
  std::string buffer(64 << 10, '\0');
  while (true) {
    QUAY_ASSIGN(const size_t count, reader.Read(buffer));
    if (count == 0) return {};
    if (spoil_.flip_at && *spoil_.flip_at >= sent_ && *spoil_.flip_at < sent_ + count) {
      char& victim = buffer[*spoil_.flip_at - sent_];
      victim = static_cast<char>(victim ^ 1);
    }
    const std::string_view data(buffer.data(), count);
    if (spoil_.bytes_per_second > 0) {
      QUAY_TRY(SendSlowly(data));
    } else {
      QUAY_TRY(stream_.Write(data, false));
      sent_ += count;
    }
  }
}

Status ReplyWriter::SendSlowly(std::string_view data) {
  // Twenty steps a second, or one byte at a time if that is slower.
  const uint64_t step = std::max<uint64_t>(1, spoil_.bytes_per_second / 20);
  while (!data.empty()) {
    const std::string_view now = data.substr(0, step);
    const auto pause = std::chrono::milliseconds(now.size() * 1000 / spoil_.bytes_per_second);
    if (!spoil_.pause(pause)) return Error(Code::kCancelled, "the server stops");
    QUAY_TRY(stream_.Write(now, false));
    sent_ += now.size();
    data.remove_prefix(now.size());
  }
  return {};
}

}  // namespace quayfs::testserver
