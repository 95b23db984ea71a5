// SPDX-License-Identifier: Apache-2.0
//
// How log lines look, and how many of a kind there may be. For programs; libraries only log.
// Thread-safe.

#pragma once

#include "base/clock.h"

namespace quayfs {

enum class LogFormat {
  kText,  // 2026-01-02T03:04:05.678Z warning upload.failed key="a/b" attempt=3
  kJson,  // {"time":"...","level":"warning","event":"upload.failed","key":"a/b","attempt":3}
};
void SetLogFormat(LogFormat format);

/// Of one event at most `lines` per `window`, debug lines apart; 0: any number, which is the
/// default. When a window is over, the next line of any event is preceded by one that says how many
/// were left out: `log.left_out of=operation.failed lines=2713`.
struct LogRate {
  int lines = 0;
  Duration window = std::chrono::minutes(1);
};
void SetLogRate(const LogRate& rate);
/// Says now what has been left out, and begins anew; before a process ends.
void TellLeftOut();

}  // namespace quayfs
