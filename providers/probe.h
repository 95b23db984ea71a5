// SPDX-License-Identifier: Apache-2.0
//
// Finding out what a store really honours, by trying it on scratch objects. A success proves
// nothing (protocol.md 0, fact 1): a condition counts as honoured only if a write that must fail
// was refused for that reason, and the object is still what it was.

#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/call.h"
#include "base/result.h"
#include "providers/object_store.h"

namespace quayfs {

enum class ProbeVerdict {
  kHonoured,
  kIgnored,   // answered with success, and not done or not looked at
  kRefused,   // the store says that it can not
  kUntested,  // not tried: the store object does not send it, something it needs is missing, or
              // the store was not to be reached just then
  kFailed,    // another error; the note says which
};
/// "honoured", "ignored", "refused", "not tested", "failed".
std::string_view ProbeVerdictName(ProbeVerdict verdict);

struct ProbeReport {
  ProbeVerdict put_if_absent = ProbeVerdict::kUntested;
  ProbeVerdict put_if_match = ProbeVerdict::kUntested;
  ProbeVerdict complete_if_absent = ProbeVerdict::kUntested;
  ProbeVerdict complete_if_match = ProbeVerdict::kUntested;
  ProbeVerdict delete_if_match = ProbeVerdict::kUntested;
  ProbeVerdict copy_if_absent = ProbeVerdict::kUntested;
  ProbeVerdict multipart = ProbeVerdict::kUntested;
  ProbeVerdict copy = ProbeVerdict::kUntested;
  ProbeVerdict part_copy = ProbeVerdict::kUntested;
  ProbeVerdict batch_delete = ProbeVerdict::kUntested;
  std::vector<std::string> notes;  // for people
};

/// The rows of a report with their names, in the order to show them.
struct ProbeRow {
  std::string_view name;
  ProbeVerdict ProbeReport::*verdict;
};
const std::vector<ProbeRow>& ProbeRows();

/// Writes, changes and removes objects whose keys begin with `prefix` (such as
/// ".quayfs/probe-5f3a"), about 5 MiB in all. Give it a store opened with
/// OpenOptions::try_everything, or it tests only what the profile already claims. Fails only if
/// plain writing fails: kPermissionDenied and so on.
Result<ProbeReport> ProbeCapabilities(ObjectStore& store, const std::string& prefix,
                                      const CallOptions& call);

/// ".quayfs/probe-" and something random.
std::string NewProbePrefix();

/// What `declared` becomes with a report: what was honoured is on, what was ignored, refused or has
/// failed is off, the rest stays. What needs multipart uploads stays off where they are off.
Capabilities ApplyProbe(Capabilities declared, const ProbeReport& report);

}  // namespace quayfs
