// SPDX-License-Identifier: Apache-2.0

#include "providers/object_store.h"

#include <cstring>

#include "base/text.h"

namespace quayfs {
namespace {

std::string_view BareEtag(std::string_view etag) {
  if (etag.starts_with("W/") || etag.starts_with("w/")) etag.remove_prefix(2);
  if (etag.size() >= 2 && etag.front() == '"' && etag.back() == '"') {
    etag.remove_prefix(1);
    etag.remove_suffix(1);
  }
  return etag;
}

/// An MD5 digest, with or without a count of parts.
bool IsHexDigest(std::string_view etag) {
  if (etag.size() < 32) return false;
  return etag.substr(0, 32).find_first_not_of("0123456789abcdefABCDEF") == std::string_view::npos;
}

}  // namespace

bool SameEtag(std::string_view a, std::string_view b) {
  a = BareEtag(a);
  b = BareEtag(b);
  if (a.empty() || b.empty()) return false;
  return a == b || (IsHexDigest(a) && IsHexDigest(b) && EqualsIgnoreCase(a, b));
}

Status MemorySource::Read(uint64_t offset, std::span<std::byte> out) const {
  if (offset > data_.size() || out.size() > data_.size() - offset) {
    return Error(Code::kInvalidArgument, "a read beyond the end of the data");
  }
  if (!out.empty()) std::memcpy(out.data(), data_.data() + offset, out.size());
  return {};
}

Status StringSink::Write(std::span<const std::byte> data) {
  text_.append(reinterpret_cast<const char*>(data.data()), data.size());
  return {};
}

}  // namespace quayfs
