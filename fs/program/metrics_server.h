// SPDX-License-Identifier: Apache-2.0
//
// Answers GET /metrics over HTTP on the loopback interface, for Prometheus. Nothing else is served,
// and nobody else on the network can ask.

#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/result.h"

namespace quayfs::program {

class MetricsServer {
 public:
  virtual ~MetricsServer() = default;  // stops serving

  /// Serves what `metrics` returns, on a thread of its own; one asker at a time. kBusy: somebody
  /// has the port.
  static Result<std::unique_ptr<MetricsServer>> Start(uint16_t port,
                                                      std::function<std::string()> metrics);
};

}  // namespace quayfs::program
