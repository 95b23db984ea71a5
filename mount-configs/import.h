// SPDX-License-Identifier: Apache-2.0
//
// A mount config from what a user has already: a remote of rclone, a bucket of s3fs, a profile of
// Amazon's tools. Secrets stay where they are if a mount can read them there; what is in
// rclone's file is copied, so the result is for a file that nobody else can read.

#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "mount-configs/secrets.h"

namespace quayfs {

/// `from` is "rclone:REMOTE:BUCKET[/PREFIX]", "s3fs:BUCKET[:/PREFIX]" or "aws:PROFILE"; `bucket`
/// replaces the bucket that it names, and is needed where it names none. Reads files, sends
/// nothing. The text passes ParseMountConfig. kInvalidArgument and kNotFound say what is missing.
Result<std::string> ImportMountConfig(std::string_view from, std::string_view bucket,
                                      const Environment& environment);

}  // namespace quayfs
