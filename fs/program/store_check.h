// SPDX-License-Identifier: Apache-2.0
//
// "Test Connection": everything that a mount needs of its bucket, tried on scratch objects below
// .quayfs/ and cleaned up.

#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mount-configs/mount_config.h"
#include "providers/object_store.h"
#include "providers/probe.h"

namespace quayfs::program {

enum class CheckResult { kOk, kWarning, kFailed, kSkipped };
/// "ok", "warning", "failed", "skipped".
std::string_view CheckResultName(CheckResult result);

struct CheckRow {
  std::string name;
  CheckResult result = CheckResult::kOk;
  std::string text;  // what was found, and what to do about it; one line
};

/// Blocks for as long as it takes, at most a few minutes. What depends on something that failed is
/// skipped. A read-only mount is not tried with writes.
std::vector<CheckRow> CheckStore(const MountConfig& config, ObjectStore& store);

/// What the store honours, found out by trying, for a store that is fine otherwise
/// (providers/probe.h). `scratch_store` sends everything. `*report` is set if there is one.
std::vector<CheckRow> CheckCapabilities(const MountConfig& config, ObjectStore& scratch_store,
                                        const Capabilities& declared,
                                        std::optional<ProbeReport>* report = nullptr);

/// The worst of them; kSkipped counts as ok.
CheckResult Worst(const std::vector<CheckRow>& rows);

}  // namespace quayfs::program
