// SPDX-License-Identifier: Apache-2.0

#include "tests/server/faults.h"

#include <array>
#include <utility>

namespace quayfs::testserver {
namespace {

constexpr std::array<std::pair<FaultKind, std::string_view>, 15> kNames = {{
    {FaultKind::kStatus, "status"},
    {FaultKind::kResetBefore, "reset_before"},
    {FaultKind::kResetInRequest, "reset_in_request"},
    {FaultKind::kResetInReply, "reset_in_reply"},
    {FaultKind::kLostReply, "lost_reply"},
    {FaultKind::kTruncateBody, "truncate_body"},
    {FaultKind::kExtraBytes, "extra_bytes"},
    {FaultKind::kWrongRange, "wrong_range"},
    {FaultKind::kIgnoreRange, "ignore_range"},
    {FaultKind::kSlowDrip, "slow_drip"},
    {FaultKind::kBlackHole, "black_hole"},
    {FaultKind::kErrorIn200, "error_in_200"},
    {FaultKind::kCorruptBody, "corrupt_body"},
    {FaultKind::kWrongEtag, "wrong_etag"},
    {FaultKind::kRedirect, "redirect"},
}};

bool Matches(const Fault& fault, const std::string& method, const std::string& operation,
             const std::string& key) {
  return (fault.method.empty() || fault.method == method) &&
         (fault.operation.empty() || fault.operation == operation) &&
         (fault.key_contains.empty() || key.find(fault.key_contains) != std::string::npos);
}

}  // namespace

std::string_view FaultName(FaultKind kind) {
  for (const auto& [known, name] : kNames) {
    if (known == kind) return name;
  }
  return "";
}

std::optional<FaultKind> FaultByName(std::string_view name) {
  for (const auto& [kind, known] : kNames) {
    if (known == name) return kind;
  }
  return std::nullopt;
}

void FaultTable::Add(const Fault& fault) {
  const MutexLock lock(mutex_);
  entries_.push_back({fault, 0, 0});
}

void FaultTable::Clear() {
  const MutexLock lock(mutex_);
  entries_.clear();
}

std::optional<Fault> FaultTable::Pick(const std::string& method, const std::string& operation,
                                      const std::string& key) {
  const MutexLock lock(mutex_);
  for (Entry& entry : entries_) {
    const Fault& fault = entry.fault;
    if (!Matches(fault, method, operation, key)) continue;
    if (entry.passed < fault.skip) {
      ++entry.passed;
      continue;
    }
    if (fault.count >= 0 && entry.hit >= fault.count) continue;
    if (fault.probability < 1 &&
        std::uniform_real_distribution<double>(0, 1)(random_) >= fault.probability) {
      continue;
    }
    ++entry.hit;
    return fault;
  }
  return std::nullopt;
}

}  // namespace quayfs::testserver
