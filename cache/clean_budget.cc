// SPDX-License-Identifier: Apache-2.0

#include "cache/clean_budget.h"

#include <algorithm>

#include "base/check.h"

namespace quayfs {
namespace {

/// Takes off what lies in the first segment of `rest`; false when nothing is left.
bool NextPiece(ByteRange* rest, ByteRange* piece) {
  if (rest->empty()) return false;
  const uint64_t segment_end = (rest->begin / CleanBudget::kSegment + 1) * CleanBudget::kSegment;
  *piece = {rest->begin, std::min(rest->end, segment_end)};
  rest->begin = piece->end;
  return true;
}

}  // namespace

void CleanBudget::Add(const std::shared_ptr<Evictable>& owner, ByteRange range) {
  MutexLock lock(mutex_);
  for (ByteRange piece; NextPiece(&range, &piece);) {
    const Key key{owner.get(), piece.begin / kSegment};
    auto it = index_.find(key);
    if (it == index_.end()) {
      segments_.push_front({key, owner, 0});
      it = index_.emplace(key, segments_.begin()).first;
    } else {
      segments_.splice(segments_.begin(), segments_, it->second);
    }
    it->second->bytes += piece.length();
    bytes_ += piece.length();
  }
}

void CleanBudget::Subtract(const Evictable* owner, ByteRange range) {
  MutexLock lock(mutex_);
  for (ByteRange piece; NextPiece(&range, &piece);) {
    auto it = index_.find({owner, piece.begin / kSegment});
    QUAY_CHECK(it != index_.end() && it->second->bytes >= piece.length());
    it->second->bytes -= piece.length();
    bytes_ -= piece.length();
    if (it->second->bytes == 0) Remove(it);
  }
}

void CleanBudget::Touch(const Evictable* owner, ByteRange range) {
  MutexLock lock(mutex_);
  for (ByteRange piece; NextPiece(&range, &piece);) {
    const Key key{owner, piece.begin / kSegment};
    if (!segments_.empty() && segments_.front().key == key) continue;
    auto it = index_.find(key);
    if (it != index_.end()) segments_.splice(segments_.begin(), segments_, it->second);
  }
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
