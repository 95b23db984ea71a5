// SPDX-License-Identifier: Apache-2.0

#include "tests/mount/program.h"

#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>
#include <thread>

#include "tests/mount/sanitizer_reports.h"

namespace quayfs::mounttest {
namespace {

constexpr auto kPoll = std::chrono::milliseconds(10);

struct Pipe {
  UniqueFd reading;
  UniqueFd writing;
};

Pipe MakePipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) ADD_FAILURE() << "pipe2: " << std::strerror(errno);
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

// Ends with a null; lives as long as `texts`.
std::vector<char*> Pointers(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  pointers.reserve(texts.size() + 1);
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

pid_t Spawn(std::vector<std::string> words, int out, int err) {
  const std::vector<char*> arguments = Pointers(words);
  std::vector<std::string> variables = ReportingEnvironment();
  const std::vector<char*> environment = Pointers(variables);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, err, STDERR_FILENO);
  pid_t pid = -1;
  const int failed =
      ::posix_spawnp(&pid, arguments[0], &actions, nullptr, arguments.data(), environment.data());
  posix_spawn_file_actions_destroy(&actions);
  if (failed != 0) ADD_FAILURE() << "cannot start " << words[0] << ": " << std::strerror(failed);
  return failed == 0 ? pid : -1;
}

/// A limit on waiting that a machine which stands still for a while does not use up.
class Patience {
 public:
  explicit Patience(std::chrono::seconds limit) : left_(limit) {}
  /// To be asked at least once a kLongestStep.
  bool Over() {
    const auto now = std::chrono::steady_clock::now();
    left_ -= std::min<std::chrono::steady_clock::duration>(now - last_, kLongestStep);
    last_ = now;
    return left_ <= std::chrono::steady_clock::duration::zero();
  }
  static constexpr auto kLongestStep = std::chrono::milliseconds(500);

