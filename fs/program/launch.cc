// SPDX-License-Identifier: Apache-2.0

#include "fs/program/launch.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "base/text.h"
#include "fs/program/exit_status.h"
#include "fs/program/process_setup.h"

namespace quayfs::program {
namespace {

constexpr char kReady = '+';
constexpr char kFailed = '-';

std::string ReadAll(int fd) {
  std::string text;
  std::array<char, 4096> buffer;
  for (;;) {
    const ssize_t got = ::read(fd, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return text;
    text.append(buffer.data(), static_cast<size_t>(got));
  }
}

/// What to say of a child that ended without a word.
std::string Obituary(pid_t child) {
  int status = 0;
  while (::waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) return "the daemon ended before it was ready";
  }
  if (WIFSIGNALED(status)) {
    return fmt::format("the daemon ended before it was ready, by signal {} ({})", WTERMSIG(status),
                       ::strsignal(WTERMSIG(status)));
  }
  return fmt::format("the daemon ended before it was ready, with status {}", WEXITSTATUS(status));
}

int Wait(pid_t child, int pipe) {
  const std::string told = ReadAll(pipe);
  if (!told.empty() && told[0] == kReady) return kExitOk;
  PrintError(!told.empty() && told[0] == kFailed ? told.substr(1) : Obituary(child));
  return kExitFailed;
}

}  // namespace

void Readiness::Ready() { Tell(kReady, ""); }

void Readiness::Failed(const std::string& message) {
  if (pipe_.valid()) {
    Tell(kFailed, message);
  } else {
    PrintError(message);
  }
}

void Readiness::Tell(char kind, const std::string& message) {
  if (!pipe_.valid()) return;
  const std::string text = kind + message;
  std::string_view rest = text;
  while (!rest.empty()) {
    const ssize_t written = ::write(pipe_.get(), rest.data(), rest.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) break;  // the parent has been killed; nobody waits
    rest.remove_prefix(static_cast<size_t>(written));
  }
  pipe_.Reset();
}

int RunInBackground(int log_file, const std::function<int(Readiness&)>& daemon) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    PrintError(ErrnoError(errno, "make a pipe").message());
    return kExitFailed;
  }
  UniqueFd reading(ends[0]);
  UniqueFd writing(ends[1]);
  std::fflush(nullptr);  // or the child would print it again
  const pid_t child = ::fork();
  if (child < 0) {
    PrintError(ErrnoError(errno, "start the daemon").message());
    return kExitFailed;
  }
  if (child > 0) {
    writing.Reset();
    return Wait(child, reading.get());
  }
  reading.Reset();
  Readiness readiness(std::move(writing));
  const Status left = LeaveTerminal(log_file);
  if (!left) {
    readiness.Failed(left.error().message());
    return kExitFailed;
  }
  return daemon(readiness);
}

void PrintError(const std::string& message) {
  for (const std::string_view line : Split(message, '\n')) {
    fmt::print(stderr, "quayfs: {}\n", line);
  }
}

}  // namespace quayfs::program
