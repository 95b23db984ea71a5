// SPDX-License-Identifier: Apache-2.0

#include "fs/xattr_codec.h"

#include <nlohmann/json.hpp>

#include "base/hash.h"
#include "base/text.h"
#include "fs/key_names.h"
#include "fs/link_record.h"

namespace quayfs {
namespace {

// The rest of the 2 KB is for modes, times and what others have put there.
constexpr size_t kInlineMax = 1400;

}  // namespace

std::string XattrsToJson(const XattrMap& xattrs) {
  nlohmann::json json = nlohmann::json::object();
  for (const auto& [name, value] : xattrs) json[name] = Base64Encode(value);
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

XattrMap XattrsFromJson(std::string_view text) {
  const auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  XattrMap xattrs;
  if (!json.is_object()) return xattrs;
  for (const auto& [name, value] : json.items()) {
    std::string raw;
    if (value.is_string() && Base64Decode(value.get_ref<const std::string&>(), &raw))
      xattrs.emplace(name, std::move(raw));
  }
  return xattrs;
}

bool FitsMetadata(const XattrMap& xattrs) {
  // No form of a header is longer.
  return xattrs.empty() || PercentEncode(XattrsToJson(xattrs), false).size() <= kInlineMax;
}

void EncodeXattrs(const XattrMap& xattrs, const std::string& side_id, UserMetadata* metadata) {
  metadata->erase(kXattrMetadata);
  metadata->erase(kXattrSideMetadata);
  if (!side_id.empty()) {
    (*metadata)[kXattrSideMetadata] = side_id;
  } else if (!xattrs.empty()) {
    (*metadata)[kXattrMetadata] = XattrsToJson(xattrs);
  }
}

XattrMap DecodeXattrs(const UserMetadata& metadata) {
  const auto it = metadata.find(kXattrMetadata);
  if (it == metadata.end()) return {};
  // The store has undone the encoding that s3fs uses, once.
  const bool plain = it->second.starts_with('{');
  return XattrsFromJson(plain ? it->second : PercentDecode(it->second, false));
}

std::string XattrSideId(const UserMetadata& metadata) {
  const auto it = metadata.find(kXattrSideMetadata);
  return it != metadata.end() && IsLinkId(it->second) ? it->second : std::string();
}

std::string NewXattrSideId() { return NewLinkId(); }

std::string XattrSideKey(std::string_view root, std::string_view id) {
  return std::string(root) + std::string(kReservedSegment) + "/xattr/" + std::string(id);
}

}  // namespace quayfs
