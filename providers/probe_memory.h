// SPDX-License-Identifier: Apache-2.0
//
// What a probe has found out, kept for the mounts that follow: one small file per store, in a
// directory of this user's own. A mount does not probe; what it knows beyond the vendor's profile
// it knows from here.
//
// - A file counts only for the store it was written for, for 90 days, and in the format of this
// version. Anything else (damaged, from the future, of another store) is as good as none, and the
// reason is told.
// - No secret is in it, nor what would let others guess one: profile, endpoint, bucket, verdicts.
// - Not thread-safe; processes may write at once, the last one wins, and no reader sees half of it.

#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/disk.h"
#include "base/result.h"
#include "providers/config.h"
#include "providers/probe.h"

namespace quayfs {

/// Names the store that a probe's result holds for, such as "s3 https://s3.example.org:9000/ bucket
/// nightly": the profile (it decides how conditions are sent), the endpoint and the bucket. Nothing
/// for a store about which nothing has to be found out (local), and for a config that no store can
/// be opened with.
std::optional<std::string> ProbeSubject(const StoreConfig& config);

struct RememberedProbe {
  ProbeReport report;  // without notes
  WallTime probed{};
};

class ProbeMemory {
 public:
  static constexpr auto kGoodFor = std::chrono::hours(24 * 90);

  /// `directory` need not exist; `disk` outlives this.
  ProbeMemory(std::string directory, Disk& disk);

  /// The file of this subject.
  std::string PathOf(const std::string& subject) const;

  /// Durable when it returns. REQUIRES: the directory exists.
  Status Remember(const std::string& subject, const ProbeReport& report, WallTime now);

  /// kNotFound: there is none. Any other error: there is one that does not count, and the message
  /// says why.
  Result<RememberedProbe> Recall(const std::string& subject, WallTime now) const;

 private:
  const std::string directory_;
  Disk& disk_;
};

}  // namespace quayfs
