// SPDX-License-Identifier: Apache-2.0
//
// Writes what a cache directory holds as plain files, with their names, modes, owners (for root)
// and times.
//
//   DIR/PATH                     the file as the mount showed it
//   DIR/PATH.partial             some bytes are in the bucket only, and read as zeros here
//   DIR/PATH.unsynced            the machine was restarted before the file was synced, or the cache
//                                disk has lost bytes: look at it before you trust it
//   DIR/.quayfs-unnamed/INODE    names are not known any more
//   DIR/.quayfs-set-aside/NAME   what had been set aside

#pragma once

#include <string>
#include <vector>

#include "base/disk.h"
#include "base/result.h"
#include "fs/program/held_state.h"
#include "providers/object_store.h"

namespace quayfs::program {

struct ExportReport {
  uint64_t files = 0;
  uint64_t bytes = 0;
  std::vector<std::string> notes;   // what is not as it should be, a line each
  std::vector<std::string> failed;  // what could not be written, a line each
  bool complete() const { return notes.empty() && failed.empty(); }
};

/// DIR is made; kNotEmpty if there is anything in it. Nothing in the cache directory changes. With
/// a `store` (or null), bytes that are in the bucket only are fetched.
Result<ExportReport> ExportHeld(const HeldState& held, const std::string& directory, Disk& disk,
                                ObjectStore* store);

}  // namespace quayfs::program
