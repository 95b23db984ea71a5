// SPDX-License-Identifier: Apache-2.0

#include "providers/probe_memory.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "base/hash.h"
#include "providers/profiles.h"
#include "providers/resolve.h"

namespace quayfs {
namespace {

using nlohmann::json;

constexpr int kFormat = 1;
constexpr uint64_t kFileSizeMax = 64 << 10;
constexpr size_t kReadableMax = 60;
constexpr size_t kDigestChars = 16;
// Clocks of one machine jump less than this; a file from further ahead says nothing of its age.
constexpr auto kFutureMax = std::chrono::hours(24);

constexpr ProbeVerdict kVerdicts[] = {ProbeVerdict::kHonoured, ProbeVerdict::kIgnored,
                                      ProbeVerdict::kRefused, ProbeVerdict::kUntested,
                                      ProbeVerdict::kFailed};

/// A verdict that this version does not know is none.
ProbeVerdict VerdictByName(const json& name) {
  for (const ProbeVerdict verdict : kVerdicts) {
    if (name.is_string() && name.get_ref<const std::string&>() == ProbeVerdictName(verdict)) {
      return verdict;
    }
  }
  return ProbeVerdict::kUntested;
}

std::string Encode(const std::string& subject, const ProbeReport& report, WallTime now) {
  json verdicts = json::object();
  for (const ProbeRow& row : ProbeRows()) {
    verdicts[std::string(row.name)] = ProbeVerdictName(report.*row.verdict);
  }
  const json file = {{"quayfs-probe", kFormat},
                     {"store", subject},
                     {"probed", FormatIsoExtended(now)},
                     {"verdicts", std::move(verdicts)}};
  return file.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

Result<RememberedProbe> Decode(const std::string& text, const std::string& subject, WallTime now) {
  const json file = json::parse(text, nullptr, false);
  if (!file.is_object()) return Error(Code::kCorrupt, "it is damaged");
  if (file.value("quayfs-probe", json()) != json(kFormat)) {
    return Error(Code::kNotSupported, "it is of another version");
  }
  if (file.value("store", json()) != json(subject)) {
    return Error(Code::kInvalidArgument, "it is about another store");
  }
  const json time = file.value("probed", json());
  const json verdicts = file.value("verdicts", json());
  if (!time.is_string() || !verdicts.is_object()) return Error(Code::kCorrupt, "it is damaged");
  RememberedProbe probe;
  QUAY_ASSIGN(probe.probed, ParseIso(time.get<std::string>()));
  if (probe.probed > now + kFutureMax) {
    return Error(Code::kInvalidArgument, "it is from the future");
  }
  if (probe.probed + ProbeMemory::kGoodFor < now) {
    return Error(Code::kInvalidArgument,
                 fmt::format("it is older than {} days", ProbeMemory::kGoodFor.count() / 24));
  }
  for (const ProbeRow& row : ProbeRows()) {
    probe.report.*row.verdict = VerdictByName(verdicts.value(std::string(row.name), json()));
  }
  return probe;
}

}  // namespace

std::optional<std::string> ProbeSubject(const StoreConfig& config) {
  const auto profile = FindProfile(config.provider);
  if (!profile || (*profile)->protocol != Protocol::kS3) return std::nullopt;
  StoreConfig effective = config;
  if (effective.region.empty()) effective.region = effective.zone;
  const auto resolved = ResolveStore(effective);
  if (!resolved) return std::nullopt;
  const s3::ClientConfig& client = resolved->client;
  const std::string port = client.port == 0 ? "" : fmt::format(":{}", client.port);
  // With the native API other things are honoured, which must not be believed without it.
  return fmt::format("{} {}://{}{}{}/ bucket {}{}", resolved->profile->id, client.scheme,
                     client.host, port, client.base_path, client.bucket,
                     resolved->native ? " native" : "");
}

ProbeMemory::ProbeMemory(std::string directory, Disk& disk)
    : directory_(std::move(directory)), disk_(disk) {}

std::string ProbeMemory::PathOf(const std::string& subject) const {
  std::string readable = subject.substr(std::min(subject.size(), subject.find("://") + 3));
  for (char& c : readable) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '.' || c == '_';
    if (!plain) c = '-';
  }
  readable.resize(std::min(readable.size(), kReadableMax));
  const std::string digest = HexEncode(Sha256(subject)).substr(0, kDigestChars);
  return fmt::format("{}/{}-{}.json", directory_, readable, digest);
}

Status ProbeMemory::Remember(const std::string& subject, const ProbeReport& report, WallTime now) {
  const std::string path = PathOf(subject);
  const std::string unfinished = fmt::format("{}.new-{}", path, HexEncode(RandomBytes(4)));
  const std::string text = Encode(subject, report, now);
  const auto write = [&]() -> Status {
    QUAY_ASSIGN(const std::unique_ptr<DiskFile> file,
                disk_.Open(unfinished, OpenMode::kCreateExclusive));
    QUAY_TRY(file->Write(0, AsBytes(text)));
    QUAY_TRY(file->SyncData());
    return disk_.Rename(unfinished, path);
  };
  Status written = write();
  if (!written) {
    Ignore(disk_.RemoveFile(unfinished));  // it may not be there
    return written;
  }
  return disk_.SyncDirectory(directory_);
}

Result<RememberedProbe> ProbeMemory::Recall(const std::string& subject, WallTime now) const {
  const std::string path = PathOf(subject);
  const auto read = [&]() -> Result<std::string> {
    QUAY_ASSIGN(const std::unique_ptr<DiskFile> file, disk_.Open(path, OpenMode::kRead));
    QUAY_ASSIGN(const uint64_t size, file->Size());
    if (size > kFileSizeMax) return Error(Code::kCorrupt, "it is damaged");
    std::string text(static_cast<size_t>(size), '\0');
    QUAY_ASSIGN(const size_t got,
                file->Read(0, std::as_writable_bytes(std::span(text.data(), text.size()))));
    text.resize(got);
    return text;
  };
  const Result<std::string> text = read();
  if (!text) return text.error();
  return Decode(*text, subject, now);
}

}  // namespace quayfs
