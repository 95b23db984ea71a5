// SPDX-License-Identifier: Apache-2.0
//
// Immutable bytes of objects and parts, in memory or in files. A Blob is a list of pieces of shared
// chunks, so copying an object, completing a multipart upload and copying a range into a part move
// no data. A chunk's memory or file goes when the last blob that uses it goes.

#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace quayfs::testserver {

/// Thread-safe; immutable.
class Chunk {
 public:
  virtual ~Chunk() = default;
  /// The bytes, or null if they are in a file.
  virtual const char* memory() const = 0;
  /// The name under which a journal finds the chunk again; "" in memory.
  virtual std::string id() const = 0;
  /// A descriptor for reading; only of chunks in files.
  virtual Result<UniqueFd> Open() const = 0;
};

struct Piece {
  std::shared_ptr<const Chunk> chunk;
  uint64_t offset = 0;
  uint64_t length = 0;  // never 0
};

/// Cheap to copy. Thread-compatible.
class Blob {
 public:
  uint64_t size() const { return size_; }
  const std::vector<Piece>& pieces() const { return pieces_; }
  void Append(Piece piece);
  void Append(const Blob& other);
  /// REQUIRES: offset + length <= size().
  Blob Slice(uint64_t offset, uint64_t length) const;
  /// Everything, as one string.
  Result<std::string> ReadAll() const;

 private:
  std::vector<Piece> pieces_;
  uint64_t size_ = 0;
};

/// Reads a blob from its start, piece by piece. Thread-compatible; the blob must outlive it.
class BlobReader {
 public:
  explicit BlobReader(const Blob& blob) : blob_(blob) {}
  /// Up to out.size() bytes; 0 at the end.
  Result<size_t> Read(std::span<char> out);

 private:
  const Blob& blob_;
  size_t piece_ = 0;
  uint64_t done_in_piece_ = 0;
  UniqueFd fd_;
};

/// Takes in the bytes of one new blob. Data written and not finished is discarded.
/// Thread-compatible.
class BlobWriter {
 public:
  virtual ~BlobWriter() = default;
  /// Where the next bytes go; never empty.
  virtual std::span<char> Space() = 0;
  /// The first `count` bytes of Space() are filled.
  virtual Status Advance(size_t count) = 0;
  virtual Result<Blob> Finish() = 0;
};

/// Makes chunks. Thread-safe.
class ChunkStore {
 public:
  virtual ~ChunkStore() = default;
  virtual Result<std::unique_ptr<BlobWriter>> NewBlob(uint64_t expected_size) = 0;
  /// The chunk that a journal names.
  virtual std::shared_ptr<const Chunk> Reopen(const std::string& id) = 0;
};

std::unique_ptr<ChunkStore> MakeMemoryChunkStore();
/// Chunks are files in `directory`, which exists. `next_id` is above every number in use there.
std::unique_ptr<ChunkStore> MakeFileChunkStore(std::string directory, uint64_t next_id);

}  // namespace quayfs::testserver
