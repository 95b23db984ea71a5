// SPDX-License-Identifier: Apache-2.0

#include "providers/kodo/discovery.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "base/clock.h"
#include "providers/credentials/sources.h"
#include "providers/endpoint.h"
#include "providers/json_text.h"
#include "providers/kodo/native.h"
#include "providers/profiles.h"
#include "s3/credential_keeper.h"
#include "s3/http.h"
#include "s3/uri.h"

namespace quayfs::kodo {
namespace {

using nlohmann::json;

constexpr std::string_view kPublic = "https://uc.qiniuapi.com";
constexpr size_t kReplyMax = 1u << 20;
constexpr std::string_view kWhat = "ask Kodo for the bucket's region";

/// Nothing is said of a private installation to anybody else.
std::optional<std::string> WhomToAsk(const StoreConfig& config) {
  const auto profile = FindProfile(config.provider);
  if (!profile || (*profile)->id != "kodo") return std::nullopt;
  if (!config.discovery_endpoint.empty()) return config.discovery_endpoint;
  if (config.endpoint.empty()) return std::string(kPublic);
  const auto endpoint = ParseEndpoint(config.endpoint);
  if (!endpoint) return std::nullopt;
  const auto known = RecogniseHost(endpoint->host);
  return known && known->profile == *profile ? std::optional(std::string(kPublic)) : std::nullopt;
}

Result<std::string> RegionInReply(const std::string& body) {
  const json document = json::parse(body, nullptr, false);
  const auto hosts = document.is_object() ? document.find("hosts") : document.end();
  if (hosts == document.end() || !hosts->is_array() || hosts->empty()) {
    return Error(Code::kCorrupt, fmt::format("cannot {}: the reply names no hosts", kWhat));
  }
  const json& place = hosts->front();
  std::string region;
  if (place.is_object() && place.contains("s3")) region = TextOf(place["s3"], "region_alias");
  // Installations without an S3 gateway of that age name only their own id.
  if (region.empty()) region = S3Region(TextOf(place, "region"));
  const auto profile = FindProfile("kodo");
  if (region.empty() || !profile || !ResolveRegion(**profile, region)) {
    return Error(Code::kCorrupt, fmt::format("cannot {}: the reply names no region", kWhat));
  }
  return region;
}

}  // namespace

Result<std::string> RegionOfBucket(const StoreConfig& config, const CallOptions& call) {
  const std::optional<std::string> service = WhomToAsk(config);
  if (!service) return Error(Code::kNotSupported, "the vendor has no service for that");
  QUAY_ASSIGN(const Endpoint endpoint, ParseEndpoint(*service));
  s3::HttpConfig transport;
  transport.ipv6 = config.ipv6;
  transport.proxy = config.proxy;
  transport.tls.ca_file = config.ca_file;
  QUAY_ASSIGN(const auto http, s3::MakeHttpClient(transport));
  s3::CredentialKeeper keeper(
      config.credentials, MakeCredentialSource(config.credential_rules, transport), SystemClock());
  QUAY_ASSIGN(const auto signing, keeper.Current(call));
  s3::HttpRequest request;
  request.method = "GET";
  request.scheme = endpoint.scheme;
  request.host = endpoint.host;
  request.port = endpoint.port;
  request.path = endpoint.base_path + "/v4/query";
  request.query = s3::EncodeQuery(
      {{"ak", signing->keys.access_key_id},
       {"bucket", config.native_bucket.empty() ? config.bucket : config.native_bucket}});
  s3::BodyCollector collector(kReplyMax);
  QUAY_ASSIGN(const s3::HttpReply reply, http->Do(request, collector, call));
  if (reply.status == 200) return RegionInReply(collector.body());
  const json said = json::parse(collector.body(), nullptr, false);
  Error error = NativeError(reply.status, TextOf(said, "error"), kWhat);
  if (reply.status == 612 || reply.status == 631) {
    return Error(Code::kNotFound, error.message(), error.detail());
  }
  return error;
}

}  // namespace quayfs::kodo
