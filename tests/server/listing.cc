// SPDX-License-Identifier: Apache-2.0

#include "tests/server/listing.h"

#include <algorithm>

#include "base/hash.h"

namespace quayfs::testserver {
namespace {

using ObjectMap = std::map<std::string, ObjectPtr>;

/// The common prefix that `key` is rolled up into, or "".
std::string GroupOf(const std::string& key, const ListQuery& query) {
  if (query.delimiter.empty()) return "";
  const size_t found = key.find(query.delimiter, query.prefix.size());
  return found == std::string::npos ? "" : key.substr(0, found + query.delimiter.size());
}

/// The first key behind all that begin with `prefix`.
ObjectMap::const_iterator PastPrefix(const ObjectMap& objects, std::string prefix) {
  while (!prefix.empty() && prefix.back() == '\xff') prefix.pop_back();
  if (prefix.empty()) return objects.end();
  ++prefix.back();
  return objects.lower_bound(prefix);
}

/// All entries behind `after` while `take` wants more.
template <typename Take>
void Walk(const ObjectMap& objects, const ListQuery& query, const std::string& after,
          const Take& take) {
  auto it = objects.lower_bound(query.prefix);
  if (after > query.prefix) it = objects.upper_bound(after);
  const auto end = PastPrefix(objects, query.prefix);
  while (it != objects.end() && it != end && it->first.starts_with(query.prefix)) {
    const std::string group = GroupOf(it->first, query);
    if (group.empty()) {
      if (it->first > after || after.empty()) {
        if (!take(ListEntry{it->first, it->second})) return;
      }
      ++it;
      continue;
    }
    if (group > after && !take(ListEntry{group, nullptr})) return;
    it = PastPrefix(objects, group);
  }
}

std::string OrderToken(uint64_t seed, const std::string& name) {
  return HexEncode(Sha256(std::to_string(seed) + "/" + name)).substr(0, 24);
}

}  // namespace

ListPage ListInOrder(const ObjectMap& objects, const ListQuery& query) {
  ListPage page;
  if (query.max == 0) return page;
  Walk(objects, query, query.after, [&](ListEntry entry) {
    if (page.entries.size() == query.max) {
      page.truncated = true;
      page.next = page.entries.back().name;
      return false;
    }
    page.entries.push_back(std::move(entry));
    return true;
  });
  return page;
}

Outcome<ListPage> ListShuffled(const ObjectMap& objects, const ListQuery& query, uint64_t seed) {
  ListPage page;
  if (query.max == 0) return page;
  const bool token_ok = query.after.empty() ||
                        (query.after.size() == 24 &&
                         query.after.find_first_not_of("0123456789abcdef") == std::string::npos);
  if (!token_ok) return S3Error(400, "InvalidArgument", "the marker is not one that was given out");
  std::map<std::string, ListEntry> in_order;
  Walk(objects, query, "", [&](ListEntry entry) {
    std::string token = OrderToken(seed, entry.name);
    if (token > query.after) in_order.emplace(std::move(token), std::move(entry));
    return true;
  });
  for (auto& [token, entry] : in_order) {
    if (page.entries.size() == query.max) {
      page.truncated = true;
      break;
    }
    page.entries.push_back(std::move(entry));
    page.next = token;
  }
  if (!page.truncated) page.next.clear();
  return page;
}

}  // namespace quayfs::testserver
