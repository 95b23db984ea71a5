// SPDX-License-Identifier: Apache-2.0

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "cache/waiting.h"
#include "fs/core.h"

namespace quayfs {
namespace {

// Whoever is in the way wakes those who wait when it is done; this is in case nobody was.
constexpr Duration kBlockedPause = std::chrono::milliseconds(200);
constexpr Duration kLookAgain = std::chrono::milliseconds(20);
// The clock may be a test's, so the wait by the real one is never long.
constexpr Duration kLongestNap = std::chrono::seconds(1);
// As many inodes may wait for each other before somebody waits in turns instead.
constexpr int kDepthMax = 16;

}  // namespace

// Waking it for nothing costs each change of a file two switches between threads.
void Core::WakeSchedulerLocked(std::optional<SteadyTime> due) {
  if (!due || schedule_at_ == SteadyTime::min()) return;
  if (*due >= schedule_at_ && schedule_at_ > clock_.Steady()) return;
  schedule_at_ = SteadyTime::min();
  work_noted_.NotifyOne();
}

void Core::WakeLocked() {
  WakeSchedulerLocked(queue_.NextDue());
  WakeSchedulerLocked(NextRemovalLocked());
  work_done_.NotifyAll();
}

// To be called after every change of `inode`.
void Core::NoteWorkLocked(Inode& inode) {
  if (!inode.needs_work()) {
    const WorkItem* item = queue_.Find(inode.ino);
    if (item != nullptr && !item->running) queue_.Drop(inode.ino);
    return;
  }
  const SteadyTime now = clock_.Steady();
  if (inode.writers > 0 && !hurry_) {
    queue_.Note(inode.ino, now, config_.open_write_delay, config_.open_write_delay);
  } else if (inode.times_only && !inode.moved) {
    queue_.Note(inode.ino, now, config_.folder_times_delay, config_.folder_times_delay_max);
  } else if (inode.is_directory()) {
    queue_.Note(inode.ino, now, config_.directory_write_delay, config_.write_delay_max);
  } else {
    NoteFileLocked(inode.ino, now);
  }
  WakeSchedulerLocked(queue_.NextDue());
}

void Core::NoteFileLocked(Ino ino, SteadyTime now) {
  burst_.Changed(now);
  // Whoever waits for the bucket, or for room, is not served by holding anything back.
  if (!burst_.going(now) || urged_ || hurry_) {
    queue_.LetGo();
    queue_.Note(ino, now, config_.write_delay, config_.write_delay_max);
    return;
  }
  if (!queue_.holds()) WakeSchedulerLocked(burst_.end());
  queue_.Hold(ino, now, config_.write_delay, config_.burst_delay_max);
}

// Writers are held back: what is open for writing is published like the rest.
void Core::Hurry(bool hurry) {
  MutexLock lock(mutex_);
  hurry_ = hurry;
  if (!hurry) return;
  queue_.HastenAll(clock_.Steady());
  WakeSchedulerLocked(queue_.NextDue());
}

void Core::ScheduleLoop() {
  MutexLock lock(mutex_);
  while (!stopping_) {
    const SteadyTime now = clock_.Steady();
    if (!burst_.going(now)) queue_.LetGo();
    StartDueLocked(now);
    StartRemovalsLocked(now);
    Duration nap = std::min<Duration>(kLongestNap, StartProbeLocked().value_or(kLongestNap));
    const auto let_go = queue_.holds() ? std::optional(burst_.end()) : std::nullopt;
    for (const auto& due : {queue_.NextDue(), NextRemovalLocked(), let_go}) {
      if (due) nap = std::min<Duration>(nap, std::max<Duration>(Duration{0}, *due - now));
    }
    if (nap <= Duration{0}) nap = std::chrono::milliseconds(1);
    schedule_at_ = now + nap;
    work_noted_.WaitUntil(mutex_, std::chrono::steady_clock::now() + nap);
  }
}

// A file that is being written is left alone until it is closed, for a while.
bool Core::PostponedLocked(Ino ino, SteadyTime now) {
  const Inode* inode = table_.Find(ino);
  if (inode == nullptr || inode->writers == 0 || hurry_) return false;
  SteadyTime limit = queue_.Find(ino)->first + config_.open_write_delay;
  if (inode->streaming) {
    limit = std::max(limit, std::min(inode->changed_at + config_.open_write_delay,
                                     queue_.Find(ino)->first + config_.stream_write_delay_max));
  }
  if (now >= limit) return false;
  queue_.Defer(ino, limit);
  return true;
}

std::optional<Ino> Core::TakeDueLocked(SteadyTime now) {
  while (const auto ino = queue_.Take(now)) {
    Inode* inode = table_.Find(*ino);
    if (inode == nullptr || !inode->needs_work()) {
      queue_.Succeed(*ino, now, /*needs_more=*/false);
      continue;
    }
    if (!urged_ && PostponedLocked(*ino, now)) continue;
    ++inode->busy;
    return ino;
  }
  return std::nullopt;
}

void Core::StartDueLocked(SteadyTime now) {
  while (const auto ino = TakeDueLocked(now)) {
    workers_.Post([this, first = *ino] { Work(first); });
  }
}

// One after the other while there is something due: a thread that is at work need not be woken.
// Other tasks of the pool (removals) get their turn.
void Core::Work(Ino first) {
  for (Ino ino = first; ino != 0;) {
    OpContext context;
    context.call.cancel = work_stop_.get_token();
    const Outcome outcome = Reconcile(context, ino);
    {
      MutexLock lock(mutex_);
      FinishWorkLocked(ino, outcome);
      const bool others = stopping_ || workers_.queued() > 0;
      ino = others ? 0 : TakeDueLocked(clock_.Steady()).value_or(0);
      WakeLocked();
    }
    SettleErased();
  }
}

void Core::FinishWorkLocked(Ino ino, const Outcome& outcome) {
  const SteadyTime now = clock_.Steady();
  Inode* inode = table_.Find(ino);
  if (outcome.blocked) {
    const bool changed = outcome.wakes != queue_.wakes();
    queue_.Defer(ino, changed ? now : now + kBlockedPause);
    // One that has failed wakes those that wait for it; urged by them, it would be tried without
    // end.
    if (outcome.blocker != 0) queue_.Hasten(outcome.blocker, now);
  } else if (outcome.status.ok()) {
    queue_.Succeed(ino, now, inode != nullptr && inode->needs_work());
  } else if (outcome.status.Is(Code::kCancelled)) {
    // Whoever waited has lost patience; the work itself has not failed.
    queue_.Defer(ino, now);
  } else {
    const WorkItem* item = queue_.Find(ino);
    if (!item->error) {
      Log(LogLevel::kWarning, "publish.failed",
          {{"name", inode == nullptr ? std::string() : inode->name},
           {"error", outcome.status.error().ToString()},
           {"advice", "it is tried again; quayfs status shows what is pending"}});
    }
    NoteFailureLocked(outcome.status.error());
    if (StoreIsAway(outcome.status.code())) SetAwayLocked(true);
    queue_.Fail(ino, outcome.status.error(), now);
  }
  if (inode != nullptr) {
    --inode->busy;
    if (!inode->needs_work()) {
      const WorkItem* item = queue_.Find(ino);
      if (item != nullptr && !item->running) queue_.Drop(ino);
      DropDataLocked(*inode);
    }
    table_.EraseIfUnused(*inode);
  }
}

Status Core::SyncInode(const OpContext& context, Ino ino, int depth) {
  while (true) {
    {
      MutexLock lock(mutex_);
      Inode* inode = table_.Find(ino);
      if (inode == nullptr || !inode->needs_work()) return {};
      QUAY_TRY(MayWait(context));
      const SteadyTime now = clock_.Steady();
      if (!queue_.TakeThis(ino, now)) {
        QUAY_TRY(WaitOnce(work_done_, mutex_, context.call));
        continue;
      }
      ++inode->busy;
    }
    const Outcome outcome = Reconcile(context, ino);
    {
      MutexLock lock(mutex_);
      FinishWorkLocked(ino, outcome);
      WakeLocked();
      if (!outcome.blocked && !outcome.status.ok()) queue_.MarkReported(ino);
      if (outcome.blocked && (outcome.blocker == 0 || depth >= kDepthMax)) {
        OpContext slice = context;
        const SteadyTime soon = std::chrono::steady_clock::now() + kLookAgain;
        slice.call.deadline = std::min(slice.call.deadline.value_or(soon), soon);
        Status waited = WaitOnce(work_done_, mutex_, slice.call);
        if (context.call.cancel.stop_requested()) return waited;
        if (context.call.deadline && std::chrono::steady_clock::now() >= *context.call.deadline) {
          return Error(Code::kTimedOut, "another change to the same name is still under way");
        }
        continue;
      }
    }
    SettleErased();
    if (outcome.blocked) {
      QUAY_TRY(SyncInode(context, outcome.blocker, depth + 1));
    } else if (!outcome.status.ok()) {
      return outcome.status;
    }
  }
}

// What happened to the directories above happened before, as far as the path goes.
Status Core::SyncPath(const OpContext& context, Ino ino) {
  std::vector<Ino> path;
  {
    MutexLock lock(mutex_);
    for (const Inode* at = table_.Find(ino); at != nullptr; at = table_.Find(at->parent)) {
      // Times of a folder are worth no request per file; they follow.
      const bool can_wait = at->times_only && !at->moved;
      if (at->needs_work() && !can_wait) path.push_back(at->ino);
      if (at->ino == kRootIno) break;
    }
  }
  for (auto it = path.rbegin(); it != path.rend(); ++it) QUAY_TRY(SyncInode(context, *it));
  return {};
}

Status Core::SyncAll(const OpContext& context) {
  struct Waited {
    Ino ino = 0;
    uint64_t failures = 0;
    bool began_before = false;
  };
  std::vector<Waited> waited;
  Status first;
  {
    MutexLock lock(mutex_);
    const SteadyTime now = clock_.Steady();
    for (const Ino ino : queue_.All())
      waited.push_back({ino, queue_.Find(ino)->failures, queue_.Find(ino)->running});
    if (!waited.empty() && !context.may_block)
      return Error(Code::kWouldBlock, "the answer needs the network");
    ++urged_;
    queue_.UrgeAll(now);
    WakeSchedulerLocked(now);
    while (!waited.empty() && !stopping_) {
      const auto done = [&](Waited& one) QUAY_REQUIRES(mutex_) {
        const WorkItem* item = queue_.Find(one.ino);
        if (item == nullptr) return true;
        if (one.began_before && !queue_.outage() &&
            (!item->running || item->failures > one.failures)) {
          // How an attempt ends that had begun before says nothing about now.
          one = {one.ino, item->failures, false};
          queue_.Urge(one.ino, clock_.Steady());
          work_noted_.NotifyOne();
        }
        if (item->failures <= one.failures) return false;
        if (first.ok()) first = *item->error;
        return true;
      };
      waited.erase(std::remove_if(waited.begin(), waited.end(), done), waited.end());
      // What was looked at on the way may have shown that the record of a file has to follow.
      for (const Ino ino : waited.empty() && first.ok() ? queue_.All() : std::vector<Ino>()) {
        const Inode* inode = table_.Find(ino);
        if (inode == nullptr || !inode->needs_work() || inode->needs_object_work()) continue;
        waited.push_back({ino, queue_.Find(ino)->failures, queue_.Find(ino)->running});
        queue_.Urge(ino, clock_.Steady());
        WakeSchedulerLocked(clock_.Steady());
      }
      // While the store is away nothing else is tried; what has failed says why.
      if (waited.empty() || (!first.ok() && queue_.outage())) break;
      OpContext slice = context;
      const SteadyTime soon = std::chrono::steady_clock::now() + kLookAgain;
      slice.call.deadline = std::min(slice.call.deadline.value_or(soon), soon);
      Ignore(WaitOnce(work_done_, mutex_, slice.call));  // looked at again right away
      if (context.call.cancel.stop_requested()) first = Error(Code::kCancelled, "cancelled");
      if (context.call.deadline && std::chrono::steady_clock::now() >= *context.call.deadline)
        first = Error(Code::kTimedOut, "not everything is in the bucket yet");
      if (first.Is(Code::kCancelled) || first.Is(Code::kTimedOut)) break;
    }
    --urged_;
  }
  const Status removed = SyncRemovals(context, "");
  if (first.ok()) first = removed;
  return first;
}

}  // namespace quayfs
