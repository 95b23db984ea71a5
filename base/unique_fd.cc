// SPDX-License-Identifier: Apache-2.0

#include "base/unique_fd.h"

#include <unistd.h>

#include <cerrno>

namespace quayfs {

void UniqueFd::Reset(int fd) {
  const int old = std::exchange(fd_, fd);
  if (old < 0 || old == fd) return;
  // Descriptors go on the way out of failed calls, whose errno somebody still wants. An EINTR from
  // close is not retried: Linux has released the number by then.
  const int saved = errno;
  ::close(old);
  errno = saved;
}

}  // namespace quayfs
