// SPDX-License-Identifier: Apache-2.0
//
// What a mount has done and how it is, in the text format that Prometheus reads. Names and labels
// only, never a path below the mount point, a key or a secret. Pure.

#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "cache/cache.h"
#include "fs/file_system.h"
#include "fs/fuse/fuse_mount.h"
#include "s3/request_counters.h"

namespace quayfs::program {

struct MetricsFacts {
  std::string mount_point;
  std::string store;
  bool leaving = false;
  uint64_t uptime_seconds = 0;
  uint64_t resident_bytes = 0;  // of the daemon
  PendingWork pending;
  CacheStats cache;
  uint64_t cache_limit = 0;
  uint64_t dirty_limit = 0;
  uint64_t set_aside = 0;                             // files
  const s3::RequestCounters* requests = nullptr;      // null: the store needs none
  std::vector<FuseMount::OperationCount> operations;  // of the kernel
};

std::string MakeMetrics(const MetricsFacts& facts);

/// The texts of several mounts as one: each metric's lines stay together, as the format wants it.
std::string MergeMetrics(const std::vector<std::string>& texts);

/// Of this process, from /proc; 0 if it cannot be told.
uint64_t ResidentBytes();

}  // namespace quayfs::program
