// SPDX-License-Identifier: Apache-2.0
//
// Where a bucket of Kodo's is, by the service that Kodo has for that question (protocol.md 1.6): a
// request that needs no signature, only the name of the access key.

#pragma once

#include <string>

#include "base/call.h"
#include "base/result.h"
#include "providers/config.h"

namespace quayfs::kodo {

/// The region's S3 id, such as "cn-east-1". Asks discovery_endpoint, or Kodo's own service if the
/// config names no endpoint of somebody else's; one request, and those that its credentials cost.
/// Blocks as long as `call` allows.
///
/// kNotSupported: nobody can be asked. kNotFound: there is no such bucket, or its own name is not
/// the S3 name (native_bucket). Else what the request failed with.
Result<std::string> RegionOfBucket(const StoreConfig& config, const CallOptions& call);

}  // namespace quayfs::kodo
