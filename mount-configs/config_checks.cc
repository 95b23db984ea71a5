// SPDX-License-Identifier: Apache-2.0

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "base/text.h"
#include "mount-configs/loading.h"
#include "mount-configs/url_text.h"
#include "mount-configs/values.h"
#include "providers/profiles.h"

namespace quayfs {
namespace {

constexpr std::string_view kConfigSuffix = ".toml";

/// "/etc/quayfs/nightly.toml" -> "nightly".
std::string NameFromPath(const std::string& path) {
  const size_t slash = path.rfind('/');
  std::string name = slash == std::string::npos ? path : path.substr(slash + 1);
  const size_t keep = name.size() - std::min(name.size(), kConfigSuffix.size());
  if (keep > 0 && name.substr(keep) == kConfigSuffix) name.resize(keep);
  return name;
}

void CheckName(Loading& loading) {
  std::string& name = loading.config.name;
  if (name.empty()) name = NameFromPath(loading.config.path);
  if (name.find('/') != std::string::npos || name == "." || name == "..") {
    loading.AddProblem(loading.OriginOf("", "name"), "'name' must not be a path");
  }
}

void CheckBucket(Loading& loading) {
  StoreConfig& store = loading.config.store;
  if (store.bucket.empty()) {
    if (loading.IsGiven("", "bucket")) return;
    loading.AddProblem({}, "missing key 'bucket': the bucket that is to be mounted");
  } else if (store.provider == "local") {
    store.bucket = loading.AbsolutePath(store.bucket);
  } else if (store.bucket.find('/') != std::string::npos) {
    loading.AddProblem(loading.OriginOf("", "bucket"),
                       "'bucket' must be the name of a bucket alone; what follows the '/' belongs "
                       "into 'prefix'");
  }
}

void CheckPrefix(Loading& loading) {
  std::string& prefix = loading.config.prefix;
  if (prefix.empty()) return;
  const Origin origin = loading.OriginOf("", "prefix");
  if (prefix.front() == '/') {
    loading.AddProblem(origin, "'prefix' must not begin with '/'");
    return;
  }
  if (prefix.back() != '/') prefix += '/';
  loading.config.store.scratch_prefix = prefix;
  for (const std::string_view part :
       Split(std::string_view(prefix).substr(0, prefix.size() - 1), '/')) {
    if (!part.empty() && part != "." && part != "..") continue;
    loading.AddProblem(origin, "'prefix' must not hold an empty part, '.' or '..'");
    return;
  }
}

void CheckEndpoint(Loading& loading) {
  std::string& endpoint = loading.config.store.endpoint;
  if (endpoint.empty()) return;
  Result<std::string> normal = NormalizeEndpoint(endpoint);
  if (normal) {
    endpoint = *std::move(normal);
  } else {
    loading.AddProblem(loading.OriginOf("", "endpoint"), normal.error().message());
  }
}

void CheckZone(Loading& loading) {
  const std::string& zone = loading.config.store.zone;
  const bool good = std::all_of(zone.begin(), zone.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  });
  if (!good) {
    loading.AddProblem(loading.OriginOf("", "zone"),
                       "'zone' must be a label of a-z, 0-9 and '-' such as \"pek3a\"");
  }
}

void CheckEncryption(Loading& loading) {
  const StoreConfig& store = loading.config.store;
  if (!store.sse_kms_key_id.empty() && store.sse != "aws:kms") {
    loading.AddProblem(loading.OriginOf("", "sse_kms_key_id"),
                       "'sse_kms_key_id' needs sse = \"aws:kms\"");
  }
  if (loading.IsGiven("credentials", "sse_customer_key") && !store.sse.empty()) {
    loading.AddProblem(loading.OriginOf("credentials", "sse_customer_key"),
                       "'credentials.sse_customer_key' and 'sse' exclude each "
                       "other");
  }
  if (!store.sse.empty() && store.provider == "kodo") {
    loading.AddWarning(loading.OriginOf("", "sse"), "Kodo may ignore 'sse'");
  }
  if (store.requester_pays && store.provider == "kodo") {
    loading.AddWarning(loading.OriginOf("", "requester_pays"),
                       "Kodo does not document 'requester_pays' and may ignore it: its owner may "
                       "pay all the same");
  }
}

void WarnOfArchive(Loading& loading) {
  const std::string& storage_class = loading.config.store.storage_class;
  for (const std::string_view archive : {"Archive", "Deep Archive", "GLACIER", "Cold Archive"}) {
    if (!SameChoice(storage_class, archive)) continue;
    loading.AddWarning(loading.OriginOf("", "storage_class"),
                       fmt::format("objects of class '{}' must be restored before they can be read "
                                   "again, and are billed for a minimum time",
                                   storage_class));
    return;
  }
}

void CheckRetries(Loading& loading) {
  MountConfig& config = loading.config;
  if (!config.connection_retries) return;
  const bool both = loading.IsGiven("network", "connection_retries") &&
                    loading.IsGiven("extended", "RetryCount") &&
                    config.store.retry_count != config.connection_retries;
  if (both) {
    loading.AddProblem(loading.OriginOf("network", "connection_retries"),
                       "'network.connection_retries' and 'extended.RetryCount' are the same thing "
                       "and differ");
  } else if (!loading.IsGiven("extended", "RetryCount")) {
    config.store.retry_count = config.connection_retries;
  }
}

void CheckNetwork(Loading& loading) {
  StoreConfig& store = loading.config.store;
  for (std::string* path : {&store.ca_file, &store.client_certificate, &store.client_key}) {
    *path = loading.AbsolutePath(*path);
  }
  const bool has_key = loading.IsGiven("network", "client_key");
  if (has_key != loading.IsGiven("network", "client_certificate")) {
    loading.AddProblem(loading.OriginOf("network", has_key ? "client_key" : "client_certificate"),
                       "'network.client_certificate' and 'network.client_key' are needed together");
  }
  const Origin headers = loading.OriginOf("network", "headers");
  for (const s3::HttpHeader& header : store.extra_headers) {
    if (IsSecretName(header.name)) loading.NoteInlineSecret(headers, "network.headers");
  }
  if (store.proxy.empty()) return;
  const Origin origin = loading.OriginOf("network", "proxy");
  const Status proxy = CheckProxy(store.proxy);
  if (!proxy) {
    loading.AddProblem(origin, fmt::format("'network.proxy' {}", proxy.error().message()));
  }
  if (HasUserInfo(store.proxy)) loading.NoteInlineSecret(origin, "network.proxy");
}

void CheckCacheDirectory(Loading& loading) {
  std::string& directory = loading.config.cache.directory;
  if (!directory.empty()) {
    directory = loading.AbsolutePath(directory);
    return;
  }
  const Environment& environment = loading.environment();
  const std::string home = environment("HOME").value_or("");
  const std::string user_cache = environment("XDG_CACHE_HOME").value_or("");
  if (geteuid() == 0) {
    directory = "/var/cache/quayfs/" + loading.config.name;
  } else if (!user_cache.empty() && user_cache.front() == '/') {
    directory = user_cache + "/quayfs/" + loading.config.name;
  } else if (!home.empty() && home.front() == '/') {
    directory = home + "/.cache/quayfs/" + loading.config.name;
  } else {
    loading.AddProblem({},
                       "missing key 'cache.directory': there is no home directory to put it in");
  }
}

/// True if the value in effect keeps to a limit that only this provider has.
bool KeepsLimit(const Option& option, std::string_view limit_text, bool is_minimum,
                const MountConfig& config) {
  if (limit_text.empty()) return true;
  const auto* const field = std::get_if<uint64_t& (*)(MountConfig&)>(&option.binding);
  const Result<uint64_t> limit = ParseSize(limit_text);
  if (field == nullptr || !limit) return true;
  MountConfig copy = config;
  const uint64_t value = (*field)(copy);
  return is_minimum ? value >= *limit : value <= *limit;
}

void ApplyRule(const Option& option, const ProviderRule& rule, Loading& loading) {
  const bool given = loading.given.find(&option) != loading.given.end();
  if (!given) {
    if (rule.default_text.empty()) return;
    const Status set = SetFromText(option, rule.default_text, loading.config);
    if (!set)
      loading.AddProblem({}, fmt::format("'{}' {}", option.full_name(), set.error().message()));
    return;
  }
  if (KeepsLimit(option, rule.min_text, true, loading.config) &&
      KeepsLimit(option, rule.max_text, false, loading.config)) {
    return;
  }
  std::string range;
  if (!rule.min_text.empty()) range += fmt::format(" at least {}", rule.min_text);
  if (!rule.max_text.empty())
    range += fmt::format("{} at most {}", range.empty() ? "" : " and", rule.max_text);
  loading.AddProblem(loading.given[&option],
                     fmt::format("'{}' must be{} for provider '{}', not {}", option.full_name(),
                                 range, rule.provider, ShowValue(option, loading.config)));
}

/// The vendor's own id for the provider, and what of the config its table of names can judge. With
/// the generic provider the vendor may yet be recognised by the endpoint, so nothing is judged
/// here.
void CheckProvider(Loading& loading) {
  StoreConfig& store = loading.config.store;
  const Result<const Profile*> profile = FindProfile(store.provider);
  if (!profile) {
    loading.AddProblem(loading.OriginOf("", "provider"), profile.error().message());
    return;
  }
  store.provider = std::string((*profile)->id);
  if (store.provider == "s3" || (*profile)->protocol != Protocol::kS3) return;
  if (!store.region.empty()) {
    const Result<std::string> region = ResolveRegion(**profile, store.region);
    if (!region) loading.AddProblem(loading.OriginOf("", "region"), region.error().message());
  }
  const Result<std::string> storage_class = ResolveStorageClass(**profile, store.storage_class);
  if (!storage_class) {
    loading.AddProblem(loading.OriginOf("", "storage_class"), storage_class.error().message());
  }
}

}  // namespace

