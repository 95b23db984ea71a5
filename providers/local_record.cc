// SPDX-License-Identifier: Apache-2.0

#include "providers/local_record.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>
#include <vector>

#include "base/hash.h"
#include "base/text.h"

namespace quayfs {
namespace {

// "end LLLLLLLL CCCCCCCC\n": the length of the trailer and the CRC32C of everything in it before
// this line, in hex.
constexpr size_t kEndLineSize = 22;
constexpr std::array<std::string_view, 3> kKindNames = {"object", "part", "upload"};
constexpr std::string_view kVersion = "1";
/// Enough for nearly every trailer, so that one read does.
constexpr size_t kFirstRead = 1024;

using TextField = std::pair<std::string_view, std::string ObjectProperties::*>;
constexpr std::array<TextField, 6> kPropertyFields = {{
    {"content-type", &ObjectProperties::content_type},
    {"cache-control", &ObjectProperties::cache_control},
    {"content-disposition", &ObjectProperties::content_disposition},
    {"content-encoding", &ObjectProperties::content_encoding},
    {"content-language", &ObjectProperties::content_language},
    {"expires", &ObjectProperties::expires},
}};

void AppendLine(std::string_view name, std::string_view value, std::string* out) {
  out->append(name);
  out->push_back(' ');
  out->append(PercentEncode(value, /*keep_slash=*/true));
  out->push_back('\n');
}

Error Corrupt(std::string_view what) {
  return {Code::kCorrupt, fmt::format("a damaged object file: {}", what)};
}

Result<uint32_t> ParseHex(std::string_view text) {
  uint32_t value = 0;
  const char* end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, value, 16);
  if (parsed.ec != std::errc() || parsed.ptr != end) return Corrupt("bad number in the last line");
  return value;
}

struct EndLine {
  uint32_t length = 0;
  uint32_t crc = 0;
};

Result<EndLine> ParseEndLine(std::string_view line) {
  if (line.size() != kEndLineSize || !line.starts_with("end ") || line[12] != ' ' ||
      line.back() != '\n') {
    return Corrupt("its last line is not that of a quayfs object");
  }
  EndLine end;
  QUAY_ASSIGN(end.length, ParseHex(line.substr(4, 8)));
  QUAY_ASSIGN(end.crc, ParseHex(line.substr(13, 8)));
  if (end.length < kEndLineSize || end.length > kLocalTrailerMax) return Corrupt("trailer length");
  return end;
}

Status ParseNumberField(std::string_view name, std::string_view value, LocalRecord* record) {
  auto number = ParseUint(value);
  if (!number) return Corrupt(name);
  if (name == "size") {
    record->size = *number;
  } else {
    record->modified = WallTime(std::chrono::nanoseconds(*number));
  }
  return {};
}

Status ParseField(std::string_view name, std::string_view raw, LocalRecord* record) {
  if (name == "size" || name == "modified") return ParseNumberField(name, raw, record);
  if (name == "meta") {
    const size_t blank = raw.find(' ');
    if (blank == std::string_view::npos) return Corrupt("metadata line");
    record->properties.metadata[PercentDecode(raw.substr(0, blank), false)] =
        PercentDecode(raw.substr(blank + 1), false);
    return {};
  }
  std::string value = PercentDecode(raw, /*plus_is_space=*/false);
  if (name == "etag") {
    record->etag = std::move(value);
  } else if (name == "key") {
    record->key = std::move(value);
  } else if (name == "upload") {
    record->upload_id = std::move(value);
  } else {
    const auto* const known =
        std::find_if(kPropertyFields.begin(), kPropertyFields.end(),
                     [&](const TextField& field) { return field.first == name; });
    if (known != kPropertyFields.end()) record->properties.*(known->second) = std::move(value);
    // Other names are those of a later minor version; this one can do without them.
  }
  return {};
}

Status ParseHeadLine(std::string_view line, LocalRecord* record) {
  const std::vector<std::string_view> words = Split(line, ' ');
  if (words.size() != 3 || words[0] != "quayfs") return Corrupt("first line of the trailer");
  const auto kind = std::find(kKindNames.begin(), kKindNames.end(), words[1]);
  if (kind == kKindNames.end()) return Corrupt("unknown kind of file");
  if (words[2] != kVersion) {
    return Error(Code::kNotSupported, fmt::format("an object file of format version {}", words[2]));
  }
  record->kind = static_cast<LocalRecord::Kind>(kind - kKindNames.begin());
  return {};
}

}  // namespace

