// SPDX-License-Identifier: Apache-2.0

#include "fs/link_record.h"

#include <algorithm>

#include "base/hash.h"
#include "base/text.h"
#include "fs/key_names.h"

namespace quayfs {
namespace {

constexpr std::string_view kHead = "quayfs-links 1";
constexpr std::string_view kData = "data ";
constexpr std::string_view kName = "name ";
constexpr size_t kIdBytes = 16;

}  // namespace

std::string FormatLinkRecord(const LinkRecord& record) {
  std::string text = std::string(kHead) + "\n";
  text += std::string(kData) + PercentEncode(record.data, /*keep_slash=*/true) + "\n";
  for (const std::string& name : record.names)
    text += std::string(kName) + PercentEncode(name, /*keep_slash=*/true) + "\n";
  return text;
}

Result<LinkRecord> ParseLinkRecord(std::string_view text) {
  LinkRecord record;
  bool head = false;
  for (const std::string_view line : Split(text, '\n')) {
    if (!head) {
      if (line != kHead) break;
      head = true;
    } else if (line.starts_with(kData)) {
      record.data = PercentDecode(line.substr(kData.size()), false);
    } else if (line.starts_with(kName)) {
      record.names.push_back(PercentDecode(line.substr(kName.size()), false));
    }
  }
  if (!head || record.data.empty()) return Error(Code::kCorrupt, "this is no link record");
  return record;
}

std::string NewLinkId() { return HexEncode(RandomBytes(kIdBytes)); }

bool IsLinkId(std::string_view text) {
  return text.size() == 2 * kIdBytes && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

std::string LinkRecordKey(std::string_view root, std::string_view id) {
  return std::string(root) + std::string(kReservedSegment) + "/links/" + std::string(id);
}

std::string LinkNameBody(std::string_view id) {
  return "A further name of a file; .quayfs/links/" + std::string(id) + " says where it lies.\n";
}

}  // namespace quayfs
