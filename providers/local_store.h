// SPDX-License-Identifier: Apache-2.0
//
// A directory as a bucket: the store that needs no service. It does everything an object store can
// do, atomically, and what it has acknowledged survives a power cut. LOCAL_FORMAT.md describes the
// files.
//
// Several processes may use one directory at once; it must be on a local file system or one whose
// rename and flock work across its clients. Errors besides those of ObjectStore: kNoSpace, kQuota,
// kReadOnly, kPermissionDenied from the disk.

#pragma once

#include <memory>
#include <string>

#include "base/clock.h"
#include "base/disk.h"
#include "base/result.h"
#include "providers/object_store.h"

namespace quayfs {

/// `directory` must exist when the store is used (CheckBucket says kNotFound otherwise); nothing is
/// touched before the first call. `disk` and `clock` outlive the store. kInvalidArgument if the
/// path is not absolute.
Result<std::unique_ptr<ObjectStore>> OpenLocalStore(const std::string& directory,
                                                    Disk& disk = SystemDisk(),
                                                    Clock& clock = SystemClock());

}  // namespace quayfs
