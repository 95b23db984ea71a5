// SPDX-License-Identifier: Apache-2.0
//
// Core: objects that have to go, because their file was removed, replaced or moved. They go in
// batches, when nobody copies from them any more and nobody writes their key. Somebody else's new
// object under the key is left alone: it is seen in the next listing, and the removal is dropped
// then (HiddenLocked).

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "cache/waiting.h"
#include "fs/core.h"

namespace quayfs {
namespace {

constexpr Duration kPauseFirst = std::chrono::milliseconds(500);
constexpr uint64_t kMostDoublings = 7;
constexpr Duration kHeldPause = std::chrono::milliseconds(20);
constexpr size_t kBatchesAtOnce = 4;
constexpr size_t kSinglesAtOnce = 16;

}  // namespace

void Core::AddRemovalLocked(const std::string& key, const std::string& etag, uint64_t size,
                            Ino keeper) {
  Removal& removal = removals_[key];
  removal.etag = etag;
  removal.size = size;
  removal.keeper = keeper;
  removal.added = clock_.Steady();
  removal.due = removal.added + config_.write_delay;
  removal.failures = 0;
  RemovalDueLocked(removal.due);
}

void Core::RemovalDueLocked(SteadyTime due) {
  if (removals_next_ && *removals_next_ <= due) return;
  removals_next_ = due;
  work_noted_.NotifyOne();
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

// While the store is away one inode at a time is tried; the removals follow its success.
bool Core::RemovalsRestLocked() const {
  return stopping_ || (queue_.outage() && queue_.size() > 0 && urged_ == 0);
}

std::optional<SteadyTime> Core::NextRemovalLocked() const {
  if (RemovalsRestLocked() || removals_running_ >= kBatchesAtOnce) return std::nullopt;
  return removals_next_;
}

void Core::StartRemovalsLocked(SteadyTime now) {
  if (RemovalsRestLocked()) return;
  const Capabilities can = store_.capabilities();
  const auto most = static_cast<size_t>(can.batch_delete ? std::max(can.batch_delete_max, 1) : 64);
  while (removals_running_ < kBatchesAtOnce && removals_next_ && *removals_next_ <= now) {
    std::vector<std::string> keys;
    removals_next_.reset();
    for (auto& [key, removal] : removals_) {
      if (removal.running) continue;
      const bool held = busy_keys_.contains(key) || sources_.contains(key);
      if (removal.due <= now && !held && keys.size() < most) {
        removal.running = true;
        busy_keys_.insert(key);
        keys.push_back(key);
        continue;
      }
      const SteadyTime due = held ? std::max(removal.due, now + kHeldPause) : removal.due;
      removals_next_ = std::min(removals_next_.value_or(due), due);
    }
    if (keys.empty()) return;
    ++removals_running_;
    workers_.Post([this, keys = std::move(keys)] {
      RunRemovals(keys);
      MutexLock lock(mutex_);
      --removals_running_;
      WakeLocked();
    });
  }
}

// REQUIRES: the keys are marked as running and busy.
void Core::RunRemovals(const std::vector<std::string>& keys) {
  OpContext context;
  context.call.cancel = work_stop_.get_token();
  std::vector<Ino> keepers;
  {
    MutexLock lock(mutex_);
    for (const std::string& key : keys) {
      const auto it = removals_.find(key);
      if (it != removals_.end() && KeptOpenLocked(it->second)) keepers.push_back(it->second.keeper);
    }
  }
  Status kept;
  for (const Ino keeper : keepers) {
    const Status one = KeepContents(context, keeper);
    if (!one.ok()) kept = one;
  }
  std::vector<DeleteOutcome> outcomes;
  Status sent = kept;
  if (sent.ok() && store_.capabilities().batch_delete && keys.size() > 1) {
    auto deleted = store_.DeleteMany(keys, context.call);
    if (deleted.ok()) {
      outcomes = *std::move(deleted);
    } else {
      sent = deleted.error();
    }
  } else if (sent.ok()) {
    outcomes.resize(keys.size());
    Ignore(ParallelFor(background_, keys.size(), kSinglesAtOnce, [&](size_t i) -> Status {
      outcomes[i] = {keys[i], store_.Delete(keys[i], Condition::None(), context.call)};
      return {};
    }));  // each outcome is looked at below
  }

  MutexLock lock(mutex_);
  const SteadyTime now = clock_.Steady();
  StateBatch batch;
  for (size_t i = 0; i < keys.size(); ++i) {
    busy_keys_.erase(keys[i]);
    const auto it = removals_.find(keys[i]);
    if (it == removals_.end()) continue;
    Removal& removal = it->second;
    removal.running = false;
    const Status status = i < outcomes.size() ? outcomes[i].status : sent;
    if (status.ok() || status.Is(Code::kNotFound)) {
      batch.DropRemoval(keys[i]);
      removals_.erase(it);
      continue;
    }
    if (status.Is(Code::kCancelled)) {
      RemovalDueLocked(now);
      continue;
    }
    if (!removal.error) {
      removal.error = status.error();
      Log(LogLevel::kWarning, "remove.failed",
          {{"key", keys[i]},
           {"error", status.error().ToString()},
           {"advice", "it is tried again; quayfs status shows what is pending"}});
    }
    NoteFailureLocked(status.error());
    removal.due = now + kPauseFirst * (1ull << std::min(removal.failures++, kMostDoublings));
    RemovalDueLocked(removal.due);
  }
  CommitQuietlyLocked(std::move(batch));
  if (sent.ok()) queue_.StoreAnswers(now);
  queue_.WakeDeferred(now);
}

Status Core::SyncRemovals(const OpContext& context, const std::string& prefix) {
  MutexLock lock(mutex_);
  std::map<std::string, uint64_t> failures;
  const SteadyTime now = clock_.Steady();
  for (auto it = removals_.lower_bound(prefix);
       it != removals_.end() && it->first.starts_with(prefix); ++it) {
    failures[it->first] = it->second.failures;
    it->second.due = std::min(it->second.due, now);
  }
  if (failures.empty()) return {};
  RemovalDueLocked(now);
  QUAY_TRY(MayWait(context));
  ++urged_;
  work_noted_.NotifyOne();
  Status first;
  while (!failures.empty() && !stopping_ && first.ok()) {
    std::erase_if(failures, [&](const auto& entry) QUAY_REQUIRES(mutex_) {
      const auto it = removals_.find(entry.first);
      if (it == removals_.end()) return true;
      if (it->second.failures <= entry.second) return false;
      if (first.ok() && it->second.error) first = *it->second.error;
      return true;
    });
    if (failures.empty()) break;
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
