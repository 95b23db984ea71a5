// SPDX-License-Identifier: Apache-2.0

#include "fs/program/messages.h"

#include <fmt/format.h>

#include <chrono>
#include <cstdlib>

#include "base/clock.h"
#include "providers/profiles.h"

namespace quayfs::program {
namespace {

std::string Where(const MountConfig& config) {
  return config.path.empty() ? "the mount config" : config.path;
}

std::string EndpointOf(const MountConfig& config) {
  if (!config.store.endpoint.empty()) return config.store.endpoint;
  const std::string& region = config.store.region.empty() ? config.store.zone : config.store.region;
  return region.empty() ? config.store.provider
                        : fmt::format("{} ({})", config.store.provider, region);
}

/// What came from another place than the file is changed there.
std::string SecretPlace(const MountConfig& config, const std::string& key) {
  if (!config.keys_from.empty()) return config.keys_from;
  const auto source = config.secret_sources.find(key);
  if (source == config.secret_sources.end()) return fmt::format("{} in {}", key, Where(config));
  return fmt::format("{} = {} in {}", key, source->second, Where(config));
}

std::string ExplainCredentials(const Error& error, const MountConfig& config) {
  const std::string& code = error.detail().service_code;
  const std::string& key = config.store.credentials.access_key_id;
  const CredentialRules& rules = config.store.credential_rules;
  if (key.empty() && rules.from != CredentialRules::From::kNowhere) {
    return fmt::format("the credentials of {} did not help: {}; check credentials.source in {}",
                       DescribeCredentialRules(rules), error.message(), Where(config));
  }
  if (key.empty()) {
    return fmt::format(
        "the service wants credentials; set credentials.access_key_id and "
        "credentials.secret_access_key in {}",
        Where(config));
  }
  if (code == "InvalidAccessKeyId") {
    return fmt::format("the service does not know the access key '{}'; check {}", key,
                       SecretPlace(config, "credentials.access_key_id"));
  }
  if (code == "SignatureDoesNotMatch") {
    return fmt::format("the secret key does not belong to the access key '{}'; check {}", key,
                       SecretPlace(config, "credentials.secret_access_key"));
  }
  if (code == "ExpiredToken" || code == "TokenRefreshRequired" || code == "InvalidToken" ||
      code == "ExpiredTokenException") {
    return fmt::format("the session token has expired or is wrong; renew {}",
                       SecretPlace(config, "credentials.session_token"));
  }
  return fmt::format(
      "the service refused the access key '{}' or its secret; check {} ({})", key,
      config.keys_from.empty() ? "[credentials] in " + Where(config) : config.keys_from,
      error.message());
}

std::string ExplainDenied(const Error& error, const MountConfig& config) {
  constexpr std::string_view kWanted = "list, read, write and delete there";
  const std::string& key = config.store.credentials.access_key_id;
  const CredentialRules& rules = config.store.credential_rules;
  if (!key.empty() || rules.from != CredentialRules::From::kNowhere) {
    return fmt::format("{} may not use the bucket '{}'; allow it to {} ({})",
                       key.empty() ? "the key of " + DescribeCredentialRules(rules)
                                   : fmt::format("the access key '{}'", key),
                       config.store.bucket, kWanted, error.message());
  }
  return fmt::format(
      "without a key the bucket '{}' may not be used; set credentials.access_key_id and "
      "credentials.secret_access_key in {}, or allow everybody to {} ({})",
      config.store.bucket, Where(config), kWanted, error.message());
}

std::string ExplainClock(const Error& error) {
  std::string off = "far off";
  if (error.detail().server_time != 0) {
    const auto now =
        std::chrono::duration_cast<std::chrono::seconds>(SystemClock().Now().time_since_epoch())
            .count();
    const long long ahead = static_cast<long long>(now) - error.detail().server_time;
    off =
        fmt::format("{} s {} the service's", std::llabs(ahead), ahead >= 0 ? "ahead of" : "behind");
  }
  return fmt::format(
      "this machine's clock is {}; set it, for example with: timedatectl set-ntp true", off);
}

std::string ExplainRegion(const Error& error, const MountConfig& config) {
  if (!error.detail().region.empty()) {
    return fmt::format("the bucket '{}' is in region '{}'; set region = \"{}\" in {}",
                       config.store.bucket, error.detail().region, error.detail().region,
                       Where(config));
  }
  return fmt::format("the bucket '{}' is in another region; set region (or endpoint) in {} ({})",
                     config.store.bucket, Where(config), error.message());
}

std::string ExplainUnreachable(const Error& error, const MountConfig& config) {
  const std::string proxy = config.store.proxy.empty() ? "" : " and network.proxy";
  return fmt::format("cannot reach {}: {}; check endpoint{} in {} and the network",
                     EndpointOf(config), error.message(), proxy, Where(config));
}

std::string ExplainTrust(const Error& error, const MountConfig& config) {
  return fmt::format(
      "{}; set network.ca_file to the authority that signed it, or extended.Cert_thumbprint to pin "
      "this certificate, in {}",
      error.message(), Where(config));
}

std::string ExplainMissing(const Error& error, const MountConfig& config) {
  if (config.store.provider == "local") {
    return fmt::format("the directory {} is missing; create it, or change bucket in {}",
                       config.store.bucket, Where(config));
  }
  // The store's message may list the buckets that there are.
  const size_t owned = error.message().find("; these credentials own: ");
  const std::string others = owned == std::string::npos ? "" : error.message().substr(owned);
  return fmt::format("there is no bucket '{}' at {}; check bucket, region and endpoint in {}{}",
                     config.store.bucket, EndpointOf(config), Where(config), others);
}

std::string ExplainClass(const MountConfig& config) {
  std::string known;
  if (const auto profile = FindProfile(config.store.provider); profile.ok()) {
    for (const ProfileStorageClass& row : (*profile)->storage_classes)
      known += fmt::format("{}\"{}\"", known.empty() ? "; the vendor has " : ", ", row.name);
  }
  return fmt::format(
      "the service refuses the storage class '{}'; change storage_class in {}{}, not "
      "all of them everywhere",
      config.store.storage_class, Where(config), known);
}

std::string Explain(const Error& error, const MountConfig& config) {
  switch (error.code()) {
    case Code::kUnauthenticated:
      return ExplainCredentials(error, config);
    case Code::kPermissionDenied:
      if (config.store.provider == "local") return error.message();
      return ExplainDenied(error, config);
    case Code::kClockSkew:
      return ExplainClock(error);
    case Code::kWrongRegion:
      return ExplainRegion(error, config);
    case Code::kNotFound:
      return ExplainMissing(error, config);
    case Code::kUnavailable:
    case Code::kTimedOut:
      if (error.detail().service_code == "NoSuchBucket") return ExplainMissing(error, config);
      if (error.detail().http_status == 0) return ExplainUnreachable(error, config);
      return fmt::format("{} is in trouble: {}; try again later", EndpointOf(config),
                         error.message());
    case Code::kArchived:
      return fmt::format(
          "{}; it is archived: restore it with the vendor's console or tool (S3: RestoreObject), "
          "wait until that is done, and read it again; a class that can be read directly, such as "
          "\"Standard\", needs none of this",
          error.message());
    case Code::kThrottled:
      return fmt::format("{} asks for fewer requests; try again later ({})", EndpointOf(config),
                         error.message());
    case Code::kUntrusted:
      return ExplainTrust(error, config);
    case Code::kInvalidArgument:
      if (error.detail().service_code == "InvalidStorageClass") return ExplainClass(config);
      return fmt::format("{}; change it in {}", error.message(), Where(config));
    case Code::kNotSupported:
      return fmt::format("{}; change it in {}", error.message(), Where(config));
    default:
      return error.message();
  }
}

}  // namespace

std::string OneLine(std::string_view text) {
  std::string line;
  for (const char c : text) {
    if (c == '\n') {
      line += "; ";
    } else if (static_cast<unsigned char>(c) >= 0x20 && c != 0x7f) {
      line += c;
    }
  }
  return line;
}

std::string ExplainStoreError(const Error& error, const MountConfig& config) {
  return OneLine(Explain(error, config));
}

}  // namespace quayfs::program
