// SPDX-License-Identifier: Apache-2.0

#include "fs/program/orphan_rules.h"

#include <algorithm>
#include <utility>

namespace quayfs::program {

std::string_view UploadOwnerName(UploadOwner owner) {
  switch (owner) {
    case UploadOwner::kGivenUp:
      return "given up";
    case UploadOwner::kContinuing:
      return "continuing";
    case UploadOwner::kUnknown:
      break;
  }
  return "unknown";
}

std::vector<Orphan> JudgeUploads(std::vector<UploadInfo> uploads, const KnownUploads& known) {
  std::vector<Orphan> orphans;
  orphans.reserve(uploads.size());
  for (UploadInfo& upload : uploads) {
    Orphan orphan;
    if (known.aborting.contains(upload.upload_id)) orphan.whose = UploadOwner::kGivenUp;
    // One that is recorded as both is needed.
    if (known.continuing.contains(upload.upload_id)) orphan.whose = UploadOwner::kContinuing;
    orphan.upload = std::move(upload);
    orphans.push_back(std::move(orphan));
  }
  std::stable_sort(orphans.begin(), orphans.end(), [](const Orphan& a, const Orphan& b) {
    return a.upload.initiated < b.upload.initiated;
  });
  return orphans;
}

Duration AgeOf(const Orphan& orphan, WallTime now) {
  return now > orphan.upload.initiated ? Duration(now - orphan.upload.initiated) : Duration{0};
}

bool MayAbort(const Orphan& orphan, std::optional<Duration> older_than, WallTime now) {
  switch (orphan.whose) {
    case UploadOwner::kGivenUp:
      return true;
    case UploadOwner::kContinuing:
      return false;
    case UploadOwner::kUnknown:
      break;
  }
  const bool dated = orphan.upload.initiated != WallTime{};
  return older_than && dated &&
         AgeOf(orphan, now) > std::max<Duration>(*older_than, kYoungestOrphan);
}

}  // namespace quayfs::program
