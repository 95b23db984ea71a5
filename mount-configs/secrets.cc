// SPDX-License-Identifier: Apache-2.0

#include "mount-configs/secrets.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <thread>
#include <utility>

#include "base/text.h"
#include "base/unique_fd.h"
#include "mount-configs/values.h"

namespace quayfs {
namespace {

constexpr size_t kMaxSecretBytes = size_t{64} * 1024;
constexpr size_t kMaxConfigBytes = size_t{1024} * 1024;
constexpr std::chrono::milliseconds kReapInterval{5};

using SteadyClock = std::chrono::steady_clock;

Result<std::string> ReadToLimit(int fd, const std::string& path, size_t limit) {
  std::string text;
  std::array<char, 4096> buffer{};
  while (true) {
    const ssize_t count = read(fd, buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return ErrnoError(errno, "cannot read " + path);
    if (count == 0) return text;
    text.append(buffer.data(), static_cast<size_t>(count));
    if (text.size() > limit) return Error(Code::kTooLarge, path + " is too large for what it is");
  }
}

struct OpenedFile {
  UniqueFd fd;
  struct stat facts {};
};

/// O_NONBLOCK: a pipe in place of the file must not hang us.
Result<OpenedFile> OpenRegular(const std::string& path) {
  OpenedFile file;
  file.fd.Reset(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
  if (!file.fd.valid()) return ErrnoError(errno, "cannot open " + path);
  if (fstat(file.fd.get(), &file.facts) != 0) return ErrnoError(errno, "cannot look at " + path);
  if (!S_ISREG(file.facts.st_mode)) {
    return Error(Code::kInvalidArgument, path + " is not a regular file");
  }
  return file;
}

/// A started command and the reading end of its output.
struct Child {
  pid_t pid = -1;
  UniqueFd output;
};

class SpawnActions {
 public:
  SpawnActions() {
    posix_spawn_file_actions_init(&actions_);
    posix_spawnattr_init(&attributes_);
  }
  ~SpawnActions() {
    posix_spawnattr_destroy(&attributes_);
    posix_spawn_file_actions_destroy(&actions_);
  }
  SpawnActions(const SpawnActions&) = delete;
  SpawnActions& operator=(const SpawnActions&) = delete;

  /// Its own process group, so that whatever it starts can be ended with it; default signals, none
  /// blocked.
  bool Prepare(int output) {
    sigset_t none;
    sigset_t all;
    sigemptyset(&none);
    sigfillset(&all);
    return posix_spawn_file_actions_addopen(&actions_, STDIN_FILENO, "/dev/null", O_RDONLY, 0) ==
               0 &&
           posix_spawn_file_actions_adddup2(&actions_, output, STDOUT_FILENO) == 0 &&
           posix_spawnattr_setpgroup(&attributes_, 0) == 0 &&
           posix_spawnattr_setsigmask(&attributes_, &none) == 0 &&
           posix_spawnattr_setsigdefault(&attributes_, &all) == 0 &&
           posix_spawnattr_setflags(&attributes_, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
                                                      POSIX_SPAWN_SETSIGDEF) == 0;
  }

  int Spawn(pid_t& pid, const std::vector<std::string>& command) const {
    std::vector<std::string> words = command;
    std::vector<char*> argv;
    argv.reserve(words.size() + 1);
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    return posix_spawn(&pid, argv[0], &actions_, &attributes_, argv.data(), environ);
  }

 private:
  posix_spawn_file_actions_t actions_{};
  posix_spawnattr_t attributes_{};
};

Result<Child> StartCommand(const std::vector<std::string>& command) {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) return ErrnoError(errno, "cannot make a pipe");
  Child child;
  child.output.Reset(ends[0]);
  const UniqueFd theirs(ends[1]);
  SpawnActions actions;
  if (!actions.Prepare(theirs.get())) return Error(Code::kInternal, "cannot prepare a command");
  const int failure = actions.Spawn(child.pid, command);
  if (failure != 0) return ErrnoError(failure, "cannot run " + command.front());
  return child;
}

/// Reads until the command closes its output. kTimedOut, kTooLarge.
Result<std::string> ReadOutput(const Child& child, const std::string& program,
                               SteadyClock::time_point deadline) {
  std::string text;
  while (true) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - SteadyClock::now()).count();
    if (left <= 0) return Error(Code::kTimedOut, program + " took too long and was ended");
    pollfd waiting{child.output.get(), POLLIN, 0};
    const int ready = poll(&waiting, 1, static_cast<int>(left));
    if (ready < 0 && errno != EINTR) return ErrnoError(errno, "cannot wait for " + program);
    if (ready <= 0) continue;
    std::array<char, 4096> buffer{};
    const ssize_t count = read(child.output.get(), buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return ErrnoError(errno, "cannot read what " + program + " prints");
    if (count == 0) return text;
    text.append(buffer.data(), static_cast<size_t>(count));
    if (text.size() > kMaxSecretBytes) {
      return Error(Code::kTooLarge, program + " prints too much to be a secret");
    }
  }
}

/// The wait status, or nothing if the command is still there at the deadline.
std::optional<int> WaitUntil(pid_t pid, SteadyClock::time_point deadline) {
  int status = 0;
  while (true) {
    const pid_t done = waitpid(pid, &status, WNOHANG);
    if (done == pid) return status;
    if (done < 0 && errno != EINTR) return std::nullopt;
    if (SteadyClock::now() >= deadline) return std::nullopt;
    std::this_thread::sleep_for(kReapInterval);
  }
}

void EndChild(pid_t pid) {
  kill(-pid, SIGKILL);
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
}

/// Without the line end that editors and programs add; a secret itself never has one.
std::string WithoutLineEnd(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
  return text;
}

Status CheckCommand(const std::vector<std::string>& command) {
  if (!command.empty() && !command.front().empty() && command.front().front() == '/') return {};
  return Error(Code::kInvalidArgument, "a command must begin with the full path of a program");
}

}  // namespace

std::string SecretSource::Describe() const {
  switch (kind) {
    case Kind::kFile:
      return "{ file = " + QuoteToml(name) + " }";
    case Kind::kVariable:
      return "{ env = " + QuoteToml(name) + " }";
    case Kind::kCommand:
      break;
  }
  const std::string rest = command.size() > 1 ? ", \"...\"" : "";
  return "{ command = [" + QuoteToml(command.empty() ? "" : command.front()) + rest + "] }";
}

Status CheckFileIsPrivate(const struct stat& facts, const std::string& path, bool secret) {
  if (facts.st_uid != 0 && facts.st_uid != geteuid()) {
    return Error(
        Code::kPermissionDenied,
        fmt::format("{} belongs to user {}, who could change it at any time; run: chown {} {}",
                    path, facts.st_uid, geteuid(), path));
  }
  const mode_t open_bits = facts.st_mode & (S_IRWXG | S_IRWXO);
  if (secret && (open_bits & (S_IRGRP | S_IWGRP | S_IROTH | S_IWOTH)) != 0) {
    return Error(
        Code::kPermissionDenied,
        fmt::format("{} holds a secret and is open to others (mode {:04o}); run: chmod 600 {}",
                    path, facts.st_mode & 07777, path));
  }
  if ((open_bits & (S_IWGRP | S_IWOTH)) != 0) {
    return Error(Code::kPermissionDenied,
                 fmt::format("{} can be changed by others (mode {:04o}); run: chmod go-w {}", path,
                             facts.st_mode & 07777, path));
  }
  return {};
}

Result<std::string> ReadPrivateFile(const std::string& path) {
  QUAY_ASSIGN(const OpenedFile file, OpenRegular(path));
  QUAY_TRY(CheckFileIsPrivate(file.facts, path, true));
  return ReadToLimit(file.fd.get(), path, kMaxSecretBytes);
}

Result<FileText> ReadConfigFile(const std::string& path) {
  QUAY_ASSIGN(const OpenedFile file, OpenRegular(path));
  QUAY_TRY(CheckFileIsPrivate(file.facts, path, false));
  FileText result;
  result.readable_by_others = (file.facts.st_mode & (S_IRGRP | S_IROTH)) != 0;
  QUAY_ASSIGN(result.text, ReadToLimit(file.fd.get(), path, kMaxConfigBytes));
  return result;
}

Result<std::string> RunSecretCommand(const std::vector<std::string>& command, Duration timeout) {
  QUAY_TRY(CheckCommand(command));
  const std::string& program = command.front();
  const SteadyClock::time_point deadline = SteadyClock::now() + timeout;
  QUAY_ASSIGN(const Child child, StartCommand(command));
  const Result<std::string> output = ReadOutput(child, program, deadline);
  const std::optional<int> status = output ? WaitUntil(child.pid, deadline) : std::nullopt;
  if (!status) {
    EndChild(child.pid);
    if (!output) return output.error();
    return Error(Code::kTimedOut, program + " took too long and was ended");
  }
  if (!WIFEXITED(*status) || WEXITSTATUS(*status) != 0) {
    const bool exited = WIFEXITED(*status);
    return Error(Code::kInvalidArgument,
                 fmt::format("{} ended with {} {}", program, exited ? "status" : "signal",
                             exited ? WEXITSTATUS(*status) : WTERMSIG(*status)));
  }
  std::string secret(TrimBlanks(*output));
  if (secret.empty()) return Error(Code::kInvalidArgument, program + " printed nothing");
  return secret;
}

Status CheckPrivateFile(const std::string& path) {
  QUAY_ASSIGN(const OpenedFile file, OpenRegular(path));
  QUAY_TRY(CheckFileIsPrivate(file.facts, path, true));
  if (file.facts.st_size == 0) return Error(Code::kInvalidArgument, path + " is empty");
  if (static_cast<size_t>(file.facts.st_size) > kMaxSecretBytes) {
    return Error(Code::kTooLarge, path + " is too large for what it is");
  }
  return {};
}

Status CheckSecretSource(const SecretSource& source) {
  switch (source.kind) {
    case SecretSource::Kind::kFile:
      return CheckPrivateFile(source.name);
    case SecretSource::Kind::kVariable:
      return {};
    case SecretSource::Kind::kCommand:
      break;
  }
  QUAY_TRY(CheckCommand(source.command));
  const std::string& program = source.command.front();
  if (access(program.c_str(), X_OK) != 0) return ErrnoError(errno, "cannot run " + program);
  return {};
}

Result<std::string> ResolveSecret(const SecretSource& source, const Environment& environment,
                                  Duration command_timeout) {
  if (source.kind == SecretSource::Kind::kCommand) {
    return RunSecretCommand(source.command, command_timeout);
  }
  if (source.kind == SecretSource::Kind::kVariable) {
    std::optional<std::string> value = environment(source.name);
    if (!value || value->empty()) {
      return Error(Code::kInvalidArgument,
                   fmt::format("the environment variable {} is not set", source.name));
    }
    return *std::move(value);
  }
  QUAY_ASSIGN(std::string text, ReadPrivateFile(source.name));
  text = WithoutLineEnd(std::move(text));
  if (text.empty()) return Error(Code::kInvalidArgument, source.name + " is empty");
  return text;
}

}  // namespace quayfs
