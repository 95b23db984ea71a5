// SPDX-License-Identifier: Apache-2.0

#include "fs/program/reach.h"

namespace quayfs::program {

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

}  // namespace quayfs::program
