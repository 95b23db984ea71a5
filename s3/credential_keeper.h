// SPDX-License-Identifier: Apache-2.0
//
// Credentials that come to an end, and whoever gives out new ones. The keeper holds those that a
// client signs with; a source knows where others come from. One keeper per client.
//
// They are asked for again five minutes before they expire, when the source says that its answer
// may be another one (a file has changed), and when the service has refused them. While the old
// ones are valid nobody waits for new ones, and a source that fails is no failure of a request.

#pragma once

#include <memory>
#include <optional>

#include "base/call.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "base/result.h"
#include "s3/config.h"
#include "s3/sign_v4.h"

namespace quayfs::s3 {

struct IssuedCredentials {
  Credentials keys;
  std::optional<WallTime> expires;  // absent: never
};

/// Where credentials come from. Called by one thread at a time.
class CredentialSource {
 public:
  virtual ~CredentialSource() = default;
  /// Asks anew. Blocks; may use the network. No message holds a secret.
  virtual Result<IssuedCredentials> Fetch(const CallOptions& call) = 0;
  /// Whether Fetch might answer otherwise than it did. Quick: a look at a file at most.
  virtual bool MayHaveChanged() { return false; }
};

/// Thread-safe. `clock` outlives it.
class CredentialKeeper {
 public:
  static constexpr Duration kAhead = std::chrono::minutes(5);      // before they expire
  static constexpr Duration kLookEvery = std::chrono::seconds(5);  // at MayHaveChanged
  static constexpr Duration kPauseAfterFailure = std::chrono::seconds(30);

  /// What one request is signed with.
  struct Signing {
    explicit Signing(const Credentials& credentials) : keys(credentials), v4(credentials) {}
    const Credentials keys;
    const SignerV4 v4;
  };

  /// `source` may be null: then `fixed` is all there is.
  CredentialKeeper(const Credentials& fixed, std::shared_ptr<CredentialSource> source,
                   Clock& clock);

  /// Those to sign with now. Blocks for the first ones, and where the old ones have expired. Fails
  /// as the source does.
  Result<std::shared_ptr<const Signing>> Current(const CallOptions& call);
  /// The service does not take `refused` (any more). True if there are others now; the source is
  /// asked unless another request has done so meanwhile.
  bool Replace(const std::shared_ptr<const Signing>& refused, const CallOptions& call);
  /// The last ones, without asking anybody.
  std::shared_ptr<const Signing> Last() const;

 private:
  bool WantsNewLocked(WallTime now) QUAY_REQUIRES(mutex_);
  bool UsableLocked(WallTime now) const QUAY_REQUIRES(mutex_);
  /// Asks the source. The mutex is given up meanwhile; `asking_` keeps others out.
  Status Ask(const CallOptions& call) QUAY_REQUIRES(mutex_);

  const std::shared_ptr<CredentialSource> source_;
  Clock& clock_;
  mutable Mutex mutex_{LockRank::kS3Client};
  CondVar asked_;
  bool asking_ QUAY_GUARDED_BY(mutex_) = false;
  std::shared_ptr<const Signing> signing_ QUAY_GUARDED_BY(mutex_);
  std::optional<WallTime> expires_ QUAY_GUARDED_BY(mutex_);
  WallTime look_at_ QUAY_GUARDED_BY(mutex_){};   // at MayHaveChanged, not before
  WallTime retry_at_ QUAY_GUARDED_BY(mutex_){};  // after a failure, not before
};

}  // namespace quayfs::s3
