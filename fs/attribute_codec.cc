// SPDX-License-Identifier: Apache-2.0

#include "fs/attribute_codec.h"

#include <array>
#include <cctype>
#include <charconv>
#include <cstdio>
#include <limits>

#include "base/text.h"
#include "fs/link_record.h"

namespace quayfs {
namespace {

constexpr int64_t kNanosPerSecond = 1'000'000'000;

// Names under which others store what EncodeAttributes stores.
constexpr std::array<std::string_view, 17> kForeignNames = {"permissions",
                                                            "owner",
                                                            "group",
                                                            "file-permissions",
                                                            "file-owner",
                                                            "file-group",
                                                            "file-mtime",
                                                            "file-atime",
                                                            "s3cmd-attrs",
                                                            "goog-reserved-posix-mode",
                                                            "goog-reserved-posix-uid",
                                                            "goog-reserved-posix-gid",
                                                            "goog-reserved-file-mtime",
                                                            "gcsfuse_mtime",
                                                            "gcsfuse_symlink_target",
                                                            "--symlink-target",
                                                            "bs-link-target"};

std::string_view Find(const UserMetadata& metadata, std::string_view name) {
  const auto it = metadata.find(std::string(name));
  return it == metadata.end() ? std::string_view() : std::string_view(it->second);
}

std::optional<uint64_t> ParseNumber(std::string_view text, int base) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// Decimal, or octal with a leading 0, or hex with 0x: what a reader of "base 0" accepts.
std::optional<uint64_t> ParseAnyBase(std::string_view text) {
  if (text.size() > 2 && text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
    return ParseNumber(text.substr(2), 16);
  }
  if (text.size() > 1 && text[0] == '0') return ParseNumber(text, 8);
  return ParseNumber(text, 10);
}

bool IsFileType(uint64_t mode) {
  switch (mode & S_IFMT) {
    case S_IFREG:
    case S_IFDIR:
    case S_IFLNK:
    case S_IFIFO:
    case S_IFSOCK:
    case S_IFCHR:
    case S_IFBLK:
      return mode <= 0177777;
    default:
      return false;
  }
}

// The name `mode` is decimal for some writers and octal for others. The digits decide: a decimal
// st_mode has a valid type and an octal one read as decimal mostly has not; where both would do,
// decimal is what this program and s3fs write.
std::optional<uint64_t> ParseMode(std::string_view text) {
  const auto plain = ParseAnyBase(text);
  if (plain && (IsFileType(*plain) || *plain <= 07777)) return plain;
  const auto octal = ParseNumber(text, 8);
  if (octal && IsFileType(*octal)) return octal;
  return std::nullopt;
}

std::optional<uint32_t> ParseId(std::string_view text) {
  const auto value = ParseAnyBase(text);
  if (!value || *value >= std::numeric_limits<uint32_t>::max()) return std::nullopt;
  return static_cast<uint32_t>(*value);
}

// "sec", "sec.fraction", "-sec". Nine digits of fraction are nanoseconds in every dialect; fewer
// are a decimal fraction unless `integer_fraction`, the habit of a writer that prints the
// nanoseconds without leading zeros.
std::optional<WallTime> ParseSeconds(std::string_view text, bool integer_fraction) {
  bool negative = false;
  if (!text.empty() && text.front() == '-') {
    negative = true;
    text.remove_prefix(1);
  }
  const size_t dot = text.find('.');
  const auto seconds = ParseNumber(text.substr(0, dot), 10);
  if (!seconds || *seconds > 9'000'000'000) return std::nullopt;
  uint64_t nanos = 0;
  if (dot != std::string_view::npos) {
    std::string digits(text.substr(dot + 1));
    if (digits.size() > 9) digits.resize(9);
    if (!integer_fraction) digits.append(9 - digits.size(), '0');
    const auto fraction = ParseNumber(digits, 10);
    if (!fraction) return std::nullopt;
    nanos = *fraction;
  }
  const auto total = static_cast<int64_t>(*seconds) * kNanosPerSecond + static_cast<int64_t>(nanos);
  return WallTime(std::chrono::nanoseconds(negative ? -total : total));
}

// AWS file gateways write nanoseconds with a suffix "ns", otherwise milliseconds.
std::optional<WallTime> ParseAwsTime(std::string_view text) {
  const bool nanos = text.size() > 2 && text.substr(text.size() - 2) == "ns";
  const auto value = ParseNumber(nanos ? text.substr(0, text.size() - 2) : text, 10);
  if (!value || *value > 9'000'000'000'000'000'000ull / (nanos ? 1 : 1'000'000))
    return std::nullopt;
  return WallTime(std::chrono::nanoseconds(*value * (nanos ? 1 : 1'000'000)));
}

void SetMode(uint64_t mode, DecodedAttributes* out) {
  if ((mode & S_IFMT) != 0) out->type = static_cast<mode_t>(mode & S_IFMT);
  out->permissions = static_cast<mode_t>(mode & 07777);
}

void DecodeS3fs(const UserMetadata& metadata, DecodedAttributes* out) {
  if (const auto mode = ParseMode(Find(metadata, "mode"))) SetMode(*mode, out);
  out->uid = ParseId(Find(metadata, "uid"));
  out->gid = ParseId(Find(metadata, "gid"));
  const bool has_ctime = metadata.contains("ctime");
  out->mtime = ParseSeconds(Find(metadata, "mtime"), has_ctime);
  out->ctime = ParseSeconds(Find(metadata, "ctime"), true);
  out->atime = ParseSeconds(Find(metadata, "atime"), true);
  if (const auto rdev = ParseAnyBase(Find(metadata, "rdev"))) out->rdev = static_cast<dev_t>(*rdev);
}

void DecodeAws(const UserMetadata& metadata, DecodedAttributes* out) {
  if (!out->permissions) {
    if (const auto mode = ParseNumber(Find(metadata, "file-permissions"), 8);
        mode && (IsFileType(*mode) || *mode <= 07777)) {
      SetMode(*mode, out);
    }
  }
  if (!out->uid) out->uid = ParseId(Find(metadata, "file-owner"));
  if (!out->gid) out->gid = ParseId(Find(metadata, "file-group"));
  if (!out->mtime) out->mtime = ParseAwsTime(Find(metadata, "file-mtime"));
  if (!out->atime) out->atime = ParseAwsTime(Find(metadata, "file-atime"));
}

void DecodeS3cmd(const UserMetadata& metadata, DecodedAttributes* out) {
  for (const std::string_view pair : Split(Find(metadata, "s3cmd-attrs"), '/')) {
    const size_t colon = pair.find(':');
    if (colon == std::string_view::npos) continue;
    const std::string_view name = pair.substr(0, colon);
    const std::string_view value = pair.substr(colon + 1);
    if (name == "mode" && !out->permissions) {
      if (const auto mode = ParseMode(value)) SetMode(*mode, out);
    } else if (name == "uid" && !out->uid) {
      out->uid = ParseId(value);
    } else if (name == "gid" && !out->gid) {
      out->gid = ParseId(value);
    } else if (name == "mtime" && !out->mtime) {
      out->mtime = ParseSeconds(value, false);
    } else if (name == "ctime" && !out->ctime) {
      out->ctime = ParseSeconds(value, false);
    } else if (name == "atime" && !out->atime) {
      out->atime = ParseSeconds(value, false);
    }
  }
}

void DecodeOthers(const UserMetadata& metadata, DecodedAttributes* out) {
  if (!out->permissions) {
    if (const auto mode = ParseMode(Find(metadata, "permissions"))) {
      SetMode(*mode, out);
    } else if (const auto octal = ParseNumber(Find(metadata, "goog-reserved-posix-mode"), 8);
               octal && (IsFileType(*octal) || *octal <= 07777)) {
      SetMode(*octal, out);
    }
  }
  for (const std::string_view name : {"owner", "goog-reserved-posix-uid"}) {
    if (!out->uid) out->uid = ParseId(Find(metadata, name));
  }
  for (const std::string_view name : {"group", "goog-reserved-posix-gid"}) {
    if (!out->gid) out->gid = ParseId(Find(metadata, name));
  }
  if (!out->mtime) out->mtime = ParseSeconds(Find(metadata, "goog-reserved-file-mtime"), false);
  if (!out->mtime) {
    if (const auto time = ParseIso(Find(metadata, "gcsfuse_mtime"))) out->mtime = *time;
  }
}

void DecodeSymlink(const ObjectProperties& properties, DecodedAttributes* out) {
  for (const std::string_view name :
       {"--symlink-target", "gcsfuse_symlink_target", "bs-link-target"}) {
    const std::string_view target = Find(properties.metadata, name);
    if (!target.empty()) {
      out->symlink_target = PercentDecode(target, false);
      out->type = S_IFLNK;
      return;
    }
  }
  if (properties.content_type == "application/symlink" ||
      Find(properties.metadata, "goog-reserved-file-is-symlink") == "true") {
    out->type = S_IFLNK;
  }
}

bool IsDirectoryContentType(std::string_view type) {
  return type.starts_with(kDirectoryContentType) || type.starts_with("httpd/unix-directory");
}

}  // namespace

DecodedAttributes DecodeAttributes(std::string_view key, uint64_t size,
                                   const ObjectProperties& properties) {
  DecodedAttributes out;
  DecodeS3fs(properties.metadata, &out);
  DecodeAws(properties.metadata, &out);
  DecodeS3cmd(properties.metadata, &out);
  DecodeOthers(properties.metadata, &out);
  DecodeSymlink(properties, &out);
  if (const std::string_view id = Find(properties.metadata, kLinkMetadata); IsLinkId(id)) {
    out.link_id = id;
    out.link_name = properties.content_type == kLinkContentType;
  }
  const bool directory_key = key.ends_with('/');
  if (directory_key || (size == 0 && IsDirectoryContentType(properties.content_type))) {
    out.type = S_IFDIR;
  } else if (out.type == S_IFDIR && size > 0) {
    out.type = S_IFREG;  // data is never hidden behind a mode
  }
  return out;
}

std::string FormatMetadataTime(WallTime time) {
  const int64_t total = time.time_since_epoch().count();
  int64_t seconds = total / kNanosPerSecond;
  int64_t nanos = total % kNanosPerSecond;
  if (nanos < 0) {
    nanos += kNanosPerSecond;
    seconds -= 1;
  }
  if (nanos == 0) return std::to_string(seconds);
  // A time before 1970 with a fraction: the sign belongs to the whole value, as ParseSeconds reads
  // it.
  if (seconds < 0) {
    seconds = -(total / kNanosPerSecond);
    nanos = -(total % kNanosPerSecond);
    std::array<char, 40> text{};
    std::snprintf(text.data(), text.size(), "-%lld.%09lld", static_cast<long long>(seconds),
                  static_cast<long long>(nanos));
    return text.data();
  }
  std::array<char, 40> text{};
  std::snprintf(text.data(), text.size(), "%lld.%09lld", static_cast<long long>(seconds),
                static_cast<long long>(nanos));
  return text.data();
}

void EncodeAttributes(const Attributes& attributes, ObjectProperties* properties) {
  UserMetadata& metadata = properties->metadata;
  for (const std::string_view name : kForeignNames) metadata.erase(std::string(name));
  metadata["mode"] = std::to_string(attributes.mode);
  metadata["uid"] = std::to_string(attributes.uid);
  metadata["gid"] = std::to_string(attributes.gid);
  metadata["mtime"] = FormatMetadataTime(attributes.mtime);
  metadata["ctime"] = FormatMetadataTime(attributes.ctime);
  metadata["atime"] = FormatMetadataTime(attributes.atime);
  if (S_ISCHR(attributes.mode) || S_ISBLK(attributes.mode)) {
    metadata["rdev"] = std::to_string(attributes.rdev);
  } else {
    metadata.erase("rdev");
  }
  if (S_ISDIR(attributes.mode)) {
    properties->content_type = std::string(kDirectoryContentType);
  } else if (properties->content_type.empty()) {
    properties->content_type = "application/octet-stream";
  }
}

}  // namespace quayfs
