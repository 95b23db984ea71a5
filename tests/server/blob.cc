// SPDX-License-Identifier: Apache-2.0

#include "tests/server/blob.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/check.h"

namespace quayfs::testserver {

void Blob::Append(Piece piece) {
  if (piece.length == 0) return;
  size_ += piece.length;
  pieces_.push_back(std::move(piece));
}

void Blob::Append(const Blob& other) {
  for (const Piece& piece : other.pieces_) Append(piece);
}

Blob Blob::Slice(uint64_t offset, uint64_t length) const {
  QUAY_CHECK(offset + length <= size_);
  Blob slice;
  for (const Piece& piece : pieces_) {
    if (length == 0) break;
    if (offset >= piece.length) {
      offset -= piece.length;
      continue;
    }
    const uint64_t taken = std::min(length, piece.length - offset);
    slice.Append(Piece{piece.chunk, piece.offset + offset, taken});
    offset = 0;
    length -= taken;
  }
  return slice;
}

Result<std::string> Blob::ReadAll() const {
  std::string all(size_, '\0');
  BlobReader reader(*this);
  size_t done = 0;
  while (done < all.size()) {
    QUAY_ASSIGN(const size_t count, reader.Read(std::span(all).subspan(done)));
    if (count == 0) return Error(Code::kIo, "a chunk is shorter than it was");
    done += count;
  }
  return all;
}

Result<size_t> BlobReader::Read(std::span<char> out) {
  if (piece_ == blob_.pieces().size() || out.empty()) return size_t{0};
  const Piece& piece = blob_.pieces()[piece_];
  const size_t wanted = std::min<uint64_t>(out.size(), piece.length - done_in_piece_);
  size_t count = wanted;
  if (piece.chunk->memory() != nullptr) {
    std::memcpy(out.data(), piece.chunk->memory() + piece.offset + done_in_piece_, wanted);
  } else {
    if (!fd_.valid()) {
      QUAY_ASSIGN(fd_, piece.chunk->Open());
    }
    const auto position = static_cast<off_t>(piece.offset + done_in_piece_);
    const ssize_t got = pread(fd_.get(), out.data(), wanted, position);
    if (got < 0) return ErrnoError(errno, "cannot read a chunk");
    if (got == 0) return Error(Code::kIo, "a chunk is shorter than it was");
    count = static_cast<size_t>(got);
  }
  done_in_piece_ += count;
  if (done_in_piece_ == piece.length) {
    ++piece_;
    done_in_piece_ = 0;
    fd_.Reset();
  }
  return count;
}

}  // namespace quayfs::testserver
