// SPDX-License-Identifier: Apache-2.0

#include "cache/clean_budget.h"

#include <algorithm>

#include "base/check.h"

namespace quayfs {
namespace {

/// Calls `visit(segment, bytes)` for each segment that `range` touches.
template <typename Visit>
void ForEachSegment(ByteRange range, Visit visit) {
  while (range.begin < range.end) {
    const uint64_t segment = range.begin / CleanBudget::kSegment;
    const uint64_t end = std::min(range.end, (segment + 1) * CleanBudget::kSegment);
    visit(segment, end - range.begin);
    range.begin = end;
  }
}

}  // namespace

void CleanBudget::Add(const std::shared_ptr<Evictable>& owner, ByteRange range) {
  MutexLock lock(mutex_);
  ForEachSegment(range, [&](uint64_t number, uint64_t bytes) QUAY_REQUIRES(mutex_) {
    const Key key{owner.get(), number};
    auto it = index_.find(key);
    if (it == index_.end()) {
      segments_.push_front({key, owner, 0});
      it = index_.emplace(key, segments_.begin()).first;
    } else {
      segments_.splice(segments_.begin(), segments_, it->second);
    }
    it->second->bytes += bytes;
    bytes_ += bytes;
  });
}

void CleanBudget::Subtract(const Evictable* owner, ByteRange range) {
  MutexLock lock(mutex_);
  ForEachSegment(range, [&](uint64_t number, uint64_t bytes) QUAY_REQUIRES(mutex_) {
    auto it = index_.find({owner, number});
    QUAY_CHECK(it != index_.end() && it->second->bytes >= bytes);
    it->second->bytes -= bytes;
    bytes_ -= bytes;
    if (it->second->bytes == 0) Remove(it);
  });
}

void CleanBudget::Touch(const Evictable* owner, ByteRange range) {
  MutexLock lock(mutex_);
  ForEachSegment(range, [&](uint64_t number, uint64_t /*bytes*/) QUAY_REQUIRES(mutex_) {
    if (!segments_.empty() && segments_.front().key == Key{owner, number}) return;
    auto it = index_.find({owner, number});
    if (it != index_.end()) segments_.splice(segments_.begin(), segments_, it->second);
  });
}

void CleanBudget::Forget(const Evictable* owner) {
  MutexLock lock(mutex_);
  auto it = index_.lower_bound({owner, 0});
  while (it != index_.end() && it->first.first == owner) {
    bytes_ -= it->second->bytes;
    auto next = std::next(it);
    Remove(it);
    it = next;
  }
}

uint64_t CleanBudget::bytes() const {
  MutexLock lock(mutex_);
  return bytes_;
}

void CleanBudget::Remove(std::map<Key, List::iterator>::iterator it) {
  segments_.erase(it->second);
  index_.erase(it);
}

std::shared_ptr<Evictable> CleanBudget::TakeVictim(uint64_t limit, ByteRange* range) {
  MutexLock lock(mutex_);
  while (bytes_ > limit && !segments_.empty()) {
    const Segment& oldest = segments_.back();
    std::shared_ptr<Evictable> owner = oldest.owner.lock();
    if (owner == nullptr) {
      // Its destructor is about to forget the segment; do it for it.
      bytes_ -= oldest.bytes;
      Remove(index_.find(oldest.key));
      continue;
    }
    *range = ByteRange::OfLength(oldest.key.second * kSegment, kSegment);
    segments_.splice(segments_.begin(), segments_, std::prev(segments_.end()));
    return owner;
  }
  return nullptr;
}

void CleanBudget::Shrink(uint64_t limit) {
  size_t tries = 0;
  {
    MutexLock lock(mutex_);
    if (bytes_ <= limit) return;
    tries = segments_.size();
  }
  // Each segment is tried once: what is in use now may stay, and keeps the total above the limit
  // for a while.
  for (ByteRange range; tries > 0; --tries) {
    std::shared_ptr<Evictable> owner = TakeVictim(limit, &range);
    if (owner == nullptr) return;
    owner->Evict(range);
  }
}

}  // namespace quayfs
