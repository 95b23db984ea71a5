// SPDX-License-Identifier: Apache-2.0

#include "providers/profiles.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/text.h"

namespace quayfs {
namespace {

constexpr std::string_view kRegionMark = "{region}";

bool IsRegionId(std::string_view text) {
  return !text.empty() && text.size() <= 63 &&
         text.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") == std::string_view::npos;
}

/// Letters and digits only, in lower case: "East China-Zhejiang 2" and "east china zhejiang-2" are
/// one.
std::string Folded(std::string_view text) {
  std::string folded = ToLower(text);
  std::erase_if(folded, [](char c) {
    const bool is_word = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    return !is_word;
  });
  return folded;
}

std::string Hint(std::string_view word, const std::vector<std::string>& valid) {
  const std::string nearest = NearestName(word, valid);
  std::string hint = nearest.empty() ? "" : fmt::format("; did you mean '{}'?", nearest);
  return fmt::format("{} (valid: {})", hint, fmt::join(valid, ", "));
}

struct HostMatch {
  std::string region;
  std::string rest;  // what stands in front of the pattern, without its dot
};

std::optional<HostMatch> MatchExactly(std::string_view host, std::string_view pattern) {
  size_t mark = pattern.find(kRegionMark);
  const bool names_region = mark != std::string_view::npos;
  if (!names_region) mark = pattern.find('*');
  if (mark == std::string_view::npos) {
    if (host == pattern) return HostMatch{};
    return std::nullopt;
  }
  const std::string_view before = pattern.substr(0, mark);
  const std::string_view after = pattern.substr(mark + (names_region ? kRegionMark.size() : 1));
  if (!host.starts_with(before) || !host.ends_with(after)) return std::nullopt;
  if (host.size() <= before.size() + after.size()) return std::nullopt;
  const std::string_view region =
      host.substr(before.size(), host.size() - before.size() - after.size());
  if (!IsRegionId(region)) return std::nullopt;
  return HostMatch{names_region ? std::string(region) : "", ""};
}

/// The pattern alone, or behind a bucket's name and a dot.
std::optional<HostMatch> MatchHost(std::string_view host, std::string_view pattern) {
  if (pattern.empty()) return std::nullopt;
  for (size_t start = 0; start < host.size();) {
    if (auto match = MatchExactly(host.substr(start), pattern)) {
      if (start > 0) match->rest = std::string(host.substr(0, start - 1));
      return match;
    }
    const size_t dot = host.find('.', start);
    if (dot == std::string_view::npos) break;
    start = dot + 1;
  }
  return std::nullopt;
}

}  // namespace

Result<const Profile*> FindProfile(std::string_view name) {
  const std::string wanted = ToLower(TrimBlanks(name));
  std::vector<std::string> valid;
  for (const Profile& profile : Profiles()) {
    if (profile.id == wanted || std::find(profile.aliases.begin(), profile.aliases.end(), wanted) !=
                                    profile.aliases.end()) {
      return &profile;
    }
    valid.emplace_back(profile.id);
  }
  return Error(Code::kInvalidArgument,
               fmt::format("provider: '{}' is not known{}", name, Hint(wanted, valid)));
}

std::optional<RecognisedHost> RecogniseHost(std::string_view host) {
  const std::string lower = ToLower(host);
  std::optional<RecognisedHost> best;
  for (const Profile& profile : Profiles()) {
    if (profile.protocol != Protocol::kS3) continue;
    std::vector<std::string_view> patterns = {profile.endpoint};
    patterns.insert(patterns.end(), profile.other_hosts.begin(), profile.other_hosts.end());
    for (const std::string_view pattern : patterns) {
      auto match = MatchHost(lower, pattern);
      if (!match) continue;
      // The reading with the shorter bucket wins: "s3.eu.example" is not the bucket "s3" at
      // "eu.example".
      if (best && best->bucket.size() <= match->rest.size()) continue;
      const size_t skip = match->rest.empty() ? 0 : match->rest.size() + 1;
      best = RecognisedHost{&profile, std::move(match->region), std::move(match->rest),
                            lower.substr(skip)};
    }
  }
  return best;
}

Result<std::string> ResolveRegion(const Profile& profile, std::string_view text) {
  const std::string_view trimmed = TrimBlanks(text);
  if (trimmed.empty()) {
    if (!profile.default_region.empty()) return std::string(profile.default_region);
    std::vector<std::string> valid;
    for (const ProfileRegion& region : profile.regions) valid.emplace_back(region.name);
    return Error(Code::kInvalidArgument,
                 fmt::format("region: missing; {} needs one{}", profile.id,
                             valid.empty() ? "" : fmt::format(": {}", fmt::join(valid, ", "))));
  }
  const std::string folded = Folded(trimmed);
  std::vector<std::string> valid;
  for (const ProfileRegion& region : profile.regions) {
    if (Folded(region.id) == folded || Folded(region.name) == folded) return std::string(region.id);
    valid.emplace_back(region.name);
    valid.emplace_back(region.id);
  }
  std::string id = ToLower(trimmed);
  if (IsRegionId(id)) return id;
  return Error(Code::kInvalidArgument,
               fmt::format("region: '{}' is neither a known name nor a region id{}", trimmed,
                           valid.empty() ? "" : Hint(trimmed, valid)));
}

Result<std::string> ResolveStorageClass(const Profile& profile, std::string_view text) {
  const std::string_view trimmed = TrimBlanks(text);
  if (trimmed.empty()) return std::string();
  if (!profile.storage_class) {
    return Error(Code::kInvalidArgument,
                 fmt::format("storage_class: {} has no storage classes; remove it", profile.id));
  }
  std::vector<std::string> valid;
  for (const ProfileStorageClass& known : profile.storage_classes) {
    if (Folded(known.name) == Folded(trimmed) || EqualsIgnoreCase(known.wire, trimmed)) {
      return std::string(known.wire);
    }
    valid.emplace_back(known.name);
    valid.emplace_back(known.wire);
  }
  const bool is_token = trimmed.find_first_not_of(
                            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.") ==
                        std::string_view::npos;
  if (valid.empty() && is_token) return std::string(trimmed);
  return Error(
      Code::kInvalidArgument,
      fmt::format("storage_class: '{}' is not known to {}{}", trimmed, profile.id,
                  valid.empty() ? "; a name like STANDARD is needed" : Hint(trimmed, valid)));
}

std::string RegionHost(const Profile& profile, std::string_view region) {
  std::string host(profile.endpoint);
  const size_t mark = host.find(kRegionMark);
  if (mark != std::string::npos) host.replace(mark, kRegionMark.size(), region);
  return host;
}

Capabilities ProfileCapabilities(const Profile& profile) {
  Capabilities capabilities;
  capabilities.put_if_absent = profile.put_if_absent == Support::kYes;
  capabilities.put_if_match = profile.put_if_match == Support::kYes;
  capabilities.complete_if_absent = profile.complete_if == Support::kYes;
  capabilities.complete_if_match = profile.complete_if == Support::kYes;
  capabilities.delete_if_match = profile.delete_if_match == Support::kYes;
  capabilities.copy_if_absent = profile.copy_if_absent == Support::kYes;
  capabilities.copy_if_source_match = profile.source_conditions;
  capabilities.part_copy = profile.part_copy;
  capabilities.batch_delete = profile.batch_delete_max > 0;
  capabilities.batch_delete_max = profile.batch_delete_max;
  capabilities.move = profile.move;
  capabilities.list_in_byte_order = profile.list_in_byte_order;
  capabilities.part_size_min = profile.part_size_min;
  capabilities.part_size_max = profile.part_size_max;
  capabilities.parts_max = profile.parts_max;
  capabilities.equal_parts = profile.equal_parts;
  capabilities.put_size_max = profile.put_size_max;
  capabilities.copy_size_max = profile.copy_size_max;
  capabilities.object_size_max = profile.object_size_max;
  capabilities.key_size_max = profile.key_size_max;
  return capabilities;
}

}  // namespace quayfs
