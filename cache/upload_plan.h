// SPDX-License-Identifier: Apache-2.0
//
// How a file's contents are cut into requests. Pure: no store, no disk, no locks; the same
// arguments give the same plan.
//
// - Up to the threshold a file is one PUT: from memory if it is small, else from the file itself.
// - Above it the file is a multipart upload. The grid of its parts depends on the position only,
// not on the size, so parts of a
//   growing file can be sent before its size is known. With parts_max = 10,000 the grid is: 1,000
//   parts of the unit, 1,000 of 4 units, 1,000 of 16, and 48 for the rest; 16 MiB units reach 5.4
//   TiB. Stores with fewer parts get the same shape, scaled. Where all parts must be equal, they
//   are all one unit. The unit doubles until the file fits.
// - Bytes that the base object still holds are copied by the store, in ranges as long as allowed; a
// copy that would be too small
//   to be a part is absorbed into an uploaded part beside it.
// - Long runs of zeros that take no room in the local file are copied by the store from an object
// of zeros (cache/zero_objects.h).
// - A store without multipart gets one PUT of any size.

#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/byte_range.h"
#include "base/result.h"
#include "providers/object_store.h"

namespace quayfs {

struct UploadTuning {
  uint64_t put_size_max = 8ull << 20;   // bytes; larger contents go as multipart
  uint64_t part_size = 16ull << 20;     // bytes; the unit of the grid
  uint64_t copy_part_max = 1ull << 30;  // bytes; adjacent copies are merged up to this
  uint64_t memory_max = 32ull << 20;    // bytes; a PUT of more is not held in memory
  /// The same for a file that changes again and again while it is sent, on a disk that has no room
  /// for a copy of it. One at a time, as it is more than may be held otherwise.
  uint64_t last_memory_max = 256ull << 20;
};

/// What is to be published. Bytes that are not in `dirty` equal the base object's at the same
/// offset.
struct UploadSubject {
  uint64_t size = 0;
  const ExtentSet* dirty = nullptr;  // not owned, never null
  uint64_t base_limit = 0;           // 0: there is no base
  const ExtentSet* zeros = nullptr;  // dirty bytes known to be zeros, which the store can copy
  uint64_t zeros_copy_max = 0;       // so many by one request; at least twice the smallest part
};

enum class PartSource {
  kLocal,  // uploaded from the local file
  kCopy,   // the same range of the base object
  kZeros,  // copied from an object of zeros
};

struct PlannedPart {
  int number = 0;  // 1-based, consecutive
  ByteRange range;
  PartSource source = PartSource::kLocal;
  friend bool operator==(const PlannedPart&, const PlannedPart&) = default;
  /// What was sent as this part can be used as `wanted`: zeros are the file's bytes like others.
  bool Serves(const PlannedPart& wanted) const {
    return number == wanted.number && range == wanted.range &&
           (source == PartSource::kCopy) == (wanted.source == PartSource::kCopy);
  }
};

struct UploadPlan {
  enum class Kind {
    kPut,          // one PUT, small enough to be held in memory
    kPutFromFile,  // one PUT, too large for memory
    kMultipart,
  };
  Kind kind = Kind::kPut;
  std::vector<PlannedPart> parts;  // kMultipart only: ascending, together exactly [0, size)
};

/// kTooLarge: no way to put so many bytes into one object of this store.
Result<UploadPlan> PlanUpload(const UploadSubject& subject, const Capabilities& capabilities,
                              const UploadTuning& tuning);

/// Where the parts of an upload without copies begin and end. Immutable.
class PartGrid {
 public:
  /// The smallest grid that holds `size` bytes; 0 gives the grid that a file of unknown size starts
  /// with. kTooLarge.
  static Result<PartGrid> For(uint64_t size, const Capabilities& capabilities,
                              const UploadTuning& tuning);

  /// Part `number` (1-based, at most parts_max()), whole, whatever the size of the file.
  ByteRange Part(int number) const;
  /// The size of the part that holds the byte at `offset`. REQUIRES: offset < capacity().
  uint64_t SizeAt(uint64_t offset) const;
  uint64_t capacity() const;
  int parts_max() const { return parts_max_; }

 private:
  struct Tier {
    uint64_t part_size = 0;
    uint64_t count = 0;
  };
  PartGrid(uint64_t unit, const Capabilities& capabilities);

  int parts_max_ = 0;
  std::vector<Tier> tiers_;
};

/// "" if the plan covers the subject exactly once and breaks none of the store's limits; else what
/// is wrong with it.
std::string CheckPlan(const UploadPlan& plan, const UploadSubject& subject,
                      const Capabilities& capabilities);

}  // namespace quayfs
