// SPDX-License-Identifier: Apache-2.0
//
// The form of URLs in a config, and how to show one that may hold a password. Pure functions;
// whether anything listens there is not their business.

#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace quayfs {

/// What ParseEndpoint accepts (providers/endpoint.h). Gives it back with the scheme in lower case
/// and without '/' at the end. kInvalidArgument; the message never shows a user name or password.
Result<std::string> NormalizeEndpoint(std::string_view text);

/// A proxy's URL: http, https, socks4, socks4a, socks5 or socks5h. The message never shows the
/// text.
Status CheckProxy(std::string_view text);

/// A user name or password may stand in front of the host.
bool HasUserInfo(std::string_view url);

/// The URL with "***" for a user name and password.
std::string WithoutUserInfo(std::string_view url);

}  // namespace quayfs
