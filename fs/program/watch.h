// SPDX-License-Identifier: Apache-2.0
//
// The live view of `quayfs status --watch`: what changes between two looks at a mount, as rates.
// Pure.

#pragma once

#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "base/clock.h"

namespace quayfs::program {

/// Rates of several mounts, from what each says of itself over time. Thread-compatible.
class Watch {
 public:
  /// A dozen lines about one mount, none longer than `width`; the rates are those since the last
  /// call with this mount point. Ends with a newline.
  std::string Render(const nlohmann::json& status, SteadyTime now, size_t width);

 private:
  struct Last {
    SteadyTime at{};
    uint64_t pid = 0;
    std::map<std::string, double> counters;
  };
  std::map<std::string, Last> last_;  // by mount point
};

}  // namespace quayfs::program
