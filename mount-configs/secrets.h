// SPDX-License-Identifier: Apache-2.0
//
// Where values that should not stand in a config come from: a file, a variable, a command; and
// which files may hold them. No error message of this file holds a byte of what was read.

#pragma once

#include <sys/stat.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"

namespace quayfs {

struct SecretSource {
  enum class Kind { kFile, kVariable, kCommand };
  Kind kind = Kind::kFile;
  std::string name;                  // of the file (absolute) or the variable
  std::vector<std::string> command;  // program and arguments

  /// As TOML that is safe to show: of a command only the program.
  std::string Describe() const;
};

/// Refuses a file that belongs to somebody else than root or us, or that others could read
/// (`secret`) or change, and says which chmod or chown to run: kPermissionDenied.
Status CheckFileIsPrivate(const struct stat& facts, const std::string& path, bool secret);

/// The whole of a small regular file that passes CheckFileIsPrivate. kNotFound, kPermissionDenied,
/// kTooLarge (over 64 KiB), kIo.
Result<std::string> ReadPrivateFile(const std::string& path);

struct FileText {
  std::string text;
  bool readable_by_others = false;
};
/// A config file: must belong to root or us and not be open for others to change.
Result<FileText> ReadConfigFile(const std::string& path);

/// Runs `command` without a shell, with no input, and returns what it printed, blanks at both ends
/// trimmed. Killed, with its process group, after `timeout`. kInvalidArgument: not an absolute
/// path, status not 0, no output, too much of it; kTimedOut.
Result<std::string> RunSecretCommand(const std::vector<std::string>& command, Duration timeout);

/// As ReadPrivateFile, but reads nothing; an empty file is kInvalidArgument.
Status CheckPrivateFile(const std::string& path);

/// That the secret can be there: the file, or the program of the command. Nothing is read or run,
/// and a variable may well be set elsewhere only.
Status CheckSecretSource(const SecretSource& source);

using Environment = std::function<std::optional<std::string>(const std::string&)>;

/// The value, trimmed of the line end; empty ones are refused.
Result<std::string> ResolveSecret(const SecretSource& source, const Environment& environment,
                                  Duration command_timeout);

}  // namespace quayfs
