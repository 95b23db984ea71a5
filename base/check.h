// SPDX-License-Identifier: Apache-2.0
//
// Checks for mistakes of the programmer, never for input: QUAY_CHECK is always on and ends the
// process with the place and the expression; QUAY_DCHECK is compiled in debug builds only and may
// be expensive.

#pragma once

namespace quayfs {

[[noreturn]] void CheckFailed(const char* file, int line, const char* expression);

}  // namespace quayfs

#define QUAY_CHECK(condition)                          \
  (static_cast<bool>(condition) ? static_cast<void>(0) \
                                : ::quayfs::CheckFailed(__FILE__, __LINE__, #condition))

#ifdef NDEBUG
#define QUAY_DCHECK(condition) static_cast<void>(sizeof(static_cast<bool>(condition)))
#else
#define QUAY_DCHECK(condition) QUAY_CHECK(condition)
#endif
