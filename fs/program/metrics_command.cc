// SPDX-License-Identifier: Apache-2.0

#include <fmt/format.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "fs/program/commands.h"
#include "fs/program/control_client.h"
#include "fs/program/exit_status.h"
#include "fs/program/launch.h"
#include "fs/program/messages.h"
#include "fs/program/metrics.h"
#include "fs/program/mount_point.h"
#include "fs/program/mount_table.h"
#include "fs/program/other_daemon.h"

namespace quayfs::program {
namespace {

int Fail(const std::string& message) {
  PrintError(OneLine(message));
  return kExitFailed;
}

/// Mount points whose daemons are ours to ask.
Result<std::vector<std::string>> Places(const std::string& mount_point) {
  std::vector<std::string> places;
  if (mount_point.empty()) {
    for (const OtherDaemon& daemon : ListDaemons()) places.push_back(daemon.mount_point());
    return places;
  }
  QUAY_ASSIGN(const std::string path, ResolveMountPoint(mount_point));
  QUAY_ASSIGN(const std::vector<MountEntry> table, ReadMountTable());
  const MountEntry* const entry = FindMountContaining(table, path);
  if (entry == nullptr || !entry->is_quayfs())
    return Error(Code::kNotFound, fmt::format("{} does not lie in a quayfs mount", path));
  places.push_back(entry->mount_point);
  return places;
}

}  // namespace

int RunMetrics(const std::string& mount_point) {
  const auto places = Places(mount_point);
  if (!places) return Fail(places.error().message());
  std::vector<std::string> texts;
  int status = kExitOk;
  for (const std::string& place : *places) {
    auto client = ControlClient::ConnectTo(place);
    auto text = client ? client->AskMetrics() : Result<std::string>(client.error());
    if (text) {
      texts.push_back(*std::move(text));
    } else {
      status = Fail(fmt::format("{}: {}", place, text.error().message()));
    }
  }
  fmt::print("{}", MergeMetrics(texts));
  return status;
}

int RunLogLevel(const std::string& mount_point, const std::string& level) {
  const auto places = Places(mount_point);
  if (!places) return Fail(places.error().message());
  for (const std::string& place : *places) {
    auto client = ControlClient::ConnectTo(place);
    const auto now = client ? client->AskLogLevel(level) : Result<std::string>(client.error());
    if (!now) return Fail(fmt::format("{}: {}", place, now.error().message()));
    if (level.empty()) fmt::print("{}\n", *now);
  }
  return kExitOk;
}

}  // namespace quayfs::program
