// SPDX-License-Identifier: Apache-2.0

#include "providers/open.h"

#include <utility>

#include "base/clock.h"
#include "providers/local_store.h"
#include "providers/profiles.h"
#include "providers/resolve.h"
#include "providers/s3_store.h"
#include "s3/http.h"

namespace quayfs {
namespace {

/// Everything that can be asked for: the limits stay those of the profile.
Capabilities Everything(Capabilities capabilities) {
  capabilities.put_if_absent = true;
  capabilities.put_if_match = true;
  capabilities.complete_if_absent = capabilities.multipart;
  capabilities.complete_if_match = capabilities.multipart;
  capabilities.delete_if_match = true;
  capabilities.copy_if_absent = true;
  capabilities.part_copy = capabilities.multipart;
  capabilities.copy = true;
  capabilities.batch_delete = true;
  if (capabilities.batch_delete_max == 0) capabilities.batch_delete_max = 1000;
  return capabilities;
}

}  // namespace

Result<std::unique_ptr<ObjectStore>> OpenStore(const StoreConfig& config) {
  return OpenStore(config, OpenOptions{});
}

Result<std::unique_ptr<ObjectStore>> OpenStore(const StoreConfig& config,
                                               const OpenOptions& options) {
  QUAY_ASSIGN(const Profile* profile, FindProfile(config.provider));
  switch (profile->protocol) {
    case Protocol::kLocal:
      return OpenLocalStore(config.bucket);
    case Protocol::kQingStor:
    case Protocol::kS3:
      break;
  }
  StoreConfig effective = config;
  if (effective.region.empty()) effective.region = effective.zone;
  QUAY_ASSIGN(ResolvedStore resolved, ResolveStore(effective));
  if (options.probed) {
    resolved.capabilities = ApplyProbe(resolved.capabilities, *options.probed);
  }
  if (options.try_everything) resolved.capabilities = Everything(resolved.capabilities);
  QUAY_ASSIGN(std::unique_ptr<s3::HttpClient> http, s3::MakeHttpClient(resolved.client.http));
  if (options.counters != nullptr) {
    http = s3::CountRequests(std::move(http), *options.counters);
  }
  return MakeS3Store(std::move(resolved), std::move(http), SystemClock());
}

}  // namespace quayfs
