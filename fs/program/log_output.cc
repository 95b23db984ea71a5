// SPDX-License-Identifier: Apache-2.0

#include "fs/program/log_output.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <string_view>

#include "base/log.h"

namespace quayfs::program {
namespace {

int SyslogPriority(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return LOG_DEBUG;
    case LogLevel::kInfo:
      return LOG_INFO;
    case LogLevel::kWarning:
      return LOG_WARNING;
    case LogLevel::kError:
      break;
  }
  return LOG_ERR;
}

/// Lines of text begin with a time, which the journal and syslog have of their own.
std::string_view WithoutTime(std::string_view line) {
  const size_t blank = line.find(' ');
  if (line.empty() || line[0] == '{' || blank == std::string_view::npos) return line;
  return line.substr(blank + 1);
}

bool SameFile(int one, int other) {
  struct stat a {};
  struct stat b {};
  return ::fstat(one, &a) == 0 && ::fstat(other, &b) == 0 && a.st_dev == b.st_dev &&
         a.st_ino == b.st_ino;
}

}  // namespace

Result<UniqueFd> OpenLogFile(const std::string& path) {
  UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file.valid()) return ErrnoError(errno, "open the log file " + path);
  return file;
}

void LogToFile(int file) {
  SetLogSink([file](LogLevel /*level*/, std::string_view line) {
    // One write per line, so that lines of several processes do not mix; there is nobody to tell of
    // a full disk.
    const std::string text = std::string(line) + '\n';
    while (::write(file, text.data(), text.size()) < 0 && errno == EINTR) {
    }
  });
}

Status ReopenLogFile(const std::string& path, int file) {
  QUAY_ASSIGN(const UniqueFd opened, OpenLogFile(path));
  const bool is_standard_error = SameFile(file, STDERR_FILENO);
  if (::dup3(opened.get(), file, O_CLOEXEC) < 0)
    return ErrnoError(errno, "open the log file again");
  if (is_standard_error && ::dup2(opened.get(), STDERR_FILENO) < 0)
    return ErrnoError(errno, "open the log file again");
  return {};
}

void LogToSyslog() {
  ::openlog("quayfs", LOG_PID, LOG_DAEMON);
  SetLogSink([](LogLevel level, std::string_view line) {
    const std::string text(WithoutTime(line));
    ::syslog(SyslogPriority(level), "%s", text.c_str());
  });
}

bool StandardErrorIsJournal() {
  const char* const stream = std::getenv("JOURNAL_STREAM");
  struct stat facts {};
  if (stream == nullptr || ::fstat(STDERR_FILENO, &facts) != 0) return false;
  return stream == fmt::format("{}:{}", facts.st_dev, facts.st_ino);
}

void LogToJournalStream() {
  SetLogSink([](LogLevel level, std::string_view line) {
    // One write per line; there is nobody to tell that it failed.
    const std::string text = fmt::format("<{}>{}\n", SyslogPriority(level), WithoutTime(line));
    while (::write(STDERR_FILENO, text.data(), text.size()) < 0 && errno == EINTR) {
    }
  });
}

}  // namespace quayfs::program