void ApplyProviderRules(Loading& loading) {
  CheckProvider(loading);
  const std::string& provider = loading.config.store.provider;
  for (const Option& option : AllOptions()) {
    // The two names of one thing: a count that was given under the other name is not to be
    // overridden by a default.
    const bool count_known =
        option.key == "connection_retries" && loading.IsGiven("extended", "RetryCount");
    const ProviderRule* rule = option.RuleFor(provider);
    if (rule != nullptr && !count_known) ApplyRule(option, *rule, loading);
  }
}

/// Where the parameters stand that CheckExtendedParameters speaks of.
Origin OriginOfTls(const Loading& loading) {
  for (const std::string_view key :
       {"Cert_thumbprint", "Allow_Insecure_SSL", "Use_UnsignedPayload"}) {
    if (loading.IsGiven("extended", key)) return loading.OriginOf("extended", key);
  }
  return loading.OriginOf("", "parameters");
}

void CheckConfig(Loading& loading) {
  CheckName(loading);
  CheckBucket(loading);
  CheckPrefix(loading);
  CheckEndpoint(loading);
  CheckZone(loading);
  CheckEncryption(loading);
  WarnOfArchive(loading);
  CheckRetries(loading);
  CheckNetwork(loading);
  CheckCacheDirectory(loading);
  CheckExtendedParameters(loading.config, loading.extended);
  loading.TakeExtendedFindings(OriginOfTls(loading));
  loading.config.passwd_file = loading.AbsolutePath(loading.config.passwd_file);
}

}  // namespace quayfs
