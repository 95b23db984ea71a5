// SPDX-License-Identifier: Apache-2.0

#include "fs/program/mount_record.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <fstream>
#include <iterator>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "base/text.h"
#include "base/unique_fd.h"

extern char** environ;

namespace quayfs::program {
namespace {

constexpr const char* kTable = "/run/mount/utab";
// More than there are: one for us and one of mount(8)'s own, for options such as
// x-systemd.automount.
constexpr int kLinesMax = 8;
// libmount waits for the lock of its table for as long as somebody has it, and nobody who mounts
// should.
constexpr int kPatienceMs = 5000;

/// Blanks and the like are octal in the table, as in /proc/mounts.
std::string Escaped(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (c == ' ' || c == '\t' || c == '\n' || c == '\\') {
      const auto byte = static_cast<unsigned char>(c);
      escaped += {'\\', static_cast<char>('0' + (byte >> 6)),
                  static_cast<char>('0' + ((byte >> 3) & 7)), static_cast<char>('0' + (byte & 7))};
    } else {
      escaped += c;
    }
  }
  return escaped;
}

/// Ends the process if it takes too long.
int WaitFor(pid_t pid) {
  const UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  pollfd ended = {process.get(), POLLIN, 0};
  if (process.valid() && ::poll(&ended, 1, kPatienceMs) == 0) ::kill(pid, SIGKILL);
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0) {
    if (errno != EINTR) return -1;
  }
  return status;
}

bool Run(std::vector<std::string> words) {
  std::vector<char*> arguments;
  arguments.reserve(words.size() + 1);
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
    posix_spawn_file_actions_addopen(&actions, fd, "/dev/null", O_RDWR, 0);
  pid_t pid = 0;
  const int spawned =
      ::posix_spawnp(&pid, words[0].c_str(), &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (spawned != 0) return false;
  const int status = WaitFor(pid);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

std::string TableText() {
  std::ifstream file(kTable);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

bool IsRecorded(const std::string& table, const std::string& mount_point) {
  const std::string target = "TARGET=" + Escaped(mount_point);
  for (const std::string_view line : Split(table, '\n')) {
    for (const std::string_view word : Split(line, ' ')) {
      if (word == target) return true;
    }
  }
  return false;
}

bool IsRecordedAs(const std::string& table, const std::string& source,
                  const std::string& mount_point) {
  const std::string line =
      "SRC=" + Escaped(source) + " TARGET=" + Escaped(mount_point) + " ROOT=/ OPTS=uhelper=quayfs";
  const std::vector<std::string_view> lines = Split(table, '\n');
  return std::ranges::find(lines, line) != lines.end();
}

void RecordMount(const std::string& source, const std::string& mount_point) {
  if (::geteuid() != 0) return;
  // A daemon that was killed has left its own.
  if (IsRecordedAs(TableText(), source, mount_point)) return;
  ForgetMount(mount_point);
  if (!Run({"mount", "--internal-only", "--fake", "--no-canonicalize", "--types", "fuse.quayfs",
            "--options", "uhelper=quayfs", "--", source, mount_point})) {
    Log(LogLevel::kWarning, "mount.not_recorded",
        {{"mount_point", mount_point},
         {"advice",
          "umount(8) may not wait until everything is in the bucket; use quayfs umount"}});
  }
}

void ForgetMount(const std::string& mount_point) {
  if (::geteuid() != 0) return;
  for (int i = 0; i < kLinesMax && IsRecorded(TableText(), mount_point); ++i) {
    if (!Run({"umount", "--internal-only", "--fake", "--no-canonicalize", "--", mount_point})) {
      Log(LogLevel::kDebug, "mount.not_forgotten", {{"mount_point", mount_point}});
      return;
    }
  }
}

}  // namespace quayfs::program
