// SPDX-License-Identifier: Apache-2.0
//
// Credentials that are read again because somebody says so (SIGHUP), on top of those that a source
// renews by itself (s3/credential_keeper.h).

#pragma once

#include <atomic>
#include <memory>
#include <optional>

#include "base/mutex.h"
#include "providers/config.h"

namespace quayfs::program {

/// Thread-safe.
class FreshCredentials {
 public:
  /// Makes `store` look here: whatever its keys come from is asked again after each Offer or
  /// AskAgain, at the latest when the service refuses the old ones. Keys that were offered are
  /// taken instead of those in the config. Nothing for stores that sign nothing.
  static void Attach(const std::shared_ptr<FreshCredentials>& fresh, StoreConfig* store);

  /// Keys as the config has them now.
  void Offer(const s3::Credentials& keys);
  /// Sources that find out by themselves are to do so.
  void AskAgain() { ++*asked_; }

 private:
  std::optional<s3::Credentials> Take();

  const std::shared_ptr<std::atomic<uint64_t>> asked_ = std::make_shared<std::atomic<uint64_t>>(0);
  Mutex mutex_{LockRank::kLeaf};
  std::optional<s3::Credentials> offered_ QUAY_GUARDED_BY(mutex_);
};

}  // namespace quayfs::program
