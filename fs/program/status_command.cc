// SPDX-License-Identifier: Apache-2.0

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/text.h"
#include "fs/program/commands.h"
#include "fs/program/control_client.h"
#include "fs/program/exit_status.h"
#include "fs/program/launch.h"
#include "fs/program/messages.h"
#include "fs/program/mount_point.h"
#include "fs/program/mount_table.h"
#include "fs/program/other_daemon.h"
#include "fs/program/status_report.h"
#include "fs/program/watch.h"

namespace quayfs::program {
namespace {

using nlohmann::json;

constexpr auto kWatchPause = std::chrono::seconds(1);

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

/// The columns and lines of the terminal.
winsize TerminalSize() {
  winsize size{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0 || size.ws_row == 0) {
    size.ws_col = 80;
    size.ws_row = 24;
  }
  return size;
}

/// Over what was there before, without a moment of nothing; what does not fit is cut off.
void Repaint(const std::string& text) {
  size_t lines = TerminalSize().ws_row;
  std::string screen = "\x1b[H";
  for (const std::string_view line : Split(text, '\n')) {
    if (--lines == 0) break;
    screen.append(line) += "\x1b[K\n";
  }
  fmt::print("{}\x1b[J", screen);
}

/// Every mount that is asked for. Null: it could not be found out, which has been said.
std::optional<std::vector<MountStatus>> AskAll(const std::string& mount_point) {
  const auto entries = Select(mount_point);
  std::vector<MountStatus> mounts;
  if (!entries) {
    const auto leaving = LeavingAt(mount_point);
    if (!leaving) {
      PrintError(OneLine(entries.error().message()));
      return std::nullopt;
    }
    mounts.push_back(*leaving);
  } else {
    for (const MountEntry& entry : *entries) mounts.push_back(Ask(entry));
    if (mount_point.empty()) {
      for (MountStatus& leaving : Leaving(*entries)) mounts.push_back(std::move(leaving));
    }
  }
  return mounts;
}

bool AnyFailed(const std::vector<MountStatus>& mounts) {
  return std::any_of(mounts.begin(), mounts.end(),
                     [](const MountStatus& mount) { return !mount.failed.empty(); });
}

void PrintText(const std::vector<MountStatus>& mounts) {
  if (mounts.empty()) fmt::print("no quayfs is mounted\n");
  for (const MountStatus& mount : mounts) {
    if (mount.failed.empty()) {
      fmt::print("{}", RenderStatus(mount.status));
    } else {
      PrintError(OneLine(fmt::format("{}: {}", mount.mount_point, mount.failed)));
    }
  }
}

/// Until the mount is gone, or nobody reads any more.
int WatchMounts(const StatusRequest& request) {
  const bool terminal = ::isatty(STDOUT_FILENO) == 1 && !request.json;
  Watch watch;
  if (terminal) fmt::print("\x1b[2J");
  for (;;) {
    const auto mounts = AskAll(request.mount_point);
    const bool failed = !mounts || AnyFailed(*mounts);
    if (failed && !request.mount_point.empty()) return kExitFailed;
    if (request.json && mounts) {
      PrintJson(*mounts);
    } else if (mounts) {
      const auto now = std::chrono::steady_clock::now();
      std::string text = mounts->empty() ? "no quayfs is mounted\n" : "";
      for (const MountStatus& mount : *mounts) {
        text += mount.failed.empty()
                    ? watch.Render(mount.status, now, TerminalSize().ws_col)
                    : OneLine(fmt::format("{}: {}", mount.mount_point, mount.failed)) + "\n";
        text += '\n';
      }
      if (terminal) {
        Repaint(text);
      } else {
        fmt::print("{}", text);
      }
    }
    std::fflush(stdout);
    if (std::ferror(stdout) != 0) return failed ? kExitFailed : kExitOk;
    SystemClock().Sleep(kWatchPause, {});
  }
}

}  // namespace

int RunStatus(const StatusRequest& request) {
  if (request.watch) return WatchMounts(request);
  const auto mounts = AskAll(request.mount_point);
  if (!mounts) return kExitFailed;
  if (request.json) {
    PrintJson(*mounts);
  } else {
    PrintText(*mounts);
  }
  return AnyFailed(*mounts) ? kExitFailed : kExitOk;
}

}  // namespace quayfs::program
