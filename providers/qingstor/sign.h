// SPDX-License-Identifier: Apache-2.0
//
// QingStor's signature: header form and query form. Like SigV2 it covers neither the body nor most
// headers; Content-MD5 guards the body. Protocol facts and known answers: protocol.md 2.2 and 7.3.
// Pure functions.

#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "s3/config.h"
#include "s3/http.h"

namespace quayfs::qingstor {

/// `host_bucket` is the bucket that the Host header names, "" for path style. `date_slot` is the
/// Date header ("" if X-QS-Date is among the headers), or the expiry of the query form.
std::string StringToSign(const s3::HttpRequest& request, std::string_view host_bucket,
                         std::string_view date_slot);

/// Base64 of HMAC-SHA256.
std::string Signature(std::string_view secret, std::string_view string_to_sign);

/// Sets Date (unless X-QS-Date is there) and Authorization.
void Sign(s3::HttpRequest* request, const s3::Credentials& credentials,
          std::string_view host_bucket, WallTime time);

/// Adds access_key_id, expires and signature to the query. `expires` is Unix seconds.
void Presign(s3::HttpRequest* request, const s3::Credentials& credentials,
             std::string_view host_bucket, int64_t expires);

}  // namespace quayfs::qingstor
