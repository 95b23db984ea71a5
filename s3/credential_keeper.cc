// SPDX-License-Identifier: Apache-2.0

#include "s3/credential_keeper.h"

#include <utility>

#include "base/log.h"

namespace quayfs::s3 {
namespace {

bool SameKeys(const Credentials& a, const Credentials& b) {
  return a.access_key_id == b.access_key_id && a.secret_access_key == b.secret_access_key &&
         a.session_token == b.session_token;
}

}  // namespace

CredentialKeeper::CredentialKeeper(const Credentials& fixed,
                                   std::shared_ptr<CredentialSource> source, Clock& clock)
    : source_(std::move(source)), clock_(clock) {
  if (source_ == nullptr) signing_ = std::make_shared<const Signing>(fixed);
}

bool CredentialKeeper::UsableLocked(WallTime now) const {
  return signing_ != nullptr && (!expires_ || now < *expires_);
}

bool CredentialKeeper::WantsNewLocked(WallTime now) {
  if (signing_ == nullptr || (expires_ && now >= *expires_)) return true;
  if (now < retry_at_) return false;
  if (expires_ && now >= *expires_ - kAhead) return true;
  if (now < look_at_) return false;
  look_at_ = now + kLookEvery;
  return source_->MayHaveChanged();
}

Status CredentialKeeper::Ask(const CallOptions& call) {
  asking_ = true;
  mutex_.unlock();
  Result<IssuedCredentials> issued = source_->Fetch(call);
  mutex_.lock();
  asking_ = false;
  asked_.NotifyAll();
  const WallTime now = clock_.Now();
  if (!issued) {
    retry_at_ = now + kPauseAfterFailure;
    Log(LogLevel::kDebug, "s3.credentials_failed", {{"error", issued.error().message()}});
    return issued.error();
  }
  retry_at_ = {};
  // What is about to expire already is not asked for with every request.
  if (issued->expires && *issued->expires - kAhead <= now) retry_at_ = now + kPauseAfterFailure;
  expires_ = issued->expires;
  if (signing_ == nullptr || !SameKeys(signing_->keys, issued->keys)) {
    signing_ = std::make_shared<const Signing>(issued->keys);
  }
  return {};
}

Result<std::shared_ptr<const CredentialKeeper::Signing>> CredentialKeeper::Current(
    const CallOptions& call) {
  MutexLock lock(mutex_);
  if (source_ == nullptr) return signing_;
  for (;;) {
    const WallTime now = clock_.Now();
    const bool usable = UsableLocked(now);
    if (asking_) {
      if (usable) return signing_;
      asked_.Wait(mutex_);
      continue;
    }
    if (!WantsNewLocked(now)) return signing_;
    const Status asked = Ask(call);
    if (!asked && !UsableLocked(clock_.Now())) return asked.error();
    return signing_;
  }
}

bool CredentialKeeper::Replace(const std::shared_ptr<const Signing>& refused,
                               const CallOptions& call) {
  MutexLock lock(mutex_);
  if (source_ == nullptr || refused == nullptr) return false;
  while (asking_) asked_.Wait(mutex_);
  if (signing_ != refused) return true;  // another request was told the same, and asked
  if (!Ask(call)) return false;
  return signing_ != refused;
}

std::shared_ptr<const CredentialKeeper::Signing> CredentialKeeper::Last() const {
  MutexLock lock(mutex_);
  return signing_;
}

}  // namespace quayfs::s3
