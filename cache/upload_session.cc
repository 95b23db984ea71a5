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

std::shared_ptr<UploadSession> UploadSession::Resumed() const {
  auto next = std::make_shared<UploadSession>();
  next->key = key;
  next->properties = properties;
  next->phase = Phase::kOpen;
  next->upload_id = upload_id;
  next->verified = verified;
  next->at_store = at_store;
  for (const auto& [number, record] : parts) {
    if (record.sent && record.told && !record.stale->load()) next->parts.emplace(number, record);
  }
  while (next->parts.contains(next->next_ahead)) ++next->next_ahead;
  return next;
}

std::string UploadSession::CheckInvariants() const {
  if (phase == Phase::kCreating && (!upload_id.empty() || !parts.empty())) {
    return "an upload that the store has not made yet has an id or parts";
  }
  if ((phase == Phase::kOpen || phase == Phase::kPaused) && upload_id.empty()) {
    return "an open upload without an id";
  }
  int posted = 0;
  for (const auto& [number, record] : parts) {
    if (record.part.number != number || number < 1) return "a part under another number";
    if (record.told && !record.sent) return "a part is in the database before it was sent";
    if (record.sent && record.info.number != number) return "a part with another's ETag";
    if (at_store.contains(number)) return "a part is both known and unknown";
    if (!record.sent) ++posted;
  }
  if (posted != in_flight) return "parts in flight are counted wrong";
  return "";
}

bool KeepsUpload(Code code) {
  switch (code) {
    case Code::kUnavailable:
    case Code::kThrottled:
    case Code::kTimedOut:
    case Code::kCancelled:
    case Code::kUnauthenticated:
    case Code::kPermissionDenied:
    case Code::kClockSkew:
    case Code::kUntrusted:
    case Code::kNoSpace:
    case Code::kQuota:
      return true;
    default:
      return false;
  }
}

bool SameProperties(const ObjectProperties& a, const ObjectProperties& b) {
  return a.content_type == b.content_type && a.cache_control == b.cache_control &&
         a.content_disposition == b.content_disposition &&
         a.content_encoding == b.content_encoding && a.content_language == b.content_language &&
         a.expires == b.expires && a.metadata == b.metadata;
}

}  // namespace quayfs
