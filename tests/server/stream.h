// SPDX-License-Identifier: Apache-2.0
//
// One accepted connection as bytes in both directions, plain or over TLS. Calls block. One thread
// at a time, except that another thread may shut the socket down to break a blocked call. SIGPIPE
// must be blocked in the calling thread.

#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "base/result.h"

namespace quayfs::testserver {

class Stream {
 public:
  /// Does not own `fd`.
  explicit Stream(int fd) : fd_(fd) {}
  virtual ~Stream() = default;
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  /// At least one byte, or 0 when the peer has closed.
  virtual Result<size_t> Read(std::span<char> out) = 0;
  /// All of `data`. `more`: further data follows at once.
  virtual Status Write(std::string_view data, bool more) = 0;
  /// `length` bytes of a file.
  virtual Status WriteFile(int file, uint64_t offset, uint64_t length);
  /// No more will be written; the peer reads the end.
  virtual void CloseWrite() = 0;
  int fd() const { return fd_; }

 private:
  const int fd_;
};

/// Without TLS.
std::unique_ptr<Stream> MakePlainStream(int fd);

/// Waits (a few seconds at most) until the peer's kernel has acknowledged everything that was
/// written.
void WaitUntilSent(int fd);

/// Arranges that closing `fd` sends a RST.
void ResetOnClose(int fd);

}  // namespace quayfs::testserver
