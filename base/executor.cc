// SPDX-License-Identifier: Apache-2.0

#include "base/executor.h"

#include <pthread.h>
#include <signal.h>  // NOLINT(modernize-deprecated-headers): pthread_sigmask is not in <csignal>

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <system_error>
#include <utility>

#include "base/check.h"

namespace quayfs {
namespace {

constexpr std::chrono::seconds kIdleLife(10);

// Blocks every signal that another thread can take in our stead while it lives. Threads inherit the
// mask of their maker.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    // Faults belong to the thread that makes them; blocked, they would end the process past any
    // handler.
    for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS}) {
      sigdelset(&all, fault);
    }
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_;
};

// One run of ParallelFor, shared by its tasks: the last of them may still be leaving when the
// caller has its answer.
struct ParallelRun {
  ParallelRun(Executor& e, size_t n, const std::function<Status(size_t)>& b)
      : executor(e), count(n), body(b) {}

  Executor& executor;
  const size_t count;
  const std::function<Status(size_t)>& body;  // valid while `active` > 0

  Mutex mutex{LockRank::kExecutor};
  CondVar finished;
  size_t next QUAY_GUARDED_BY(mutex) = 0;
  size_t active QUAY_GUARDED_BY(mutex) = 0;
  std::optional<Error> failure QUAY_GUARDED_BY(mutex);
};

// Runs one index and posts the next: a long run takes turns with whatever else the executor has to
// do.
void RunOneIndex(const std::shared_ptr<ParallelRun>& run) {
  std::optional<size_t> index;
  {
    MutexLock lock(run->mutex);
    if (!run->failure && run->next < run->count) index = run->next++;
  }
  std::optional<Error> failed;
  if (index) {
    if (Status status = run->body(*index); !status.ok()) failed = status.error();
  }
  bool more = false;
  {
    MutexLock lock(run->mutex);
    if (failed && !run->failure) run->failure = std::move(failed);
    more = !run->failure && run->next < run->count;
    if (!more && --run->active == 0) run->finished.NotifyAll();
  }
  if (more) {
    run->executor.Post([run] { RunOneIndex(run); });
  }
}

}  // namespace

ThreadPool::ThreadPool(std::string name, size_t max_threads)
    : name_(std::move(name)), max_threads_(std::max<size_t>(1, max_threads)) {}

ThreadPool::~ThreadPool() {
  std::list<std::thread> left;
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    wake_.NotifyAll();
    while (!threads_.empty()) ended_.Wait(mutex_);
    QUAY_CHECK(tasks_.empty());
    left.swap(left_);
  }
  for (std::thread& thread : left) thread.join();
}

void ThreadPool::Post(std::function<void()> task) {
  MutexLock lock(mutex_);
  tasks_.push_back(std::move(task));
  // An idle thread that was woken for an earlier task still counts as idle, so count tasks against
  // it.
  if (tasks_.size() > idle_ && threads_.size() < max_threads_) {
    StartThread();
  } else {
    wake_.NotifyOne();
  }
}

void ThreadPool::StartThread() {
  const SignalsBlocked blocked;
  // Running out of threads is usually over in a moment. With others there to do the work it need
  // not be waited for.
  for (int attempt = 0;; ++attempt) {
    try {
      threads_.emplace_back([this] { Run(); });
      return;
    } catch (const std::system_error&) {
      if (!threads_.empty()) return;
      QUAY_CHECK(attempt < 100 && "no thread could be started");
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

bool ThreadPool::TakeTask(std::function<void()>* task) {
  if (tasks_.empty()) {
    ++idle_;
    const auto deadline = std::chrono::steady_clock::now() + kIdleLife;
    bool in_time = true;
    while (tasks_.empty() && !stopping_ && in_time) in_time = wake_.WaitUntil(mutex_, deadline);
    --idle_;
    if (tasks_.empty()) return false;
  }
  *task = std::move(tasks_.front());
  tasks_.pop_front();
  return true;
}

void ThreadPool::Run() {
  pthread_setname_np(pthread_self(), name_.substr(0, 15).c_str());
  std::list<std::thread> left;
  {
    MutexLock lock(mutex_);
    std::function<void()> task;
    while (TakeTask(&task)) {
      lock.Unlock();
      task();
      task = nullptr;  // what it holds may take locks or post when it goes
      lock.Lock();
    }
    left.swap(left_);
    const auto self = std::find_if(threads_.begin(), threads_.end(), [](const std::thread& thread) {
      return thread.get_id() == std::this_thread::get_id();
    });
    QUAY_CHECK(self != threads_.end());
    left_.splice(left_.end(), threads_, self);
    // Nothing of the pool is touched after the lock is open: the destructor may be waiting for just
    // this.
    ended_.NotifyAll();
  }
  for (std::thread& thread : left) thread.join();
}

size_t ThreadPool::queued() const {
  MutexLock lock(mutex_);
  return tasks_.size();
}

size_t ThreadPool::threads() const {
  MutexLock lock(mutex_);
  return threads_.size();
}

void ManualExecutor::Post(std::function<void()> task) {
  MutexLock lock(mutex_);
  tasks_.push_back(std::move(task));
}

size_t ManualExecutor::RunTasks(size_t count) {
  size_t done = 0;
  for (; done < count; ++done) {
    std::function<void()> task;
    {
      MutexLock lock(mutex_);
      if (tasks_.empty()) break;
      task = std::move(tasks_.front());
      tasks_.pop_front();
    }
    task();
  }
  return done;
}

size_t ManualExecutor::RunAll() {
  size_t done = 0;
  while (RunTasks(1) == 1) ++done;
  return done;
}

Status ParallelFor(Executor& executor, size_t count, size_t parallel,
                   const std::function<Status(size_t)>& body) {
  if (count == 0) return {};
  const auto run = std::make_shared<ParallelRun>(executor, count, body);
  const size_t tasks = std::min(count, std::max<size_t>(1, parallel));
  {
    MutexLock lock(run->mutex);
    run->active = tasks;
  }
  for (size_t i = 0; i < tasks; ++i) {
    executor.Post([run] { RunOneIndex(run); });
  }
  MutexLock lock(run->mutex);
  while (run->active > 0) run->finished.Wait(run->mutex);
  if (run->failure) return *run->failure;
  return {};
}

}  // namespace quayfs
