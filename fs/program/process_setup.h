// SPDX-License-Identifier: Apache-2.0
//
// What the process does to itself before it holds a secret or a thread: no core dumps, enough
// descriptors, no terminal.

#pragma once

#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace quayfs::program {

/// No core dump and no ptrace by others of the same user: memory holds keys.
void ForbidCoreDumps();

/// The soft limit of open files becomes the hard one: connections and cached files take one each.
void RaiseFileLimit();

/// SIGTERM, SIGINT and SIGHUP are blocked in this thread and in all that it starts, so that one
/// thread can wait for them; SIGPIPE is ignored.
void BlockSignals();

/// Standard input and output become /dev/null, standard error `log_file` or /dev/null too if that
/// is -1; the process leaves its terminal's session and stands in "/".
Status LeaveTerminal(int log_file);

/// Makes a directory and those above it that are missing, mode 0700.
Status MakeDirectories(const std::string& path);

std::string HostName();

}  // namespace quayfs::program
