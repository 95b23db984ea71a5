// SPDX-License-Identifier: Apache-2.0

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "fs/program/commands.h"
#include "fs/program/exit_status.h"
#include "fs/program/launch.h"
#include "providers/profiles.h"

namespace quayfs::program {
namespace {

std::string_view YesNo(Support support) {
  switch (support) {
    case Support::kYes:
      return "yes";
    case Support::kNo:
      return "no";
    case Support::kProbe:
      break;
  }
  return "depends; quayfs check finds out";
}

void Row(std::string_view name, std::string_view value) {
  if (!value.empty()) fmt::print("  {:<22} {}\n", name, value);
}

/// How it is spoken to, and what it honours.
void PrintWire(const Profile& profile) {
  const auto yes = [](bool value) { return value ? "yes" : "no"; };
  if (profile.protocol == Protocol::kS3) {
    const bool host = profile.style == s3::AddressingStyle::kVirtualHost;
    Row("bucket in", host ? "the host name" : "the path");
    Row("signatures", profile.signature_v2 ? "V4, V2" : "V4");
    Row("listing", profile.list_version == s3::ListVersion::kV2 ? "version 2" : "version 1");
  }
  Row("conditional writes", YesNo(profile.put_if_absent));
  Row("ACL", yes(profile.acl));
  Row("encryption", !profile.sse                    ? "no"
                    : profile.sse_customer_key_only ? "with keys of your own"
                                                    : "yes");
  Row("anonymous", yes(profile.anonymous));
  Row("copies of parts", yes(profile.part_copy));
  if (profile.move) Row("moves", "yes");
  Row("parts",
      fmt::format("up to {}, {} to {} MiB each{}", profile.parts_max, profile.part_size_min >> 20,
                  profile.part_size_max >> 20, profile.equal_parts ? ", all of one size" : ""));
  Row("objects deleted", profile.batch_delete_max == 0
                             ? std::string("one by one")
                             : fmt::format("{} at a time", profile.batch_delete_max));
}

void PrintProvider(const Profile& profile) {
  const auto& row = Row;
  fmt::print("{} ({})\n", profile.id, profile.title);
  std::string aliases;
  for (const std::string_view alias : profile.aliases)
    aliases += fmt::format("{}{}", aliases.empty() ? "" : ", ", alias);
  row("also", aliases);
  row("endpoint", profile.endpoint);
  row("default region", profile.default_region);
  for (const ProfileRegion& region : profile.regions)
    row("region", fmt::format("{:<20} {}", region.id, region.name));
  for (const ProfileStorageClass& storage : profile.storage_classes) {
    row("storage class", fmt::format("{:<20} {}", storage.wire, storage.name));
  }
  if (profile.protocol != Protocol::kLocal) PrintWire(profile);
  row("to know", profile.quirks);
}

/// "yes", "no" or "depends".
std::string_view Word(Support support) {
  return support == Support::kProbe ? "depends" : YesNo(support);
}

nlohmann::json ProfileJson(const Profile& profile) {
  using nlohmann::json;
  json regions = json::array();
  for (const ProfileRegion& region : profile.regions)
    regions.push_back({{"id", region.id}, {"name", region.name}});
  json classes = json::array();
  for (const ProfileStorageClass& storage : profile.storage_classes)
    classes.push_back({{"id", storage.wire}, {"name", storage.name}});
  return {
      {"id", profile.id},
      {"title", profile.title},
      {"aliases", std::vector<std::string_view>(profile.aliases.begin(), profile.aliases.end())},
      {"endpoint", profile.endpoint},
      {"default_region", profile.default_region},
      {"regions", std::move(regions)},
      {"storage_classes", std::move(classes)},
      {"signature_v2", profile.signature_v2},
      {"conditional_writes", Word(profile.put_if_absent)},
      {"acl", profile.acl},
      {"encryption", profile.sse},
      {"anonymous", profile.anonymous},
      {"part_copy", profile.part_copy},
      {"move", profile.move},
      {"parts_max", profile.parts_max},
      {"part_size_min", profile.part_size_min},
      {"part_size_max", profile.part_size_max},
      {"batch_delete_max", profile.batch_delete_max},
      {"to_know", profile.quirks}};
}

int PrintJson(const std::string& name) {
  nlohmann::json list = nlohmann::json::array();
  for (const Profile& profile : Profiles()) {
    if (name.empty()) list.push_back(ProfileJson(profile));
  }
  if (!name.empty()) {
    const auto profile = FindProfile(name);
    if (!profile) {
      PrintError(profile.error().message());
      return kExitFailed;
    }
    list.push_back(ProfileJson(**profile));
  }
  fmt::print("{}\n", nlohmann::json({{"providers", std::move(list)}}).dump(2));
  return kExitOk;
}

}  // namespace

int RunProviders(const std::string& name, bool json) {
  if (json) return PrintJson(name);
  if (name.empty()) {
    for (const Profile& profile : Profiles()) fmt::print("{:<16} {}\n", profile.id, profile.title);
    fmt::print("\nquayfs providers NAME shows regions, storage classes and what to know.\n");
    return kExitOk;
  }
  const auto profile = FindProfile(name);
  if (!profile) {
    PrintError(profile.error().message());
    return kExitFailed;
  }
  PrintProvider(**profile);
  return kExitOk;
}

}  // namespace quayfs::program
