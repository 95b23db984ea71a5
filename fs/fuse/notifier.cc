// SPDX-License-Identifier: Apache-2.0

#include "fs/fuse/notifier.h"

#include <cerrno>
#include <utility>

#include "base/log.h"

namespace quayfs {

Notifier::Notifier(FileSystem& file_system, fuse_session* session)
    : file_system_(file_system), session_(session), thread_([this] { Run(); }) {
  file_system_.SetOutdatedListener([this](const Outdated& outdated) {
    MutexLock lock(mutex_);
    queue_.push_back(outdated);
    noted_.NotifyOne();
  });
}

void Notifier::Stop() {
  file_system_.SetOutdatedListener({});
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    noted_.NotifyOne();
  }
  std::call_once(joined_, [this] { thread_.join(); });
}

void Notifier::Run() {
  MutexLock lock(mutex_);
  while (!stopping_) {
    if (queue_.empty()) {
      noted_.Wait(mutex_);
      continue;
    }
    const Outdated outdated = std::move(queue_.front());
    queue_.pop_front();
    lock.Unlock();
    Tell(outdated);
    lock.Lock();
  }
}

void Notifier::Tell(const Outdated& outdated) const {
  // Without a range of contents the kernel need not wait for its own writes.
  const int failed = outdated.name.empty()
                         ? fuse_lowlevel_notify_inval_inode(session_, outdated.ino, -1, 0)
                         : fuse_lowlevel_notify_inval_entry(
                               session_, outdated.ino, outdated.name.data(), outdated.name.size());
  // What it does not know it need not forget.
  if (failed != 0 && failed != -ENOENT) {
    Log(LogLevel::kDebug, "fuse.notify_failed", {{"inode", outdated.ino}, {"errno", -failed}});
  }
}

}  // namespace quayfs
