// SPDX-License-Identifier: Apache-2.0

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "fs/program/commands.h"
#include "fs/program/control_client.h"
#include "fs/program/exit_status.h"
#include "fs/program/launch.h"
#include "fs/program/messages.h"
#include "fs/program/mount_point.h"
#include "fs/program/mount_table.h"
#include "fs/program/status_report.h"

namespace quayfs::program {
namespace {

using nlohmann::json;

struct MountStatus {
  std::string mount_point;
  json status;         // null if there is none
  std::string failed;  // why not
};

MountStatus Ask(const MountEntry& entry) {
  MountStatus answer;
  answer.mount_point = entry.mount_point;
  auto client = ControlClient::ConnectTo(entry);
  if (!client) {
    answer.failed =
        client.Is(Code::kNotFound)
            ? fmt::format("its daemon does not listen; if it is gone, run: quayfs umount {}",
                          entry.mount_point)
            : client.error().message();
    return answer;
  }
  auto status = client->AskStatus();
  if (status) {
    answer.status = *std::move(status);
  } else {
    answer.failed = status.error().message();
  }
  return answer;
}

Result<std::vector<MountEntry>> Select(const std::string& mount_point) {
  QUAY_ASSIGN(const std::vector<MountEntry> table, ReadMountTable());
  std::vector<MountEntry> selected;
  if (mount_point.empty()) {
    for (const MountEntry& entry : table) {
      // Those of others answer only to them and to root.
      const bool ours = ::geteuid() == 0 || entry.owner().value_or(0) == ::geteuid();
      if (entry.is_quayfs() && ours) selected.push_back(entry);
    }
    return selected;
  }
  QUAY_ASSIGN(const std::string path, ResolveMountPoint(mount_point));
  const MountEntry* const entry = FindMountContaining(table, path);
  if (entry == nullptr || !entry->is_quayfs()) {
    return Error(Code::kNotFound, fmt::format("{} does not lie in a quayfs mount", path));
  }
  selected.push_back(*entry);
  return selected;
}

void PrintJson(const std::vector<MountStatus>& mounts) {
  json all = json::array();
  for (const MountStatus& mount : mounts) {
    if (mount.failed.empty()) {
      all.push_back(mount.status);
    } else {
      all.push_back(
          {{"mount_point", mount.mount_point}, {"state", "unknown"}, {"error", mount.failed}});
    }
  }
  fmt::print("{}\n", json({{"mounts", all}}).dump(2, ' ', false, json::error_handler_t::replace));
}

}  // namespace

int RunStatus(const std::string& mount_point, bool as_json) {
  const auto entries = Select(mount_point);
  if (!entries) {
    PrintError(OneLine(entries.error().message()));
    return kExitFailed;
  }
  std::vector<MountStatus> mounts;
  bool failed = false;
  for (const MountEntry& entry : *entries) {
    mounts.push_back(Ask(entry));
    failed = failed || !mounts.back().failed.empty();
  }
  if (as_json) {
    PrintJson(mounts);
  } else if (mounts.empty()) {
    fmt::print("no quayfs is mounted\n");
  }
  for (const MountStatus& mount : mounts) {
    if (as_json) break;
    if (mount.failed.empty()) {
      fmt::print("{}", RenderStatus(mount.status));
    } else {
      PrintError(OneLine(fmt::format("{}: {}", mount.mount_point, mount.failed)));
    }
  }
  return failed ? kExitFailed : kExitOk;
}

}  // namespace quayfs::program
