// SPDX-License-Identifier: Apache-2.0
//
// The one place where an Error becomes an errno. protocol.md 3.11 gives the reasons for the
// doubtful ones.

#pragma once

#include "base/error.h"

namespace quayfs {

/// Never 0.
int ErrnoFor(Code code);
inline int ErrnoFor(const Error& error) { return ErrnoFor(error.code()); }

}  // namespace quayfs
