// SPDX-License-Identifier: Apache-2.0

#include "providers/kodo/move_queue.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace quayfs::kodo {
namespace {

/// How often a waiting caller looks whether it has changed its mind.
constexpr auto kLook = std::chrono::milliseconds(100);

bool IsOver(const CallOptions& call) {
  return call.cancel.stop_requested() ||
         (call.deadline && std::chrono::steady_clock::now() >= *call.deadline);
}

/// What a request that somebody else gave up is to those that went with it.
Status ForAnother(const Error& error) {
  if (error.code() != Code::kCancelled && error.code() != Code::kTimedOut) return error;
  return Error(Code::kUnavailable, "the request that it went with was given up");
}

}  // namespace

size_t MoveQueue::waiting() const {
  const MutexLock lock(mutex_);
  return waiting_.size();
}

bool MoveQueue::TakeBackLocked(const Waiter& waiter, const CallOptions& call) {
  if (waiter.sent || !IsOver(call)) return false;
  std::erase(waiting_, &waiter);
  return true;
}

void MoveQueue::SendAllLocked(const CallOptions& call, const Waiter& own) {
  const size_t count = std::min(waiting_.size(), kBatchMax);
  const std::vector<Waiter*> taken(waiting_.begin(),
                                   waiting_.begin() + static_cast<ptrdiff_t>(count));
  waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<ptrdiff_t>(count));
  std::vector<NativeStep> steps;
  steps.reserve(count);
  for (Waiter* waiter : taken) {
    waiter->sent = true;
    steps.push_back(*waiter->step);
  }
  sending_ = true;
  mutex_.unlock();
  Result<std::vector<Status>> sent = send_(steps, call);
  mutex_.lock();
  sending_ = false;
  for (size_t i = 0; i < count; ++i) {
    Waiter& waiter = *taken[i];
    waiter.done = true;
    if (sent) {
      waiter.outcome = std::move((*sent)[i]);
    } else {
      waiter.outcome = &waiter == &own ? Status(sent.error()) : ForAnother(sent.error());
    }
  }
  changed_.NotifyAll();
}

Status MoveQueue::Move(const NativeStep& step, const CallOptions& call) {
  Waiter own;
  own.step = &step;
  const MutexLock lock(mutex_);
  waiting_.push_back(&own);
  while (!own.done) {
    if (TakeBackLocked(own, call)) {
      return call.cancel.stop_requested() ? Error(Code::kCancelled, "cancelled before it was sent")
                                          : Error(Code::kTimedOut, "no time is left");
    }
    if (!sending_) {
      SendAllLocked(call, own);
    } else {
      changed_.WaitUntil(mutex_, std::chrono::steady_clock::now() + kLook);
    }
  }
  return std::move(own.outcome);
}

}  // namespace quayfs::kodo
