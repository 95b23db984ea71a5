// SPDX-License-Identifier: Apache-2.0

#include "fs/program/signals.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <thread>
#include <utility>

#include "base/log.h"
#include "base/unique_fd.h"

namespace quayfs::program {
namespace {

class Watcher final : public SignalWatcher {
 public:
  Watcher(UniqueFd signals, UniqueFd wake, std::function<void(int, int)> on_signal)
      : signals_(std::move(signals)),
        wake_(std::move(wake)),
        on_signal_(std::move(on_signal)),
        thread_([this] { Watch(); }) {}

  ~Watcher() override {
    const uint64_t one = 1;
    if (::write(wake_.get(), &one, sizeof(one)) < 0) Log(LogLevel::kDebug, "signals.wake_failed");
    thread_.join();
  }

 private:
  void Watch() {
    int count = 0;
    std::array<pollfd, 2> polled = {pollfd{signals_.get(), POLLIN, 0},
                                    pollfd{wake_.get(), POLLIN, 0}};
    for (;;) {
      if (::poll(polled.data(), polled.size(), -1) < 0) continue;
      if (polled[1].revents != 0) return;
      signalfd_siginfo info{};
      if (::read(signals_.get(), &info, sizeof(info)) != static_cast<ssize_t>(sizeof(info)))
        continue;
      const int signal = static_cast<int>(info.ssi_signo);
      on_signal_(signal, signal == SIGHUP ? 0 : ++count);
    }
  }

  const UniqueFd signals_;
  const UniqueFd wake_;
  const std::function<void(int, int)> on_signal_;
  std::thread thread_;
};

}  // namespace

Result<std::unique_ptr<SignalWatcher>> SignalWatcher::Start(
    std::function<void(int, int)> on_signal) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGHUP);
  UniqueFd signals(::signalfd(-1, &set, SFD_CLOEXEC));
  if (!signals.valid()) return ErrnoError(errno, "watch for signals");
  UniqueFd wake(::eventfd(0, EFD_CLOEXEC));
  if (!wake.valid()) return ErrnoError(errno, "make an event descriptor");
  return std::unique_ptr<SignalWatcher>(
      std::make_unique<Watcher>(std::move(signals), std::move(wake), std::move(on_signal)));
}

}  // namespace quayfs::program
