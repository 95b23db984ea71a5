// SPDX-License-Identifier: Apache-2.0
//
// Whether objects that are about to be deleted are still the ones that this mount removed. Somebody
// else's newer object under the same key is not ours to delete.
//
// Many keys are looked at with the listings of what they have in common, one request for a thousand
// of them; few, or those that a bounded number of pages has not shown, with a HEAD each.

#pragma once

#include <set>
#include <string>
#include <vector>

#include "base/executor.h"
#include "base/result.h"
#include "providers/object_store.h"

namespace quayfs {

struct ExpectedObject {
  std::string key;
  std::string etag;  // not empty
};

/// The keys that show another version than the expected one; one that shows none is not among them.
/// Blocks on the network; the requests run on `executor` and the calling thread. Fails as the
/// requests do. REQUIRES: `expected` is sorted by key.
Result<std::set<std::string>> FindReplaced(ObjectStore& store, Executor& executor,
                                           const std::vector<ExpectedObject>& expected,
                                           const CallOptions& call);

}  // namespace quayfs
