// SPDX-License-Identifier: Apache-2.0

#include "base/error.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

namespace quayfs {
namespace {

struct ErrnoCode {
  int errnum;
  Code code;
};

constexpr ErrnoCode kErrnoCodes[] = {
    {ENOENT, Code::kNotFound},
    {EEXIST, Code::kAlreadyExists},
    {ESTALE, Code::kChanged},
    {ENOTDIR, Code::kNotDirectory},
    {EISDIR, Code::kIsDirectory},
    {ENOTEMPTY, Code::kNotEmpty},
    {ENAMETOOLONG, Code::kNameTooLong},
    {EMLINK, Code::kTooManyLinks},
    {ELOOP, Code::kTooManySymlinks},
    {EROFS, Code::kReadOnly},
    {EPERM, Code::kNotPermitted},
    {EBUSY, Code::kBusy},
    {ETXTBSY, Code::kBusy},
    {EXDEV, Code::kCrossDevice},
    {ENODATA, Code::kNoAttribute},
    {ERANGE, Code::kBufferTooSmall},
    {EBADF, Code::kBadHandle},
    {EINVAL, Code::kInvalidArgument},
    {ENOTSUP, Code::kNotSupported},
    {ENOSYS, Code::kNotSupported},
    {ENOTTY, Code::kNotSupported},
    {EFBIG, Code::kTooLarge},
    {EOVERFLOW, Code::kTooLarge},
    {E2BIG, Code::kTooLarge},
    {EACCES, Code::kPermissionDenied},
    {ECONNREFUSED, Code::kUnavailable},
    {ECONNRESET, Code::kUnavailable},
    {ECONNABORTED, Code::kUnavailable},
    {ENOTCONN, Code::kUnavailable},
    {EPIPE, Code::kUnavailable},
    {EHOSTUNREACH, Code::kUnavailable},
    {EHOSTDOWN, Code::kUnavailable},
    {ENETUNREACH, Code::kUnavailable},
    {ENETDOWN, Code::kUnavailable},
    {ENETRESET, Code::kUnavailable},
    {EADDRNOTAVAIL, Code::kUnavailable},
    {EMFILE, Code::kUnavailable},
    {ENFILE, Code::kUnavailable},
    {ENOMEM, Code::kUnavailable},
    {ENOBUFS, Code::kUnavailable},
    {ETIMEDOUT, Code::kTimedOut},
    {EAGAIN, Code::kWouldBlock},
    {EINTR, Code::kCancelled},
    {ECANCELED, Code::kCancelled},
    {ENOSPC, Code::kNoSpace},
    {EDQUOT, Code::kQuota},
};

Code CodeForErrno(int errnum) {
  for (const ErrnoCode& entry : kErrnoCodes) {
    if (entry.errnum == errnum) return entry.code;
  }
  return Code::kIo;
}

// strerror_r comes in two shapes; overloading on what it returns serves both.
[[maybe_unused]] const char* ErrorText(const char* text, const char* /*buffer*/) { return text; }
[[maybe_unused]] const char* ErrorText(int failed, const char* buffer) {
  return failed == 0 ? buffer : "unknown error";
}

}  // namespace

std::string_view CodeName(Code code) {
  switch (code) {
    case Code::kNotFound:
      return "not_found";
    case Code::kAlreadyExists:
      return "already_exists";
    case Code::kChanged:
      return "changed";
    case Code::kNotDirectory:
      return "not_directory";
    case Code::kIsDirectory:
      return "is_directory";
    case Code::kNotEmpty:
      return "not_empty";
    case Code::kNameTooLong:
      return "name_too_long";
    case Code::kTooManyLinks:
      return "too_many_links";
    case Code::kTooManySymlinks:
      return "too_many_symlinks";
    case Code::kReadOnly:
      return "read_only";
    case Code::kNotPermitted:
      return "not_permitted";
    case Code::kBusy:
      return "busy";
    case Code::kCrossDevice:
      return "cross_device";
    case Code::kNoAttribute:
      return "no_attribute";
    case Code::kBufferTooSmall:
      return "buffer_too_small";
    case Code::kBadHandle:
      return "bad_handle";
    case Code::kInvalidArgument:
      return "invalid_argument";
    case Code::kNotSupported:
      return "not_supported";
    case Code::kTooLarge:
      return "too_large";
    case Code::kPermissionDenied:
      return "permission_denied";
    case Code::kUnauthenticated:
      return "unauthenticated";
    case Code::kClockSkew:
      return "clock_skew";
    case Code::kWrongRegion:
      return "wrong_region";
    case Code::kUnavailable:
      return "unavailable";
    case Code::kThrottled:
      return "throttled";
    case Code::kTimedOut:
      return "timed_out";
    case Code::kWouldBlock:
      return "would_block";
    case Code::kCancelled:
      return "cancelled";
    case Code::kUntrusted:
      return "untrusted";
    case Code::kNoSpace:
      return "no_space";
    case Code::kQuota:
      return "quota";
    case Code::kArchived:
      return "archived";
    case Code::kCorrupt:
      return "corrupt";
    case Code::kIo:
      return "io";
    case Code::kInternal:
      return "internal";
  }
  return "unknown";
}

const ServiceDetail& Error::detail() const {
  static const ServiceDetail* const kNothing = new ServiceDetail();
  return detail_ ? *detail_ : *kNothing;
}

Error Error::WithContext(std::string_view context) const {
  Error result = *this;
  result.message_.insert(0, std::string(context) + ": ");
  return result;
}

std::string Error::ToString() const {
  std::string text(CodeName(code_));
  text += ": ";
  text += message_;
  const ServiceDetail& said = detail();
  std::string extra = said.service_code;
  const auto add = [&extra](const std::string& piece) {
    if (!extra.empty()) extra += ", ";
    extra += piece;
  };
  if (said.http_status != 0) add("HTTP " + std::to_string(said.http_status));
  if (!said.request_id.empty()) add("request " + said.request_id);
  if (!extra.empty()) text += " (" + extra + ")";
  return text;
}

Error ErrnoError(int errnum, std::string_view what) {
  std::array<char, 256> buffer{};
  const char* text = ErrorText(strerror_r(errnum, buffer.data(), buffer.size()), buffer.data());
  std::string message(what);
  message += ": ";
  message += text;
  return {CodeForErrno(errnum), std::move(message)};
}

}  // namespace quayfs
