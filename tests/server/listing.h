// SPDX-License-Identifier: Apache-2.0
//
// Pages of a listing: prefix, delimiter, and where to go on. Common prefixes count toward the page
// size. Pure functions.

#pragma once

#include <map>
#include <string>

#include "tests/server/store.h"

namespace quayfs::testserver {

/// In byte order. `after` is a key or common prefix; a common prefix that is not greater than it is
/// not given again.
ListPage ListInOrder(const std::map<std::string, ObjectPtr>& objects, const ListQuery& query);

/// In an order that depends on `seed`, as a store whose order is internal; `after` must be a token
/// from `next`.
Outcome<ListPage> ListShuffled(const std::map<std::string, ObjectPtr>& objects,
                               const ListQuery& query, uint64_t seed);

}  // namespace quayfs::testserver
