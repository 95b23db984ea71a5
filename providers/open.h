// SPDX-License-Identifier: Apache-2.0

#pragma once

#include <memory>

#include "base/result.h"
#include "providers/config.h"
#include "providers/object_store.h"

namespace quayfs {

/// Checks the config and makes the store; sends no request. kInvalidArgument names the field and what it should be.
Result<std::unique_ptr<ObjectStore>> OpenStore(const StoreConfig& config);

}  // namespace quayfs
