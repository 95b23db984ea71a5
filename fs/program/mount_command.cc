// SPDX-License-Identifier: Apache-2.0

#include <string>
#include <utility>

#include "base/log.h"
#include "base/unique_fd.h"
#include "fs/program/commands.h"
#include "fs/program/daemon.h"
#include "fs/program/exit_status.h"
#include "fs/program/launch.h"
#include "fs/program/load.h"
#include "fs/program/messages.h"
#include "fs/program/mount_point.h"
#include "fs/program/process_setup.h"

namespace quayfs::program {
namespace {

int Fail(const Error& error) {
  PrintError(OneLine(error.message()));
  return kExitFailed;
}

}  // namespace

int RunMount(const MountRequest& request) {
  ForbidCoreDumps();
  const auto config = LoadConfig(request.config, request.options, true);
  if (!config) {
    PrintError(config.error().message());
    return kExitUsage;
  }
  PrintWarnings(*config);
  const auto place = PrepareMountPoint(request.mount_point);
  if (!place) return Fail(place.error());
  if (!place->note.empty()) PrintError(place->note);

  SetLogThreshold(config->log_level);
  RaiseFileLimit();
  UniqueFd log_file;
  if (!request.log_file.empty()) {
    auto opened = OpenLogFile(request.log_file);
    if (!opened) return Fail(opened.error());
    log_file = *std::move(opened);
    LogToFile(log_file.get());
  }
  if (request.foreground) {
    BlockSignals();
    Readiness readiness;
    return ServeMount(*config, place->path, readiness);
  }
  return RunInBackground(log_file.get(), [&](Readiness& readiness) {
    if (!log_file.valid()) LogToSyslog();
    BlockSignals();
    return ServeMount(*config, place->path, readiness);
  });
}

}  // namespace quayfs::program
