// SPDX-License-Identifier: Apache-2.0
//
// Where the daemon's log goes: a file, syslog, or the journal of the service that it runs as.

#pragma once

#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace quayfs::program {

/// Opens a log file for appending, made with mode 0600; refuses a symbolic link.
Result<UniqueFd> OpenLogFile(const std::string& path);

/// The log goes to `file`, which must stay open.
void LogToFile(int file);

/// Opens `path` again in place of `file`, and of standard error if that was the same file: after a
/// rotation. Other threads may log meanwhile.
Status ReopenLogFile(const std::string& path, int file);

/// The log goes to syslog, which is the journal where there is one.
void LogToSyslog();

/// Whether standard error is a stream to the journal (systemd.exec(5), JOURNAL_STREAM).
bool StandardErrorIsJournal();

/// The log goes to standard error without times, each line with its priority in front as
/// sd-daemon(3) has it: "<4>".
void LogToJournalStream();

}  // namespace quayfs::program
