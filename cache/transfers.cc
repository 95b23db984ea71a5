// SPDX-License-Identifier: Apache-2.0

#include "cache/transfers.h"

#include <algorithm>
#include <utility>

namespace quayfs {

Transfers::Transfers(size_t slots)
    : slots_(std::max<size_t>(slots, 1)),
      bulk_slots_(slots_ - slots_ / 8),
      flow_slots_(slots_ - slots_ / 4),
      pool_("transfer", slots_) {}

// The pool's destructor runs the runners that are posted, and a runner ends only when nothing may
// start: with all others ended, that means when nothing is queued.
Transfers::~Transfers() = default;

void Transfers::Post(Flow flow, Lane lane, std::function<void()> task) {
  MutexLock lock(mutex_);
  if (lane == Lane::kUrgent) {
    urgent_.push_back(std::move(task));
  } else {
    Queue& queue = bulk_[flow];
    if (queue.empty()) turns_.push_back(flow);
    queue.push_back(std::move(task));
  }
  StartRunner();
}

bool Transfers::RunHere(Flow flow, const std::function<void()>& task) {
  const Job job = {{}, true, flow};
  MutexLock lock(mutex_);
  if (!bulk_.empty() || !urgent_.empty() || runners_ == slots_ ||
      bulk_running_total_ == bulk_slots_) {
    return false;
  }
  size_t& running = bulk_running_[flow];
  if (running >= flow_slots_) return false;
  ++running;
  ++bulk_running_total_;
  ++runners_;
  lock.Unlock();
  task();
  lock.Lock();
  Finished(job);
  --runners_;
  if (!bulk_.empty() || !urgent_.empty()) StartRunner();
  return true;
}

void Transfers::StartRunner() {
  if (runners_ == slots_) return;
  ++runners_;
  pool_.Post([this] { Run(); });
}

void Transfers::Run() {
  MutexLock lock(mutex_);
  Job job;
  while (Next(&job)) {
    lock.Unlock();
    job.task();
    job.task = nullptr;  // what the task holds goes outside the lock
    lock.Lock();
    Finished(job);
  }
  --runners_;
}

bool Transfers::Next(Job* job) {
  if (!urgent_.empty()) {
    *job = {std::move(urgent_.front()), false, 0};
    urgent_.pop_front();
    return true;
  }
  return bulk_running_total_ < bulk_slots_ && NextBulk(job);
}

bool Transfers::NextBulk(Job* job) {
  for (size_t i = 0; i < turns_.size(); ++i) {
    const Flow flow = turns_.front();
    turns_.pop_front();
    size_t& running = bulk_running_[flow];
    if (running >= flow_slots_) {
      turns_.push_back(flow);
      continue;
    }
    auto queue = bulk_.find(flow);
    *job = {std::move(queue->second.front()), true, flow};
    queue->second.pop_front();
    if (queue->second.empty()) {
      bulk_.erase(queue);
    } else {
      turns_.push_back(flow);
    }
    ++running;
    ++bulk_running_total_;
    return true;
  }
  return false;
}

void Transfers::Finished(const Job& job) {
  if (!job.bulk) return;
  --bulk_running_total_;
  auto running = bulk_running_.find(job.flow);
  if (--running->second == 0) bulk_running_.erase(running);
}

}  // namespace quayfs
