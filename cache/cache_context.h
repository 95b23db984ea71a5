// SPDX-License-Identifier: Apache-2.0
//
// What the files of one cache share.

#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <string>

#include "base/clock.h"
#include "base/disk.h"
#include "cache/cache.h"
#include "cache/clean_budget.h"
#include "cache/clean_sums.h"
#include "cache/dirty_budget.h"
#include "cache/disk_room.h"
#include "cache/orphan_uploads.h"
#include "cache/read_plan.h"
#include "cache/snapshot_memory.h"
#include "cache/transfers.h"
#include "cache/upload_plan.h"
#include "cache/zero_objects.h"
#include "providers/object_store.h"

namespace quayfs {

struct CacheContext {
  CacheContext(const CacheConfig& c, ObjectStore& s, Disk& d, Clock& k, StateDb& b)
      : config(c),
        store(s),
        disk(d),
        clock(k),
        state(b),
        object_size_max(s.capabilities().object_size_max),
        upload{c.put_size_max, c.part_size, 1ull << 30,
               std::min<uint64_t>(32ull << 20, c.snapshot_memory), 4 * c.snapshot_memory},
        read{c.fetch_block, c.fetch_part, std::min(c.read_ahead_max, c.size_limit / 4)},
        budget(c.size_limit),
        dirty(c.dirty_limit, c.disk_patience),
        room(d, c.directory),
        memory(c.snapshot_memory),
        orphans(s, b, k),
        sums(b, c.sum_delay),
        zeros(c.zeros, s, b, k, orphans),
        transfers(c.transfers) {}

  /// How many parts of one file may be on their way at once.
  size_t part_slots() const {
    const size_t most = transfers.flow_slots();
    return config.upload_concurrency == 0 ? most : std::min(most, config.upload_concurrency);
  }

  const CacheConfig config;
  ObjectStore& store;
  Disk& disk;
  Clock& clock;
  StateDb& state;
  const uint64_t object_size_max;
  const UploadTuning upload;
  const ReadTuning read;

  CleanBudget budget;
  DirtyBudget dirty;
  DiskRoom room;
  SnapshotMemory memory;
  OrphanUploads orphans;
  CleanSums sums;
  ZeroObjects zeros;
  /// The mount ends: what is called off from here on goes on in the next one.
  std::atomic<bool> closing{false};
  std::atomic<uint64_t> uploads_in_flight{0};
  std::atomic<uint64_t> sent_bytes{0};  // of contents, taken by the store
  Transfers transfers;                  // last: its tasks use the rest
};

}  // namespace quayfs
