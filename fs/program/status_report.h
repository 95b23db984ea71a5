// SPDX-License-Identifier: Apache-2.0
//
// What a running mount says of itself, as JSON for programs and as text for people.

#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "cache/cache.h"
#include "fs/file_system.h"
#include "mount-configs/mount_config.h"
#include "providers/object_store.h"
#include "providers/probe_memory.h"
#include "s3/request_counters.h"

namespace quayfs::program {

/// Bytes that could not be trusted or that nothing speaks of, kept for people.
struct SetAside {
  std::string path;
  uint64_t bytes = 0;  // on the disk: without holes
  WallTime at{};
  std::string why;
};

struct StatusFacts {
  std::string mount_point;
  std::string store;  // ObjectStore::name()
  int pid = 0;
  WallTime started{};
  WallTime now{};
  PendingWork pending;
  CacheStats cache;
  std::vector<SetAside> set_aside;
  Capabilities capabilities;           // now
  Capabilities capabilities_at_start;  // before the store has refused anything
  std::optional<RememberedProbe> probe;
  std::string probe_note;  // where the probe comes from, or why there is none; for people
  const s3::RequestCounters* requests = nullptr;  // null: the store needs none
  std::string state;                              // "serving", "leaving"
  std::optional<WallTime> leaving_since;
  std::optional<WallTime> leaving_until;  // then it gives up what it cannot bring to the bucket
};

/// Holds no secret: of the config only its name, path and what is harmless.
nlohmann::json MakeStatus(const StatusFacts& facts, const MountConfig& config);

/// The same for a terminal; ends with a newline. Fields that are missing (an older daemon) are left
/// out.
std::string RenderStatus(const nlohmann::json& status);

/// 93784 -> "1 d 2 h", 61 -> "1 min 1 s".
std::string FormatDuration(uint64_t seconds);

}  // namespace quayfs::program
