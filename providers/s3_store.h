// SPDX-License-Identifier: Apache-2.0
//
// ObjectStore over the S3 client, in whichever dialect its config names: translates types, refuses
// what the store is known not to honour before anything is sent, and remembers what the service
// turns out not to have.

#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/result.h"
#include "providers/object_store.h"
#include "providers/resolve.h"
#include "s3/http.h"

namespace quayfs {

/// `clock` outlives the store. `resolved.capabilities` are what the store declares at first.
std::unique_ptr<ObjectStore> MakeS3Store(ResolvedStore resolved,
                                         std::unique_ptr<s3::HttpClient> http, Clock& clock);

/// Where a store's requests go, and are signed for.
struct StoreRegion {
  std::string configured;
  std::string learned;  // from the service's replies; the same if they have not corrected it
};
/// Nothing for a store that has no regions. Any thread.
std::optional<StoreRegion> RegionOf(const ObjectStore& store);

}  // namespace quayfs
