// SPDX-License-Identifier: Apache-2.0
//
// Core: what one inode needs so that the bucket shows it as it is. A step is one change in the
// bucket; which one is found out anew before each, from the inode as it is then:
//
//   the inode                                            step
//   another inode's object still lies at its key         wait for that one; in a circle: park
//   the object at its key was removed while open, and    keep: copy the bytes aside
//     its reader still needs bytes from it
//   a directory, link or special file that is new,       put
//     moved (a directory) or changed (a directory)
//   a file with contents that the bucket lacks           publish: PUT or multipart, under its key
//   otherwise moved                                      copy (or move) to its key, with attributes
//   otherwise attributes changed                         copy onto itself
//   its extended attributes need an object of their own   xattrs: put that first
//   only its link record is out of date                  record: put that
//
// A further name of a file with hard links is put like a link or special file.
//
// After a step the object that lay elsewhere is a removal (removals.cc). What the step was for may
// have changed meanwhile; then the next step sees to it.

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/hash.h"
#include "cache/unsettled.h"
#include "fs/content_type.h"
#include "fs/core.h"
#include "fs/key_names.h"

namespace quayfs {
namespace {

constexpr int kStepsMax = 8;  // then others get their turn
constexpr uint64_t kCopyPartBytes = 1ull << 30;

}  // namespace

std::string Core::DesiredKeyLocked(const Inode& inode) const {
  if (inode.published && !inode.moved) return inode.object_key;
  const auto key = table_.KeyOf(inode);
  if (!key.ok()) return {};
  return inode.is_directory() && inode.ino == kRootIno ? MarkerKeyLocked(inode, *key) : *key;
}

// After a change of name of it or of a directory above it, or of where its object lies.
void Core::SetMovedLocked(Inode& inode) {
  const auto source = sources_.find(inode.object_key);
  if (source != sources_.end() && source->second == inode.ino) sources_.erase(source);
  inode.moved = false;
  if (!inode.published || !inode.linked()) return;
  const auto key = table_.KeyOf(inode);
  inode.moved = key.ok() && *key != inode.object_key && inode.ino != kRootIno;
  if (inode.moved) sources_[inode.object_key] = inode.ino;
}

namespace {

std::string MetadataDigest(const UserMetadata& metadata) {
  std::string text;
  for (const auto& [name, value] : metadata) {
    text += name;
    text += '\0';
    text += value;
    text += '\0';
  }
  return HexEncode(Sha256(text));
}

}  // namespace

// A large file may have been renamed, touched or given another mode since its upload began, or
// since a failure interrupted it. The upload is finished as it was begun where nothing else has its
// key; the next steps move and describe the object.
void Core::AdoptUploadLocked(Inode& inode, Step* step) {
  if (!inode.is_regular() || inode.data == nullptr || !inode.unpublished()) return;
  std::optional<UploadUnderWay> upload = inode.data->upload();
  if (!upload || upload->sent_bytes == 0) return;
  if (upload->key != step->key) {
    const auto source = sources_.find(upload->key);
    const bool taken = (source != sources_.end() && source->second != inode.ino) ||
                       removals_.contains(upload->key) || AtKeyLocked(upload->key) != nullptr ||
                       upload->key.find(kReservedSegment) != std::string::npos;
    if (taken || !store_.capabilities().copy) return;
    step->key = upload->key;
    step->detour = true;
  }
  step->upload = std::move(upload);
}

// Whose object has to go first.
Core::Outcome Core::FindBlockerLocked(const Inode& inode, Step* step) {
  const auto source = sources_.find(step->key);
  if (source != sources_.end() && source->second != inode.ino) {
    // Around a circle of names (a and b swapped) nobody could begin: one object is parked.
    Ino at = source->second;
    for (size_t i = 0; i <= sources_.size(); ++i) {
      if (at == inode.ino) {
        if (!inode.published) break;
        step->kind = Step::Kind::kPark;
        step->busy = {inode.object_key};
        return {};
      }
      const Inode* next = table_.Find(at);
      if (next == nullptr) break;
      const auto further = sources_.find(DesiredKeyLocked(*next));
      if (further == sources_.end() || further->second == at) break;
      at = further->second;
    }
    return {{}, true, source->second};
  }
  const auto removal = removals_.find(step->key);
  if (removal == removals_.end()) return {};
  if (KeptOpenLocked(removal->second)) {
    step->kind = Step::Kind::kKeep;
    step->keeper = removal->second.keeper;
  } else if (removal->second.etag.empty()) {
    // What lies there has no version that could be named in a condition.
    HurryRemovalLocked(removal->second);
    return {{}, true, 0};
  }
  return {};
}

// A new name with another extension says another type; otherwise the object's travels along.
bool Core::RetypesLocked(const Inode& inode, const Step& step) const {
  if (!config_.content_type_by_name || !posix() || !inode.attributes_known) return false;
  return inode.is_regular() && inode.moved &&
         ContentTypeOfName(step.from) != ContentTypeOfName(step.key) &&
         step.properties.content_type != inode.properties.content_type;
}

void Core::DescribeStepLocked(Inode& inode, Step* step) {
  if (inode.published) {
    step->from = inode.object_key;
    step->version = inode.version;
    step->from_unclear = inode.writing_key == inode.object_key;
  }
  if (inode.published && inode.object_key == step->key) {
    step->expected_etag = inode.version.etag;
  } else if (const auto removal = removals_.find(step->key); removal != removals_.end()) {
    step->expected_etag = removal->second.etag;
  }
  step->seq = inode.attributes_seq;
  step->properties = PropertiesLocked(inode);
  step->new_properties = inode.attributes_dirty || !inode.published || RetypesLocked(inode, *step);
  step->own_rename = inode.renamed;
}

Core::Outcome Core::PlanStepLocked(Inode& inode, Step* step) {
  if (!inode.needs_work()) return {};
  if (!inode.needs_object_work()) {
    step->kind = Step::Kind::kRecord;
    step->key = LinkRecordKey(config_.prefix, inode.links->id);
    if (busy_keys_.contains(step->key)) return {{}, true, 0};
    step->busy = {step->key};
    busy_keys_.insert(step->key);
    return {};
  }
  if (inode.xattrs != nullptr && inode.xattrs->side_dirty) {
    step->kind = Step::Kind::kXattrs;
    step->key = XattrSideKey(config_.prefix, inode.xattrs->side_id);
    step->body = XattrsToJson(inode.xattrs->values);
    step->busy = {step->key};
    busy_keys_.insert(step->key);
    return {};
  }
  if (inode.is_name() && !inode.published) {
    // Nobody finds the file by this name before there is a record.
    const Inode& file = FileOfLocked(inode);
    if (&file != &inode && file.links->record_dirty && !file.links->record_there)
      return {{}, true, file.ino};
  }
  step->key = DesiredKeyLocked(inode);
  AdoptUploadLocked(inode, step);
  Outcome blocked = FindBlockerLocked(inode, step);
  if (blocked.blocked) return blocked;
  DescribeStepLocked(inode, step);
  if (step->kind == Step::Kind::kDone) {
    const Capabilities can = store_.capabilities();
    const bool known_target = S_ISLNK(inode.attributes.mode) && !inode.symlink_target.empty();
    // With attributes that nobody has asked for yet, only a copy takes them along.
    const bool write_anew = inode.is_directory() && (!inode.published || inode.attributes_known);
    const bool no_copy = !can.copy || (inode.version.size > can.copy_size_max && !can.part_copy);
    if (inode.is_name()) {
      step->kind = Step::Kind::kPut;
      step->body = LinkNameBody(inode.links->id);
    } else if (write_anew || (!inode.is_regular() && !inode.published) || known_target) {
      step->kind = Step::Kind::kPut;
      step->body = inode.is_directory() ? std::string() : inode.symlink_target;
    } else if (inode.is_regular() && (inode.unpublished() || no_copy)) {
      step->kind = Step::Kind::kPublish;
      auto data = DataLocked(inode);
      if (!data.ok()) return {data.error()};
      step->data = *std::move(data);
      if (inode.timed_by_content) {
        // As soon as it is published the content's row says nothing of them any more.
        StateBatch batch;
        SaveLocked(inode, &batch);
        if (Status saved = CommitLocked(std::move(batch)); !saved.ok()) return {std::move(saved)};
      }
    } else {
      step->kind = inode.moved ? Step::Kind::kCopy : Step::Kind::kAttributes;
    }
  }
  if (step->kind == Step::Kind::kKeep) {
    step->busy = {step->key};
  } else if (step->kind != Step::Kind::kPark) {
    step->busy = {step->key};
    if (!step->from.empty() && step->from != step->key) step->busy.push_back(step->from);
  }
  for (const std::string& key : step->busy) {
    if (busy_keys_.contains(key)) return {{}, true, 0};
  }
  const Status noted = NoteWritingLocked(inode, step);
  if (!noted.ok()) return {noted};
  busy_keys_.insert(step->busy.begin(), step->busy.end());
  return {};
}

// A new object is about to appear. If this process dies before it knows how that ended, and the
// inode is moved or removed before it is tried again, nobody else would remember the object.
Status Core::NoteWritingLocked(Inode& inode, Step* step) {
  if (step->kind == Step::Kind::kKeep || step->kind == Step::Kind::kPark) return {};
  if (step->kind == Step::Kind::kAttributes) {
    inode.copying = MetadataDigest(step->properties.metadata);
    StateBatch batch;
    SaveLocked(inode, &batch);
    QUAY_TRY(CommitLocked(std::move(batch)));
  }
  // Of contents the cache keeps a note of its own. What is moved is never removed on a guess.
  const bool copy = step->kind == Step::Kind::kCopy && !Moves(*step);
  const bool fresh = !inode.published || inode.object_key != step->key;
  if (fresh && (copy || step->kind == Step::Kind::kPut)) {
    StateBatch batch;
    batch.PutRemoval({step->key, "", step->version.size});
    QUAY_TRY(CommitLocked(std::move(batch)));
  }
  step->again = inode.writing_key == step->key;
  inode.writing_key = step->key;
  return {};
}

bool Core::Moves(const Step& step) const {
  return store_.capabilities().move && !step.new_properties;
}

// The step has failed, and that much is certain: there is no new object.
void Core::NotWrittenLocked(Inode& inode, const std::string& key) {
  if (inode.writing_key != key) return NotStrayedLocked(inode.ino, key);
  inode.writing_key.clear();
  const auto removal = removals_.find(key);
  StateBatch batch;
  if (removal == removals_.end()) {
    batch.DropRemoval(key);
  } else {
    batch.PutRemoval({key, removal->second.etag, removal->second.size});
  }
  CommitQuietlyLocked(std::move(batch));
}

// An object that is moved unseen may have hard links, whose record has to follow.
Status Core::LearnBeforeMoving(const OpContext& context, Ino ino) {
  std::string unseen;
  {
    MutexLock lock(mutex_);
    const Inode* inode = table_.Find(ino);
    if (inode == nullptr || !inode->moved || inode->is_directory() || !posix()) return {};
    if (inode->attributes_known && !inode->is_name()) return {};
    if (!inode->attributes_known) unseen = inode->object_key;
  }
  if (!unseen.empty()) {
    const auto head = store_.Head(unseen, context.call);
    if (!head.ok() && !head.Is(Code::kNotFound)) return head.error();
    MutexLock lock(mutex_);
    Inode* inode = table_.Find(ino);
    if (head.ok() && inode != nullptr && inode->linked() && !inode->attributes_known &&
        inode->object_key == unseen) {
      ApplyHeadLocked(*inode, *head);
      RememberLocked(*inode);
    }
  }
  return EnsureLinks(context, ino);
}

// Of an object made of parts a copy has another ETag: what is read from it, or put on it, would
// seem to meet somebody else's change.
Status Core::SettleCopy(const OpContext& context, Ino ino) {
  std::string key;
  {
    MutexLock lock(mutex_);
    const Inode* inode = table_.Find(ino);
    if (inode == nullptr || inode->copying.empty() || !inode->published) return {};
    key = inode->object_key;
  }
  const auto head = store_.Head(key, context.call);
  if (!head.ok() && !head.Is(Code::kNotFound)) return head.error();
  MutexLock lock(mutex_);
  Inode* inode = table_.Find(ino);
  if (inode == nullptr || !inode->published || inode->object_key != key) return {};
  const std::string copying = std::exchange(inode->copying, {});
  if (!head.ok() || head->info.size != inode->version.size ||
      MetadataDigest(head->properties.metadata) != copying) {
    return {};
  }
  inode->version = ObjectVersion::Of(head->info);
  if (inode->data != nullptr) inode->data->Rebase({key, head->info.etag, head->info.size});
  StateBatch batch;
  SaveLocked(*inode, &batch);
  return CommitLocked(std::move(batch));
}

// REQUIRES: the inode's work is running here, and it is marked busy.
Core::Outcome Core::Reconcile(const OpContext& context, Ino ino) {
  for (int i = 0; i < kStepsMax; ++i) {
    if (Status settled = SettleCopy(context, ino); !settled.ok()) return {std::move(settled)};
    const Status learned = LearnBeforeMoving(context, ino);
    if (!learned.ok()) return {learned};
    Step step;
    {
      MutexLock lock(mutex_);
      if (Status recorded = CommitLocked({}); !recorded.ok()) return {std::move(recorded)};
      Inode* inode = table_.Find(ino);
      if (inode == nullptr) return {};
      step.kind = Step::Kind::kDone;
      Outcome planned = PlanStepLocked(*inode, &step);
      planned.wakes = queue_.wakes();
      if (planned.blocked || !planned.status.ok()) return planned;
      if (step.busy.empty()) return {};
      ++inode->steps;
    }
    const Status taken = TakeStep(context, ino, step);
    MutexLock lock(mutex_);
    for (const std::string& key : step.busy) busy_keys_.erase(key);
    Inode* inode = table_.Find(ino);
    if (inode != nullptr) --inode->steps;
    if (inode != nullptr && !taken.ok() && !IsUnclear(taken.code())) inode->copying.clear();
    if (inode != nullptr && !taken.ok() && !IsUnclear(taken.code()))
      NotWrittenLocked(*inode, step.key);
    queue_.WakeDeferred(clock_.Steady());
    WakeLocked();
    if (!taken.ok()) return {taken};
  }
  return {};
}

Status Core::TakeStep(const OpContext& context, Ino ino, Step& step) {
  switch (step.kind) {
    case Step::Kind::kDone:
      return {};
    case Step::Kind::kPut:
      return PutObject(context, ino, step);
    case Step::Kind::kPublish:
      return PublishContents(context, ino, step);
    case Step::Kind::kCopy:
      return CopyTo(context, ino, step);
    case Step::Kind::kAttributes:
      return CopyOntoItself(context, ino, step);
    case Step::Kind::kPark:
      return Park(context, ino, step);
    case Step::Kind::kRecord:
      return WriteRecord(context, ino, step);
    case Step::Kind::kXattrs:
      return PutXattrs(context, ino, step);
    case Step::Kind::kKeep:
      return KeepContents(context, step.keeper);
  }
  return Error(Code::kInternal, "no such step");
}

// REQUIRES: mutex_. The bucket has it now; so do the rows, in one batch.
void Core::SettledLocked(Ino ino, const Step& step, const std::string& key,
                         const ObjectVersion& version) {
  StateBatch batch;
  removals_.erase(key);
  batch.DropRemoval(key);
  if (!step.from.empty() && step.from != key && !step.keep_from) {
    const std::string etag = step.from_unclear ? std::string() : step.version.etag;
    AddRemovalLocked(step.from, etag, step.version.size, 0);
    batch.PutRemoval({step.from, etag, step.version.size});
  }
  Inode* inode = table_.Find(ino);
  if (inode == nullptr || !inode->linked()) {
    // Removed meanwhile: what has just been written has to go as well.
    AddRemovalLocked(key, version.etag, version.size, ino);
    batch.PutRemoval({key, version.etag, version.size});
    CommitQuietlyLocked(std::move(batch));
    return;
  }
  if (const auto source = sources_.find(inode->object_key);
      source != sources_.end() && source->second == ino) {
    sources_.erase(source);
  }
  inode->published = true;
  inode->copying.clear();
  inode->writing_key.clear();
  inode->streaming = false;
  inode->renamed = inode->renamed && key != DesiredKeyLocked(*inode);
  inode->object_key = key;
  inode->version = version;
  if (step.new_properties) {
    const std::string side = XattrSideId(inode->properties.metadata);
    if (!side.empty() && side != XattrSideId(step.properties.metadata)) {
      AddRemovalLocked(XattrSideKey(config_.prefix, side), "", 0, 0);
      batch.PutRemoval({XattrSideKey(config_.prefix, side), "", 0});
    }
    inode->properties = step.properties;
  }
  if (step.new_properties && inode->attributes_seq == step.seq)
    inode->attributes_dirty = inode->times_only = false;
  if (step.stale_properties) inode->attributes_dirty = true;
  SetMovedLocked(*inode);
  inode->changed_at = inode->checked_at = clock_.Steady();
  SaveLocked(*inode, &batch);
  batch.DropContentIfClean(ino);
  CommitQuietlyLocked(std::move(batch));
}

Status Core::PutObject(const OpContext& context, Ino ino, Step& step) {
  Condition condition;
  // What an earlier attempt of our own may have made is replaced whatever it is.
  if (!step.key.ends_with('/') && !step.again) {
    QUAY_ASSIGN(condition, ConditionFor(context, step.key, step.expected_etag, step.body.size()));
  }
  auto written =
      store_.Put(step.key, MemorySource(step.body), step.properties, condition, context.call);
  if (written.Is(Code::kAlreadyExists) || written.Is(Code::kChanged)) {
    // Of our own making, before an answer was lost or this process was killed? Else somebody else
    // has made something of that name.
    const auto head = store_.Head(step.key, context.call);
    if (head.Is(Code::kNotFound)) {
      // Somebody removed what was changed here: the change wins.
      written = store_.Put(
          step.key, MemorySource(step.body), step.properties,
          store_.capabilities().put_if_absent ? Condition::IfAbsent() : Condition::None(),
          context.call);
    } else if (!head.ok()) {
      return head.error();
    } else if (head->properties.metadata != step.properties.metadata) {
      return GiveWay(context, ino, step, written.error());
    } else {
      written = head->info;
    }
  }
  if (!written.ok()) return written.error();
  MutexLock lock(mutex_);
  SettledLocked(ino, step, step.key, {written->etag, step.body.size(), 0});
  return {};
}

// Whether the object at `key` may be replaced: by a condition where the store honours it for this
// kind of request, else by looking first. Nothing is looked up for a new name: its directory was
// listed or asked a moment ago.
Result<Condition> Core::ConditionFor(const OpContext& context, const std::string& key,
                                     const std::string& expected, uint64_t size) const {
  if (config_.conflict == ConflictPolicy::kOverwrite) return Condition::None();
  const Capabilities can = store_.capabilities();
  const bool one_put = cache_.FitsOnePut(size);
  if (expected.empty()) {
    const bool honoured = one_put ? can.put_if_absent : can.complete_if_absent;
    return honoured ? Condition::IfAbsent() : Condition::None();
  }
  if (one_put ? can.put_if_match : can.complete_if_match) return Condition::IfEtag(expected);
  const auto head = store_.Head(key, context.call);
  if (head.Is(Code::kNotFound)) return Condition::None();
  if (!head.ok()) return head.error();
  if (!SameEtag(head->info.etag, expected)) {
    return Error(Code::kChanged, "another client changed the object '" + key + "'");
  }
  return Condition::None();
}

// Our own late success must not look like somebody else's change. Where the store tests conditions
// that is Publish's business; where this does, it has to know first.
Status Core::TakeInOwnChange(const OpContext& context, Step& step) {
  const Capabilities can = store_.capabilities();
  const bool one_put = cache_.FitsOnePut(step.data->size());
  const bool tested = one_put ? can.put_if_match : can.complete_if_match;
  const FileDataState before = step.data->state();
  if (tested || before.unsettled_key != step.key) return {};
  QUAY_TRY(step.data->Settle(context.call));
  const BaseVersion now = step.data->state().base;
  if (now.key == step.key && now.etag != before.base.etag) step.expected_etag = now.etag;
  return {};
}

Status Core::PublishContents(const OpContext& context, Ino ino, Step& step) {
  PublishRequest request;
  request.key = step.key;
  request.properties = step.properties;
  step.new_properties = true;
  if (step.upload) {
    step.stale_properties = !SameProperties(step.properties, step.upload->properties);
    request.properties = step.properties = step.upload->properties;
  }
  QUAY_TRY(TakeInOwnChange(context, step));
  const auto condition = ConditionFor(context, step.key, step.expected_etag, step.data->size());
  if (condition.Is(Code::kChanged) && step.detour) {
    step.data->AbandonUpload();
    return {};
  }
  if (condition.Is(Code::kChanged))
    return ResolveConflict(context, ino, step, request, condition.error());
  if (!condition.ok()) return condition.error();
  request.condition = *condition;
  const auto written = step.data->Publish(request, context.call);
  if (step.detour && (written.Is(Code::kChanged) || written.Is(Code::kAlreadyExists))) {
    // Somebody else uses the key that the file had. Then it is sent to the one that it has now.
    step.data->AbandonUpload();
    return {};
  }
  if (written.Is(Code::kChanged) || written.Is(Code::kAlreadyExists)) {
    return ResolveConflict(context, ino, step, request, written.error());
  }
  if (!written.ok()) return written.error();
  MutexLock lock(mutex_);
  SettledLocked(ino, step, step.key, {written->etag, written->size, 0});
  return {};
}

Result<ObjectInfo> Core::CopyInParts(const OpContext& context, const Step& step,
                                     const std::string& to, const ObjectProperties& properties) {
  const Capabilities can = store_.capabilities();
  const uint64_t size = step.version.size;
  const uint64_t part = std::max(kCopyPartBytes, size / static_cast<uint64_t>(can.parts_max) + 1);
  return UploadCopies(context, to, properties, Condition::None(), size, (size + part - 1) / part,
                      [&](const std::string& upload, size_t i) {
                        const ByteRange range{i * part, std::min(size, (i + 1) * part)};
                        return store_.CopyPart(to, upload, static_cast<int>(i) + 1, step.from,
                                               step.version.etag, range,
                                               WithWork(context.call, range.length()));
                      });
}

Result<ObjectInfo> Core::CopyObject(const OpContext& context, const Step& step,
                                    const std::string& to, const Condition& condition) {
  const Capabilities can = store_.capabilities();
  if (step.version.size <= can.copy_size_max) {
    return store_.Copy(step.from, step.version.etag, to,
                       step.new_properties ? std::optional(step.properties) : std::nullopt,
                       condition, WithWork(context.call, step.version.size));
  }
  if (step.new_properties) return CopyInParts(context, step, to, step.properties);
  QUAY_ASSIGN(const ObjectHead head, store_.Head(step.from, context.call));
  return CopyInParts(context, step, to, head.properties);
}

// Where the store would have to be asked for the source's version first, the copy itself tells: one
// with the source's ETag is proof. (Of a source that was uploaded in parts it may be another.)
Result<ObjectInfo> Core::CopyAndCheck(const OpContext& context, const Step& step,
                                      const Condition& condition) {
  const Capabilities can = store_.capabilities();
  if (can.copy_if_source_match || step.version.size > can.copy_size_max)
    return CopyObject(context, step, step.key, condition);
  auto made = store_.Copy(step.from, "", step.key,
                          step.new_properties ? std::optional(step.properties) : std::nullopt,
                          condition, WithWork(context.call, step.version.size));
  if (!made.ok() || SameEtag(made->etag, step.version.etag)) return made;
  QUAY_ASSIGN(const ObjectHead source, store_.Head(step.from, context.call));
  if (SameEtag(source.info.etag, step.version.etag)) return made;
  return Error(Code::kChanged, "another client changed '" + step.from + "' while it was copied");
}

Status Core::CopyTo(const OpContext& context, Ino ino, Step& step) {
  const auto condition = ConditionForCopy(context, step);
  if (condition.Is(Code::kChanged)) return GiveWay(context, ino, step, condition.error());
  if (!condition.ok()) return condition.error();
  const bool move = Moves(step);
  auto made = move ? store_.Move(step.from, step.key, context.call)
                   : CopyAndCheck(context, step, *condition);
  if (made.Is(Code::kNotFound) || made.Is(Code::kChanged) || made.Is(Code::kAlreadyExists)) {
    // Either it has been carried out already, by us, before an answer was lost or we were killed;
    // or somebody else has changed or removed the object, or made something of the new name.
    const auto there = store_.Head(step.key, context.call);
    if (there.ok() && IsCopyOf(step, *there)) {
      made = there->info;
    } else if (there.ok() && made.Is(Code::kAlreadyExists)) {
      return GiveWay(context, ino, step, made.error());
    } else if (!made.Is(Code::kNotFound)) {
      // Which of two conditions has failed a store does not say. What lies there by now is our own
      // copy, of the wrong version.
      const auto source = store_.Head(step.from, context.call);
      const Condition again = there.ok() ? Condition::None() : *condition;
      if (source.ok()) return CopyTheirs(context, ino, step, source->info, again);
    }
  }
  if (!made.ok()) return made.error();
  if (move) {
    step.keep_from = true;  // it is not there any more
    // A move takes whatever is there, and what others have changed is theirs.
    if (!SameEtag(made->etag, step.version.etag))
      return TakeTheirs(ino, step, {made->etag, made->size, 0});
  }
  MutexLock lock(mutex_);
  SettledLocked(ino, step, step.key, {made->etag, step.version.size, 0});
  if (Inode* inode = table_.Find(ino); inode != nullptr && inode->data != nullptr)
    inode->data->Rebase({step.key, made->etag, step.version.size});
  return {};
}

Status Core::CopyOntoItself(const OpContext& context, Ino ino, const Step& step) {
  const std::string& key = step.from;
  auto copied = CopyObject(context, step, key, Condition::None());
  Result<ObjectHead> head = Error(Code::kNotFound, "not looked at");
  if (copied.Is(Code::kChanged)) {
    head = store_.Head(key, context.call);
    if (!head.ok()) return head.error();
    // A copy of ours whose answer nobody heard: of an object made of parts it has another ETag.
    if (head->info.size == step.version.size && !step.properties.metadata.empty() &&
        head->properties.metadata == step.properties.metadata) {
      copied = head->info;
    }
  }
  if (copied.ok()) {
    MutexLock lock(mutex_);
    SettledLocked(ino, step, key, {copied->etag, step.version.size, 0});
    if (Inode* inode = table_.Find(ino); inode != nullptr && inode->data != nullptr)
      inode->data->Rebase({key, copied->etag, step.version.size});
    return {};
  }
  if (!copied.Is(Code::kChanged)) return copied.error();
  // Somebody wrote the object meanwhile: their contents, our attributes, with the next step.
  MutexLock lock(mutex_);
  Inode* inode = table_.Find(ino);
  if (inode == nullptr || inode->unpublished()) return {};
  ++inode->content_epoch;
  inode->version = ObjectVersion::Of(head->info);
  inode->attributes.size = head->info.size;
  TellOutdatedLocked({ino, ""});
  if (inode->data != nullptr) inode->data->Replace({key, head->info.etag, head->info.size});
  return {};
}

// Its object goes aside, so that another can have its key.
Status Core::Park(const OpContext& context, Ino ino, Step& step) {
  const std::string aside =
      config_.prefix + std::string(kReservedSegment) + "/moving/" + HexEncode(RandomBytes(16));
  step.new_properties = false;
  {
    // If this process dies over it, the copy goes.
    MutexLock lock(mutex_);
    StateBatch batch;
    batch.PutRemoval({aside, "", step.version.size});
    QUAY_TRY(CommitLocked(std::move(batch)));
  }
  const auto copied = CopyObject(context, step, aside, Condition::None());
  if (!copied.ok()) return copied.error();
  MutexLock lock(mutex_);
  SettledLocked(ino, step, aside, {copied->etag, step.version.size, 0});
  if (Inode* inode = table_.Find(ino); inode != nullptr && inode->data != nullptr)
    inode->data->Rebase({aside, copied->etag, step.version.size});
  return {};
}

// Somebody still reads a file whose object is about to go: makes sure that its bytes stay within
// reach.
Status Core::KeepContents(const OpContext& context, Ino ino) {
  Step step;
  std::shared_ptr<FileData> data;
  {
    MutexLock lock(mutex_);
    const Inode* inode = table_.Find(ino);
    if (inode == nullptr || inode->data == nullptr) return {};
    data = inode->data;
    const BaseVersion base = data->state().base;
    step.from = base.key;
    step.version = {base.etag, base.size, 0};
  }
  const std::string to =
      config_.prefix + std::string(kReservedSegment) + "/unlinked/" + HexEncode(RandomBytes(16));
  {
    // Whatever becomes of this process, the copy does not outlive it for long.
    MutexLock lock(mutex_);
    StateBatch batch;
    batch.PutRemoval({to, "", step.version.size});
    QUAY_TRY(CommitLocked(std::move(batch)));
  }
  const auto copied = CopyObject(context, step, to, Condition::None());
  if (!copied.ok() && !copied.Is(Code::kNotFound) && !copied.Is(Code::kChanged))
    return copied.error();
  MutexLock lock(mutex_);
  Inode* inode = table_.Find(ino);
  for (auto& [key, removal] : removals_) {
    if (removal.keeper == ino) removal.keeper = 0;
  }
  if (!copied.ok()) return {};  // gone already; the reader will be told
  if (inode == nullptr || inode->opens == 0) {
    AddRemovalLocked(to, copied->etag, step.version.size, 0);
    return {};
  }
  inode->orphan_key = to;
  data->Rebase({to, copied->etag, step.version.size});
  return {};
}

}  // namespace quayfs
