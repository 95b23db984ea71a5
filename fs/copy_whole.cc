// SPDX-License-Identifier: Apache-2.0
//
// Core: copy_file_range of a whole file into an empty one. The empty file is published first, so
// that its key is ours, and is then replaced within the store. A kill in between leaves the one or
// the other in the bucket, and nobody has been told of either.

#include <utility>

#include "cache/unsettled.h"
#include "fs/core.h"

namespace quayfs {
namespace {

// Below this the bytes are sent as fast.
constexpr uint64_t kLeast = 8ull << 20;

Error NotThisWay(const char* why) { return {Code::kNotSupported, why}; }

}  // namespace

Status Core::PlanCopyLocked(const OpenFile& from, const OpenFile& to, Step* step) {
  const Inode* const source = table_.Find(from.ino);
  Inode* const target = table_.Find(to.ino);
  if (source == nullptr || target == nullptr || source == target || !target->linked())
    return NotThisWay("the file has no name");
  const BaseVersion base = from.data->state().base;
  if (!source->published || source->needs_work() || from.data->dirty() || !base.exists() ||
      base.size < kLeast || base.size != from.data->size()) {
    return NotThisWay("the bucket does not hold the source as it is, or it is small");
  }
  if (to.data->size() != 0 || target->data != to.data) return NotThisWay("the target has contents");
  const Capabilities can = store_.capabilities();
  if (!can.copy || (base.size > can.copy_size_max && !can.part_copy))
    return NotThisWay("the store cannot copy it");
  step->kind = Step::Kind::kCopy;
  step->from = base.key;
  step->version = {base.etag, base.size, 0};
  return {};
}

Result<size_t> Core::CopyRange(const OpContext& context, OpenFile& from, OpenFile& to,
                               const CopyRequest& request) {
  QUAY_TRY(CheckWritable());
  if (!to.writable) return Error(Code::kBadHandle, "the file is open for reading only");
  const uint64_t size = from.data->size();
  if (request.from_offset != 0 || request.offset != 0 || request.length < size)
    return NotThisWay("it is not the whole file");
  QUAY_TRY(CopyWhole(context, from, to));
  return static_cast<size_t>(size);
}

Status Core::CopyWhole(const OpContext& context, OpenFile& from, OpenFile& to) {
  Step step;
  {
    MutexLock lock(mutex_);
    QUAY_TRY(PlanCopyLocked(from, to, &step));
    QUAY_TRY(MayWait(context));
  }
  if (!SyncInode(context, to.ino).ok()) return NotThisWay("the target cannot be published");
  {
    MutexLock lock(mutex_);
    QUAY_TRY(PlanCopyLocked(from, to, &step));
    Inode& target = *table_.Find(to.ino);
    if (!target.published || target.needs_work() || target.moved || target.is_name())
      return NotThisWay("the target has changed meanwhile");
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
  }
  const auto condition = ConditionForCopy(context, step);
  Result<ObjectInfo> made = condition.ok() ? CopyAndCheck(context, step, *condition)
                                           : Result<ObjectInfo>(condition.error());
  if (!made.ok() && IsUnclear(made.code())) {
    // What became of it has to be known before anything else is written there.
    const auto head = store_.Head(step.key, context.call);
    const bool ours = head.ok() && IsCopyOf(step, *head);
    made = ours ? Result<ObjectInfo>(head->info) : Result<ObjectInfo>(made.error());
  }
  MutexLock lock(mutex_);
  for (const std::string& key : step.busy) busy_keys_.erase(key);
  Status finished = FinishCopyLocked(to, step, made);
  queue_.WakeDeferred(clock_.Steady());
  WakeLocked();
  return finished;
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
