// SPDX-License-Identifier: Apache-2.0
//
// Starting a daemon so that whoever started it learns how it went.
//
// In the background, the process forks before it has any thread. The parent waits until the child
// says that the mount is usable, or why it is not; then it prints one line and exits. In the
// foreground nothing forks.

#pragma once

#include <functional>
#include <string>

#include "base/unique_fd.h"

namespace quayfs::program {

/// How a daemon tells how its start went: one call of Ready or Failed, whichever comes first; the
/// rest are ignored, except that failures after Ready are logged by whoever meets them. Ready may
/// be called by another thread.
class Readiness {
 public:
  /// In the foreground: failures go to standard error.
  Readiness() = default;
  explicit Readiness(UniqueFd pipe) : pipe_(std::move(pipe)) {}

  void Ready();
  /// `message`: one or more lines without the last line end.
  void Failed(const std::string& message);

 private:
  void Tell(char kind, const std::string& message);
  UniqueFd pipe_;
};

/// Runs `daemon` in a child that has left the terminal, waits until it is ready, and returns the
/// exit status for this process. In the child, returns what `daemon` returned. `log_file` becomes
/// its standard error, /dev/null if it is -1.
int RunInBackground(int log_file, const std::function<int(Readiness&)>& daemon);

/// Prints "quayfs: MESSAGE" to standard error, each line of it.
void PrintError(const std::string& message);

}  // namespace quayfs::program
