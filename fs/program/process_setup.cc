// SPDX-License-Identifier: Apache-2.0

#include "fs/program/process_setup.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <csignal>

#include "base/log.h"

namespace quayfs::program {
void ForbidCoreDumps() {
  ::prctl(PR_SET_DUMPABLE, 0);
  const rlimit none{0, 0};
  ::setrlimit(RLIMIT_CORE, &none);
}

void RaiseFileLimit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  if (::setrlimit(RLIMIT_NOFILE, &limit) != 0)
    Log(LogLevel::kDebug, "program.file_limit_unchanged");
}

void BlockSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGHUP);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
}

Status LeaveTerminal(int log_file) {
  if (::setsid() < 0) return ErrnoError(errno, "leave the terminal");
  if (::chdir("/") != 0) return ErrnoError(errno, "change to /");
  const UniqueFd nothing(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!nothing.valid()) return ErrnoError(errno, "open /dev/null");
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    const int instead = fd == STDERR_FILENO && log_file >= 0 ? log_file : nothing.get();
    if (::dup2(instead, fd) < 0) return ErrnoError(errno, "leave the terminal");
  }
  return {};
}

Status MakeDirectories(const std::string& path) {
  for (size_t end = 1; end <= path.size(); ++end) {
    if (end != path.size() && path[end] != '/') continue;
    const std::string part = path.substr(0, end);
    if (::mkdir(part.c_str(), 0700) == 0 || errno == EEXIST) continue;
    const int error = errno;
    struct stat facts {};
    // A directory above may be closed to us, or on a read-only file system, and still be there.
    if (::stat(part.c_str(), &facts) == 0 && S_ISDIR(facts.st_mode)) continue;
    return ErrnoError(error, "make the directory " + part);
  }
  return {};
}

std::string HostName() {
  std::array<char, HOST_NAME_MAX + 1> name{};
  if (::gethostname(name.data(), name.size() - 1) != 0 || name[0] == '\0') return "localhost";
  return name.data();
}

}  // namespace quayfs::program
