// SPDX-License-Identifier: Apache-2.0

#include "tests/server/stream.h"

#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <vector>

namespace quayfs::testserver {
namespace {

class PlainStream final : public Stream {
 public:
  using Stream::Stream;

  Result<size_t> Read(std::span<char> out) override {
    while (true) {
      const ssize_t count = recv(fd(), out.data(), out.size(), 0);
      if (count >= 0) return static_cast<size_t>(count);
      if (errno != EINTR) return ErrnoError(errno, "recv");
    }
  }

  Status Write(std::string_view data, bool more) override {
    while (!data.empty()) {
      const ssize_t count =
          send(fd(), data.data(), data.size(), MSG_NOSIGNAL | (more ? MSG_MORE : 0));
      if (count < 0) {
        if (errno == EINTR) continue;
        return ErrnoError(errno, "send");
      }
      data.remove_prefix(static_cast<size_t>(count));
    }
    return {};
  }

  Status WriteFile(int file, uint64_t offset, uint64_t length) override {
    auto position = static_cast<off_t>(offset);
    while (length > 0) {
      const size_t wanted = std::min<uint64_t>(length, 1 << 30);
      const ssize_t count = sendfile(fd(), file, &position, wanted);
      if (count < 0) {
        if (errno == EINTR) continue;
        return ErrnoError(errno, "sendfile");
      }
      if (count == 0) return Error(Code::kIo, "a chunk is shorter than it was");
      length -= static_cast<uint64_t>(count);
    }
    return {};
  }

  void CloseWrite() override { shutdown(fd(), SHUT_WR); }
};

}  // namespace

Status Stream::WriteFile(int file, uint64_t offset, uint64_t length) {
  std::vector<char> buffer(std::min<uint64_t>(length, 256 << 10));
  while (length > 0) {
    const size_t wanted = std::min<uint64_t>(length, buffer.size());
    const ssize_t count = pread(file, buffer.data(), wanted, static_cast<off_t>(offset));
    if (count < 0) return ErrnoError(errno, "cannot read a chunk");
    if (count == 0) return Error(Code::kIo, "a chunk is shorter than it was");
    QUAY_TRY(Write({buffer.data(), static_cast<size_t>(count)}, false));
    offset += static_cast<uint64_t>(count);
    length -= static_cast<uint64_t>(count);
  }
  return {};
}

std::unique_ptr<Stream> MakePlainStream(int fd) { return std::make_unique<PlainStream>(fd); }

void WaitUntilSent(int fd) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  int waiting = 0;
  // The kernel has no event for "everything acknowledged", so look again every millisecond.
  while (ioctl(fd, SIOCOUTQ, &waiting) == 0 && waiting > 0 &&
         std::chrono::steady_clock::now() < deadline) {
    poll(nullptr, 0, 1);
  }
}

void ResetOnClose(int fd) {
  const linger now{1, 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
}

}  // namespace quayfs::testserver
