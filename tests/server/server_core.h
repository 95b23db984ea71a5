// SPDX-License-Identifier: Apache-2.0
//
// What all connections of one server share. Thread-safe.

#pragma once

#include <atomic>
#include <chrono>
#include <memory>

#include "base/clock.h"
#include "base/mutex.h"
#include "tests/server/faults.h"
#include "tests/server/identity_service.h"
#include "tests/server/kodo_service.h"
#include "tests/server/qingstor_service.h"
#include "tests/server/request_log.h"
#include "tests/server/s3_service.h"
#include "tests/server/server.h"
#include "tests/server/store.h"
#include "tests/server/tls.h"

namespace quayfs::testserver {

class ServerCore {
 public:
  ServerCore(const ServerConfig& server_config, std::unique_ptr<Store> contents, UniqueFd log_file);

  /// By the server's clock, which may be wrong on purpose.
  WallTime Now() const { return SystemClock().Now() + config.clock_offset; }
  /// Waits; false at once when the server stops.
  bool Pause(std::chrono::milliseconds time);
  bool stopping() const { return stopping_.load(); }
  void Stop();

  /// By the protocol of the config.
  Reply Handle(S3Request& request);
  Reply ErrorReply(const S3Error& error, const S3Request& request) const;

  const ServerConfig config;
  std::unique_ptr<TlsContext> tls;  // null without TLS; set before the first connection
  const std::unique_ptr<Store> store;
  S3Service service;
  IdentityService identity;
  KodoService kodo;
  QingStorService qingstor;
  FaultTable faults;
  RequestLog log;
  std::atomic<int64_t> delay_ms;

 private:
  std::atomic<bool> stopping_{false};
  Mutex mutex_{LockRank::kTestServer};
  CondVar wake_;
};

}  // namespace quayfs::testserver
