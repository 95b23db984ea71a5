// SPDX-License-Identifier: Apache-2.0

#include "cache/zero_objects.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <utility>
#include <vector>

#include "cache/unsettled.h"
#include "cache/waiting.h"

namespace quayfs {
namespace {

constexpr std::string_view kMetadata = "quayfs-zeros";
constexpr auto kPatience = std::chrono::minutes(10);
constexpr size_t kSmall = 0;
constexpr size_t kLarge = 1;

class ZeroSource final : public DataSource {
 public:
  explicit ZeroSource(uint64_t size) : size_(size) {}
  uint64_t size() const override { return size_; }
  Status Read(uint64_t /*offset*/, std::span<std::byte> out) const override {
    std::memset(out.data(), 0, out.size());
    return {};
  }

 private:
  const uint64_t size_;
};

ObjectProperties PropertiesOf(uint64_t size) {
  ObjectProperties properties;
  properties.content_type = "application/octet-stream";
  properties.metadata[std::string(kMetadata)] = std::to_string(size);
  return properties;
}

}  // namespace

bool ZeroObjects::usable(const Capabilities& capabilities) const {
  if (tuning_.prefix.empty() || !capabilities.multipart || !capabilities.part_copy) return false;
  MutexLock lock(mutex_);
  return !not_before_ || clock_.Steady() >= *not_before_;
}

uint64_t ZeroObjects::SizeOf(size_t which, const Capabilities& capabilities) const {
  const uint64_t wanted = which == kSmall ? tuning_.small : tuning_.large;
  // Twice: then any length can be cut into pieces that are neither too small nor too large.
  return std::min(std::max(wanted, 2 * capabilities.part_size_min), capabilities.part_size_max);
}

uint64_t ZeroObjects::CopyMax(uint64_t zeros, const Capabilities& capabilities) const {
  if (zeros < tuning_.worth_it || !usable(capabilities)) return 0;
  const bool large = zeros >= tuning_.use_large && !capabilities.equal_parts;
  const uint64_t size = SizeOf(large ? kLarge : kSmall, capabilities);
  return size < 2 * capabilities.part_size_min ? 0 : size;
}

std::string ZeroObjects::KeyOf(uint64_t size) const {
  return tuning_.prefix + std::to_string(size);
}

void ZeroObjects::GiveUp() { not_before_ = clock_.Steady() + kPatience; }

void ZeroObjects::Failed(const ZeroObject& object) {
  MutexLock lock(mutex_);
  for (Slot& slot : slots_) {
    if (slot.object && slot.object->key == object.key && slot.object->etag == object.etag) {
      slot.object.reset();
      GiveUp();
    }
  }
}

Result<ZeroObject> ZeroObjects::Get(uint64_t length, const CallOptions& call) {
  const Capabilities capabilities = store_.capabilities();
  const size_t which = length <= SizeOf(kSmall, capabilities) ? kSmall : kLarge;
  if (length > SizeOf(which, capabilities))
    return Error(Code::kTooLarge, "so many zeros are not copied at once");
  if (!usable(capabilities)) return Error(Code::kNotSupported, "the store copies no zeros");
  {
    MutexLock lock(mutex_);
    while (slots_[which].busy) QUAY_TRY(WaitOnce(changed_, mutex_, call));
    if (slots_[which].object) return *slots_[which].object;
    slots_[which].busy = true;
  }
  Result<ZeroObject> found = FindOrMake(which, call);
  MutexLock lock(mutex_);
  slots_[which].busy = false;
  if (found) {
    slots_[which].object = *found;
  } else if (!found.Is(Code::kCancelled)) {
    GiveUp();
  }
  changed_.NotifyAll();
  return found;
}

Result<ZeroObject> ZeroObjects::FindOrMake(size_t which, const CallOptions& call) {
  const uint64_t size = SizeOf(which, store_.capabilities());
  QUAY_ASSIGN(std::optional<ZeroObject> found, Find(size, call));
  if (found) return *std::move(found);
  QUAY_TRY(Make(which, call));
  QUAY_ASSIGN(found, Find(size, call));
  if (found) return *std::move(found);
  return Error(Code::kNotFound, fmt::format("'{}' was written and is not there", KeyOf(size)));
}

Result<std::optional<ZeroObject>> ZeroObjects::Find(uint64_t size, const CallOptions& call) {
  const std::string key = KeyOf(size);
  auto head = store_.Head(key, call);
  if (head.Is(Code::kNotFound)) return std::optional<ZeroObject>();
  if (!head) return head.error();
  const auto says = head->properties.metadata.find(std::string(kMetadata));
  if (head->info.size != size || head->info.etag.empty() ||
      says == head->properties.metadata.end() || says->second != std::to_string(size)) {
    return Error(Code::kAlreadyExists, fmt::format("'{}' is not an object of zeros", key));
  }
  return std::optional(ZeroObject{key, head->info.etag});
}

Status ZeroObjects::Make(size_t which, const CallOptions& call) {
  const uint64_t size = SizeOf(which, store_.capabilities());
  if (which == kLarge) return PutTogether(size, call);
  const auto put = store_.Put(KeyOf(size), ZeroSource(size), PropertiesOf(size), Condition::None(),
                              WithWork(call, size));
  return put ? Status() : Status(put.error());
}

Status ZeroObjects::PutTogether(uint64_t size, const CallOptions& call) {
  const std::string key = KeyOf(size);
  std::string unknown;
  QUAY_ASSIGN(const std::string upload_id,
              CreateRecorded({store_, &state_, &orphans_}, key, PropertiesOf(size), clock_.Now(),
                             call, &unknown));
  Status done = state_.Apply(StateBatch().PutOrphan(key, upload_id).DropOrphan(key, unknown),
                             Persist::kSurvivesPowerCut);
  if (done) done = SendParts(key, upload_id, size, call);
  if (!done) {
    orphans_.Add(key, upload_id);
    return done;
  }
  Ignore(state_.Apply(StateBatch().DropOrphan(key, upload_id), Persist::kSurvivesKill));
  return {};
}

Status ZeroObjects::SendParts(const std::string& key, const std::string& upload_id, uint64_t size,
                              const CallOptions& call) {
  const uint64_t small = SizeOf(kSmall, store_.capabilities());
  std::vector<PartInfo> parts;
  for (uint64_t done = 0; done < size; done += small) {
    QUAY_ASSIGN(const ZeroObject source, Get(small, call));
    // The last one may be smaller, as the last part may.
    const uint64_t length = std::min(small, size - done);
    const int number = static_cast<int>(parts.size()) + 1;
    QUAY_ASSIGN(PartInfo part, store_.CopyPart(key, upload_id, number, source.key, source.etag,
                                               {0, length}, WithWork(call, length)));
    part.number = number;
    parts.push_back(std::move(part));
  }
  const auto completed =
      store_.CompleteUpload(key, upload_id, parts, Condition::None(), WithWork(call, size));
  return completed ? Status() : Status(completed.error());
}

}  // namespace quayfs
