// SPDX-License-Identifier: Apache-2.0
//
// AWS Signature Version 2 for S3 (protocol.md 3.4). Pure functions.

#pragma once

#include <string>

#include "tests/server/auth.h"

namespace quayfs::testserver {

/// `date` is what stands in the Date slot: the Date header, "" when x-amz-date is sent, or the
/// Expires of the query form.
std::string V2StringToSign(const AuthTarget& target, const std::string& date);
std::string V2Sign(const std::string& secret, const std::string& string_to_sign);  // base64

Outcome<Identity> VerifyV2Header(const AuthTarget& target, const AuthContext& context);
Outcome<Identity> VerifyV2Query(const AuthTarget& target, const AuthContext& context);

}  // namespace quayfs::testserver
