// SPDX-License-Identifier: Apache-2.0

#include "fs/program/fresh_credentials.h"

#include <functional>
#include <utility>

namespace quayfs::program {

void FreshCredentials::Attach(const std::shared_ptr<FreshCredentials>& fresh, StoreConfig* store) {
  using From = CredentialRules::From;
  CredentialRules& rules = store->credential_rules;
  if (store->anonymous || store->provider == "local") return;
  rules.asked = fresh->asked_;
  if (rules.from != From::kNowhere && rules.from != From::kReload) return;
  rules.reload = [fresh, by_itself = std::move(rules.reload),
                  last = store->credentials]() mutable -> Result<s3::Credentials> {
    if (std::optional<s3::Credentials> offered = fresh->Take()) {
      last = *std::move(offered);
      return last;
    }
    return by_itself ? by_itself() : last;
  };
  rules.from = From::kReload;
}

void FreshCredentials::Offer(const s3::Credentials& keys) {
  {
    const MutexLock lock(mutex_);
    offered_ = keys;
  }
  AskAgain();
}

std::optional<s3::Credentials> FreshCredentials::Take() {
  const MutexLock lock(mutex_);
  return std::exchange(offered_, std::nullopt);
}

}  // namespace quayfs::program
