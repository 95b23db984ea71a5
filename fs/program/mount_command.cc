// SPDX-License-Identifier: Apache-2.0

#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <string>
#include <system_error>
#include <utility>

#include "base/log.h"
#include "base/log_format.h"
#include "base/unique_fd.h"
#include "fs/program/commands.h"
#include "fs/program/daemon.h"
#include "fs/program/exit_status.h"
#include "fs/program/launch.h"
#include "fs/program/load.h"
#include "fs/program/log_output.h"
#include "fs/program/messages.h"
#include "fs/program/mount_point.h"
#include "fs/program/other_daemon.h"
#include "fs/program/process_setup.h"

namespace quayfs::program {
namespace {

constexpr int kPredecessorMs = 3000;
// Of one event: a dead store fails every call.
constexpr int kLinesPerMinute = 60;

int Fail(const Error& error) {
  PrintError(OneLine(error.message()));
  return kExitFailed;
}

/// An unmounted daemon that still brings files to the bucket: mounting now would show the bucket
/// without them. One that is about to end is waited for.
Status WaitForPredecessor(const std::string& mount_point) {
  const auto daemon = FindDaemonOf(mount_point);
  if (!daemon || WaitForEnd(daemon->pid, kPredecessorMs)) return {};
  const auto still = FindDaemonOf(mount_point);
  return still ? Error(Code::kBusy, WhyStillThere(*still)) : Status();
}

/// The daemon stands in another directory.
std::string Absolute(const std::string& path) {
  std::error_code failed;
  const std::filesystem::path absolute = std::filesystem::absolute(path, failed);
  return failed ? path : absolute.string();
}

std::function<Result<MountConfig>()> ReadAgain(const MountRequest& request,
                                               const MountConfig& config) {
  // A mount without a config file (s3://BUCKET) is given by its source and options.
  const std::string source = config.path.empty() ? request.config : config.path;
  return [source, options = request.options, lenient = request.ignore_unknown] {
    return LoadConfig(source, options, SecretUse::kResolve, lenient);
  };
}

}  // namespace

int RunMount(const MountRequest& request) {
  ForbidCoreDumps();
  const ServiceManager service = ServiceManager::FromEnvironment();
  const auto config =
      LoadConfig(request.config, request.options, SecretUse::kResolve, request.ignore_unknown);
  if (!config) {
    PrintError(config.error().message());
    return kExitUsage;
  }
  PrintWarnings(*config);
  const auto place = PrepareMountPoint(request.mount_point);
  if (!place) return Fail(place.error());
  if (!place->note.empty()) PrintError(place->note);
  if (const auto gone = WaitForPredecessor(place->path); !gone) return Fail(gone.error());

  SetLogThreshold(config->log_level);
  SetLogFormat(config->log_format);
  SetLogRate({kLinesPerMinute, std::chrono::minutes(1)});
  RaiseFileLimit();
  UniqueFd log_file;
  if (!request.log_file.empty()) {
    auto opened = OpenLogFile(request.log_file);
    if (!opened) return Fail(opened.error());
    log_file = *std::move(opened);
    LogToFile(log_file.get());
  }
  ServeRequest serve;
  serve.mount_point = place->path;
  serve.source = request.source;
  serve.read_again = ReadAgain(request, *config);
  if (log_file.valid()) {
    serve.reopen_log = [path = Absolute(request.log_file), file = log_file.get()] {
      return ReopenLogFile(path, file);
    };
  }
  if (request.foreground) {
    BlockSignals();
    serve.service = service;
    if (!log_file.valid() && StandardErrorIsJournal()) LogToJournalStream();
    Readiness readiness;
    serve.on_terminal = ::isatty(STDERR_FILENO) == 1;
    return ServeMount(*config, serve, readiness);
  }
  return RunInBackground(log_file.get(), [&](Readiness& readiness) {
    if (!log_file.valid()) LogToSyslog();
    BlockSignals();
    return ServeMount(*config, serve, readiness);
  });
}

}  // namespace quayfs::program
