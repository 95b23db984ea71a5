// SPDX-License-Identifier: Apache-2.0
//
// A FileSystem at a mount point, over libfuse's low-level interface. Translation only: what an
// operation means is decided in fs/, which errno a failure gets in fs/errno.h.
//
// Threads: libfuse's workers take requests and answer what needs no network; whatever would wait
// goes to a pool, so cold reads in any number leave the workers free. No lock is held while a reply
// is sent.
//
// copy_file_range, SEEK_HOLE and locks are left unanswered on purpose: the
// kernel then does what it can by itself (locks between processes of this machine) and stops
// asking.

#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "fs/file_system.h"

namespace quayfs {

struct FuseConfig {
  std::string mountpoint;
  std::string source = "quayfs";  // shown by mount(8) and df(1); never a secret
  bool allow_other = false;
  bool read_only = false;
  bool trust_special_bits = false;  // else nosuid,nodev
  size_t workers = 8;               // threads that take requests
  size_t waiters = 256;             // requests that may wait for the network at the same time
  /// How long a request goes on after the process that made it got a signal. Runtimes that signal
  /// themselves all the time must not see their calls fail.
  Duration interrupt_grace = std::chrono::seconds(10);
  /// How long a call waits for a store that does not answer; 0: until it does.
  Duration timeout{0};
  size_t read_ahead_bytes = 1 << 20;  // of the kernel's page cache; needs root
  /// Further mount flags that the kernel knows, such as "noexec" or "noatime".
  std::vector<std::string> kernel_flags;
};

class FuseMount {
 public:
  virtual ~FuseMount() = default;  // unmounts if that has not happened

  /// Mounts. kNotFound, kNotDirectory, kPermissionDenied, kBusy; the message is for a person.
  /// `file_system` outlives the mount.
  static Result<std::unique_ptr<FuseMount>> Mount(const FuseConfig& config,
                                                  FileSystem& file_system);

  /// Serves until the file system is unmounted or Stop() is called. `on_ready` runs on a thread of
  /// its own once the mount point has answered. All requests have been answered when this returns.
  virtual Status Run(const std::function<void()>& on_ready) = 0;

  /// Unmounts (lazily: a process that still has a file open loses it) and makes Run() return. Any
  /// thread, any number of times.
  virtual void Stop() = 0;

  struct OperationCount {
    std::string_view name;
    uint64_t calls = 0;
    uint64_t waits = 0;  // of them, that could not be answered without the network
  };
  /// How often the kernel has asked for each operation. Any thread.
  virtual std::vector<OperationCount> OperationCounts() const = 0;
};

}  // namespace quayfs
