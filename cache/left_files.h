// SPDX-License-Identifier: Apache-2.0
//
// What an earlier mount has left in the cache directory, and what may be made of it: reads the
// database, looks at the data files, and brings both into agreement. Runs once, before anybody uses
// the cache.
//
//   boot    row        seal                        taken up as
//   same    modified   any                         as recorded: the page cache has all writes (C1)
//   other   modified   of this very generation     as recorded
//   other   modified   of an earlier generation,   as sealed; what was found is copied aside (C3),
//                      or changed in place since   and what was changed in place is put back
//   other   modified   none, or its bytes lost     not at all; what was found is moved aside (C3)
//   any     clean      any                         nothing: the bytes are in the bucket
//
// Clean bytes with checksums (C5) stay, in files of either kind; others are not trusted any more.
//
// A data file that is shorter than its recorded bytes is moved aside whatever the table says: zeros
// are not published in their place. What an attempt to publish has come to is found out whatever
// the verdict on the file: if a generation later than the seal has arrived, the file shows that
// one.
//
// Each verdict is in the database before the data file may be changed any further, so that it
// stands in the next boot, too.

#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/disk.h"
#include "base/result.h"
#include "cache/cache.h"
#include "cache/state/state_db.h"

namespace quayfs {

struct LeftFile {
  ContentRow row;
  std::vector<ByteRange> dirty;
  std::optional<SealRow> seal;  // intact
  std::optional<UploadRow> upload;
  std::vector<PartRow> parts;
  /// There is a data file. It holds `dirty`, and what `clean` speaks of if that is right.
  bool on_disk = false;
  std::vector<BlockSum> clean;  // C5; each within what the file shows of its base, and not dirty
  uint64_t local_length = 0;
  std::string set_aside;
  bool usable = true;
};

struct LeftFiles {
  std::vector<LeftFile> files;
  /// Unchanged files with a data file of clean bytes: inode, bytes.
  std::vector<std::pair<uint64_t, uint64_t>> clean;
  size_t clean_rows = 0;
  std::vector<std::pair<std::string, std::string>> orphans;  // key, upload id; each has its row
};

/// Data files that no row speaks of are removed; if the database is new they are set aside.
/// kNoSpace: what has to be copied aside does not fit; nothing has been decided then.
Result<LeftFiles> TakeUpLeftFiles(const std::string& directory, Disk& disk, StateDb& state,
                                  Clock& clock);

/// What may be taken up, by the table above; the state of the data file aside.
enum class LeftVerdict { kAsRecorded, kAsSealed, kUnusable };
LeftVerdict JudgeLeftFile(const ContentRow& row, const std::optional<SealRow>& seal,
                          bool same_boot);

/// A seal of this generation says that nothing of the file can be used: it has been set aside. It
/// stays until the file's owner has given it up, whatever the boot.
inline constexpr uint64_t kCondemned = INT64_MAX;

/// The kind of the notes that tell of bytes set aside. `path` is where they are, "" if there were
/// none.
inline constexpr std::string_view kSetAsideNote = "set-aside";

}  // namespace quayfs
