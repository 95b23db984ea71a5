// SPDX-License-Identifier: Apache-2.0

#pragma once

#include <string>

#include "base/call.h"
#include "base/result.h"
#include "mount-configs/mount_config.h"
#include "providers/object_store.h"

namespace quayfs::program {

/// Whether the bucket is there and may be listed below `prefix`; a request or two. Where
/// ObjectStore::CheckBucket learns only that it was refused (a HEAD has no body that says why), the
/// listing's answer tells the reason.
Status ReachBucket(ObjectStore& store, const std::string& prefix, const CallOptions& call);

/// The failure of a bucket that could not be opened or reached. If it may come of the region, and
/// the vendor tells everybody where its buckets are, it names the right one (kWrongRegion,
/// ServiceDetail::region); else it is `error` itself. Blocks for some seconds at most.
Error WithRegion(const Error& error, const MountConfig& config);

}  // namespace quayfs::program
