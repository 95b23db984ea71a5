// SPDX-License-Identifier: Apache-2.0
//
// Core: copy_file_range of a whole file into an empty one, or of a large range. The target is
// published first, so that its key is ours, and is then replaced within the store: by a copy, or by
// an upload of copied parts (copy_range.cc). A kill in between leaves the one or the other in the
// bucket, and nobody has been told of either.

#include <algorithm>
#include <utility>

#include "cache/unsettled.h"
#include "fs/core.h"

namespace quayfs {
namespace {

// Below this the bytes are sent as fast.
constexpr uint64_t kLeast = 8ull << 20;
constexpr uint64_t kLeastRange = 64ull << 20;
// The rest of the target is copied again for each range: up to so many times the range.
constexpr uint64_t kMostRest = 32;
// Of the target, that the bucket lacks and that would have to be sent first.
constexpr uint64_t kMostDirty = 16ull << 20;

Error NotThisWay(const char* why) { return {Code::kNotSupported, why}; }

}  // namespace

Status Core::PlanCopyLocked(const OpenFile& from, const OpenFile& to, RangeCopy* copy, Step* step) {
  const Inode* const source = table_.Find(from.ino);
  Inode* const target = table_.Find(to.ino);
  if (source == nullptr || target == nullptr || source == target || !target->linked())
    return NotThisWay("the file has no name");
  const BaseVersion base = from.data->state().base;
  if (!source->published || source->ours() || from.data->dirty() || !base.exists() ||
      base.size < kLeast || base.size != from.data->size()) {
    return NotThisWay("the bucket does not hold the source as it is, or it is small");
  }
  // What is written into a mapping meanwhile would be lost.
  if (target->data != to.data || target->mappers > 0)
    return NotThisWay("the target has other contents, or may be mapped");
  const CopyRequest& request = copy->request;
  if (request.from_offset >= base.size) return NotThisWay("there is nothing to copy");
  copy->source = base;
  copy->target_size = to.data->size();
  copy->request.length = std::min(request.length, base.size - request.from_offset);
  copy->whole = copy->target_size == 0 && request.offset == 0 && request.length == base.size;
  step->kind = Step::Kind::kCopy;
  step->from = base.key;
  const uint64_t size = std::max(copy->target_size, request.offset + request.length);
  step->version = {base.etag, size, 0};
  const Capabilities can = store_.capabilities();
  if (copy->whole) {
    if (!can.copy || (base.size > can.copy_size_max && !can.part_copy))
      return NotThisWay("the store cannot copy it");
    return {};
  }
  if (!can.multipart || !can.part_copy || can.equal_parts)
    return NotThisWay("the store cannot copy parts of it");
  if (request.length < std::max(kLeastRange, 2 * can.part_size_min) ||
      request.offset > copy->target_size || size / kMostRest > request.length ||
      size > can.object_size_max || to.data->state().dirty_bytes > kMostDirty) {
    return NotThisWay("it does not pay");
  }
  return {};
}

Result<size_t> Core::CopyRange(const OpContext& context, OpenFile& from, OpenFile& to,
                               const CopyRequest& request) {
  QUAY_TRY(CheckWritable());
  if (!to.writable) return Error(Code::kBadHandle, "the file is open for reading only");
  RangeCopy copy;
  copy.request = request;
  // What the kernel can be told of at once, in whole pages.
  copy.request.length = std::min<uint64_t>(request.length, 0xffff'f000);
  QUAY_TRY(CopyWithinStore(context, from, to, &copy));
  return static_cast<size_t>(copy.request.length);
}

Status Core::CopyWithinStore(const OpContext& context, OpenFile& from, OpenFile& to,
                             RangeCopy* copy) {
  Step step;
  {
    MutexLock lock(mutex_);
    QUAY_TRY(PlanCopyLocked(from, to, copy, &step));
    QUAY_TRY(MayWait(context));
  }
  if (!SyncInode(context, to.ino).ok()) return NotThisWay("the target cannot be published");
  {
    MutexLock lock(mutex_);
    QUAY_TRY(PlanCopyLocked(from, to, copy, &step));
    Inode& target = *table_.Find(to.ino);
    if (!target.published || target.ours() || target.moved || target.is_name() ||
        to.data->dirty()) {
      return NotThisWay("the target has changed meanwhile");
    }
    step.key = target.object_key;
    step.busy = {step.key, step.from};
    for (const std::string& key : step.busy) {
      if (busy_keys_.contains(key)) return NotThisWay("somebody else works on it");
    }
    step.expected_etag = target.version.etag;
    step.keep_from = true;
    step.new_properties = true;
    TouchLocked(target, /*contents=*/true);
    step.seq = target.attributes_seq;
    step.properties = PropertiesLocked(target);
    QUAY_TRY(NoteWritingLocked(target, &step));
    busy_keys_.insert(step.busy.begin(), step.busy.end());
    ++target.steps;
  }
  Result<ObjectInfo> made = MakeCopy(context, step, *copy);
  if (!made.ok() && IsUnclear(made.code())) {
    // What became of it has to be known before anything else is written there.
    const auto head = store_.Head(step.key, context.call);
    const bool ours = head.ok() && IsCopyOf(step, *head);
    made = ours ? Result<ObjectInfo>(head->info) : Result<ObjectInfo>(made.error());
  }
  MutexLock lock(mutex_);
  for (const std::string& key : step.busy) busy_keys_.erase(key);
  if (Inode* const target = table_.Find(to.ino); target != nullptr) --target->steps;
  Status finished = FinishCopyLocked(to, step, made);
  queue_.WakeDeferred(clock_.Steady());
  WakeLocked();
  return finished;
}

Result<ObjectInfo> Core::MakeCopy(const OpContext& context, const Step& step,
                                  const RangeCopy& copy) {
  if (!copy.whole) return BuildOfRanges(context, step, copy);
  const auto condition = ConditionForCopy(context, step);
  if (!condition.ok()) return condition.error();
  return CopyAndCheck(context, step, *condition);
}

Status Core::FinishCopyLocked(const OpenFile& to, Step& step, const Result<ObjectInfo>& made) {
  Inode* target = table_.Find(to.ino);
  if (!made.ok()) {
    if (IsUnclear(made.code())) return made.error();
    if (target != nullptr) NotWrittenLocked(*target, step.key);
    return NotThisWay("the store did not copy it");
  }
  SettledLocked(to.ino, step, step.key, {made->etag, step.version.size, 0});
  target = table_.Find(to.ino);
  if (target == nullptr || !target->linked()) return NotThisWay("the target was removed meanwhile");
  to.data->Replace({step.key, made->etag, step.version.size});
  target->attributes.size = step.version.size;
  ++target->content_epoch;
  StateBatch batch;
  SaveLocked(*target, &batch);
  QUAY_TRY(CommitLocked(std::move(batch)));
  return {};
}

}  // namespace quayfs
