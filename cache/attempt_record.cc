// SPDX-License-Identifier: Apache-2.0

#include "cache/attempt_record.h"

#include <fmt/format.h>

#include <charconv>
#include <string>
#include <string_view>
#include <vector>

#include "base/hash.h"

namespace quayfs {
namespace {

constexpr std::string_view kMark = "\x01quayfs-attempt";

/// Fields end with a newline; the last one, the upload id, goes to the end and may hold anything.
std::vector<std::string_view> Fields(std::string_view text, size_t count) {
  std::vector<std::string_view> fields;
  while (fields.size() + 1 < count) {
    const size_t end = text.find('\n');
    if (end == std::string_view::npos) return {};
    fields.push_back(text.substr(0, end));
    text.remove_prefix(end + 1);
  }
  fields.push_back(text);
  return fields;
}

std::optional<uint64_t> Number(std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<std::string> FromHex(std::string_view hex) {
  if (hex.size() % 2 != 0) return std::nullopt;
  std::string raw;
  for (size_t i = 0; i < hex.size(); i += 2) {
    unsigned value = 0;
    const auto [end, error] = std::from_chars(hex.data() + i, hex.data() + i + 2, value, 16);
    if (error != std::errc() || end != hex.data() + i + 2) return std::nullopt;
    raw.push_back(static_cast<char>(value));
  }
  return raw;
}

constexpr size_t kFields = 7;

}  // namespace

UploadRow AttemptRow(uint64_t inode, const AttemptRecord& record) {
  const Unsettled& attempt = record.attempt;
  UploadRow row;
  row.ino = inode;
  row.key = attempt.key;
  row.properties = attempt.properties;
  row.upload_id =
      fmt::format("{}\n{}\n{}\n{}\n{}\n{}\n{}", kMark, record.generation, attempt.size,
                  static_cast<int>(attempt.condition.kind), HexEncode(attempt.condition.etag),
                  HexEncode(attempt.sha256), attempt.upload_id);
  return row;
}

std::optional<AttemptRecord> AttemptOf(const UploadRow& row) {
  if (!std::string_view(row.upload_id).starts_with(kMark)) return std::nullopt;
  const std::vector<std::string_view> fields = Fields(row.upload_id, kFields);
  if (fields.empty()) return std::nullopt;
  const auto generation = Number(fields[1]);
  const auto size = Number(fields[2]);
  const auto kind = Number(fields[3]);
  const auto etag = FromHex(fields[4]);
  const auto sha256 = FromHex(fields[5]);
  if (!generation || !size || !kind || *kind > 2 || !etag || !sha256) return std::nullopt;
  AttemptRecord record;
  record.generation = *generation;
  record.attempt.key = row.key;
  record.attempt.properties = row.properties;
  record.attempt.condition = {static_cast<Condition::Kind>(*kind), *etag};
  record.attempt.size = *size;
  record.attempt.sha256 = *sha256;
  record.attempt.upload_id = std::string(fields[6]);
  return record;
}

std::string UploadIdOf(const UploadRow& row) {
  if (!std::string_view(row.upload_id).starts_with(kMark)) return row.upload_id;
  const std::vector<std::string_view> fields = Fields(row.upload_id, kFields);
  return fields.empty() ? "" : std::string(fields.back());
}

}  // namespace quayfs
