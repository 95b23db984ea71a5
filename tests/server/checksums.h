// SPDX-License-Identifier: Apache-2.0
//
// The x-amz-checksum-* algorithms (protocol.md 3.10).

#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace quayfs::testserver {

/// One running checksum. Thread-compatible.
class RunningChecksum {
 public:
  virtual ~RunningChecksum() = default;
  virtual void Update(std::span<const char> data) = 0;
  /// Base64 of the value, big-endian.
  virtual std::string Finish() = 0;
};

/// `name` is crc32, crc32c, crc64nvme, sha1 or sha256; null for anything else.
std::unique_ptr<RunningChecksum> MakeChecksum(std::string_view name);

}  // namespace quayfs::testserver
