// SPDX-License-Identifier: Apache-2.0
//
// Running the real program, and helpers over plain system calls.

#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/unique_fd.h"

namespace quayfs::mounttest {

struct ProgramResult {
  int status = -1;  // exit status; 128 + signal if it was killed; -1 if it took too long
  std::string out;
  std::string err;
};

/// Runs quayfs with `arguments`; a run that hangs is killed after `limit`.
ProgramResult RunQuayfs(const std::vector<std::string>& arguments,
                        std::chrono::seconds limit = std::chrono::seconds(90));
/// Any other program, looked up in PATH.
ProgramResult RunCommand(const std::vector<std::string>& words,
                         std::chrono::seconds limit = std::chrono::seconds(90));
/// Starts quayfs and leaves it running; its standard error goes to `log`.
pid_t StartQuayfs(const std::vector<std::string>& arguments, const std::string& log);

/// Pids of running quayfs processes that have `word` on their command line.
std::vector<pid_t> QuayfsWith(const std::string& word);
/// A zombie counts as gone.
bool IsGone(pid_t pid);

/// Waits for something that has to happen; false if it did not within `limit`, a bound against a
/// hang.
bool Eventually(const std::function<bool()>& holds,
                std::chrono::seconds limit = std::chrono::seconds(60));

bool IsMounted(const std::string& path);

/// Why mounting is not possible here; "" if it is.
std::string WhyNoFuse();

// Files. Failures are gtest failures, with errno.
std::string ReadFile(const std::string& path);
void WriteFile(const std::string& path, std::string_view text);
/// 0, or the errno.
int Try(int result);
std::vector<std::string> Names(const std::string& directory);  // sorted, without . and ..
/// Bytes that do not repeat and depend on `seed`.
std::string Pattern(size_t size, uint64_t seed);

}  // namespace quayfs::mounttest
