// SPDX-License-Identifier: Apache-2.0
//
// Core: objects that have to go, because their file was removed, replaced or moved. They go in
// batches, when nobody copies from them any more and nobody writes their key; what is removed in
// one go is gathered for a moment. Somebody else's new object under the key is left alone: it is
// looked for before the deletion (removal_check.h), and when a listing shows it (HiddenLocked).

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "cache/waiting.h"
#include "fs/core.h"
#include "fs/removal_check.h"

namespace quayfs {
namespace {

constexpr Duration kPauseFirst = std::chrono::milliseconds(500);
constexpr uint64_t kMostDoublings = 7;
constexpr Duration kHeldPause = std::chrono::milliseconds(20);
constexpr size_t kTasksAtOnce = 2;
constexpr size_t kBatchesAtOnce = 4;  // of one task
constexpr size_t kSinglesAtOnce = 16;
constexpr size_t kSinglesOfTask = 256;
constexpr size_t kFew = 4;  // keys; up to here a condition with each is better than a batch

}  // namespace

void Core::AddRemovalLocked(const std::string& key, const std::string& etag, uint64_t size,
                            Ino keeper) {
  const SteadyTime now = clock_.Steady();
  if (removals_.empty()) removals_started_ = now;
  removals_added_ = now;
  Removal& removal = removals_[key];
  removal.etag = etag;
  removal.size = size;
  removal.keeper = keeper;
  removal.writer = 0;
  removal.added = now;
  removal.error.reset();
  removal.due = removal.added + config_.write_delay;
  removal.failures = 0;
  RemovalDueLocked(removal.due);
}

void Core::RemovalDueLocked(SteadyTime due) {
  if (removals_next_ && *removals_next_ <= due) return;
  removals_next_ = due;
  WakeSchedulerLocked(NextRemovalLocked());
}

// Somebody waits for the key to be free.
void Core::HurryRemovalLocked(Removal& removal) {
  const SteadyTime now = clock_.Steady();
  if (removal.failures == 0) removal.due = std::min(removal.due, now);
  removals_hurry_ = true;
  RemovalDueLocked(removal.due);
}

bool Core::RemovalBelowLocked(const std::string& prefix) const {
  const auto removal = removals_.lower_bound(prefix);
  if (removal != removals_.end() && removal->first.starts_with(prefix)) return true;
  const auto source = sources_.lower_bound(prefix);
  return source != sources_.end() && source->first.starts_with(prefix);
}

// True if an open file still needs bytes that only this object has.
bool Core::KeptOpenLocked(const Removal& removal) {
  if (removal.keeper == 0) return false;
  const Inode* inode = table_.Find(removal.keeper);
  if (inode == nullptr || inode->opens == 0 || inode->data == nullptr) return false;
  const FileDataState state = inode->data->state();
  return state.base.exists() && state.dirty_bytes + state.cached_bytes < state.size;
}

// One request less, too, and no moment without the object.
bool Core::ReplacedLocked(const std::string& key, const Removal& removal) {
  if (removal.etag.empty()) return false;
  const Inode* inode = AtKeyLocked(key);
  return inode != nullptr && inode->linked() && inode->needs_object_work() &&
         !inode->is_directory() && DesiredKeyLocked(*inode) == key && queue_.Find(inode->ino);
}

// While the store is away one inode at a time is tried; the removals follow its success.
bool Core::RemovalsRestLocked() const {
  return stopping_ || (queue_.outage() && queue_.size() > 0 && urged_ == 0);
}

std::optional<SteadyTime> Core::NextRemovalLocked() const {
  if (RemovalsRestLocked() || removals_running_ >= kTasksAtOnce || !removals_next_)
    return std::nullopt;
  return std::max(*removals_next_, GatheredLocked());
}

// While more keeps coming, what is there waits for it; not for ever.
SteadyTime Core::GatheredLocked() const {
  if (urged_ > 0 || removals_hurry_) return SteadyTime{};
  return std::min(removals_added_ + config_.write_delay,
                  removals_started_ + config_.write_delay_max);
}

void Core::StartRemovalsLocked(SteadyTime now) {
  const Capabilities can = store_.capabilities();
  const size_t most = can.batch_delete
                          ? kBatchesAtOnce * static_cast<size_t>(std::max(can.batch_delete_max, 1))
                          : kSinglesOfTask;
  for (auto next = NextRemovalLocked(); next && *next <= now; next = NextRemovalLocked()) {
    std::vector<Doomed> doomed;
    removals_next_.reset();
    for (auto& [key, removal] : removals_) {
      if (removal.running) continue;
      const bool held = busy_keys_.contains(key) || sources_.contains(key) ||
                        (removal.due <= now && ReplacedLocked(key, removal));
      if (removal.due <= now && !held && doomed.size() < most) {
        removal.running = true;
        busy_keys_.insert(key);
        doomed.push_back({key, removal.etag});
        continue;
      }
      const SteadyTime due = held ? std::max(removal.due, now + kHeldPause) : removal.due;
      removals_next_ = std::min(removals_next_.value_or(due), due);
    }
    if (doomed.empty()) return;
    removals_started_ = now;
    removals_hurry_ = false;
    ++removals_running_;
    workers_.Post([this, doomed = std::move(doomed)] {
      RunRemovals(doomed);
      MutexLock lock(mutex_);
      --removals_running_;
      WakeLocked();
    });
  }
}

// REQUIRES: the keys are marked as running and busy, and sorted.
void Core::RunRemovals(const std::vector<Doomed>& doomed) {
  OpContext context;
  context.call.cancel = work_stop_.get_token();
  std::vector<std::string> keys;
  keys.reserve(doomed.size());
  for (const Doomed& one : doomed) keys.push_back(one.key);
  std::vector<Status> outcomes;
  Status begun;
  {
    MutexLock lock(mutex_);
    begun = CommitLocked({});
  }
  if (begun.ok()) begun = KeepReaders(context, doomed);
  if (!begun.ok()) {
    outcomes.assign(keys.size(), begun);
  } else if (doomed.size() < kFew && store_.capabilities().delete_if_match) {
    outcomes = DeleteFew(context, doomed);
  } else if (auto ours = StillOurs(context, doomed); !ours.ok()) {
    outcomes.assign(keys.size(), ours.error());
  } else {
    keys = *std::move(ours);
    outcomes = DeleteAll(context, keys);
  }
  MutexLock lock(mutex_);
  FinishRemovalsLocked(keys, outcomes);
}

// Whoever still reads one of these objects keeps its bytes.
Status Core::KeepReaders(const OpContext& context, const std::vector<Doomed>& doomed) {
  std::vector<Ino> keepers;
  {
    MutexLock lock(mutex_);
    for (const Doomed& one : doomed) {
      const auto it = removals_.find(one.key);
      if (it != removals_.end() && KeptOpenLocked(it->second)) keepers.push_back(it->second.keeper);
    }
  }
  Status first;
  for (const Ino keeper : keepers) {
    const Status one = KeepContents(context, keeper);
    if (first.ok()) first = one;
  }
  return first;
}

bool Core::ChecksRemoval(const Doomed& doomed) const {
  // A marker says nothing but that the directory is there.
  return !doomed.etag.empty() && !doomed.key.ends_with('/') &&
         config_.conflict != ConflictPolicy::kOverwrite && config_.consistency != Duration::max();
}

Result<std::vector<std::string>> Core::StillOurs(const OpContext& context,
                                                 const std::vector<Doomed>& doomed) {
  std::vector<ExpectedObject> expected;
  for (const Doomed& one : doomed) {
    if (ChecksRemoval(one)) expected.push_back({one.key, one.etag});
  }
  QUAY_ASSIGN(const std::set<std::string> replaced,
              FindReplaced(store_, background_, expected, context.call));
  std::vector<std::string> ours;
  for (const Doomed& one : doomed) {
    if (!replaced.contains(one.key)) ours.push_back(one.key);
  }
  MutexLock lock(mutex_);
  for (const std::string& key : replaced) LeaveToOthersLocked(key);
  return ours;
}

// The object is somebody else's: it stays, and shows up again.
void Core::LeaveToOthersLocked(const std::string& key) {
  busy_keys_.erase(key);
  if (removals_.erase(key) == 0) return;
  StateBatch batch;
  batch.DropRemoval(key);
  CommitQuietlyLocked(std::move(batch));
  ++conflicts_;
  Log(LogLevel::kWarning, "conflict",
      {{"key", key},
       {"advice",
        "another client changed the file that was removed or renamed here; its version "
        "is kept"}});
  // Names that were known to be free are so no more.
  for (Inode* inode : table_.Subtree(table_.root())) {
    if (!inode->is_directory()) continue;
    const auto directory = table_.KeyOf(*inode);
    if (directory.ok() && key.starts_with(*directory)) inode->complete = inode->made_here = false;
  }
}

std::vector<Status> Core::DeleteFew(const OpContext& context, const std::vector<Doomed>& doomed) {
  std::vector<Status> outcomes;
  for (const Doomed& one : doomed) {
    Status status =
        store_.Delete(one.key, ChecksRemoval(one) ? Condition::IfEtag(one.etag) : Condition::None(),
                      context.call);
    // Where there is nothing, no condition holds either.
    if (status.Is(Code::kChanged) && store_.Head(one.key, context.call).Is(Code::kNotFound))
      status = {};
    if (status.Is(Code::kChanged)) {
      MutexLock lock(mutex_);
      LeaveToOthersLocked(one.key);
      status = {};
    }
    outcomes.push_back(status);
  }
  return outcomes;
}

std::vector<Status> Core::DeleteAll(const OpContext& context,
                                    const std::vector<std::string>& keys) {
  std::vector<Status> outcomes(keys.size());
  const Capabilities can = store_.capabilities();
  const bool batch = can.batch_delete && keys.size() > 1;
  const size_t most = batch ? static_cast<size_t>(std::max(can.batch_delete_max, 1)) : 1;
  const size_t batches = (keys.size() + most - 1) / most;
  const auto one = [&](size_t i) -> Status {
    const size_t from = i * most;
    const size_t to = std::min(keys.size(), from + most);
    if (to - from == 1) {
      outcomes[from] = store_.Delete(keys[from], Condition::None(), context.call);
      return {};
    }
    const std::vector<std::string> some(keys.begin() + static_cast<ptrdiff_t>(from),
                                        keys.begin() + static_cast<ptrdiff_t>(to));
    const auto deleted = store_.DeleteMany(some, context.call);
    std::map<std::string, Status> answers;
    if (deleted.ok()) {
      for (const DeleteOutcome& outcome : *deleted) answers.emplace(outcome.key, outcome.status);
    }
    for (size_t k = from; k < to; ++k) {
      const auto answer = answers.find(keys[k]);
      outcomes[k] =
          answer != answers.end() ? answer->second
          : deleted.ok()
              ? Status(Error(Code::kUnavailable, "the store did not say whether it is deleted"))
              : Status(deleted.error());
    }
    return {};
  };
  // Each outcome is looked at by the caller.
  Ignore(ParallelFor(background_, batches, batch ? kBatchesAtOnce : kSinglesAtOnce, one));
  return outcomes;
}

void Core::FinishRemovalsLocked(const std::vector<std::string>& keys,
                                const std::vector<Status>& outcomes) {
  const SteadyTime now = clock_.Steady();
  StateBatch batch;
  bool answered = keys.empty();
  bool logged = false;  // what fails together fails for one reason
  for (size_t i = 0; i < keys.size(); ++i) {
    busy_keys_.erase(keys[i]);
    const auto it = removals_.find(keys[i]);
    if (it == removals_.end()) continue;
    Removal& removal = it->second;
    removal.running = false;
    const Status& status = outcomes[i];
    if (status.ok() || status.Is(Code::kNotFound)) {
      batch.DropRemoval(keys[i]);
      removals_.erase(it);
      if (listings_ > 0) gone_[keys[i]] = now;
      answered = true;
      continue;
    }
    if (status.Is(Code::kCancelled)) {
      RemovalDueLocked(now);
      continue;
    }
    if (!removal.error) {
      removal.error = status.error();
      if (!std::exchange(logged, true))
        Log(LogLevel::kWarning, "remove.failed",
            {{"key", keys[i]},
             {"error", status.error().ToString()},
             {"advice", "it is tried again; quayfs status shows what is pending"}});
    }
    NoteFailureLocked(status.error());
    if (StoreIsAway(status.code())) SetAwayLocked(true);
    removal.due = now + kPauseFirst * (1ull << std::min(removal.failures++, kMostDoublings));
    RemovalDueLocked(removal.due);
  }
  CommitQuietlyLocked(std::move(batch));
  if (answered) {
    queue_.StoreAnswers(now);
    SetAwayLocked(false);
  }
  queue_.WakeDeferred(now);
}

// What was under way for the inode may yet appear in the bucket, or already has.
void Core::PlanStrayLocked(const Inode& inode, StateBatch* batch) {
  if (!inode.writing_key.empty()) batch->PutRemoval({inode.writing_key, "", 0});
}

void Core::AddStrayLocked(Inode& inode) {
  if (inode.writing_key.empty()) return;
  const std::string key = std::exchange(inode.writing_key, {});
  const auto known = removals_.find(key);
  const Removal before = known == removals_.end() ? Removal() : known->second;
  AddRemovalLocked(key, "", 0, before.keeper);
  Removal& removal = removals_[key];
  removal.writer = inode.ino;
  removal.etag_before = before.etag;
  removal.size_before = before.size;
}

// What the inode was writing there when it was removed or renamed has not been written: what lies
// there is somebody else's, or what it was to replace.
void Core::NotStrayedLocked(Ino ino, const std::string& key) {
  const auto found = removals_.find(key);
  if (found == removals_.end() || found->second.writer != ino || !found->second.etag.empty())
    return;
  Removal& removal = found->second;
  StateBatch batch;
  if (removal.etag_before.empty()) {
    batch.DropRemoval(key);
    removals_.erase(found);
  } else {
    removal.writer = 0;
    removal.etag = removal.etag_before;
    removal.size = removal.size_before;
    batch.PutRemoval({key, removal.etag, removal.size});
  }
  CommitQuietlyLocked(std::move(batch));
}

// Somebody waits for it. How an attempt ends that had begun before says nothing about now.
bool Core::FailedSinceLocked(Removal& removal, WaitedRemoval* waited) {
  if (waited->began_before && (!removal.running || removal.failures > waited->failures)) {
    *waited = {removal.failures, false};
    removal.due = std::min(removal.due, clock_.Steady());
    RemovalDueLocked(removal.due);
    WakeSchedulerLocked(removal.due);
  }
  return removal.failures > waited->failures;
}

Status Core::SyncRemovals(const OpContext& context, const std::string& prefix) {
  MutexLock lock(mutex_);
  std::map<std::string, WaitedRemoval> waited;
  const SteadyTime now = clock_.Steady();
  for (auto it = removals_.lower_bound(prefix);
       it != removals_.end() && it->first.starts_with(prefix); ++it) {
    waited[it->first] = {it->second.failures, it->second.running};
    it->second.due = std::min(it->second.due, now);
  }
  if (waited.empty()) return {};
  RemovalDueLocked(now);
  QUAY_TRY(MayWait(context));
  ++urged_;
  WakeSchedulerLocked(now);
  Status first;
  while (!waited.empty() && !stopping_ && first.ok()) {
    for (auto it = waited.begin(); it != waited.end();) {
      const auto removal = removals_.find(it->first);
      // Whoever waits has waited for what has been replaced.
      const bool gone = removal == removals_.end() || ReplacedLocked(it->first, removal->second);
      const bool ended = gone || FailedSinceLocked(removal->second, &it->second);
      if (ended && !gone && first.ok() && removal->second.error) first = *removal->second.error;
      it = ended ? waited.erase(it) : std::next(it);
    }
    if (waited.empty()) break;
    OpContext slice = context;
    const SteadyTime soon = std::chrono::steady_clock::now() + std::chrono::milliseconds(50);
    slice.call.deadline = std::min(slice.call.deadline.value_or(soon), soon);
    Ignore(WaitOnce(work_done_, mutex_, slice.call));  // looked at again right away
    if (context.call.cancel.stop_requested()) first = Error(Code::kCancelled, "cancelled");
    if (context.call.deadline && std::chrono::steady_clock::now() >= *context.call.deadline)
      first = Error(Code::kTimedOut, "not everything is removed from the bucket yet");
  }
  --urged_;
  return first;
}

}  // namespace quayfs
