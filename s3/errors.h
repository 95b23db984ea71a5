// SPDX-License-Identifier: Apache-2.0
//
// From a reply that is no success to an Error (protocol.md 3.2, 3.3, 3.7, 3.11).
//
// The service's code says more than the status and is looked up first; the status decides where
// there is no code (a HEAD has no body) or an unknown one. What the service said goes into
// Error::detail unchanged.
//
// A missing bucket (NoSuchBucket) is kUnavailable, not kNotFound: it must never read as "this
// object is gone" to a caller that asked about an object. Client::HeadBucket, which asks about the
// bucket, says kNotFound.

#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/error.h"
#include "s3/dialect.h"
#include "s3/http.h"

namespace quayfs::s3 {

/// The Code for a service code, "" or unknown: nothing.
std::optional<Code> CodeForService(std::string_view service_code);
/// The Code for a bare status. REQUIRES: not a 2xx.
Code CodeForStatus(int status);

struct ErrorReply {
  int status = 0;
  const HttpHeaders* headers = nullptr;
  std::string_view body;
  WallTime now{};  // for Retry-After as a date
  const Dialect& dialect = S3Dialect();
};

/// `doing` begins the message: "read object 'a/b'". A 2xx in `reply` is an error hidden in a
/// success and counts as a 500.
Error MakeServiceError(const ErrorReply& reply, std::string_view doing);

/// The server's clock: <ServerTime> of an error, else the Date header; nothing if neither can be
/// read.
std::optional<WallTime> ServerTime(const HttpHeaders& headers, std::string_view body,
                                   const Dialect& dialect = S3Dialect());

/// Whether a clock that is wrong could be behind this: by code, or a 400 or 403 without one.
bool MayBeClockSkew(const ServiceDetail& detail);
/// Whether a wrong region could be behind this.
bool MayBeWrongRegion(const Error& error);

}  // namespace quayfs::s3
