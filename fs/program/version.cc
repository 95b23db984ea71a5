// SPDX-License-Identifier: Apache-2.0
//
// The only file that is compiled anew for each commit.

#include "fs/program/version.h"

namespace quayfs {

const std::string& Version() {
  static const std::string version = QUAYFS_VERSION;
  return version;
}

}  // namespace quayfs
