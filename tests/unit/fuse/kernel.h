// SPDX-License-Identifier: Apache-2.0
//
// The kernel's side of a FUSE session, without a mount: requests are handed to libfuse as the
// kernel would write them, and replies are caught. Thread-safe where replies come from other
// threads.

#pragma once

#include <linux/fuse.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <map>
#include <memory>
#include <string>

#include "base/mutex.h"
#include "fs/fuse/operations.h"

namespace quayfs {

class Kernel {
 public:
  struct Reply {
    int error = 0;  // an errno
    std::string body;
  };

  explicit Kernel(FileSystem& file_system)
      : service_(std::make_unique<fuse_operations::Service>(
            file_system, 2, std::chrono::seconds(60), Duration{0})) {
    char name[] = "test";
    char* words[] = {name, nullptr};
    fuse_args args = FUSE_ARGS_INIT(1, words);
    const fuse_lowlevel_ops operations = fuse_operations::Table();
    session_ = fuse_session_new(&args, &operations, sizeof(operations), service_.get());
    fuse_opt_free_args(&args);
    QUAY_CHECK(session_ != nullptr);
    fuse_custom_io io{};
    io.writev = &Kernel::TakeReply;
    io.read = [](int, void*, size_t, void*) -> ssize_t { return 0; };
    current_ = this;
    QUAY_CHECK(fuse_session_custom_io(session_, &io, ::dup(STDERR_FILENO)) == 0);
    fuse_init_in init{};
    init.major = FUSE_KERNEL_VERSION;
    init.minor = FUSE_KERNEL_MINOR_VERSION;
    init.max_readahead = 128 << 10;
    init.flags = FUSE_DO_READDIRPLUS;
    Send(FUSE_INIT, 0, init);
  }
  ~Kernel() {
    WaitForAll();
    fuse_session_destroy(session_);
    current_ = nullptr;
  }
  Kernel(const Kernel&) = delete;
  Kernel& operator=(const Kernel&) = delete;

  /// The next reply is refused with ENOENT, as to a request whose process has gone.
  void RefuseNextReply() {
    const MutexLock lock(mutex_);
    refuse_ = true;
  }

  /// Returns the request's number. `more` follows the fixed part.
  template <typename In>
  uint64_t Send(uint32_t opcode, uint64_t node, const In& in, const std::string& more = "") {
    fuse_in_header header{};
    header.len = static_cast<uint32_t>(sizeof(header) + sizeof(in) + more.size());
    header.opcode = opcode;
    header.unique = ++last_;
    header.nodeid = node;
    header.uid = ::getuid();
    header.gid = ::getgid();
    header.pid = static_cast<uint32_t>(::getpid());
    std::string bytes(reinterpret_cast<const char*>(&header), sizeof(header));
    bytes.append(reinterpret_cast<const char*>(&in), sizeof(in));
    bytes += more;
    fuse_buf buffer{};
    buffer.size = bytes.size();
    buffer.mem = bytes.data();
    fuse_session_process_buf(session_, &buffer);
    return last_;
  }

  /// Returns when every request has been answered or refused; nothing may be sent afterwards.
  void WaitForAll() { service_->Drain(); }

  Reply ReplyTo(uint64_t request) {
    const MutexLock lock(mutex_);
    return replies_[request];
  }

 private:
  // libfuse hands the session's userdata, which is the Service's: one kernel at a time.
  static ssize_t TakeReply(int /*fd*/, iovec* parts, int count, void* /*userdata*/) {
    std::string bytes;
    for (int i = 0; i < count; ++i)
      bytes.append(static_cast<const char*>(parts[i].iov_base), parts[i].iov_len);
    fuse_out_header header{};
    QUAY_CHECK(bytes.size() >= sizeof(header));
    std::memcpy(&header, bytes.data(), sizeof(header));
    const MutexLock lock(current_->mutex_);
    if (current_->refuse_) {
      current_->refuse_ = false;
      errno = ENOENT;
      return -1;
    }
    current_->replies_[header.unique] = {-header.error, bytes.substr(sizeof(header))};
    return static_cast<ssize_t>(bytes.size());
  }

  inline static Kernel* current_ = nullptr;
  std::unique_ptr<fuse_operations::Service> service_;
  fuse_session* session_ = nullptr;
  uint64_t last_ = 0;
  Mutex mutex_{LockRank::kLeaf};
  bool refuse_ QUAY_GUARDED_BY(mutex_) = false;
  std::map<uint64_t, Reply> replies_ QUAY_GUARDED_BY(mutex_);
};

}  // namespace quayfs
