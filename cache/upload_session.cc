// SPDX-License-Identifier: Apache-2.0

#include "cache/upload_session.h"

namespace quayfs {

bool UploadSession::Touch(ByteRange range) {
  if (frozen) return false;
  changed = true;
  touched.Add(range);
  bool hit = false;
  for (auto& [number, record] : parts) {
    if (!record.part.range.Overlaps(range)) continue;
    record.stale->store(true);
    hit = true;
  }
  return hit;
}

bool SameProperties(const ObjectProperties& a, const ObjectProperties& b) {
  return a.content_type == b.content_type && a.cache_control == b.cache_control &&
         a.content_disposition == b.content_disposition &&
         a.content_encoding == b.content_encoding && a.content_language == b.content_language &&
         a.expires == b.expires && a.metadata == b.metadata;
}

}  // namespace quayfs
