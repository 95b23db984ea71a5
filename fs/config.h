// SPDX-License-Identifier: Apache-2.0

#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "base/clock.h"

namespace quayfs {

enum class ConflictPolicy { kKeepBoth, kFail, kOverwrite };
enum class MetadataMode { kPosix, kPlain };

/// Everything the file system core may be told; DESIGN sections 6 and 12.
struct FileSystemConfig {
  std::string prefix;  // "" or ends with '/': the root directory's key
  MetadataMode metadata = MetadataMode::kPosix;
  ConflictPolicy conflict = ConflictPolicy::kKeepBoth;
  /// The content type of a file's object is that of the file's extension (fs/content_type.h).
  bool content_type_by_name = true;
  /// How long listings and attributes are trusted. Duration::max() = for ever ("exclusive").
  Duration consistency = std::chrono::seconds(60);
  bool close_to_open = false;  // HEAD at each open
  bool read_only = false;
  // For objects that carry no attributes, and for everything in plain mode.
  uid_t default_uid = 0;
  gid_t default_gid = 0;
  mode_t default_file_mode = 0644;
  mode_t default_directory_mode = 0755;
  bool trust_special_bits = false;  // set-uid, set-gid and devices that come from the bucket
  /// The bucket learns when something was made or removed in a folder: one request per folder, when
  /// it has been left alone for the one or after the other, and when the mount ends.
  bool folder_times = false;
  Duration folder_times_delay = std::chrono::seconds(10);
  Duration folder_times_delay_max = std::chrono::minutes(2);
  /// What statfs reports. Absent: what the store says, or else 1 PiB.
  std::optional<uint64_t> capacity_bytes;
  std::string host_name;  // for the names of conflict copies
  size_t head_requests_in_flight = 64;

  /// What fsync and close wait for: the bucket, or (fsync) the local disk, or (close) nothing.
  enum class Durability { kRemote, kLocal };
  Durability fsync = Durability::kRemote;
  Durability close = Durability::kLocal;
  size_t work_in_flight = 32;  // requests of the reconciler
  /// A change is sent this long after the last one to the same file, so that what belongs together
  /// is one request; for directories, whose times change last, longer.
  Duration write_delay = std::chrono::milliseconds(200);
  Duration directory_write_delay = std::chrono::milliseconds(500);
  /// And never later than this after the first.
  Duration write_delay_max = std::chrono::seconds(2);
  /// While many small files are being written (fs/burst.h) all of them wait, at most so long.
  Duration burst_delay_max = std::chrono::seconds(5);
  /// A file that stays open for writing is published this long after its first change.
  Duration open_write_delay = std::chrono::seconds(30);
  /// A file that grows beyond this (bytes) is sent part by part while it is written, and then
  /// published when it has been left alone for open_write_delay, or after this long.
  uint64_t stream_from = 64ull << 20;
  Duration stream_write_delay_max = std::chrono::minutes(10);
};

}  // namespace quayfs