 private:
  std::chrono::steady_clock::duration left_;
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

/// Reads both pipes until both are closed or the time is up; false in the latter case.
bool Drain(const Pipe& out, const Pipe& err, std::chrono::seconds limit, ProgramResult* result) {
  Patience patience(limit);
  std::array<pollfd, 2> polled = {pollfd{out.reading.get(), POLLIN, 0},
                                  pollfd{err.reading.get(), POLLIN, 0}};
  std::array<std::string*, 2> texts = {&result->out, &result->err};
  while (polled[0].fd >= 0 || polled[1].fd >= 0) {
    if (patience.Over()) return false;
    constexpr int kStep = static_cast<int>(Patience::kLongestStep.count() / 2);
    if (::poll(polled.data(), polled.size(), kStep) <= 0) continue;
    for (size_t i = 0; i < polled.size(); ++i) {
      if (polled[i].fd < 0 || polled[i].revents == 0) continue;
      std::array<char, 4096> buffer;
      const ssize_t got = ::read(polled[i].fd, buffer.data(), buffer.size());
      if (got > 0) {
        texts[i]->append(buffer.data(), static_cast<size_t>(got));
      } else {
        polled[i].fd = -1;
      }
    }
  }
  return true;
}

}  // namespace

ProgramResult RunCommand(const std::vector<std::string>& words, std::chrono::seconds limit) {
  ProgramResult result;
  Pipe out = MakePipe();
  Pipe err = MakePipe();
  const pid_t pid = Spawn(words, out.writing.get(), err.writing.get());
  if (pid < 0) return result;
  out.writing.Reset();
  err.writing.Reset();
  if (!Drain(out, err, limit, &result)) {
    ADD_FAILURE() << words[0] << " " << (words.size() > 1 ? words[1] : "")
                  << " did not end; it said: " << result.err;
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
    return result;
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  result.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return result;
}

ProgramResult RunQuayfs(const std::vector<std::string>& arguments, std::chrono::seconds limit) {
  std::vector<std::string> words = {QUAYFS_PROGRAM};
  words.insert(words.end(), arguments.begin(), arguments.end());
  return RunCommand(words, limit);
}

pid_t StartQuayfs(const std::vector<std::string>& arguments, const std::string& log) {
  std::vector<std::string> words = {QUAYFS_PROGRAM};
  words.insert(words.end(), arguments.begin(), arguments.end());
  const UniqueFd file(::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  return Spawn(words, file.get(), file.get());
}

std::vector<pid_t> QuayfsWith(const std::string& word) {
  std::vector<pid_t> pids;
  std::error_code failed;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", failed)) {
    const std::string name = entry.path().filename().string();
    if (!std::all_of(name.begin(), name.end(), [](char c) { return c >= '0' && c <= '9'; }))
      continue;
    std::ifstream file(entry.path() / "cmdline");
    std::stringstream text;
    text << file.rdbuf();
    const std::string line = text.str();
    const pid_t pid = std::stoi(name);
    const bool ours = line.rfind(QUAYFS_PROGRAM, 0) == 0 && line.find(word) != std::string::npos;
    if (ours && pid != ::getpid()) pids.push_back(pid);
  }
  return pids;
}

bool IsGone(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string text;
  if (!std::getline(file, text)) return true;
  const size_t name_end = text.rfind(')');
  if (name_end == std::string::npos || name_end + 2 >= text.size()) return true;
  if (text[name_end + 2] == 'X') return true;
  if (text[name_end + 2] != 'Z') return false;
  // The first thread may be dead while others, with all that is open, still end.
  std::error_code failed;
  size_t threads = 0;
  for (const auto& thread :
       std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/task", failed)) {
    static_cast<void>(thread);
    ++threads;
  }
  return failed || threads <= 1;
}

bool Eventually(const std::function<bool()>& holds, std::chrono::seconds limit) {
  Patience patience(limit);
  while (!holds()) {
    if (patience.Over()) return false;
    std::this_thread::sleep_for(kPoll);
  }
  return true;
}

bool IsMounted(const std::string& path) {
  std::ifstream file("/proc/self/mountinfo");
  std::string line;
  while (std::getline(file, line)) {
    if (line.find(" " + path + " ") != std::string::npos) return true;
  }
  return false;
}

std::string WhyNoFuse() {
  const UniqueFd device(::open("/dev/fuse", O_RDWR | O_CLOEXEC));
  if (device.valid()) return "";
  return std::string("/dev/fuse cannot be used: ") + std::strerror(errno);
}

std::string ReadFile(const std::string& path) {
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) {
    ADD_FAILURE() << "open " << path << ": " << std::strerror(errno);
    return "";
  }
  std::string text;
  std::vector<char> buffer(1 << 20);
  for (;;) {
    const ssize_t got = ::read(file.get(), buffer.data(), buffer.size());
    if (got < 0) ADD_FAILURE() << "read " << path << ": " << std::strerror(errno);
    if (got <= 0) return text;
    text.append(buffer.data(), static_cast<size_t>(got));
  }
}

void WriteFile(const std::string& path, std::string_view text) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  ASSERT_GE(fd, 0) << path << ": " << std::strerror(errno);
  std::string_view rest = text;
  while (!rest.empty()) {
    const ssize_t written = ::write(fd, rest.data(), rest.size());
    if (written <= 0) {
      ADD_FAILURE() << "write " << path << ": " << std::strerror(errno);
      break;
    }
    rest.remove_prefix(static_cast<size_t>(written));
  }
  EXPECT_EQ(::close(fd), 0) << path << ": " << std::strerror(errno);
}

int Try(int result) { return result >= 0 ? 0 : errno; }

std::vector<std::string> Names(const std::string& directory) {
  std::vector<std::string> names;
  DIR* const stream = ::opendir(directory.c_str());
  if (stream == nullptr) {
    ADD_FAILURE() << "opendir " << directory << ": " << std::strerror(errno);
    return names;
  }
  errno = 0;
  while (const dirent* entry = ::readdir(stream)) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
    errno = 0;
  }
  EXPECT_EQ(errno, 0) << "readdir " << directory;
  ::closedir(stream);
  std::sort(names.begin(), names.end());
  return names;
}

std::string Pattern(size_t size, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::string bytes(size, '\0');
  for (size_t i = 0; i < size; i += sizeof(uint64_t)) {
    const uint64_t word = random();
    std::memcpy(bytes.data() + i, &word, std::min(sizeof(word), size - i));
  }
  return bytes;
}

}  // namespace quayfs::mounttest
