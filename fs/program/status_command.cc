// SPDX-License-Identifier: Apache-2.0

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "fs/program/commands.h"
#include "fs/program/control_client.h"
#include "fs/program/exit_status.h"
#include "fs/program/launch.h"
#include "fs/program/messages.h"
#include "fs/program/mount_point.h"
#include "fs/program/mount_table.h"
#include "fs/program/other_daemon.h"
#include "fs/program/status_report.h"

namespace quayfs::program {
namespace {

using nlohmann::json;

constexpr auto kWatchPause = std::chrono::seconds(2);

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

MountStatus AnswerOf(OtherDaemon daemon) {
  MountStatus answer;
  answer.mount_point = daemon.mount_point();
  answer.status = std::move(daemon.status);
  return answer;
}

/// Daemons that have been unmounted and still bring files to the bucket.
std::vector<MountStatus> Leaving(const std::vector<MountEntry>& mounted) {
  std::vector<MountStatus> answers;
  for (OtherDaemon& daemon : ListDaemons()) {
    const std::string place = daemon.mount_point();
    const bool listed = std::any_of(mounted.begin(), mounted.end(), [&](const MountEntry& entry) {
      return entry.mount_point == place;
    });
    if (!listed) answers.push_back(AnswerOf(std::move(daemon)));
  }
  return answers;
}

/// The one that was mounted there, if it is still busy.
std::optional<MountStatus> LeavingAt(const std::string& mount_point) {
  const auto path = ResolveMountPoint(mount_point);
  if (!path) return std::nullopt;
  auto daemon = FindDaemonOf(*path);
  if (!daemon) return std::nullopt;
  return AnswerOf(*std::move(daemon));
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

int RunStatusOnce(const std::string& mount_point, bool as_json) {
  const auto entries = Select(mount_point);
  std::vector<MountStatus> mounts;
  if (!entries) {
    const auto leaving = LeavingAt(mount_point);
    if (!leaving) {
      PrintError(OneLine(entries.error().message()));
      return kExitFailed;
    }
    mounts.push_back(*leaving);
  } else {
    for (const MountEntry& entry : *entries) mounts.push_back(Ask(entry));
    if (mount_point.empty()) {
      for (MountStatus& leaving : Leaving(*entries)) mounts.push_back(std::move(leaving));
    }
  }
  const bool failed = std::any_of(mounts.begin(), mounts.end(),
                                  [](const MountStatus& mount) { return !mount.failed.empty(); });
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

}  // namespace

int RunStatus(const StatusRequest& request) {
  if (!request.watch) return RunStatusOnce(request.mount_point, request.json);
  const bool terminal = ::isatty(STDOUT_FILENO) == 1;
  for (;;) {
    // From the top, over what was there.
    if (terminal) fmt::print("\x1b[H\x1b[2J");
    const int status = RunStatusOnce(request.mount_point, request.json);
    std::fflush(stdout);
    // Nobody reads any more, or the mount is gone.
    if (std::ferror(stdout) != 0 || (status != kExitOk && !request.mount_point.empty()))
      return status;
    SystemClock().Sleep(kWatchPause, {});
  }
}

}  // namespace quayfs::program
