// SPDX-License-Identifier: Apache-2.0

#include "cache/dirty_budget.h"

#include <algorithm>
#include <utility>

#include "cache/waiting.h"

namespace quayfs {
namespace {

using std::chrono::milliseconds;

// Shorter pauses are saved up; no single one is longer.
constexpr Duration kShortestPause = milliseconds(5);
constexpr Duration kLongestPause = milliseconds(200);
constexpr Duration kWindow = milliseconds(500);
// A store that has not been asked for this long has not become slow.
constexpr Duration kIdle = std::chrono::seconds(5);

SteadyTime Now() { return std::chrono::steady_clock::now(); }

double Seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }

}  // namespace

void DirtyBudget::Changed(uint64_t before, uint64_t after) {
  bytes_ += after - before;  // wraps around as intended
  if (after >= before) return;
  MutexLock lock(mutex_);
  ++drained_;
  changed_.NotifyAll();
}

void DirtyBudget::Sent(uint64_t bytes) {
  const SteadyTime now = Now();
  MutexLock lock(mutex_);
  if (!window_ || now - *window_ > kIdle) {
    window_ = now;
    window_bytes_ = 0;
  }
  window_bytes_ += bytes;
  const Duration elapsed = now - *window_;
  if (elapsed < kWindow) return;
  const double rate = static_cast<double>(window_bytes_) / Seconds(elapsed);
  rate_ = rate_ == 0 ? rate : (rate_ + rate) / 2;
  window_ = now;
  window_bytes_ = 0;
}

/// A store that has fallen silent is believed to be as slow as that says.
double DirtyBudget::RateLocked(SteadyTime now) const {
  if (!window_ || now - *window_ < 2 * kWindow) return rate_;
  return std::min(rate_, static_cast<double>(window_bytes_) / Seconds(now - *window_));
}

Duration DirtyBudget::PauseFor(uint64_t size, uint64_t waiting, uint64_t limit, double rate) {
  const uint64_t half = limit / 2;
  if (rate <= 0 || waiting <= half) return Duration{0};
  const double near =
      std::min(1.0, static_cast<double>(waiting - half) / static_cast<double>(limit - half));
  const double seconds = near * static_cast<double>(size) / rate;
  if (seconds >= Seconds(kLongestPause)) return kLongestPause;
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds));
}

void DirtyBudget::Press(uint64_t waiting) {
  bool pressed = pressed_;
  const bool now = pressed ? waiting >= limit_ / 4 : waiting >= limit_ / 2;
  if (now == pressed || !pressed_.compare_exchange_strong(pressed, now)) return;
  if (hurry_) hurry_(now);
}

Status DirtyBudget::Admit(uint64_t bytes, bool may_block, const CallOptions& call) {
  if (limit_ == 0) return {};
  Press(bytes_);
  if (bytes_ <= limit_ / 2) return {};
  MutexLock lock(mutex_);
  owed_ += PauseFor(bytes, bytes_, limit_, RateLocked(Now()));
  if (owed_ < kShortestPause && bytes_ < limit_) return {};
  if (!may_block) return Error(Code::kWouldBlock, "too much is waiting for the bucket");
  const Duration pause = std::min(std::exchange(owed_, Duration{0}), kLongestPause);
  CallOptions slice = call;
  const SteadyTime until = Now() + pause;
  slice.deadline = std::min(call.deadline.value_or(until), until);
  while (Now() < until && bytes_ > limit_ / 2) {
    Status waited = WaitOnce(changed_, mutex_, slice);
    if (waited.Is(Code::kCancelled)) return waited;
  }
  while (bytes_ >= limit_) QUAY_TRY(WaitOnce(changed_, mutex_, call));
  return {};
}

Status DirtyBudget::AwaitDrain(const Error& full, bool may_block, const CallOptions& call) {
  if (bytes_ == 0) return full;
  if (!may_block) return Error(Code::kWouldBlock, "the cache disk is full");
  if (!pressed_.exchange(true) && hurry_) hurry_(true);
  MutexLock lock(mutex_);
  const uint64_t seen = drained_;
  CallOptions slice = call;
  const SteadyTime until = Now() + patience_;
  slice.deadline = std::min(call.deadline.value_or(until), until);
  while (drained_ == seen) {
    if (bytes_ == 0 || Now() >= until) return full;
    if (Status waited = WaitOnce(changed_, mutex_, slice); waited.Is(Code::kCancelled))
      return waited;
    if (call.deadline && Now() >= *call.deadline) return full;
  }
  return {};
}

}  // namespace quayfs
