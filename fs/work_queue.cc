// SPDX-License-Identifier: Apache-2.0

#include "fs/work_queue.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace quayfs {
namespace {

constexpr Duration kFirstPause = std::chrono::milliseconds(500);
constexpr Duration kLongestPause = std::chrono::minutes(1);
constexpr uint64_t kMostDoublings = 7;

Duration PauseAfter(uint64_t failures) {
  return std::min<Duration>(kFirstPause * (1ull << std::min(failures, kMostDoublings)),
                            kLongestPause);
}

}  // namespace

bool StoreIsAway(Code code) { return code == Code::kUnavailable || code == Code::kTimedOut; }

void WorkQueue::Schedule(Ino ino, WorkItem& item, SteadyTime due) {
  item.due = due;
  due_.insert({due, ino});
}

void WorkQueue::Unschedule(Ino ino, const WorkItem& item) {
  due_.erase({item.due, ino});
  deferred_.erase(ino);
  held_.erase(ino);
}

void WorkQueue::Note(Ino ino, SteadyTime now, Duration quiet, Duration cap) {
  auto [it, fresh] = items_.try_emplace(ino);
  WorkItem& item = it->second;
  if (fresh) item.first = now;
  if (item.running) {
    item.again = true;
    return;
  }
  if (item.failures > 0) return;  // its pause is running
  if (!fresh) Unschedule(ino, item);
  Schedule(ino, item, std::max(now, std::min(now + quiet, item.first + cap)));
}

void WorkQueue::Hold(Ino ino, SteadyTime now, Duration quiet, Duration cap) {
  Note(ino, now, quiet, cap);
  WorkItem& item = items_.at(ino);
  if (item.running || item.failures > 0) return;
  const SteadyTime unheld = item.due;
  Unschedule(ino, item);
  Schedule(ino, item, std::max(now, item.first + cap));
  item.due_unheld = unheld;
  held_.insert(ino);
}

void WorkQueue::LetGo() {
  for (const Ino ino : std::exchange(held_, {})) {
    WorkItem& item = items_.at(ino);
    Unschedule(ino, item);
    Schedule(ino, item, item.due_unheld);
  }
}

void WorkQueue::Urge(Ino ino, SteadyTime now) {
  const auto it = items_.find(ino);
  if (it == items_.end() || it->second.running || it->second.due <= now) return;
  Unschedule(ino, it->second);
  Schedule(ino, it->second, now);
}

void WorkQueue::UrgeAll(SteadyTime now) {
  due_.clear();
  deferred_.clear();
  held_.clear();
  for (auto& [ino, item] : items_) {
    if (!item.running) Schedule(ino, item, std::min(item.due, now));
  }
}

void WorkQueue::Hasten(Ino ino, SteadyTime now) {
  const auto it = items_.find(ino);
  if (it != items_.end() && it->second.failures == 0) Urge(ino, now);
}

void WorkQueue::HastenAll(SteadyTime now) {
  for (const auto& [ino, item] : items_) Hasten(ino, now);
}

void WorkQueue::Drop(Ino ino) {
  const auto it = items_.find(ino);
  if (it == items_.end()) return;
  QUAY_DCHECK(!it->second.running);
  Unschedule(ino, it->second);
  items_.erase(it);
}

std::optional<Ino> WorkQueue::Take(SteadyTime now) {
  if (running_ >= allowed() || due_.empty() || due_.begin()->first > now) return std::nullopt;
  const Ino ino = due_.begin()->second;
  QUAY_CHECK(TakeThis(ino, now));
  return ino;
}

bool WorkQueue::TakeThis(Ino ino, SteadyTime now) {
  auto [it, fresh] = items_.try_emplace(ino);
  WorkItem& item = it->second;
  if (item.running) return false;
  if (fresh) {
    item.first = now;
  } else {
    Unschedule(ino, item);
  }
  item.running = true;
  item.again = false;
  ++running_;
  return true;
}

void WorkQueue::StoreAnswers(SteadyTime now) {
  if (!outage_) return;
  outage_.reset();
  UrgeAll(now);
}

void WorkQueue::Succeed(Ino ino, SteadyTime now, bool needs_more) {
  const auto it = items_.find(ino);
  QUAY_CHECK(it != items_.end() && it->second.running);
  --running_;
  WorkItem& item = it->second;
  item.running = false;
  item.failures = 0;
  item.error.reset();
  item.error_reported = false;
  if (++calm_ >= limit_ && limit_ < most_) {
    ++limit_;
    calm_ = 0;
  }
  if (needs_more) {
    item.first = now;
    Schedule(ino, item, now);
  } else {
    items_.erase(it);
  }
  StoreAnswers(now);
}

void WorkQueue::Fail(Ino ino, const Error& error, SteadyTime now) {
  const auto it = items_.find(ino);
  QUAY_CHECK(it != items_.end() && it->second.running);
  --running_;
  WorkItem& item = it->second;
  item.running = false;
  if (!item.error) item.error = error;  // C8
  Schedule(ino, item, now + PauseAfter(item.failures++));
  if (error.code() == Code::kThrottled) {
    limit_ = std::max<size_t>(1, limit_ / 2);
    calm_ = 0;
  }
  if (StoreIsAway(error.code()) && !outage_) outage_ = now;
}

void WorkQueue::Defer(Ino ino, SteadyTime until) {
  const auto it = items_.find(ino);
  QUAY_CHECK(it != items_.end() && it->second.running);
  --running_;
  it->second.running = false;
  Schedule(ino, it->second, until);
  deferred_.insert(ino);
}

void WorkQueue::WakeDeferred(SteadyTime now) {
  ++wakes_;
  for (const Ino ino : std::exchange(deferred_, {})) Urge(ino, now);
}

const WorkItem* WorkQueue::Find(Ino ino) const {
  const auto it = items_.find(ino);
  return it == items_.end() ? nullptr : &it->second;
}

void WorkQueue::MarkReported(Ino ino) {
  const auto it = items_.find(ino);
  if (it != items_.end()) it->second.error_reported = true;
}

std::optional<SteadyTime> WorkQueue::NextDue() const {
  if (due_.empty() || running_ >= allowed()) return std::nullopt;
  return due_.begin()->first;
}

std::vector<Ino> WorkQueue::All() const {
  std::vector<Ino> all;
  all.reserve(items_.size());
  for (const auto& [ino, item] : items_) all.push_back(ino);
  return all;
}

bool WorkQueue::InvariantsHold() const {
  size_t running = 0;
  for (const auto& [ino, item] : items_) {
    running += item.running ? 1 : 0;
    if (due_.contains({item.due, ino}) == item.running) return false;
    if (item.error_reported && !item.error) return false;
    if (item.running && (deferred_.contains(ino) || held_.contains(ino))) return false;
    if (deferred_.contains(ino) && held_.contains(ino)) return false;
  }
  for (const Ino ino : held_) {
    const auto held = items_.find(ino);
    if (held == items_.end() || held->second.due < held->second.due_unheld) return false;
  }
  return running == running_ && due_.size() + running == items_.size() && limit_ >= 1 &&
         limit_ <= most_;
}

}  // namespace quayfs
