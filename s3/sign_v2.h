// SPDX-License-Identifier: Apache-2.0
//
// AWS Signature Version 2 for S3: header form and query form. It covers neither the body nor most
// headers; Content-MD5 is the only integrity it offers. Protocol facts and known answers:
// protocol.md 3.4 and 7.2. Pure functions.

#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "s3/config.h"
#include "s3/http.h"

namespace quayfs::s3 {

/// The canonical resource. `host_bucket` is the bucket that the Host header names ("" for path
/// style; for a host that is itself the name of a bucket, that host in lower case without port).
std::string CanonicalResourceV2(const HttpRequest& request, std::string_view host_bucket);

/// `date_slot` is the Date header, empty if x-amz-date is among the headers, or the expiry of the
/// query form.
std::string StringToSignV2(const HttpRequest& request, std::string_view host_bucket,
                           std::string_view date_slot);

/// Base64 of HMAC-SHA1.
std::string SignatureV2(std::string_view secret, std::string_view string_to_sign);

/// Sets Date (unless x-amz-date is there), the session token, and Authorization.
void SignV2(HttpRequest* request, const Credentials& credentials, std::string_view host_bucket,
            WallTime time);

/// Adds AWSAccessKeyId, Expires, Signature and the session token to the query. `expires` is Unix
/// seconds.
void PresignV2(HttpRequest* request, const Credentials& credentials, std::string_view host_bucket,
               int64_t expires);

}  // namespace quayfs::s3
