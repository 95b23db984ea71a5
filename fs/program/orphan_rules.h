// SPDX-License-Identifier: Apache-2.0
//
// Which unfinished multipart uploads may be aborted:
//
//   whose           means                                            --abort   and --older-than AGE
//   kGivenUp        recorded here as one to be aborted               aborted   aborted
//   kContinuing     recorded here as one to go on with               left      left
//   kUnknown        not recorded here: another writer's, perhaps     left      aborted if begun
//                   one that is at work at this moment                         longer ago

#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "fs/program/known_uploads.h"
#include "providers/object_store.h"

namespace quayfs::program {

/// An age below this is not accepted: a mount that has just begun an upload has not recorded it
/// yet, and clocks may differ.
inline constexpr auto kYoungestOrphan = std::chrono::hours(1);

enum class UploadOwner { kGivenUp, kContinuing, kUnknown };
/// "given up", "continuing", "unknown".
std::string_view UploadOwnerName(UploadOwner owner);

struct Orphan {
  UploadInfo upload;
  UploadOwner whose = UploadOwner::kUnknown;
  std::string outcome = "left";  // or "aborted", or why it could not be
};

/// Oldest first. REQUIRES: `known` was read after `uploads` was listed.
std::vector<Orphan> JudgeUploads(std::vector<UploadInfo> uploads, const KnownUploads& known);

Duration AgeOf(const Orphan& orphan, WallTime now);

/// Of one whose age is not known, the age never suffices.
bool MayAbort(const Orphan& orphan, std::optional<Duration> older_than, WallTime now);

}  // namespace quayfs::program
