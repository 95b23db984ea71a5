// SPDX-License-Identifier: Apache-2.0
//
// Which bytes of a file the local file holds, and which of them are newer than the bucket. Pure
// state: no I/O, no locks.
//
//   state    the local file  the base         Write  Truncate  Filled  Drop     CommitPublication
//                                                    below
//   missing  holds nothing   holds the byte   dirty  gone      clean   -        -
//   clean    holds the byte  holds the same   dirty  gone      -       missing  -
//   dirty    holds the byte  something else   dirty  gone      -       -        clean, unless
//                                                                               changed since
//
// C4: Drop, which is all that eviction may do, knows no way from dirty to anywhere. Debug builds
// check the invariants (CheckInvariants) after each step.
//
// A hole made by a truncate, by a write beyond the end or by Zero is dirty (zeros). Bytes at or
// beyond base_limit are always dirty. Holes are known as such until they are written to or
// missing: they take no room in the local file, so that neither what waits for the bucket nor what
// is cached counts them.

#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/byte_range.h"

namespace quayfs {

/// Thread-compatible.
class FileExtents {
 public:
  /// An empty file that no object corresponds to; it counts as modified until it has been
  /// published.
  FileExtents() = default;
  /// An unmodified file that shows an object of `size` bytes, all of them missing.
  static FileExtents OfBase(uint64_t size);
  /// As it was left; nothing is clean. REQUIRES: the invariants hold for the result.
  static FileExtents Restored(uint64_t size, uint64_t base_limit, uint64_t generation,
                              bool modified, const std::vector<ByteRange>& dirty);
  /// Of a file that was left: these dirty bytes are holes. REQUIRES: they are dirty.
  void RestoreHoles(const ExtentSet& holes);

  uint64_t size() const { return size_; }
  uint64_t base_limit() const { return base_limit_; }
  uint64_t generation() const { return generation_; }
  /// What the next change will make of it. It grows with every change, but not always by one: a
  /// floor keeps it from counting again what an earlier incarnation of the file has counted.
  uint64_t next_generation() const { return std::max(generation_ + 1, generation_floor_); }
  void SetGenerationFloor(uint64_t floor) { generation_floor_ = floor; }
  /// The base is not this content: because of dirty bytes, a shorter size, or because there is no
  /// base.
  bool modified() const { return modified_; }
  const ExtentSet& dirty() const { return dirty_; }
  const ExtentSet& clean() const { return clean_; }
  uint64_t dirty_bytes() const { return dirty_bytes_; }
  uint64_t clean_bytes() const { return clean_bytes_; }
  const ExtentSet& holes() const { return holes_; }  // dirty or clean
  /// Without holes.
  uint64_t written_bytes() const { return dirty_bytes_ - dirty_hole_bytes_; }
  /// Clean bytes other than holes are the ones that take room.
  bool nothing_cached() const { return clean_bytes_ == clean_hole_bytes_; }
  /// `ranges` without holes.
  std::vector<ByteRange> WithoutHoles(const std::vector<ByteRange>& ranges) const;

  /// The missing parts of `range`, cut at the end of the file, in order.
  std::vector<ByteRange> Missing(ByteRange range) const;
  bool Readable(ByteRange range) const { return Missing(range).empty(); }

  /// Shows another object from now on, all of it missing. Ends a publication without a commit.
  void Reset(uint64_t base_size);

  struct Change {
    ByteRange range;  // whose content has changed, holes and cut-off bytes included
    std::vector<ByteRange> clean_lost;  // clean bytes that are none any more; without holes
  };
  Change Write(ByteRange range);
  /// A write of zeros that makes a hole.
  Change Zero(ByteRange range);
  /// To the present size: changes nothing, not even the generation.
  Change Truncate(uint64_t size);
  /// REQUIRES: all of `range` is missing.
  void Filled(ByteRange range);
  /// The clean bytes of `range` become missing; they are returned, but for holes. Others stay as
  /// they are.
  std::vector<ByteRange> Drop(ByteRange range);

  /// From here on the content as it is now is being published. At most one publication at a time.
  void BeginPublication();
  void CancelPublication() { publication_.reset(); }
  /// The content at BeginPublication is now the base. Returns the bytes that became clean.
  std::vector<ByteRange> CommitPublication();
  bool publication_in_progress() const { return publication_.has_value(); }
  /// REQUIRES: publication_in_progress().
  uint64_t publication_size() const { return publication_->size; }
  /// The generation that is being published. REQUIRES: publication_in_progress().
  uint64_t publication_generation() const { return publication_->generation; }
  /// A publication of `size` bytes that an earlier mount began. `unchanged`: this is its content.
  /// Else any of it may have changed since, and nothing becomes clean by it.
  void ResumePublication(uint64_t size, uint64_t generation, bool unchanged);

  /// "" or what is wrong.
  std::string CheckInvariants() const;

 private:
  /// What has changed since BeginPublication.
  struct Publication {
    uint64_t size = 0;  // that is being published
    uint64_t low = 0;   // the smallest size since
    uint64_t generation = 0;
    ExtentSet touched;  // written since; may reach beyond the present size
  };

  std::vector<ByteRange> RemoveClean(ByteRange range);
  void AddDirty(ByteRange range);
  void AddHole(ByteRange range);  // of dirty bytes
  void RemoveHoles(ByteRange range);
  void Touch(ByteRange range);

  uint64_t size_ = 0;
  uint64_t base_limit_ = 0;
  uint64_t generation_ = 0;
  uint64_t generation_floor_ = 0;
  bool modified_ = true;
  ExtentSet dirty_;
  ExtentSet clean_;
  ExtentSet holes_;
  uint64_t dirty_bytes_ = 0;
  uint64_t clean_bytes_ = 0;
  uint64_t dirty_hole_bytes_ = 0;
  uint64_t clean_hole_bytes_ = 0;
  std::optional<Publication> publication_;
};

}  // namespace quayfs
