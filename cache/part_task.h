// SPDX-License-Identifier: Apache-2.0
//
// Private to FileCore: one part on its way.

#pragma once

#include <atomic>
#include <memory>
#include <optional>

#include "cache/file_core.h"

namespace quayfs {

struct FileCore::PartTask {
  SessionRef session;
  PlannedPart part;
  std::shared_ptr<DiskFile> file;  // null: the file itself
  uint64_t file_length = 0;
  std::shared_ptr<std::atomic<bool>> stale;  // the record's
  UseRef use;                                // keeps the part's bytes from being evicted
  BaseVersion base;                          // to copy from
  std::optional<SteadyTime> deadline;
  bool ahead = false;                 // sent before anybody asked for a publication
  std::optional<PartInfo> candidate;  // that the store has; taken if its bytes are the same
};

}  // namespace quayfs
