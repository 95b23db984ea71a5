// SPDX-License-Identifier: Apache-2.0

#include "cache/clean_sums.h"

#include <utility>

namespace quayfs {
namespace {

constexpr size_t kRowsMax = 50000;
constexpr size_t kRowsAtOnce = 64;

}  // namespace

void CleanSums::Note(std::weak_ptr<Summable> file) {
  MutexLock lock(mutex_);
  if (stopped_) return;
  noted_.push_back(std::move(file));
  if (!thread_.joinable()) thread_ = std::thread([this] { Run(); });
  if (noted_.size() == 1) changed_.NotifyAll();  // else it is gathering
}

void CleanSums::Drop(uint64_t inode) {
  MutexLock lock(mutex_);
  drops_.insert(inode);
  if (rows_ > 0) --rows_;
}

bool CleanSums::TakeRow() {
  MutexLock lock(mutex_);
  if (rows_ >= kRowsMax) return false;
  ++rows_;
  return true;
}

void CleanSums::GiveRow() {
  MutexLock lock(mutex_);
  if (rows_ > 0) --rows_;
}

void CleanSums::CountRows(size_t rows) {
  MutexLock lock(mutex_);
  rows_ += rows;
}

void CleanSums::Stop() {
  std::thread thread;
  {
    MutexLock lock(mutex_);
    stopped_ = true;
    noted_.clear();
    changed_.NotifyAll();
    thread = std::move(thread_);
  }
  if (thread.joinable()) thread.join();
}

void CleanSums::Run() {
  MutexLock lock(mutex_);
  while (!stopped_) {
    if (noted_.empty()) {
      changed_.Wait(mutex_);
      continue;
    }
    const auto until = std::chrono::steady_clock::now() + gather_;
    while (!stopped_ && changed_.WaitUntil(mutex_, until)) {
    }
    std::vector<std::shared_ptr<Summable>> files;
    for (const std::weak_ptr<Summable>& noted : std::exchange(noted_, {})) {
      if (auto file = noted.lock(); file != nullptr) files.push_back(std::move(file));
    }
    const std::set<uint64_t> drops = std::exchange(drops_, {});
    lock.Unlock();
    Sum(files, drops, std::chrono::steady_clock::time_point::max());
    files.clear();
    lock.Lock();
  }
}

void CleanSums::Finish(const std::vector<std::shared_ptr<Summable>>& files,
                       std::chrono::steady_clock::time_point until) {
  std::set<uint64_t> drops;
  {
    MutexLock lock(mutex_);
    drops = std::exchange(drops_, {});
  }
  Sum(files, drops, until);
}

/// A row that cannot be told is a file that is fetched again; one that stays does not fit.
void CleanSums::Sum(const std::vector<std::shared_ptr<Summable>>& files,
                    const std::set<uint64_t>& drops, std::chrono::steady_clock::time_point until) {
  StateBatch batch;
  for (const uint64_t inode : drops) batch.DropClean(inode);
  size_t rows = 0;
  for (const auto& file : files) {
    if (std::chrono::steady_clock::now() >= until) break;
    if (file->SumInto(&batch)) ++rows;
    if (rows < kRowsAtOnce) continue;
    Ignore(state_.Apply(std::exchange(batch, {}), Persist::kSurvivesKill));
    rows = 0;
  }
  if (!batch.empty()) Ignore(state_.Apply(std::move(batch), Persist::kSurvivesKill));
}

}  // namespace quayfs
