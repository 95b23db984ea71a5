// SPDX-License-Identifier: Apache-2.0

#include "cache/snapshot_memory.h"

#include <algorithm>

#include "cache/waiting.h"

namespace quayfs {

Result<SnapshotMemory::Grant> SnapshotMemory::Acquire(uint64_t bytes, const CallOptions& call) {
  MutexLock lock(mutex_);
  const uint64_t ticket = next_ticket_++;
  waiting_.push_back(ticket);
  Status waited;
  while (waiting_.front() != ticket || (held_ > 0 && held_ + bytes > limit_)) {
    waited = WaitOnce(changed_, mutex_, call);
    if (!waited) break;
  }
  waiting_.erase(std::find(waiting_.begin(), waiting_.end(), ticket));
  changed_.NotifyAll();
  if (!waited) return waited.error();
  held_ += bytes;
  return Grant(this, bytes);
}

void SnapshotMemory::Release(uint64_t bytes) {
  MutexLock lock(mutex_);
  held_ -= bytes;
  changed_.NotifyAll();
}

}  // namespace quayfs
