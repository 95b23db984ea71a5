// SPDX-License-Identifier: Apache-2.0
//
// StateDb::Open with what a test wants to choose.

#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>

#include "base/result.h"
#include "cache/state/schema.h"
#include "cache/state/state_db.h"

namespace quayfs {

struct StateOptions {
  std::span<const SchemaStep> steps = SchemaSteps();
  std::optional<std::string> boot_id;  // instead of the kernel's
  int (*sync_file)(int fd) = nullptr;  // instead of fdatasync, for the log
  /// If set, whoever's database it is is accepted, and told here. For looking at it.
  std::string* any_bucket = nullptr;
  uint64_t checkpoint_bytes = 16u << 20;  // of log, before moving it into the database begins
};

Result<std::unique_ptr<StateDb>> OpenStateDb(const std::string& directory,
                                             const StateIdentity& identity,
                                             const StateOptions& options);

}  // namespace quayfs
