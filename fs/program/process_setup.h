// SPDX-License-Identifier: Apache-2.0
//
// What the process does to itself before it holds a secret or a thread: no core dumps, enough
// descriptors, where the log goes.

#pragma once

#include <string>

#include "base/result.h"

namespace quayfs::program {

/// No core dump and no ptrace by others of the same user: memory holds keys.
void ForbidCoreDumps();

/// The soft limit of open files becomes the hard one: connections and cached files take one each.
void RaiseFileLimit();

/// SIGTERM, SIGINT and SIGHUP are blocked in this thread and in all that it starts, so that one
/// thread can wait for them; SIGPIPE is ignored.
void BlockSignals();

/// Appends standard error, and with it the log, to a file made with mode 0600.
Status SendStderrTo(const std::string& path);

/// Standard input, output and (if asked) error become /dev/null; the process leaves its terminal's
/// session and stands in "/".
Status LeaveTerminal(bool keep_stderr);

/// The log goes to syslog, which is the journal where there is one.
void LogToSyslog();

/// Makes a directory and those above it that are missing, mode 0700.
Status MakeDirectories(const std::string& path);

std::string HostName();

}  // namespace quayfs::program
