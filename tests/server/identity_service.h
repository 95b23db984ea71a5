// SPDX-License-Identifier: Apache-2.0
//
// Where temporary credentials come from: STS (AssumeRole, signed; AssumeRoleWithWebIdentity, with
// any token), the metadata service of an instance (version 2 only) and the endpoint that containers
// ask. All give out ServerConfig::issued; nothing is served here without it.

#pragma once

#include <functional>
#include <optional>
#include <string>

#include "base/clock.h"
#include "tests/server/routing.h"
#include "tests/server/s3_service.h"

namespace quayfs::testserver {

/// The operation, "" if the request is none of these.
std::string IdentityOperation(const RequestHead& head, const ServerConfig& config);

/// Thread-safe.
class IdentityService {
 public:
  IdentityService(const ServerConfig& config, std::function<WallTime()> now)
      : config_(config), now_(std::move(now)) {}

  /// Nothing if the operation is not one of its own.
  std::optional<Reply> Handle(S3Request& request) const;

 private:
  Reply Sts(S3Request& request) const;
  Outcome<std::string> Assume(S3Request& request) const;
  Reply Metadata(const S3Request& request) const;
  std::string Document() const;
  std::string Expiration() const;

  const ServerConfig& config_;
  const std::function<WallTime()> now_;
};

}  // namespace quayfs::testserver
