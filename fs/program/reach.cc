// SPDX-License-Identifier: Apache-2.0

#include "fs/program/reach.h"

#include <chrono>

#include "base/log.h"
#include "providers/kodo/discovery.h"
#include "providers/profiles.h"

namespace quayfs::program {
namespace {

constexpr auto kDiscoveryTime = std::chrono::seconds(10);

/// A missing region, one that the service calls wrong, one whose host does not exist, or one where
/// there is no such bucket.
bool MayComeOfRegion(const Error& error) {
  switch (error.code()) {
    case Code::kWrongRegion:
    case Code::kNotFound:
      return error.detail().region.empty();
    case Code::kUnavailable:
      return error.detail().request_not_sent;
    case Code::kInvalidArgument:
      return error.message().starts_with("region: missing") ||
             (error.detail().http_status == 400 && error.detail().service_code.empty());
    default:
      return false;
  }
}

/// As it goes into requests; "" if there is none.
std::string RegionOf(const StoreConfig& store) {
  const auto profile = FindProfile(store.provider);
  if (!profile || store.region.empty()) return "";
  const auto region = ResolveRegion(**profile, store.region);
  return region ? *region : "";
}

}  // namespace

Status ReachBucket(ObjectStore& store, const std::string& prefix, const CallOptions& call) {
  Status checked = store.CheckBucket(call);
  // The reply to a HEAD says no more than its status; that to a listing says why.
  const bool refused = checked.Is(Code::kPermissionDenied) || checked.Is(Code::kUnauthenticated) ||
                       checked.Is(Code::kInvalidArgument);
  if (!refused || !checked.error().detail().service_code.empty()) return checked;
  ListRequest request;
  request.prefix = prefix;
  request.delimiter = "/";
  request.max_keys = 1;
  const auto listed = store.List(request, call);
  if (listed) return {};
  return listed.error().detail().service_code.empty() ? checked : listed.error();
}

Error WithRegion(const Error& error, const MountConfig& config) {
  if (!MayComeOfRegion(error)) return error;
  CallOptions call;
  call.deadline = std::chrono::steady_clock::now() + kDiscoveryTime;
  const auto region = kodo::RegionOfBucket(config.store, call);
  if (!region) {
    Log(LogLevel::kDebug, "region.unknown", {{"error", region.error().message()}});
    return error;
  }
  if (*region == RegionOf(config.store)) return error;
  ServiceDetail detail = error.detail();
  detail.region = *region;
  return {Code::kWrongRegion, error.message(), std::move(detail)};
}

}  // namespace quayfs::program
