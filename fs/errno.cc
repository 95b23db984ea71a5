// SPDX-License-Identifier: Apache-2.0

#include "fs/errno.h"

#include <cerrno>

#include "base/check.h"

namespace quayfs {

int ErrnoFor(Code code) {
  switch (code) {
    case Code::kNotFound:
      return ENOENT;
    case Code::kAlreadyExists:
      return EEXIST;
    case Code::kChanged:
      return ESTALE;
    case Code::kNotDirectory:
      return ENOTDIR;
    case Code::kIsDirectory:
      return EISDIR;
    case Code::kNotEmpty:
      return ENOTEMPTY;
    case Code::kNameTooLong:
      return ENAMETOOLONG;
    case Code::kTooManyLinks:
      return EMLINK;
    case Code::kTooManySymlinks:
      return ELOOP;
    case Code::kReadOnly:
      return EROFS;
    case Code::kNotPermitted:
      return EPERM;
    case Code::kBusy:
      return EBUSY;
    case Code::kCrossDevice:
      return EXDEV;
    case Code::kNoAttribute:
      return ENODATA;
    case Code::kBufferTooSmall:
      return ERANGE;
    case Code::kBadHandle:
      return EBADF;
    case Code::kInvalidArgument:
      return EINVAL;
    case Code::kNotSupported:
      return ENOTSUP;
    case Code::kTooLarge:
      return EFBIG;
    case Code::kPermissionDenied:
    case Code::kUnauthenticated:
      return EACCES;
    case Code::kTimedOut:
      return ETIMEDOUT;
    case Code::kWouldBlock:
      return EAGAIN;
    case Code::kCancelled:
      return EINTR;
    case Code::kNoSpace:
      return ENOSPC;
    case Code::kQuota:
      return EDQUOT;
    // Nothing POSIX has a better word for; the log line says what happened.
    case Code::kClockSkew:
    case Code::kWrongRegion:
    case Code::kUnavailable:
    case Code::kThrottled:
    case Code::kUntrusted:
    case Code::kArchived:
    case Code::kCorrupt:
    case Code::kIo:
    case Code::kInternal:
      return EIO;
  }
  QUAY_CHECK(false);
}

}  // namespace quayfs
