// SPDX-License-Identifier: Apache-2.0

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <string>

#include "base/log.h"
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
  if (!request.log_file.empty()) {
    const Status sent = SendStderrTo(request.log_file);
    if (!sent) return Fail(sent.error());
  }
  if (request.foreground) {
    BlockSignals();
    Readiness readiness;
    return ServeMount(*config, place->path, readiness);
  }
  const bool to_file = !request.log_file.empty();
  return RunInBackground(to_file, [&](Readiness& readiness) {
    if (!to_file) LogToSyslog();
    BlockSignals();
    return ServeMount(*config, place->path, readiness);
  });
}

}  // namespace quayfs::program
