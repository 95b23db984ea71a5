// SPDX-License-Identifier: Apache-2.0
//
// `quayfs check CONFIG --orphans`: multipart uploads below the mount's prefix that nobody has
// completed. Their parts cost money and show in no listing.

#include <fmt/format.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "fs/program/commands.h"
#include "fs/program/exit_status.h"
#include "fs/program/known_uploads.h"
#include "fs/program/launch.h"
#include "fs/program/load.h"
#include "fs/program/messages.h"
#include "fs/program/orphan_rules.h"
#include "fs/program/process_setup.h"
#include "fs/program/status_report.h"
#include "mount-configs/values.h"
#include "providers/open.h"

namespace quayfs::program {
namespace {

using nlohmann::json;

int Fail(const std::string& message) {
  PrintError(OneLine(message));
  return kExitCheckFailed;
}

std::string_view Meaning(const Orphan& orphan) {
  if (orphan.whose == UploadOwner::kContinuing)
    return "a mount with this cache directory goes on with it";
  if (orphan.whose == UploadOwner::kGivenUp) return "given up by a mount with this cache directory";
  return "not recorded here; it may be another writer's";
}

void Print(const std::vector<Orphan>& orphans, const MountConfig& config, WallTime now) {
  for (const Orphan& orphan : orphans) {
    const auto age = std::chrono::duration_cast<std::chrono::seconds>(AgeOf(orphan, now)).count();
    std::string_view state = UploadOwnerName(orphan.whose);
    std::string remark(Meaning(orphan));
    if (orphan.outcome == "aborted") {
      state = "aborted";
    } else if (orphan.outcome != "left") {
      state = "failed";
      remark = OneLine(orphan.outcome);
    }
    fmt::print("{:<10} {}  begun {} ({} ago)  {}\n", state, OneLine(orphan.upload.key),
               FormatIsoExtended(orphan.upload.initiated),
               FormatDuration(static_cast<uint64_t>(age)), remark);
  }
  if (orphans.empty()) {
    fmt::print("no unfinished uploads below '{}' in {}\n", config.prefix, config.store.bucket);
  }
}

void PrintJson(const std::vector<Orphan>& orphans) {
  json list = json::array();
  for (const Orphan& orphan : orphans) {
    list.push_back({{"key", orphan.upload.key},
                    {"upload_id", orphan.upload.upload_id},
                    {"initiated", FormatIsoExtended(orphan.upload.initiated)},
                    {"whose", UploadOwnerName(orphan.whose)},
                    {"outcome", orphan.outcome}});
  }
  fmt::print("{}\n", json({{"uploads", list}}).dump(2, ' ', false, json::error_handler_t::replace));
}

Result<std::optional<Duration>> OlderThan(const OrphansRequest& request) {
  if (request.older_than.empty()) return std::optional<Duration>();
  if (!request.abort) return Error(Code::kInvalidArgument, "--older-than goes with --abort");
  QUAY_ASSIGN(const Duration age, ParseDuration(request.older_than));
  if (age < kYoungestOrphan)
    return Error(Code::kInvalidArgument, "--older-than takes an hour or more, such as 7d");
  return std::optional<Duration>(age);
}

}  // namespace

int RunOrphans(const OrphansRequest& request) {
  ForbidCoreDumps();
  const auto older_than = OlderThan(request);
  if (!older_than) return Fail(older_than.error().message());
  const auto config = LoadConfig(request.config, request.options, SecretUse::kResolve);
  if (!config) return Fail(config.error().message());
  auto store = OpenStore(config->store);
  if (!store) return Fail(ExplainStoreError(store.error(), *config));
  // What a mount aborts meanwhile is listed and, afterwards, known to nobody.
  const auto known_before = FindKnownUploads(config->cache.directory);
  auto uploads = (*store)->ListUploads(config->prefix, {});
  if (!uploads) return Fail(ExplainStoreError(uploads.error(), *config));
  // After the listing: what a mount has recorded by now covers what was listed.
  auto known = FindKnownUploads(config->cache.directory);
  if (!known) {
    return Fail(
        fmt::format("which uploads are ours cannot be found out: {}", known.error().message()));
  }
  if (known_before) {
    for (const std::string& id : known_before->aborting) {
      if (!known->continuing.contains(id)) known->aborting.insert(id);
    }
  }
  const WallTime now = SystemClock().Now();
  std::vector<Orphan> orphans = JudgeUploads(*std::move(uploads), *known);
  bool left = false;
  bool failed = false;
  for (Orphan& orphan : orphans) {
    if (!request.abort || !MayAbort(orphan, *older_than, now)) {
      left = left || orphan.whose != UploadOwner::kContinuing;
      continue;
    }
    const Status aborted = (*store)->AbortUpload(orphan.upload.key, orphan.upload.upload_id, {});
    const bool gone = aborted.ok() || aborted.Is(Code::kNotFound);
    orphan.outcome = gone ? "aborted" : ExplainStoreError(aborted.error(), *config);
    failed = failed || !gone;
  }
  if (request.json) {
    PrintJson(orphans);
  } else {
    Print(orphans, *config, now);
  }
  if (failed) return kExitCheckFailed;
  return left ? kExitWarnings : kExitOk;
}

}  // namespace quayfs::program