std::string EncodeLocalRecord(const LocalRecord& record) {
  std::string out = fmt::format("\nquayfs {} {}\nsize {}\nmodified {}\n",
                                kKindNames[static_cast<size_t>(record.kind)], kVersion, record.size,
                                std::max<int64_t>(record.modified.time_since_epoch().count(), 0));
  if (!record.key.empty()) AppendLine("key", record.key, &out);
  if (!record.etag.empty()) AppendLine("etag", record.etag, &out);
  if (!record.upload_id.empty()) AppendLine("upload", record.upload_id, &out);
  for (const auto& [field, member] : kPropertyFields) {
    if (!(record.properties.*member).empty()) AppendLine(field, record.properties.*member, &out);
  }
  for (const auto& [name, value] : record.properties.metadata) {
    AppendLine(fmt::format("meta {}", PercentEncode(name, false)), value, &out);
  }
  const uint32_t crc = Crc32c(AsBytes(out));
  out += fmt::format("end {:08x} {:08x}\n", out.size() + kEndLineSize, crc);
  return out;
}

Result<LocalRecord> DecodeLocalRecord(std::string_view trailer) {
  if (trailer.size() < kEndLineSize) return Corrupt("too short");
  QUAY_ASSIGN(const EndLine end, ParseEndLine(trailer.substr(trailer.size() - kEndLineSize)));
  if (end.length != trailer.size()) return Corrupt("trailer length");
  std::string_view text = trailer.substr(0, trailer.size() - kEndLineSize);
  if (Crc32c(AsBytes(text)) != end.crc) return Corrupt("checksum of the trailer");
  if (!text.starts_with('\n') || !text.ends_with('\n') || text.size() < 2) {
    return Corrupt("trailer lines");
  }
  text = text.substr(1, text.size() - 2);
  LocalRecord record;
  bool first = true;
  for (const std::string_view line : Split(text, '\n')) {
    if (first) {
      QUAY_TRY(ParseHeadLine(line, &record));
      first = false;
      continue;
    }
    const size_t blank = line.find(' ');
    if (blank == std::string_view::npos) return Corrupt("trailer line");
    QUAY_TRY(ParseField(line.substr(0, blank), line.substr(blank + 1), &record));
  }
  return record;
}

Result<LocalRecord> ReadLocalRecord(const DiskFile& file) {
  QUAY_ASSIGN(const uint64_t file_size, file.Size());
  if (file_size < kEndLineSize) return Corrupt("too short");
  std::string tail(std::min<uint64_t>(file_size, kFirstRead), '\0');
  const auto read_tail = [&]() -> Status {
    QUAY_ASSIGN(const size_t got,
                file.Read(file_size - tail.size(), std::as_writable_bytes(std::span(tail))));
    if (got != tail.size()) return Corrupt("it shrank while it was read");
    return {};
  };
  QUAY_TRY(read_tail());
  QUAY_ASSIGN(const EndLine end,
              ParseEndLine(std::string_view(tail).substr(tail.size() - kEndLineSize)));
  if (end.length > file_size) return Corrupt("trailer length");
  if (end.length > tail.size()) {
    tail.resize(end.length);
    QUAY_TRY(read_tail());
  }
  QUAY_ASSIGN(LocalRecord record,
              DecodeLocalRecord(std::string_view(tail).substr(tail.size() - end.length)));
  if (record.size != file_size - end.length) return Corrupt("size");
  return record;
}

}  // namespace quayfs
