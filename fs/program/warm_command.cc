// SPDX-License-Identifier: Apache-2.0

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "base/text.h"
#include "base/unique_fd.h"
#include "fs/program/commands.h"
#include "fs/program/control_client.h"
#include "fs/program/exit_status.h"
#include "fs/program/launch.h"
#include "fs/program/messages.h"
#include "fs/program/mount_point.h"
#include "fs/program/mount_table.h"
#include "fs/program/progress.h"

namespace quayfs::program {
namespace {

using nlohmann::json;

// Far below what one request may have.
constexpr size_t kInodesAtOnce = 5000;

/// What was named on the command line, of one mount. The descriptors keep the inodes known.
struct Named {
  MountEntry mount;
  std::vector<uint64_t> inodes;
  std::vector<UniqueFd> held;
};

Status AddPath(const std::string& path, const std::vector<MountEntry>& table,
               std::map<std::string, Named>* mounts) {
  UniqueFd file(::open(path.c_str(), O_PATH | O_CLOEXEC));
  struct stat facts {};
  if (!file.valid() || ::fstat(file.get(), &facts) != 0) return ErrnoError(errno, path);
  QUAY_ASSIGN(const std::string resolved, ResolveMountPoint(path));
  const MountEntry* const entry = FindMountContaining(table, resolved);
  if (entry == nullptr || !entry->is_quayfs())
    return Error(Code::kNotFound, fmt::format("{} does not lie in a quayfs mount", path));
  Named& named = (*mounts)[entry->mount_point];
  named.mount = *entry;
  named.inodes.push_back(facts.st_ino);
  named.held.push_back(std::move(file));
  return {};
}

/// All that lies in one mount. Adds to `files` and `bytes`.
Status AskMount(const Named& named, const WarmRequest& request, json* done) {
  ProgressDisplay display(ProgressDisplay::StyleFor(request.quiet),
                          request.evict ? "dropping" : "fetching");
  for (size_t i = 0; i < named.inodes.size(); i += kInodesAtOnce) {
    const size_t end = std::min(i + kInodesAtOnce, named.inodes.size());
    WalkRequest walk;
    walk.evict = request.evict;
    walk.inodes.assign(named.inodes.begin() + static_cast<std::ptrdiff_t>(i),
                       named.inodes.begin() + static_cast<std::ptrdiff_t>(end));
    QUAY_ASSIGN(ControlClient client, ControlClient::ConnectTo(named.mount));
    QUAY_ASSIGN(const json result, client.AskWalk(walk, [&](const SyncProgress& progress) {
      display.Show(progress, std::chrono::steady_clock::now());
      return true;
    }));
    for (const char* const key : {"files", "bytes"})
      (*done)[key] = (*done)[key].get<uint64_t>() + result.value(key, uint64_t{0});
  }
  return {};
}

}  // namespace

int RunWarm(const WarmRequest& request) {
  json done = {{"files", uint64_t{0}}, {"bytes", uint64_t{0}}, {"errors", json::array()}};
  const auto fail = [&done](const std::string& message) {
    const std::string line = OneLine(message);
    PrintError(line);
    done["errors"].push_back(line);
  };
  std::map<std::string, Named> mounts;
  const auto table = ReadMountTable();
  if (!table) {
    PrintError(OneLine(table.error().message()));
    return kExitFailed;
  }
  for (const std::string& path : request.paths) {
    if (const Status added = AddPath(path, *table, &mounts); !added) fail(added.error().message());
  }
  for (const auto& [mount_point, named] : mounts) {
    if (const Status asked = AskMount(named, request, &done); !asked)
      fail(fmt::format("{}: {}", mount_point, asked.error().message()));
  }
  if (request.json) {
    fmt::print("{}\n", done.dump(2, ' ', false, json::error_handler_t::replace));
  } else if (!request.quiet) {
    const auto files = done["files"].get<uint64_t>();
    fmt::print("{} file{}, {}{}\n", files, files == 1 ? "" : "s",
               FormatSize(done["bytes"].get<uint64_t>()),
               request.evict ? " dropped from the cache" : ", in the cache");
  }
  return done["errors"].empty() ? kExitOk : kExitFailed;
}

}  // namespace quayfs::program
