// SPDX-License-Identifier: Apache-2.0

#include "mount-configs/extended_parameters.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/text.h"
#include "mount-configs/options.h"
#include "mount-configs/values.h"

namespace quayfs {
namespace {

constexpr std::string_view kSection = "extended";
constexpr size_t kSha1Digits = 40;
constexpr size_t kSha256Digits = 64;

// Marks that take no place on the screen and come along when a thumbprint is copied from a dialog,
// in UTF-8: soft hyphen, U+200B to U+200F, U+202A to U+202E, U+2060, U+FEFF, and the no-break
// space.
constexpr std::array<std::string_view, 15> kInvisible = {
    "\xC2\xAD",     "\xC2\xA0",     "\xE2\x80\x8B", "\xE2\x80\x8C", "\xE2\x80\x8D",
    "\xE2\x80\x8E", "\xE2\x80\x8F", "\xE2\x80\xAA", "\xE2\x80\xAB", "\xE2\x80\xAC",
    "\xE2\x80\xAD", "\xE2\x80\xAE", "\xE2\x81\xA0", "\xEF\xBB\xBF", "\xE2\x80\xAF"};

bool IsHexDigit(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/// Bytes of something to be skipped at the start of `text`; 0 if it must count.
size_t SkippedLength(std::string_view text) {
  if (text.front() == ' ' || text.front() == '\t' || text.front() == ':' || text.front() == '-') {
    return 1;
  }
  const auto* const mark =
      std::find_if(kInvisible.begin(), kInvisible.end(),
                   [text](std::string_view each) { return text.substr(0, each.size()) == each; });
  return mark == kInvisible.end() ? 0 : mark->size();
}

bool IsName(std::string_view name, std::string_view parameter) {
  return EqualsIgnoreCase(name, parameter);
}

std::string UnknownName(std::string_view name) {
  std::vector<std::string> known;
  for (const Option& option : AllOptions()) {
    if (option.is_extended()) known.emplace_back(option.key);
  }
  std::string text = fmt::format("unknown extended parameter '{}' is ignored", name);
  const std::string nearest = NearestName(name, known);
  if (!nearest.empty()) text += fmt::format(", did you mean '{}'?", nearest);
  return text;
}

Status SetThumbprint(std::string_view value, MountConfig& config) {
  QUAY_ASSIGN(config.store.certificate_thumbprint, NormalizeThumbprint(value));
  return {};
}

Status SetOne(const Option& option, std::string_view value, MountConfig& config) {
  if (option.key == "Cert_thumbprint") return SetThumbprint(value, config);
  const bool versioned = option.key == "SignatureVersion" && value.size() == 2 &&
                         (value.front() == 'v' || value.front() == 'V');
  return SetFromText(option, versioned ? value.substr(1) : value, config);
}

bool IsPlainHttp(std::string_view endpoint) {
  return EqualsIgnoreCase(endpoint.substr(0, 7), "http://");
}

}  // namespace

std::vector<ExtendedParameter> SplitExtendedParameters(std::string_view text,
                                                       ExtendedFindings& findings) {
  std::vector<ExtendedParameter> parameters;
  for (const std::string_view segment : Split(text, ';')) {
    const std::string_view piece = TrimBlanks(segment);
    if (piece.empty()) continue;
    const size_t equals = piece.find('=');
    const std::string name(TrimBlanks(piece.substr(0, equals)));
    if (equals == std::string_view::npos) {
      findings.errors.push_back(
          fmt::format("extended parameter '{}' has no value, write {}=VALUE", name, name));
    } else if (name.empty()) {
      findings.errors.emplace_back("an extended parameter has a value but no name");
    } else {
      parameters.push_back({name, std::string(TrimBlanks(piece.substr(equals + 1)))});
    }
  }
  return parameters;
}

void ApplyExtendedParameters(const std::vector<ExtendedParameter>& parameters, MountConfig& config,
                             ExtendedFindings& findings) {
  for (const ExtendedParameter& parameter : parameters) {
    const Option* option = FindOption(kSection, parameter.name);
    if (option == nullptr) {
      findings.warnings.push_back(UnknownName(parameter.name));
      continue;
    }
    if (!findings.seen.insert(ToLower(parameter.name)).second) {
      findings.warnings.push_back(
          fmt::format("extended parameter '{}' is given twice, the last one counts", option->key));
    }
    const Status set = SetOne(*option, parameter.value, config);
    if (set) continue;
    if (IsName(option->key, "RetryMode")) {
      config.store.retry_mode = s3::RetryMode::kLegacy;
      findings.warnings.push_back(
          fmt::format("extended parameter 'RetryMode' {}; Legacy is used", set.error().message()));
    } else {
      findings.errors.push_back(
          fmt::format("extended parameter '{}' {}", option->key, set.error().message()));
    }
  }
}

void CheckExtendedParameters(MountConfig& config, ExtendedFindings& findings) {
  StoreConfig& store = config.store;
  const bool plain_http = IsPlainHttp(store.endpoint);
  const bool pinned = !store.certificate_thumbprint.empty();
  if (pinned && plain_http) {
    findings.errors.emplace_back(
        "extended parameter 'Cert_thumbprint' needs an endpoint that begins with https://");
  }
  if (pinned && store.allow_insecure_tls) {
    findings.warnings.emplace_back(
        "Allow_Insecure_SSL has no effect beside Cert_thumbprint: only the certificate with that "
        "thumbprint is accepted");
  } else if (store.allow_insecure_tls && !plain_http) {
    findings.warnings.emplace_back(
        "Allow_Insecure_SSL: the server's certificate is not checked; Cert_thumbprint is safer");
  }
  if (!store.unsigned_payload.value_or(false)) return;
  if (store.signature_version == s3::SignatureVersion::kV2) {
    findings.warnings.emplace_back(
        "Use_UnsignedPayload is ignored: signature version 2 never covers the body");
    store.unsigned_payload.reset();
  } else if (plain_http) {
    findings.warnings.emplace_back(
        "Use_UnsignedPayload is ignored over http://, where nothing else protects the body");
    store.unsigned_payload.reset();
  }
}

Result<std::string> NormalizeThumbprint(std::string_view text) {
  const Error bad(
      Code::kInvalidArgument,
      fmt::format(
          "must be the 40 (SHA-1) or 64 (SHA-256) hex digits of a certificate's thumbprint, not {}",
          QuoteToml(text.substr(0, 2 * kSha256Digits))));
  std::string digits;
  while (!text.empty()) {
    const size_t skipped = SkippedLength(text);
    if (skipped == 0) {
      if (!IsHexDigit(text.front())) return bad;
      digits += text.front();
    }
    text.remove_prefix(std::max<size_t>(skipped, 1));
  }
  if (digits.size() != kSha1Digits && digits.size() != kSha256Digits) return bad;
  return ToLower(digits);
}

}  // namespace quayfs
