// SPDX-License-Identifier: Apache-2.0

#include "fs/fuse/interrupts.h"

#include <algorithm>
#include <vector>

namespace quayfs {

Interrupts::Interrupts(Duration grace) : grace_(grace), thread_([this] { Run(); }) {}

Interrupts::~Interrupts() {
  {
    MutexLock lock(mutex_);
    ending_ = true;
    wake_.NotifyAll();
  }
  thread_.join();
}

uint64_t Interrupts::Add(const std::stop_source& stop) {
  bool stopped = false;
  uint64_t id = 0;
  {
    MutexLock lock(mutex_);
    id = next_++;
    waiting_.emplace(id, Waiting{stop, SteadyTime::max()});
    stopped = stopped_;
  }
  if (stopped) std::stop_source(stop).request_stop();
  return id;
}

void Interrupts::Interrupt(uint64_t id) {
  MutexLock lock(mutex_);
  const auto it = waiting_.find(id);
  if (it == waiting_.end() || it->second.deadline != SteadyTime::max()) return;
  it->second.deadline = std::chrono::steady_clock::now() + grace_;
  wake_.NotifyAll();
}

void Interrupts::Remove(uint64_t id) {
  MutexLock lock(mutex_);
  waiting_.erase(id);
}

void Interrupts::StopAll() {
  std::vector<std::stop_source> stops;
  {
    MutexLock lock(mutex_);
    stopped_ = true;
    for (const auto& [id, waiting] : waiting_) stops.push_back(waiting.stop);
  }
  for (std::stop_source& stop : stops) stop.request_stop();
}

void Interrupts::Run() {
  MutexLock lock(mutex_);
  while (!ending_) {
    SteadyTime next = SteadyTime::max();
    std::vector<std::stop_source> due;
    const SteadyTime now = std::chrono::steady_clock::now();
    for (auto it = waiting_.begin(); it != waiting_.end();) {
      if (it->second.deadline <= now) {
        due.push_back(it->second.stop);
        it = waiting_.erase(it);
      } else {
        next = std::min(next, it->second.deadline);
        ++it;
      }
    }
    if (!due.empty()) {
      // Stop callbacks run in here, and may take any lock.
      lock.Unlock();
      for (std::stop_source& stop : due) stop.request_stop();
      due.clear();
      lock.Lock();
      continue;
    }
    if (next == SteadyTime::max()) {
      wake_.Wait(mutex_);
    } else {
      wake_.WaitUntil(mutex_, next);
    }
  }
}

}  // namespace quayfs
