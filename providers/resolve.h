// SPDX-License-Identifier: Apache-2.0
//
// From what the user said (StoreConfig) and what is known of the vendor (Profile) to what the S3
// client needs. No request is sent. Thread-safe.

#pragma once

#include <optional>
#include <string>

#include "base/result.h"
#include "providers/config.h"
#include "providers/kodo/native.h"
#include "providers/object_store.h"
#include "providers/profiles.h"
#include "s3/config.h"

namespace quayfs {

struct ResolvedStore {
  const Profile* profile = nullptr;  // the vendor recognised by its host, where the user named none
  s3::ClientConfig client;
  Capabilities capabilities;  // what the profile promises, within what the user allows
  bool create_bucket = false;
  std::string bucket_acl;
  std::optional<kodo::NativeConfig> native;
};

/// REQUIRES: the provider's protocol is S3 or QingStor. kInvalidArgument messages begin with the
/// field, name the bad value and what is valid. `client` passes s3::CheckClientConfig.
Result<ResolvedStore> ResolveStore(const StoreConfig& config);

}  // namespace quayfs
