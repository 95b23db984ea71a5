// SPDX-License-Identifier: Apache-2.0

#include "s3/errors.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/text.h"
#include "s3/retry.h"
#include "s3/xml.h"

namespace quayfs::s3 {
namespace {

struct ServiceCodeRow {
  std::string_view service_code;
  Code code;
};

constexpr ServiceCodeRow kServiceCodes[] = {
    {"NoSuchKey", Code::kNotFound},
    {"NoSuchUpload", Code::kNotFound},
    {"NoSuchVersion", Code::kNotFound},
    {"NotFound", Code::kNotFound},
    {"NoSuchBucket", Code::kUnavailable},
    {"BucketAlreadyExists", Code::kAlreadyExists},
    {"BucketAlreadyOwnedByYou", Code::kAlreadyExists},

    {"PreconditionFailed", Code::kChanged},
    {"ConditionalRequestConflict", Code::kUnavailable},
    {"OperationAborted", Code::kUnavailable},

    {"AccessDenied", Code::kPermissionDenied},
    {"AccountProblem", Code::kPermissionDenied},
    {"AllAccessDisabled", Code::kPermissionDenied},
    {"MethodNotAllowed", Code::kNotSupported},
    {"NotImplemented", Code::kNotSupported},
    {"UserKeyMustBeSpecified", Code::kPermissionDenied},

    {"InvalidAccessKeyId", Code::kUnauthenticated},
    {"SignatureDoesNotMatch", Code::kUnauthenticated},
    {"InvalidSecurity", Code::kUnauthenticated},
    {"InvalidToken", Code::kUnauthenticated},
    {"ExpiredToken", Code::kUnauthenticated},
    {"ExpiredTokenException", Code::kUnauthenticated},
    {"TokenRefreshRequired", Code::kUnauthenticated},
    {"AuthorizationHeaderMalformed", Code::kUnauthenticated},
    {"AuthFailure", Code::kUnauthenticated},
    {"InvalidSignatureException", Code::kUnauthenticated},
    {"NotSignedUp", Code::kUnauthenticated},

    {"RequestTimeTooSkewed", Code::kClockSkew},
    {"RequestExpired", Code::kClockSkew},
    {"RequestInTheFuture", Code::kClockSkew},

    {"PermanentRedirect", Code::kWrongRegion},
    {"TemporaryRedirect", Code::kWrongRegion},
    {"Redirect", Code::kWrongRegion},
    {"IllegalLocationConstraintException", Code::kWrongRegion},
    {"IncorrectRegion", Code::kWrongRegion},

    {"InvalidObjectState", Code::kArchived},
    {"ObjectNotInActiveTierError", Code::kArchived},

    {"InvalidRange", Code::kInvalidArgument},
    {"EntityTooLarge", Code::kTooLarge},
    {"MaxMessageLengthExceeded", Code::kTooLarge},
    {"MetadataTooLarge", Code::kTooLarge},
    {"RequestHeaderSectionTooLarge", Code::kTooLarge},
    {"KeyTooLongError", Code::kNameTooLong},
    {"KeyTooLong", Code::kNameTooLong},

    {"QuotaExceeded", Code::kQuota},
    {"QuotaExceededException", Code::kQuota},
    {"StorageQuotaExceeded", Code::kQuota},
    {"XMinioAdminBucketQuotaExceeded", Code::kQuota},
    {"TooManyObjects", Code::kQuota},
    {"InsufficientStorage", Code::kNoSpace},
    {"InsufficientSpace", Code::kNoSpace},
    {"XMinioStorageFull", Code::kNoSpace},

    {"InternalError", Code::kUnavailable},
    {"ServiceUnavailable", Code::kUnavailable},
    {"RequestTimeout", Code::kUnavailable},
    {"RequestTimeoutException", Code::kUnavailable},
    {"PriorRequestNotComplete", Code::kUnavailable},
    {"IncompleteBody", Code::kUnavailable},
    {"BadDigest", Code::kCorrupt},
    {"XAmzContentSHA256Mismatch", Code::kCorrupt},
    {"XAmzContentChecksumMismatch", Code::kCorrupt},

    {"SlowDown", Code::kThrottled},
    {"SlowDownRead", Code::kThrottled},
    {"SlowDownWrite", Code::kThrottled},
    {"Throttling", Code::kThrottled},
    {"ThrottlingException", Code::kThrottled},
    {"ThrottledException", Code::kThrottled},
    {"RequestThrottled", Code::kThrottled},
    {"RequestThrottledException", Code::kThrottled},
    {"TooManyRequests", Code::kThrottled},
    {"TooManyRequestsException", Code::kThrottled},
    {"RequestLimitExceeded", Code::kThrottled},
    {"BandwidthLimitExceeded", Code::kThrottled},
    {"LimitExceededException", Code::kThrottled},
    {"ProvisionedThroughputExceededException", Code::kThrottled},

    // QingStor's own API (protocol.md 2.7).
    {"object_not_exists", Code::kNotFound},
    {"upload_not_exists", Code::kNotFound},
    {"bucket_not_exists", Code::kUnavailable},
    {"bucket_already_exists", Code::kAlreadyExists},
    {"access_denied", Code::kPermissionDenied},
    {"permission_denied", Code::kPermissionDenied},
    {"delinquent_account", Code::kPermissionDenied},
    {"bucket_not_active", Code::kPermissionDenied},
    {"invalid_access_key_id", Code::kUnauthenticated},
    {"signature_not_matched", Code::kUnauthenticated},
    {"request_expired", Code::kClockSkew},
    {"method_not_allowed", Code::kNotSupported},
    {"precondition_failed", Code::kChanged},
    {"invalid_range", Code::kInvalidArgument},
    {"invalid_object_state", Code::kArchived},
    {"invalid_object_name", Code::kNameTooLong},
    {"entity_too_large", Code::kTooLarge},
    {"metadata_too_large", Code::kTooLarge},
    {"bad_digest", Code::kCorrupt},
    {"incomplete_body", Code::kUnavailable},
    {"lease_not_ready", Code::kUnavailable},
    {"internal_error", Code::kUnavailable},
    {"service_unavailable", Code::kUnavailable},
    {"max_requests_exceeded", Code::kThrottled},
    {"fetch_throttled", Code::kThrottled},
};

// Readable and one line, whatever the service wrote.
std::string Clean(std::string_view text) {
  constexpr size_t kLimit = 300;
  std::string clean(text.substr(0, kLimit));
  std::replace_if(
      clean.begin(), clean.end(),
      [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, ' ');
  while (!clean.empty() && (clean.back() == '.' || clean.back() == ' ')) clean.pop_back();
  return clean;
}

std::string_view StatusPhrase(Code code) {
  switch (code) {
    case Code::kNotFound:
      return "there is no such object";
    case Code::kPermissionDenied:
      return "access denied";
    case Code::kUnauthenticated:
      return "the credentials were refused";
    case Code::kChanged:
      return "it is no longer the version that was asked for";
    case Code::kWrongRegion:
      return "the bucket is in another region";
    case Code::kThrottled:
      return "the service asks for fewer requests";
    case Code::kNotSupported:
      return "the service does not support this";
    case Code::kTooLarge:
      return "the service finds it too large";
    case Code::kNoSpace:
      return "the service has no space left";
    default:
      return "the service refused";
  }
}

// A region hidden in the endpoint that a redirect names: BUCKET.s3.REGION.amazonaws.com,
// s3-REGION.amazonaws.com.
std::string RegionOfEndpoint(std::string_view endpoint) {
  constexpr std::string_view kAws = ".amazonaws.com";
  if (!endpoint.ends_with(kAws)) return "";
  endpoint.remove_suffix(kAws.size());
  const std::vector<std::string_view> labels = Split(endpoint, '.');
  const std::string_view last = labels.back();
  if (last.starts_with("s3-")) return std::string(last.substr(3));
  if (labels.size() >= 2 && labels[labels.size() - 2] == "s3") return std::string(last);
  return "";
}

ServiceDetail MakeDetail(const ErrorReply& reply, const ErrorDocument& document) {
  ServiceDetail detail;
  detail.http_status = reply.status >= 200 && reply.status < 300 ? 500 : reply.status;
  detail.service_code = document.code;
  detail.request_id = reply.headers->Get(reply.dialect.names().request_id);
  if (detail.request_id.empty()) detail.request_id = document.request_id;
  detail.region = reply.headers->Get("x-amz-bucket-region");
  if (detail.region.empty()) detail.region = document.region;
  if (detail.region.empty()) detail.region = RegionOfEndpoint(document.endpoint);
  if (const std::optional<WallTime> time = ServerTime(*reply.headers, reply.body, reply.dialect)) {
    detail.server_time =
        std::chrono::duration_cast<std::chrono::seconds>(time->time_since_epoch()).count();
  }
  FillRetryAfter(*reply.headers, reply.now, &detail);
  return detail;
}

Code ChooseCode(const ServiceDetail& detail) {
  if (detail.service_code == "AuthorizationHeaderMalformed" && !detail.region.empty())
    return Code::kWrongRegion;
  if (const std::optional<Code> code = CodeForService(detail.service_code)) return *code;
  return CodeForStatus(detail.http_status);
}

}  // namespace

std::optional<Code> CodeForService(std::string_view service_code) {
  const auto* const row =
      std::find_if(std::begin(kServiceCodes), std::end(kServiceCodes),
                   [&](const ServiceCodeRow& r) { return r.service_code == service_code; });
  if (row == std::end(kServiceCodes)) return std::nullopt;
  return row->code;
}

Code CodeForStatus(int status) {
  switch (status) {
    case 301:
    case 302:
    case 303:
    case 307:
    case 308:
      return Code::kWrongRegion;
    case 304:
    case 412:
      return Code::kChanged;
    case 401:
    case 407:
      return Code::kUnauthenticated;
    case 403:
      return Code::kPermissionDenied;
    case 404:
    case 410:
      return Code::kNotFound;
    case 405:
    case 501:
      return Code::kNotSupported;
    case 408:
    case 409:
      return Code::kUnavailable;
    case 413:
    case 431:
      return Code::kTooLarge;
    case 414:
      return Code::kNameTooLong;
    case 429:
      return Code::kThrottled;
    case 507:
      return Code::kNoSpace;
    default:
      break;
  }
  if (status >= 500) return Code::kUnavailable;
  return status >= 400 ? Code::kInvalidArgument : Code::kInternal;
}

std::optional<WallTime> ServerTime(const HttpHeaders& headers, std::string_view body,
                                   const Dialect& dialect) {
  if (!body.empty()) {
    const std::optional<ErrorDocument> document = dialect.ParseError(body);
    if (document && !document->server_time.empty()) {
      if (const Result<WallTime> time = ParseIso(document->server_time)) return *time;
    }
  }
  if (const Result<WallTime> time = ParseHttpDate(headers.Get("date"))) return *time;
  return std::nullopt;
}

Error MakeServiceError(const ErrorReply& reply, std::string_view doing) {
  const ErrorDocument document = reply.dialect.ParseError(reply.body).value_or(ErrorDocument{});
  ServiceDetail detail = MakeDetail(reply, document);
  const Code code = ChooseCode(detail);
  std::string why = Clean(document.message);
  if (why.empty()) why = Clean(document.code);
  if (why.empty()) why = StatusPhrase(code);
  if (why.empty() || (document.code.empty() && detail.http_status == 400)) {
    why += " (without a reason; often the region is wrong)";
  }
  return Error(code, fmt::format("cannot {}: {}", doing, why), std::move(detail));
}

bool MayBeClockSkew(const ServiceDetail& detail) {
  static constexpr std::array<std::string_view, 8> kCodes = {
      "AuthFailure",        "InvalidSignatureException", "RequestExpired",
      "RequestInTheFuture", "RequestTimeTooSkewed",      "SignatureDoesNotMatch",
      "request_expired",    "signature_not_matched"};
  if (detail.service_code.empty()) return detail.http_status == 400 || detail.http_status == 403;
  return std::find(kCodes.begin(), kCodes.end(), detail.service_code) != kCodes.end();
}

bool MayBeWrongRegion(const Error& error) {
  if (error.code() == Code::kWrongRegion) return true;
  return error.detail().http_status == 400 && error.detail().service_code.empty() &&
         !error.detail().region.empty();
}

}  // namespace quayfs::s3
