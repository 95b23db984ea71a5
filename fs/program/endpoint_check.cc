// SPDX-License-Identifier: Apache-2.0

#include "fs/program/endpoint_check.h"

#include <fmt/format.h>

#include <chrono>
#include <cstdlib>
#include <optional>

#include "base/clock.h"
#include "fs/program/messages.h"
#include "providers/profiles.h"
#include "providers/resolve.h"
#include "s3/client.h"
#include "s3/tls_look.h"
#include "s3/uri.h"

namespace quayfs::program {
namespace {

constexpr auto kPatience = std::chrono::seconds(15);
constexpr auto kSoon = std::chrono::hours(24 * 14);  // a certificate should hold longer than this
// A difference that matters: signatures are refused beyond a quarter of an hour, and times of files
// that others write are off by as much.
constexpr auto kClockNotable = std::chrono::seconds(60);
constexpr auto kClockFatal = std::chrono::minutes(15);
constexpr size_t kDateChars = 10;  // of an ISO time
constexpr uint16_t kHttpsPort = 443;

std::string DateOf(WallTime time) { return FormatIsoExtended(time).substr(0, kDateChars); }

std::string HowToPin(const s3::TlsFacts& facts) {
  return fmt::format("extended.Cert_thumbprint = \"{}\"", facts.sha256);
}

/// Of a certificate that is not pinned.
CheckRow JudgeChain(const s3::TlsFacts& facts, bool insecure, WallTime now) {
  const std::string until = DateOf(facts.valid_until);
  if (!facts.problem.empty()) {
    return {"tls", insecure ? CheckResult::kWarning : CheckResult::kFailed,
            fmt::format("the certificate of {} is not trusted: {}{}; set network.ca_file to the "
                        "authority that signed it ({}), or pin it, if it is the right one: {}",
                        facts.subject, facts.problem,
                        insecure ? ", and Allow_Insecure_SSL takes it all the same: whoever is on "
                                   "the way can read and change everything"
                                 : "",
                        facts.issuer, HowToPin(facts))};
  }
  if (facts.valid_until < now + kSoon) {
    return {"tls", CheckResult::kWarning,
            fmt::format("the certificate expires on {}; whoever runs the service has to renew it",
                        until)};
  }
  return {"tls", CheckResult::kOk,
          fmt::format("{}, {} by {}, until {}; to pin it: {}", facts.protocol, facts.subject,
                      facts.issuer, until, HowToPin(facts))};
}

CheckRow CheckTls(const s3::ClientConfig& client) {
  const s3::TlsConfig& tls = client.http.tls;
  if (client.scheme != "https") {
    return {"tls", CheckResult::kWarning,
            "none: with http:// everybody on the way can read and change what is transferred; use "
            "https:// if the service has it"};
  }
  if (!client.http.proxy.empty())
    return {"tls", CheckResult::kSkipped, "the way leads through a proxy"};
  const uint16_t port = client.port == 0 ? kHttpsPort : client.port;
  const s3::Address address = s3::ObjectAddress(client, client.host, "");
  const auto facts =
      s3::LookAtCertificate(address.host, port, tls.ca_file, client.http.ipv6, kPatience);
  if (!facts) return {"tls", CheckResult::kFailed, OneLine(facts.error().message())};
  if (tls.thumbprint.empty()) return JudgeChain(*facts, tls.insecure, SystemClock().Now());
  if (tls.thumbprint != facts->sha1 && tls.thumbprint != facts->sha256) {
    return {
        "tls", CheckResult::kFailed,
        fmt::format("the server shows another certificate than the one that is pinned: {} by "
                    "{}, until {}; if it was renewed, set {}",
                    facts->subject, facts->issuer, DateOf(facts->valid_until), HowToPin(*facts))};
  }
  return {"tls", CheckResult::kOk,
          fmt::format("pinned; it has to be changed here when the server's certificate is renewed, "
                      "before {}",
                      DateOf(facts->valid_until))};
}

/// The server's clock minus ours, by a reply to a request that needs no rights.
std::optional<Duration> ClockDifference(const s3::ClientConfig& client, s3::HttpClient& http,
                                        const CallOptions& call) {
  const s3::Address address = s3::ServiceAddress(client, client.host);
  s3::HttpRequest request;
  request.method = "HEAD";
  request.scheme = client.scheme;
  request.host = address.host;
  request.port = client.port;
  request.path = address.path;
  s3::BodyCollector nothing;
  const WallTime before = SystemClock().Now();
  const auto reply = http.Do(request, nothing, call);
  const WallTime after = SystemClock().Now();
  if (!reply) return std::nullopt;
  const auto date = ParseHttpDate(reply->headers.Get("date"));
  if (!date) return std::nullopt;
  // The header has whole seconds.
  return *date + std::chrono::milliseconds(500) - (before + (after - before) / 2);
}

CheckRow JudgeClock(Duration ahead) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(ahead).count();
  const std::string off = fmt::format("this machine's clock is {} s {} the service's",
                                      std::llabs(seconds), seconds > 0 ? "behind" : "ahead of");
  const Duration size = ahead < Duration(0) ? -ahead : ahead;
  if (size < kClockNotable)
    return {"clock", CheckResult::kOk, fmt::format("{} s apart", std::llabs(seconds))};
  return {"clock", CheckResult::kWarning,
          fmt::format("{}; {}set it, for example with: timedatectl set-ntp true", off,
                      size < kClockFatal ? ""
                                         : "signatures are refused with that, and are made for the "
                                           "service's clock instead; ")};
}

CheckRow CheckListVersion(const MountConfig& config, s3::Client& client, const CallOptions& call) {
  const auto page = client.List({config.prefix, "/", "", 1}, call);
  if (!page) return {"list version", CheckResult::kSkipped, "listing is not possible"};
  const bool asked_v2 = client.config().list_version == s3::ListVersion::kV2;
  const bool v2 = client.list_version() == s3::ListVersion::kV2;
  if (v2) return {"list version", CheckResult::kOk, "2"};
  return {
      "list version", CheckResult::kOk,
      asked_v2 ? "1: the service answers as if it knew no version 2" : "1, as this vendor wants"};
}

}  // namespace

std::vector<CheckRow> CheckEndpoint(const MountConfig& config) {
  const auto profile = FindProfile(config.store.provider);
  if (!profile || (*profile)->protocol == Protocol::kLocal) return {};
  StoreConfig store = config.store;
  if (store.region.empty()) store.region = store.zone;
  auto resolved = ResolveStore(store);
  if (!resolved) return {};
  std::vector<CheckRow> rows = {CheckTls(resolved->client)};
  auto http = s3::MakeHttpClient(resolved->client.http);
  if (!http || rows.back().result == CheckResult::kFailed) return rows;
  CallOptions call;
  call.deadline = SystemClock().Steady() + 2 * kPatience;
  if (const auto ahead = ClockDifference(resolved->client, **http, call))
    rows.push_back(JudgeClock(*ahead));
  if ((*profile)->protocol != Protocol::kS3) return rows;
  resolved->client.retry.count = 0;
  s3::Client client(resolved->client, **http, SystemClock());
  rows.push_back(CheckListVersion(config, client, call));
  return rows;
}

}  // namespace quayfs::program
