// SPDX-License-Identifier: Apache-2.0
//
// What is known of one multipart upload. Plain state; guarded by the file's lock, except where it
// says otherwise.
//
//   phase        means                                          next
//   kCreating    CreateUpload is on its way                     kOpen, kAbandoned
//   kOpen        parts may be sent                              kPaused, kAbandoned, or completed
//   kPaused      a failure that is not the upload's own fault   another session that goes on with
//                has ended the attempt                          it once this one is idle;
//                kAbandoned
//   kAbandoned   nothing more is sent; aborted when idle        gone
//
// C7: the upload's id is in the database before a part is sent, and each part before it counts: it
// is `told` from then until the content under it changes. What is told is what a later attempt may
// rely on, in this process or the next.
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
#include "cache/file_data.h"
#include "cache/upload_plan.h"
#include "providers/object_store.h"

namespace quayfs {

struct PartRecord {
  PlannedPart part;
  uint64_t generation = 0;  // of the content when it was posted
  bool sent = false;
  bool told = false;  // C7: in the database, and the file still holds what was sent
  PartInfo info;      // valid if sent
  /// The file changed under the part since it was posted. Also read by the request's own thread.
  std::shared_ptr<std::atomic<bool>> stale = std::make_shared<std::atomic<bool>>(false);
};

struct UploadSession {
  enum class Phase { kCreating, kOpen, kPaused, kAbandoned };

  std::string key;
  ObjectProperties properties;
  Phase phase = Phase::kCreating;
  std::string upload_id;             // "" until the store has given one
  std::map<int, PartRecord> parts;   // by number
  int in_flight = 0;                 // parts posted and not yet back
  int next_ahead = 1;                // the first part that has not been sent ahead of publication
  std::optional<Error> first_error;  // C8: never replaced by a later one
  std::stop_source stop;             // thread-safe; requested without locks held

  /// The store still has the parts that an earlier mount has sent. False: it has to be asked.
  bool verified = true;
  /// Parts that the store has, and that are not known to be the file's: by number.
  std::map<int, PartInfo> at_store;

  /// What has changed since the present plan was made.
  bool changed = false;
  ExtentSet touched;
  /// The parts to come are read from a private copy: changes of the file concern them no more.
  bool frozen = false;

  /// The content of `range` has changed. True if a part was posted with the old one.
  bool Touch(ByteRange range);
  /// A session that goes on with this upload and what of it can be relied on. REQUIRES: idle.
  std::shared_ptr<UploadSession> Resumed() const;
  /// "" or what is wrong. Debug builds look after each step of a part.
  std::string CheckInvariants() const;
};

/// Whether an upload is worth going on with after an attempt that ended like this.
bool KeepsUpload(Code code);

}  // namespace quayfs
