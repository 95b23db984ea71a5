// SPDX-License-Identifier: Apache-2.0
//
// Walks the keys of a local store in byte order, from any key on. Reads each directory once and
// keeps its names while it is inside, about 36 bytes and the name for each entry; never looks into
// directories that the prefix or the start rule out, and below a common prefix only far enough to
// see that there is an object.
//
// A walk sees the names that were there when it came to a directory. Belongs to one thread at a
// time.

#pragma once

#include <cstddef>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "providers/local_bucket.h"

namespace quayfs {

class LocalWalk {
 public:
  struct Item {
    std::string text;  // a key, or a common prefix
    bool is_prefix = false;
  };

  /// Keys that begin with `prefix` and come after `after`; with `delimited`, those with a '/'
  /// behind the prefix are rolled up. `bucket` outlives the walk.
  LocalWalk(const LocalBucket& bucket, std::string prefix, bool delimited, std::string after);

  /// Nothing at the end.
  Result<std::optional<Item>> Next();
  /// The next Next() gives `item` again.
  void PutBack(Item item) { put_back_ = std::move(item); }

  const std::string& prefix() const { return prefix_; }
  bool delimited() const { return delimited_; }
  /// Memory held, in bytes, about.
  size_t footprint() const;

 private:
  /// Names of one directory, sorted. An object's has no '/', a directory's ends with one.
  struct Frame {
    std::string prefix;
    std::string arena;
    std::vector<std::string_view> names;  // into `arena`
    size_t next = 0;
  };

  Status Enter(std::string prefix);
  Status ReadNames(const std::string& path, const std::string& text, bool continuing,
                   std::vector<std::pair<size_t, size_t>>* pieces, std::string* arena) const;

  const LocalBucket& bucket_;
  const std::string prefix_;
  const bool delimited_;
  const std::string after_;
  bool started_ = false;
  std::deque<Frame> frames_;  // never moved: names point into their arena
  std::optional<Item> put_back_;
};

/// Whether there is any object below a directory, given relative to the bucket's. Stops at the
/// first it finds.
Result<bool> LocalTreeHasObject(const LocalBucket& bucket, const std::string& relative);

}  // namespace quayfs
