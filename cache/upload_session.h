// SPDX-License-Identifier: Apache-2.0
//
// What is known of one multipart upload. Plain state; guarded by the file's lock, except where it
// says otherwise.
//
//   phase        means                                          next
//   kCreating    CreateUpload is on its way                     kOpen, kAbandoned
//   kOpen        parts may be sent                              kAbandoned, or completed and gone
//   kAbandoned   nothing more is sent; aborted when idle        gone
//
// A part record exists from the moment a part is posted. It is of use to a publication if it is
// sent, not stale, and equal to the part that the plan wants under that number. A record that is in
// flight keeps its number: the same number is not sent twice at once.

#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include "base/byte_range.h"
#include "base/error.h"
#include "cache/upload_plan.h"
#include "providers/object_store.h"

namespace quayfs {

struct PartRecord {
  PlannedPart part;
  uint64_t generation = 0;  // of the content when it was posted
  bool sent = false;
  PartInfo info;  // valid if sent
  /// The file changed under the part since it was posted. Also read by the request's own thread.
  std::shared_ptr<std::atomic<bool>> stale = std::make_shared<std::atomic<bool>>(false);
};

struct UploadSession {
  enum class Phase { kCreating, kOpen, kAbandoned };

  std::string key;
  ObjectProperties properties;
  Phase phase = Phase::kCreating;
  std::string upload_id;             // "" until the store has given one
  std::map<int, PartRecord> parts;   // by number
  int in_flight = 0;                 // parts posted and not yet back
  int next_ahead = 1;                // the first part that has not been sent ahead of publication
  std::optional<Error> first_error;  // never replaced by a later one
  std::stop_source stop;             // thread-safe; requested without locks held

  /// What has changed since the present plan was made.
  bool changed = false;
  ExtentSet touched;
  /// The parts to come are read from a private copy: changes of the file concern them no more.
  bool frozen = false;

  /// The content of `range` has changed. True if a part was posted with the old one.
  bool Touch(ByteRange range);
};

bool SameProperties(const ObjectProperties& a, const ObjectProperties& b);

}  // namespace quayfs
