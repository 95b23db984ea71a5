// SPDX-License-Identifier: Apache-2.0

#include "s3/types.h"

#include <cstring>

#include "base/text.h"

namespace quayfs::s3 {
namespace {

std::string_view BareEtag(std::string_view etag) {
  if (etag.substr(0, 2) == "W/" || etag.substr(0, 2) == "w/") etag.remove_prefix(2);
  if (etag.size() >= 2 && etag.front() == '"' && etag.back() == '"') {
    etag.remove_prefix(1);
    etag.remove_suffix(1);
  }
  return etag;
}

}  // namespace

bool EtagsMatch(std::string_view a, std::string_view b) {
  const std::string_view bare_a = BareEtag(a);
  return !bare_a.empty() && EqualsIgnoreCase(bare_a, BareEtag(b));
}

Status MemoryBody::Read(uint64_t offset, std::span<std::byte> out) const {
  if (offset > text_.size() || out.size() > text_.size() - offset) {
    return Error(Code::kInternal, "read beyond the end of a request body");
  }
  if (!out.empty()) std::memcpy(out.data(), text_.data() + offset, out.size());
  return {};
}

}  // namespace quayfs::s3
