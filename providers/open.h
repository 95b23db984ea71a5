// SPDX-License-Identifier: Apache-2.0

#pragma once

#include <memory>
#include <optional>

#include "base/result.h"
#include "providers/config.h"
#include "providers/object_store.h"
#include "providers/probe.h"
#include "s3/request_counters.h"

namespace quayfs {

struct OpenOptions {
  /// What a probe of this bucket has shown, instead of what the vendor's profile says.
  std::optional<ProbeReport> probed;
  /// Declares and sends everything, whatever the profile says. For ProbeCapabilities and nothing
  /// else: with such a store a condition may be ignored.
  bool try_everything = false;
  /// Counts what is sent; outlives the store. Null: nobody counts.
  s3::RequestCounters* counters = nullptr;
};

/// Checks the config and makes the store; sends no request. kInvalidArgument names the field and
/// what it should be.
Result<std::unique_ptr<ObjectStore>> OpenStore(const StoreConfig& config);
Result<std::unique_ptr<ObjectStore>> OpenStore(const StoreConfig& config,
                                               const OpenOptions& options);

}  // namespace quayfs
