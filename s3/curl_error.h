// SPDX-License-Identifier: Apache-2.0
//
// What libcurl's codes mean to us. Internal to the HTTP client.

#pragma once

#include <curl/curl.h>

#include <string>
#include <string_view>

#include "base/error.h"

namespace quayfs::s3 {

struct CurlFailure {
  Code code = Code::kUnavailable;
  std::string message;
};

/// `target` is host:port; `detail` is libcurl's own text, which may be empty. REQUIRES: code !=
/// CURLE_OK.
CurlFailure ExplainCurlCode(CURLcode code, std::string_view target, std::string_view detail);

}  // namespace quayfs::s3
