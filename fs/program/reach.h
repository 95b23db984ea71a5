// SPDX-License-Identifier: Apache-2.0

#pragma once

#include <string>

#include "base/call.h"
#include "base/result.h"
#include "providers/object_store.h"

namespace quayfs::program {

/// Whether the bucket is there and may be listed below `prefix`; a request or two. Where
/// ObjectStore::CheckBucket learns only that it was refused (a HEAD has no body that says why), the
/// listing's answer tells the reason.
Status ReachBucket(ObjectStore& store, const std::string& prefix, const CallOptions& call);

}  // namespace quayfs::program
