// SPDX-License-Identifier: Apache-2.0
//
// What a cache directory holds that no bucket has: read without a mount, and without changing a
// byte of it. The database is copied elsewhere and read there, so this works on a read-only disk,
// for any bucket, and as far as possible with a database that is damaged.

#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/byte_range.h"
#include "base/disk.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "cache/left_files.h"
#include "cache/state/state_db.h"
#include "fs/program/known_uploads.h"
#include "fs/program/status_report.h"

namespace quayfs::program {

/// A file, directory, link or special file that the bucket does not show as it is.
struct HeldItem {
  std::string path;  // in the mount; "" if that is not known any more
  InodeRow row;      // ino only, where the database tells nothing else

  bool content = false;  // its content is newer than the bucket; what follows is about that
  uint64_t size = 0;
  std::vector<ByteRange> dirty;  // the bytes that `data_file` has
  uint64_t base_limit = 0;       // of the others, those below this are in the bucket: `base`
  StoredVersion base;
  std::string data_file;  // "" if there is none
  LeftVerdict verdict = LeftVerdict::kAsRecorded;
  bool short_file = false;  // the data file ends before its bytes do
  bool guessed = false;     // found without a database: holes may be missing bytes

  /// Bytes of the content that are in the bucket only.
  std::vector<ByteRange> missing() const;
  bool trusted() const { return verdict == LeftVerdict::kAsRecorded && !short_file && !guessed; }
  uint64_t dirty_bytes() const;
};

struct HeldState {
  std::string bucket;                        // whose it is; "" if the database does not say
  std::string damage;                        // why the database could not be read; "" if it could
  std::vector<HeldItem> items;               // parents before what is in them
  std::vector<InodeRow> directories;         // of which paths are made; also those the bucket has
  std::vector<std::string> directory_paths;  // of `directories`, in the same order
  uint64_t removals = 0;
  KnownUploads known_uploads;
  std::vector<SetAside> set_aside;

  bool nothing() const {
    return items.empty() && removals == 0 && known_uploads.aborting.empty() && set_aside.empty() &&
           damage.empty();
  }
  uint64_t content_bytes() const;
};

/// Keeps daemons out of a cache directory while it lives, without writing to it.
/// kBusy: one is there. kNotFound: that is no cache directory.
Result<UniqueFd> LockHeld(const std::string& directory);

/// REQUIRES: LockHeld.
Result<HeldState> ReadHeld(const std::string& directory, Disk& disk);

}  // namespace quayfs::program
