// SPDX-License-Identifier: Apache-2.0
//
// Kodo's native API, as far as a client of the S3 gateway wants it: stat, delete, move and batch of
// the resource manager, with its own signature, JSON errors and statuses (protocol.md 1.6). Written
// against the protocol text; shares no code with quayfs's client.

#pragma once

#include <functional>
#include <optional>
#include <string>

#include "base/clock.h"
#include "tests/server/routing.h"
#include "tests/server/s3_service.h"

namespace quayfs::testserver {

/// "NativeMove", "NativeDelete", "NativeStat", "NativeBatch", "NativeWhere" (which region a bucket
/// is in); "" for everything else.
std::string NativeOperation(const RequestHead& head, const ServerConfig& config);

/// The text that the newer form of the signature covers.
std::string QiniuStringToSign(const RequestHead& head, const std::string& body);

/// Thread-safe.
class KodoService {
 public:
  KodoService(const ServerConfig& config, Store& store, std::function<WallTime()> now)
      : config_(config), store_(store), now_(std::move(now)) {}

  /// Nothing if the operation is not one of its own.
  std::optional<Reply> Handle(S3Request& request);

 private:
  /// What one operation came to.
  struct Result {
    int status = 200;
    std::string error;  // "" for none
    std::string data;   // JSON, "" for none
  };
  Problem Authenticate(const RequestHead& head, const std::string& body) const;
  Result Perform(const std::string& path);
  Result Stat(const std::string& bucket, const std::string& key) const;
  Result Move(const std::string& source, const std::string& target, bool force);
  Reply Batch(const std::string& body);
  Reply Where(const Query& query) const;
  /// "bucket:key" from a path; nothing if it is malformed.
  std::optional<std::pair<std::string, std::string>> Entry(std::string_view encoded) const;

  const ServerConfig& config_;
  Store& store_;
  const std::function<WallTime()> now_;
};

}  // namespace quayfs::testserver
