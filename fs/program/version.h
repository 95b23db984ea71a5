// SPDX-License-Identifier: Apache-2.0
//
// Which quayfs this is: the project's version, and the commit it was built from if that is known.

#pragma once

#include <string>

namespace quayfs {

/// "0.1.0+0123456789ab". Thread-safe.
const std::string& Version();

}  // namespace quayfs
