// SPDX-License-Identifier: Apache-2.0
//
// Core: what changes while the store is away. What is known stays trusted beyond its time, so that
// cached files can be read; nobody asks for it. One request from time to time finds out when the
// store is back. What is not known fails with kUnavailable; whoever called decides how long to be
// patient (fs/fuse).

#include "base/log.h"
#include "fs/core.h"

namespace quayfs {
namespace {

constexpr Duration kProbeFirst = std::chrono::seconds(1);
constexpr Duration kProbeMax = std::chrono::seconds(15);

}  // namespace

void Core::NoteAnswer(std::optional<Code> failure) {
  const bool away = failure && StoreIsAway(*failure);
  // Called off by whoever asked: says nothing of the store.
  if (failure == Code::kCancelled || away == away_.load()) return;
  MutexLock lock(mutex_);
  SetAwayLocked(away);
}

void Core::SetAwayLocked(bool away) {
  if (away_.load() == away) return;
  away_ = away;
  if (away) {
    probe_pause_ = kProbeFirst;
    probe_due_ = std::chrono::steady_clock::now() + probe_pause_;
    Log(LogLevel::kWarning, "store.away",
        {{"store", store_.name()},
         {"advice", "what is cached can be used, changes are kept; quayfs status shows them"}});
  } else {
    Log(LogLevel::kInfo, "store.back", {{"store", store_.name()}});
    queue_.StoreAnswers(clock_.Steady());
  }
  WakeSchedulerLocked(SteadyTime::min());
  WakeLocked();
}

// Returns when the next one is due, by the real clock: it is a real network that is asked.
std::optional<Duration> Core::StartProbeLocked() {
  if (!away_ || stopping_ || !probe_due_) return std::nullopt;
  const SteadyTime now = std::chrono::steady_clock::now();
  if (*probe_due_ > now) return *probe_due_ - now;
  probe_due_.reset();
  workers_.Post([this] {
    CallOptions call;
    call.cancel = work_stop_.get_token();
    const Status answer = store_.CheckBucket(call);
    NoteAnswer(answer.ok() ? std::nullopt : std::optional(answer.error().code()));
    MutexLock lock(mutex_);
    probe_pause_ = std::min(probe_pause_ * 2, kProbeMax);
    probe_due_ = std::chrono::steady_clock::now() + probe_pause_;
    WakeSchedulerLocked(SteadyTime::min());
  });
  return std::nullopt;
}

}  // namespace quayfs
