// SPDX-License-Identifier: Apache-2.0

#include "providers/local_rules.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "providers/local_names.h"

namespace quayfs {
namespace {

bool IsControl(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

bool IsMetadataName(std::string_view name) {
  constexpr std::string_view kAllowed = "abcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-.^_`|~";
  return !name.empty() && name.find_first_not_of(kAllowed) == std::string_view::npos;
}

}  // namespace

Capabilities LocalCapabilities() {
  // What a file can be is the only limit.
  constexpr auto kFileMax = static_cast<uint64_t>(std::numeric_limits<int64_t>::max()) / 2;
  Capabilities capabilities;
  capabilities.put_if_absent = true;
  capabilities.put_if_match = true;
  capabilities.complete_if_absent = true;
  capabilities.complete_if_match = true;
  capabilities.delete_if_match = true;
  capabilities.copy_if_absent = true;
  capabilities.copy_if_source_match = true;
  capabilities.move = true;
  capabilities.part_size_min = 1;
  capabilities.part_size_max = kFileMax;
  capabilities.put_size_max = kFileMax;
  capabilities.copy_size_max = kFileMax;
  capabilities.object_size_max = kFileMax;
  capabilities.key_size_max = static_cast<int>(kLocalKeySizeMax);
  return capabilities;
}

std::string ShownKey(std::string_view key) {
  std::string shown = "'";
  for (const char c : key) {
    if (IsControl(c)) {
      shown += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    } else {
      shown.push_back(c);
    }
  }
  shown.push_back('\'');
  return shown;
}

Status CheckLocalKey(std::string_view key) {
  if (key.empty()) return Error(Code::kInvalidArgument, "an empty key");
  if (key.size() > kLocalKeySizeMax) {
    return Error(Code::kNameTooLong,
                 fmt::format("a key of {} bytes; {} are allowed", key.size(), kLocalKeySizeMax));
  }
  return {};
}

Status CheckLocalProperties(const ObjectProperties& properties) {
  uint64_t size = 0;
  for (const auto& [name, value] : properties.metadata) {
    if (!IsMetadataName(name)) {
      return Error(Code::kInvalidArgument, fmt::format("bad metadata name {}", ShownKey(name)));
    }
    size += name.size() + value.size();
  }
  const uint64_t limit = LocalCapabilities().metadata_size_max;
  if (size > limit) {
    return Error(Code::kTooLarge, fmt::format("{} bytes of metadata; {} are allowed", size, limit));
  }
  for (const std::string* text :
       {&properties.content_type, &properties.cache_control, &properties.content_disposition,
        &properties.content_encoding, &properties.content_language, &properties.expires}) {
    if (std::any_of(text->begin(), text->end(), IsControl) || text->size() > limit) {
      return Error(Code::kInvalidArgument, fmt::format("bad property value {}", ShownKey(*text)));
    }
  }
  return {};
}

Status CheckLocalCondition(const Condition& condition, const std::optional<std::string>& etag,
                           std::string_view key) {
  switch (condition.kind) {
    case Condition::Kind::kNone:
      return {};
    case Condition::Kind::kIfAbsent:
      if (!etag) return {};
      return Error(Code::kAlreadyExists,
                   fmt::format("there is already an object {}", ShownKey(key)));
    case Condition::Kind::kIfEtag:
      if (etag && SameEtag(*etag, condition.etag)) return {};
      return Error(Code::kChanged,
                   fmt::format("{} is not the version {}", ShownKey(key), condition.etag));
  }
  return Error(Code::kInternal, "unknown condition");
}

ObjectHead LocalHead(const std::string& key, LocalRecord record) {
  ObjectHead head;
  head.info.key = key;
  head.info.size = record.size;
  head.info.etag = std::move(record.etag);
  head.info.last_modified = record.modified;
  head.properties = std::move(record.properties);
  return head;
}

Result<ByteRange> LocalRange(const std::optional<ByteRange>& range, uint64_t size,
                             std::string_view key) {
  if (!range) return ByteRange{0, size};
  if (range->begin >= size || range->end <= range->begin) {
    return Error(Code::kInvalidArgument,
                 fmt::format("range {}-{} of {}, which has {} bytes", range->begin, range->end,
                             ShownKey(key), size));
  }
  return ByteRange{range->begin, std::min(range->end, size)};
}

}  // namespace quayfs
