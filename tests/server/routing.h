// SPDX-License-Identifier: Apache-2.0
//
// Which bucket, key and operation a request means. Pure functions.

#pragma once

#include <string>

#include "tests/server/http_message.h"
#include "tests/server/server.h"

namespace quayfs::testserver {

struct Route {
  std::string host_bucket;  // the bucket if Host is BUCKET.domain
  std::string bucket;
  std::string key;
  std::string operation;  // as S3 names it; "Unsupported" for what is not served here
};

/// Fills in bucket and key from the path; `host_bucket` is the bucket if Host names it, else "".
void PlaceOfPath(const RequestHead& head, const std::string& host_bucket, Route* route);

Route RouteRequest(const RequestHead& head, const Query& query, const ServerConfig& config);

}  // namespace quayfs::testserver
