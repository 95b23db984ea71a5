// SPDX-License-Identifier: Apache-2.0
//
// A mount config while it is being loaded: what has been read, where it stood, and what is wrong
// with it. Shared by the steps of loading (config_reader, mount_options, credentials,
// config_checks); not for anybody else. Thread-compatible.

#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "mount-configs/extended_parameters.h"
#include "mount-configs/loader.h"
#include "mount-configs/mount_config.h"
#include "mount-configs/options.h"
#include "mount-configs/secrets.h"
#include "mount-configs/toml_document.h"

namespace quayfs {

/// Line 0 stands for the file as a whole; `from_command_line` for an option given with -o.
struct Origin {
  TomlPosition position;
  bool from_command_line = false;
};

struct PendingSecret {
  const Option* option = nullptr;
  SecretSource source;
  Origin origin;
};

class Loading {
 public:
  Loading(std::string path, bool readable_by_others, const LoadOptions& load_options);

  MountConfig config;
  /// The options that somebody set, and where.
  std::map<const Option*, Origin> given;
  std::vector<PendingSecret> pending_secrets;
  ExtendedFindings extended;

  const LoadOptions& options() const { return options_; }
  const Environment& environment() const { return environment_; }
  bool ok() const { return problems_.empty(); }

  void AddProblem(const Origin& origin, std::string text, Code code = Code::kInvalidArgument);
  void AddWarning(const Origin& origin, std::string_view text);
  /// Turns what the extended parameters found into problems and warnings that happened at `origin`.
  void TakeExtendedFindings(const Origin& origin);
  /// A secret stands in the file itself: a problem if others can read the file.
  void NoteInlineSecret(const Origin& origin, const std::string& name);

  bool IsGiven(std::string_view section, std::string_view key) const;
  /// Where an option was set; the file as a whole if it was not.
  Origin OriginOf(std::string_view section, std::string_view key) const;

  /// "~/x" below the home directory, "$CREDENTIALS_DIRECTORY/x" below that of the variable, "x"
  /// below the config file's, "/x" as it is. "" stays.
  std::string AbsolutePath(const std::string& path) const;

  /// The config, or all problems, sorted by line, one on each.
  Result<MountConfig> Finish() &&;

 private:
  struct Problem {
    Origin origin;
    std::string text;
    Code code;
  };
  std::string Locate(const Origin& origin, std::string_view text) const;

  std::string path_;
  std::string directory_;
  bool readable_by_others_;
  const LoadOptions& options_;
  Environment environment_;
  std::vector<Problem> problems_;
};

/// The tables and keys of the file.
void ReadDocument(const TomlDocument& document, Loading& loading);
/// What -o says on top of it.
void ReadMountOptions(Loading& loading);
/// Defaults and limits that depend on the provider, for what nobody set.
void ApplyProviderRules(Loading& loading);
/// Whether the values fit together; also brings prefix, endpoint, paths and names into the form
/// that the rest expects.
void CheckConfig(Loading& loading);
/// Keys from wherever they are. Runs commands only if nothing is wrong so far.
void FetchCredentials(Loading& loading);

}  // namespace quayfs
