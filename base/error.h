// SPDX-License-Identifier: Apache-2.0
//
// What went wrong, in terms of what the caller can do about it.
//
// A Code is chosen where a failure is first understood (an HTTP reply, a system call, a rule of the
// file system) and is carried unchanged to the boundary. Turning a Code into an errno happens in
// one place, fs/errno.h.

#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace quayfs {

enum class Code {
  // The thing named is not there, or is already there.
  kNotFound,
  kAlreadyExists,
  // The object or file is no longer the version that the caller named (HTTP 412, a changed ETag).
  kChanged,

  // Rules of a file system.
  kNotDirectory,
  kIsDirectory,
  kNotEmpty,
  kNameTooLong,
  kTooManyLinks,
  kTooManySymlinks,
  kReadOnly,
  kNotPermitted,  // EPERM: not allowed to anybody here, or only to the owner
  kBusy,
  kCrossDevice,
  kNoAttribute,
  kBufferTooSmall,
  kBadHandle,

  // The request itself is wrong and will be wrong the next time too.
  kInvalidArgument,
  kNotSupported,
  kTooLarge,

  // Access.
  kPermissionDenied,  // the credentials are good, this is not allowed to them
  kUnauthenticated,   // unknown key, wrong secret, expired token
  kClockSkew,         // the server refused the date of the signature
  kWrongRegion,       // the bucket lives elsewhere; Error::region says where, if known

  // Worth trying again, by somebody, later.
  kUnavailable,  // no connection, 5xx, a broken transfer
  kThrottled,    // the service asks for fewer requests
  kTimedOut,
  kWouldBlock,  // the answer needs the network and the caller said that it may not wait

  // Not worth trying again.
  kCancelled,
  kUntrusted,  // TLS: certificate, name or thumbprint refused
  kNoSpace,
  kQuota,
  kArchived,  // the object must be restored before it can be read
  kCorrupt,   // checksum, length or format is wrong
  kIo,        // the local disk
  kInternal,  // a defect of ours, or a reply nobody understands
};

/// The name of a code as it appears in logs: "not_found", "changed", ...
std::string_view CodeName(Code code);

/// What an object store said about a failure. All fields may be empty.
struct ServiceDetail {
  int http_status = 0;       // 0: there was no reply
  std::string service_code;  // such as "NoSuchKey"
  std::string request_id;
  std::string region;             // where the bucket really is
  long long server_time = 0;      // Unix seconds by the server's clock, 0 if unknown
  long long retry_after_ms = 0;   // what the server asked for, 0 if nothing
  bool retry_after_soft = false;  // a hint that the client's own backoff bounds, not a demand
  bool request_not_sent =
      false;  // no byte of the request left this machine: it was certainly not carried out
};

/// A failure: a code, one readable sentence without a trailing full stop, and perhaps what the
/// service said. Cheap to move; immutable once made except for context added in front.
/// Thread-compatible.
class Error {
 public:
  Error(Code code, std::string message) : code_(code), message_(std::move(message)) {}
  Error(Code code, std::string message, ServiceDetail detail)
      : code_(code),
        message_(std::move(message)),
        detail_(std::make_shared<const ServiceDetail>(std::move(detail))) {}

  Code code() const { return code_; }
  const std::string& message() const { return message_; }

  /// Never null in effect: an empty detail stands in where the service said nothing.
  const ServiceDetail& detail() const;

  /// The same failure with "context: " in front of its message.
  Error WithContext(std::string_view context) const;

  /// "not_found: no object 'a/b' (NoSuchKey, HTTP 404, request 12AB)". For logs and terminals.
  std::string ToString() const;

 private:
  Code code_;
  std::string message_;
  std::shared_ptr<const ServiceDetail> detail_;
};

/// An Error for a failed system call: picks the Code for `errnum` and appends the system's own
/// text.
Error ErrnoError(int errnum, std::string_view what);

}  // namespace quayfs
