// SPDX-License-Identifier: Apache-2.0
//
// Objects of zeros, which the store copies into uploads in place of holes: a few bytes on the wire
// for each, however long. They lie under the reserved prefix, named by their sizes, are made when
// they are first needed, and are shared by all mounts of the bucket. There are two sizes: what one
// PUT sends in a moment, and, for files with very much emptiness, what is put together from that
// within the store.
//
// Nothing depends on them: where one cannot be made, or copied from, the zeros are sent. An object
// is taken for one of zeros if its name, its size and its metadata say so.

#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/mutex.h"
#include "cache/orphan_uploads.h"
#include "cache/state/state_db.h"
#include "providers/object_store.h"

namespace quayfs {

struct ZeroObject {
  std::string key;
  std::string etag;
};

struct ZeroTuning {
  std::string prefix;               // of their keys; "": there are none
  uint64_t least = 1ull << 20;      // bytes of a hole that is copied
  uint64_t small = 16ull << 20;     // bytes; sent once per bucket
  uint64_t large = 1ull << 30;      // bytes; put together from small ones
  uint64_t worth_it = 32ull << 20;  // bytes of zeros in a file, from which on they are copied
  uint64_t use_large = 4ull << 30;  // bytes of zeros in a file that are copied from the large one
};

/// Thread-safe.
class ZeroObjects {
 public:
  ZeroObjects(ZeroTuning tuning, ObjectStore& store, StateDb& state, Clock& clock,
              OrphanUploads& orphans)
      : tuning_(std::move(tuning)),
        store_(store),
        state_(state),
        clock_(clock),
        orphans_(orphans) {}
  ZeroObjects(const ZeroObjects&) = delete;
  ZeroObjects& operator=(const ZeroObjects&) = delete;

  /// The store can copy, and has not failed to do so lately.
  bool usable(const Capabilities& capabilities) const;
  /// Shorter holes are sent.
  uint64_t Least(const Capabilities& capabilities) const {
    return std::max(tuning_.least, capabilities.part_size_min);
  }
  /// How many zeros one request should copy for a file with so many of them; 0: send them.
  uint64_t CopyMax(uint64_t zeros, const Capabilities& capabilities) const;

  /// One of at least `length` bytes, made if it is not there. Blocks. kTooLarge: that is more than
  /// CopyMax ever says.
  Result<ZeroObject> Get(uint64_t length, const CallOptions& call);
  /// The store did not copy from it: zeros are sent for a while.
  void Failed(const ZeroObject& object);

 private:
  struct Slot {
    bool busy = false;  // somebody finds or makes it
    std::optional<ZeroObject> object;
  };
  uint64_t SizeOf(size_t which, const Capabilities& capabilities) const;
  std::string KeyOf(uint64_t size) const;
  void GiveUp() QUAY_REQUIRES(mutex_);
  Result<ZeroObject> FindOrMake(size_t which, const CallOptions& call);
  Result<std::optional<ZeroObject>> Find(uint64_t size, const CallOptions& call);
  Status Make(size_t which, const CallOptions& call);
  Status PutTogether(uint64_t size, const CallOptions& call);
  Status SendParts(const std::string& key, const std::string& upload_id, uint64_t size,
                   const CallOptions& call);

  const ZeroTuning tuning_;
  ObjectStore& store_;
  StateDb& state_;
  Clock& clock_;
  OrphanUploads& orphans_;

  mutable Mutex mutex_{LockRank::kCacheBudget};
  CondVar changed_;
  std::array<Slot, 2> slots_ QUAY_GUARDED_BY(mutex_);  // small, large
  std::optional<SteadyTime> not_before_ QUAY_GUARDED_BY(mutex_);
};

}  // namespace quayfs
