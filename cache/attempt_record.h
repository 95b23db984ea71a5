// SPDX-License-Identifier: Apache-2.0
//
// How a publication whose outcome is not known yet is kept in the database (C7, C8): it has been
// sent, and the process may end before the store's answer is noted. The next mount finds out what
// became of it before it publishes the file again, so that our own late success is never taken for
// somebody else's change.
//
// It takes the place of the file's UploadRow, in the upload_id column: no store gives out ids that
// begin with the byte 1. The parts of a multipart upload stay in their rows.

#pragma once

#include <cstdint>
#include <optional>

#include "cache/state/state_db.h"
#include "cache/unsettled.h"

namespace quayfs {

struct AttemptRecord {
  uint64_t generation = 0;  // that is being published
  Unsettled attempt;        // without parts
};

UploadRow AttemptRow(uint64_t inode, const AttemptRecord& record);

/// Nothing if `row` is an ordinary upload, or no attempt that can be understood.
std::optional<AttemptRecord> AttemptOf(const UploadRow& row);

/// The upload id in `row`, attempt or not; "" if there is none.
std::string UploadIdOf(const UploadRow& row);

}  // namespace quayfs
