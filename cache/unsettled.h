// SPDX-License-Identifier: Apache-2.0
//
// A publication whose outcome is unclear: the store did not answer, so the object may be the new
// content or the old one. Until that is known nothing else is published, and the next publication
// finds out first. So our own late success is never taken for somebody else's change, and nothing
// is read from a version that is not there any more.

#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"
#include "providers/object_store.h"

namespace quayfs {

struct Unsettled {
  std::string key;
  ObjectProperties properties;
  Condition condition;
  uint64_t size = 0;

  /// A multipart upload: completing it again tells.
  std::string upload_id;
  std::vector<PartInfo> parts;

  /// One PUT: the object's contents tell. Raw SHA-256.
  std::string sha256;
};

/// Whether a write that failed like this may have happened.
bool IsUnclear(Code code);

/// What `condition` of a later request means after `settled` turned out to have happened as `etag`:
/// whoever named the version before our own change means the one after it.
Condition AfterOwnChange(const Condition& condition, const Unsettled& settled,
                         const std::string& etag);

}  // namespace quayfs
