// SPDX-License-Identifier: Apache-2.0
//
// Which request is hit by which fault. Thread-safe.

#pragma once

#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "base/mutex.h"
#include "tests/server/server.h"

namespace quayfs::testserver {

/// "status", "reset_before", ...
std::string_view FaultName(FaultKind kind);
std::optional<FaultKind> FaultByName(std::string_view name);

class FaultTable {
 public:
  explicit FaultTable(uint64_t seed) : random_(seed) {}
  void Add(const Fault& fault);
  void Clear();
  /// The first fault in order of addition that wants this request.
  std::optional<Fault> Pick(const std::string& method, const std::string& operation,
                            const std::string& key);

 private:
  struct Entry {
    Fault fault;
    int passed = 0;  // matching requests that were let through by `skip`
    int hit = 0;
  };
  Mutex mutex_{LockRank::kTestServer};
  std::vector<Entry> entries_ QUAY_GUARDED_BY(mutex_);
  std::mt19937_64 random_ QUAY_GUARDED_BY(mutex_);
};

}  // namespace quayfs::testserver
