// SPDX-License-Identifier: Apache-2.0
//
// The two places where chunks live: memory, and one file per chunk in a directory.

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>

#include "tests/server/blob.h"

namespace quayfs::testserver {
namespace {

constexpr size_t kMemoryChunkMax = 8 << 20;
constexpr size_t kFileBuffer = 1 << 20;

class MemoryChunk final : public Chunk {
 public:
  explicit MemoryChunk(size_t size) : data_(new char[size]) {}
  const char* memory() const override { return data_.get(); }
  std::string id() const override { return ""; }
  Result<UniqueFd> Open() const override {
    return Error(Code::kInternal, "a chunk in memory has no file");
  }
  char* data() { return data_.get(); }

 private:
  std::unique_ptr<char[]> data_;
};

class MemoryWriter final : public BlobWriter {
 public:
  explicit MemoryWriter(uint64_t expected_size) : remaining_(expected_size) {}

  std::span<char> Space() override {
    if (current_ == nullptr) {
      // A body that is longer than announced still needs somewhere to go.
      capacity_ = remaining_ == 0 ? kFileBuffer : std::min<uint64_t>(remaining_, kMemoryChunkMax);
      current_ = std::make_shared<MemoryChunk>(capacity_);
      used_ = 0;
    }
    return {current_->data() + used_, capacity_ - used_};
  }

  Status Advance(size_t count) override {
    used_ += count;
    remaining_ -= std::min<uint64_t>(remaining_, count);
    if (used_ == capacity_) Close();
    return {};
  }

  Result<Blob> Finish() override {
    Close();
    return std::move(blob_);
  }

 private:
  void Close() {
    if (current_ == nullptr) return;
    blob_.Append(Piece{current_, 0, used_});
    current_.reset();
  }

  uint64_t remaining_;
  std::shared_ptr<MemoryChunk> current_;
  size_t capacity_ = 0;
  size_t used_ = 0;
  Blob blob_;
};

class MemoryChunkStore final : public ChunkStore {
 public:
  Result<std::unique_ptr<BlobWriter>> NewBlob(uint64_t expected_size) override {
    return std::unique_ptr<BlobWriter>(std::make_unique<MemoryWriter>(expected_size));
  }
  std::shared_ptr<const Chunk> Reopen(const std::string& /*id*/) override { return nullptr; }
};

class FileChunk final : public Chunk {
 public:
  FileChunk(std::string path, std::string id) : path_(std::move(path)), id_(std::move(id)) {}
  // When the store is shut down its chunks must stay: see FileChunkStore::alive.
  ~FileChunk() override {
    if (!keep_->load()) unlink(path_.c_str());
  }
  FileChunk(const FileChunk&) = delete;
  FileChunk& operator=(const FileChunk&) = delete;

  const char* memory() const override { return nullptr; }
  std::string id() const override { return id_; }
  Result<UniqueFd> Open() const override {
    UniqueFd fd(open(path_.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd.valid()) return ErrnoError(errno, "cannot open a chunk");
    return fd;
  }
  void set_keep(std::shared_ptr<std::atomic<bool>> keep) { keep_ = std::move(keep); }

 private:
  const std::string path_;
  const std::string id_;
  std::shared_ptr<std::atomic<bool>> keep_ = std::make_shared<std::atomic<bool>>(false);
};

class FileWriter final : public BlobWriter {
 public:
  FileWriter(UniqueFd fd, std::shared_ptr<FileChunk> chunk, uint64_t expected_size)
      : fd_(std::move(fd)),
        chunk_(std::move(chunk)),
        capacity_(expected_size == 0
                      ? kFileBuffer
                      : static_cast<size_t>(std::min<uint64_t>(expected_size, kFileBuffer))),
        buffer_(new char[capacity_]) {}

  std::span<char> Space() override { return {buffer_.get() + used_, capacity_ - used_}; }

  Status Advance(size_t count) override {
    used_ += count;
    return used_ == capacity_ ? Flush() : Status();
  }

  Result<Blob> Finish() override {
    QUAY_TRY(Flush());
    Blob blob;
    blob.Append(Piece{std::move(chunk_), 0, written_});
    return blob;
  }

 private:
  Status Flush() {
    size_t done = 0;
    while (done < used_) {
      const ssize_t count = write(fd_.get(), buffer_.get() + done, used_ - done);
      if (count < 0) return ErrnoError(errno, "cannot write a chunk");
      done += static_cast<size_t>(count);
    }
    written_ += used_;
    used_ = 0;
    return {};
  }

  UniqueFd fd_;
  std::shared_ptr<FileChunk> chunk_;
  size_t capacity_;
  std::unique_ptr<char[]> buffer_;
  size_t used_ = 0;
  uint64_t written_ = 0;
};

class FileChunkStore final : public ChunkStore {
 public:
  FileChunkStore(std::string directory, uint64_t next_id)
      : directory_(std::move(directory)), next_id_(next_id) {}
  ~FileChunkStore() override { keep_->store(true); }
  FileChunkStore(const FileChunkStore&) = delete;
  FileChunkStore& operator=(const FileChunkStore&) = delete;

  Result<std::unique_ptr<BlobWriter>> NewBlob(uint64_t expected_size) override {
    const std::string id = std::to_string(next_id_.fetch_add(1));
    const std::string path = directory_ + "/" + id;
    UniqueFd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (!fd.valid()) return ErrnoError(errno, "cannot create a chunk");
    return std::unique_ptr<BlobWriter>(
        std::make_unique<FileWriter>(std::move(fd), MakeChunk(id), expected_size));
  }

  std::shared_ptr<const Chunk> Reopen(const std::string& id) override { return MakeChunk(id); }

 private:
  std::shared_ptr<FileChunk> MakeChunk(const std::string& id) {
    auto chunk = std::make_shared<FileChunk>(directory_ + "/" + id, id);
    chunk->set_keep(keep_);
    return chunk;
  }

  const std::string directory_;
  std::atomic<uint64_t> next_id_;
  // Set when the store goes: chunks that are released after that belong to objects that shall be
  // there at the next start.
  std::shared_ptr<std::atomic<bool>> keep_ = std::make_shared<std::atomic<bool>>(false);
};

}  // namespace

std::unique_ptr<ChunkStore> MakeMemoryChunkStore() { return std::make_unique<MemoryChunkStore>(); }

std::unique_ptr<ChunkStore> MakeFileChunkStore(std::string directory, uint64_t next_id) {
  return std::make_unique<FileChunkStore>(std::move(directory), next_id);
}

}  // namespace quayfs::testserver
