// SPDX-License-Identifier: Apache-2.0
//
// The signatures of Kodo's native API (protocol.md 1.6): what is signed, and how it is written.
// Pure functions.

#pragma once

#include <string>
#include <string_view>

#include "s3/config.h"
#include "s3/http.h"

namespace quayfs::kodo {

inline constexpr std::string_view kFormType = "application/x-www-form-urlencoded";

/// Base64 with '-' and '_', padded.
std::string UrlSafeBase64(std::string_view raw);

/// An object as paths name it: "bucket:key", encoded.
std::string EncodedEntry(std::string_view bucket, std::string_view key);

/// "ACCESSKEY:SIGNATURE" of any text: HMAC-SHA1.
std::string SignText(const s3::Credentials& keys, std::string_view text);

/// The older form ("QBox"): path, query and, of a form, the body.
std::string QboxText(const s3::HttpRequest& request, std::string_view body);

/// The newer form ("Qiniu"): method, path, query, Host, Content-Type, X-Qiniu-* headers and, of a
/// form or a JSON document, the body. A request without Content-Type counts as a form.
/// REQUIRES: Host is set.
std::string QiniuText(const s3::HttpRequest& request, std::string_view body);

/// Sets Authorization in the newer form, and Content-Type if there is none. REQUIRES: Host is set;
/// `body` is all of the request's.
void Sign(s3::HttpRequest* request, const s3::Credentials& keys, std::string_view body);

}  // namespace quayfs::kodo
