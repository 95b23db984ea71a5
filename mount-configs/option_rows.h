// SPDX-License-Identifier: Apache-2.0
//
// The rows of the option table, by subject; put together in options.cc. Not for anybody else.

#pragma once

#include <vector>

#include "mount-configs/options.h"

namespace quayfs {

std::vector<Option> StoreRows();
std::vector<Option> CredentialRows();
std::vector<Option> ExtendedRows();
std::vector<Option> LocalRows();
std::vector<Option> TransferRows();
std::vector<Option> NetworkRows();
std::vector<Option> MountRows();

}  // namespace quayfs
