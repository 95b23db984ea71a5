// SPDX-License-Identifier: Apache-2.0
//
// What the files of one cache share.

#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <string>

#include "base/disk.h"
#include "cache/cache.h"
#include "cache/clean_budget.h"
#include "cache/read_plan.h"
#include "cache/snapshot_memory.h"
#include "cache/transfers.h"
#include "cache/upload_plan.h"
#include "providers/object_store.h"

namespace quayfs {

struct CacheContext {
  CacheContext(const CacheConfig& c, ObjectStore& s, Disk& d)
      : config(c),
        store(s),
        disk(d),
        object_size_max(s.capabilities().object_size_max),
        upload{c.put_size_max, c.part_size, 1ull << 30},
        read{c.fetch_block, c.fetch_part, std::min(c.read_ahead_max, c.size_limit / 4)},
        budget(c.size_limit),
        memory(c.snapshot_memory),
        transfers(c.transfers) {}

  const CacheConfig config;
  ObjectStore& store;
  Disk& disk;
  const uint64_t object_size_max;
  const UploadTuning upload;
  const ReadTuning read;

  CleanBudget budget;
  SnapshotMemory memory;
  std::atomic<uint64_t> dirty_bytes{0};
  std::atomic<uint64_t> uploads_in_flight{0};
  Transfers transfers;  // last: its tasks use the rest
};

}  // namespace quayfs
