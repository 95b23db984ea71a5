// SPDX-License-Identifier: Apache-2.0
//
// Talking to the service manager that has started the daemon: the protocol of sd_notify(3), lines
// of text in datagrams to the unix socket that NOTIFY_SOCKET names. READY=1 when the mount is
// usable, STATUS= for `systemctl status`, WATCHDOG=1 as a sign of life, STOPPING=1 and
// EXTEND_TIMEOUT_USEC= while files are still brought to the bucket.
//
// This is one system call around a documented format. libsystemd would add a library that is not
// there on systems without systemd, and other service managers speak the same.
//
// Thread-safe. Never blocks; what cannot be told is lost.

#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "fs/program/progress.h"

namespace quayfs::program {

class ServiceManager {
 public:
  /// Nobody to talk to.
  ServiceManager() = default;
  /// `address`: a path, or "@name" in the abstract namespace; "" for nobody.
  ServiceManager(std::string address, Duration watchdog)
      : address_(std::move(address)), watchdog_(watchdog) {}

  /// From NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID, which are taken out of the environment:
  /// they are not for the programs that we start. REQUIRES: the process has no threads yet.
  static ServiceManager FromEnvironment();

  bool present() const { return !address_.empty(); }
  /// How often it wants a sign of life; 0 for never.
  Duration watchdog() const { return watchdog_; }

  /// `message`: assignments, one a line.
  void Tell(std::string_view message) const;

 private:
  std::string address_;
  Duration watchdog_{0};
};

/// The line for `systemctl status`.
std::string ServiceStatus(const std::string& mount_point, bool leaving,
                          const SyncProgress& progress);

}  // namespace quayfs::program
