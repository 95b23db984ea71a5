// SPDX-License-Identifier: Apache-2.0
//
// QingStor's signature, as the protocol text and its known answers say (protocol.md 2.2, 7.3);
// shares no code with the client's. Pure functions.

#pragma once

#include <string>

#include "tests/server/auth.h"

namespace quayfs::testserver {

/// `date` is what stands in the Date slot: the Date header, "" when X-QS-Date is sent, or the
/// `expires` of the query form.
std::string QsStringToSign(const AuthTarget& target, const std::string& date);
std::string QsSign(const std::string& secret, const std::string& string_to_sign);  // base64

/// Header form, query form, or nobody where that is allowed.
Outcome<Identity> AuthenticateQs(const AuthTarget& target, const AuthContext& context);

}  // namespace quayfs::testserver
