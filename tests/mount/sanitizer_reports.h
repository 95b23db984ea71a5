// SPDX-License-Identifier: Apache-2.0
//
// What a sanitizer has to say of the programs that tests start. A daemon in the background has no
// standard error anybody sees and no exit status anybody asks for; so reports go to files, and a
// file there at the end of a test fails it. Without a sanitizer nothing is ever written.

#pragma once

#include <string>
#include <vector>

namespace quayfs::mounttest {

/// This process' environment, and in it where reports go. For programs that tests start.
std::vector<std::string> ReportingEnvironment();

}  // namespace quayfs::mounttest
