// SPDX-License-Identifier: Apache-2.0

#include "fs/removal_check.h"

#include <algorithm>
#include <map>
#include <utility>

namespace quayfs {
namespace {

constexpr size_t kListFrom = 4;  // keys; for fewer a HEAD each is no more requests
constexpr size_t kPageSize = 1000;
constexpr size_t kSparePages = 2;  // for what else lies between the keys
constexpr size_t kHeadsAtOnce = 16;

std::string CommonPrefix(const std::string& a, const std::string& b) {
  const auto end = std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first;
  return {a.begin(), end};
}

class Check {
 public:
  Check(ObjectStore& store, Executor& executor, const std::vector<ExpectedObject>& expected,
        const CallOptions& call)
      : store_(store), executor_(executor), call_(call) {
    for (const ExpectedObject& one : expected) open_.emplace(one.key, one.etag);
  }

  Result<std::set<std::string>> Run() {
    if (open_.size() >= kListFrom) QUAY_TRY(List());
    QUAY_TRY(LookAtEach());
    return std::move(replaced_);
  }

 private:
  Status List() {
    ListRequest request;
    request.prefix = CommonPrefix(open_.begin()->first, open_.rbegin()->first);
    const bool ordered = store_.capabilities().list_in_byte_order;
    const size_t pages = open_.size() / kPageSize + 1 + kSparePages;
    for (size_t i = 0; i < pages && !open_.empty(); ++i) {
      QUAY_ASSIGN(const ListPage page, store_.List(request, call_));
      for (const ObjectInfo& object : page.objects) {
        const auto found = open_.find(object.key);
        if (found == open_.end()) continue;
        // A listing may lag behind the object.
        if (!SameEtag(found->second, object.etag)) suspects_.insert(*found);
        open_.erase(found);
      }
      if (ordered && !page.objects.empty()) {
        // What the page has gone past is not there.
        open_.erase(open_.begin(), open_.upper_bound(page.objects.back().key));
      }
      if (page.next_token.empty()) open_.clear();
      request.token = page.next_token;
    }
    return {};
  }

  Status LookAtEach() {
    open_.merge(suspects_);
    const std::vector<std::pair<std::string, std::string>> rest(open_.begin(), open_.end());
    std::vector<char> other(rest.size(), 0);
    QUAY_TRY(ParallelFor(executor_, rest.size(), kHeadsAtOnce, [&](size_t i) -> Status {
      const auto head = store_.Head(rest[i].first, call_);
      if (head.Is(Code::kNotFound)) return {};
      if (!head) return head.error();
      other[i] = SameEtag(rest[i].second, head->info.etag) ? 0 : 1;
      return {};
    }));
    for (size_t i = 0; i < rest.size(); ++i) {
      if (other[i] != 0) replaced_.insert(rest[i].first);
    }
    return {};
  }

  ObjectStore& store_;
  Executor& executor_;
  const CallOptions& call_;
  std::map<std::string, std::string> open_;      // key to expected ETag: not known yet
  std::map<std::string, std::string> suspects_;  // a listing showed another version
  std::set<std::string> replaced_;
};

}  // namespace

Result<std::set<std::string>> FindReplaced(ObjectStore& store, Executor& executor,
                                           const std::vector<ExpectedObject>& expected,
                                           const CallOptions& call) {
  return Check(store, executor, expected, call).Run();
}

}  // namespace quayfs
