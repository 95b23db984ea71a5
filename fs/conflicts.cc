// SPDX-License-Identifier: Apache-2.0
//
// Core: somebody else has changed the object that a file is about to replace.

#include "base/log.h"
#include "fs/core.h"
#include "fs/key_names.h"

namespace quayfs {
namespace {

// Between losing the answer to a write and being told that the object is already there lies our own
// first attempt.
bool IsOurs(const ObjectHead& head, const PublishRequest& request, uint64_t size) {
  return !request.properties.metadata.empty() && head.info.size == size &&
         head.properties.metadata == request.properties.metadata;
}

Error ChangedByOthers(const std::string& key, const Error& error) {
  return {Code::kChanged, "another client changed the object '" + key + "'", error.detail()};
}

constexpr std::string_view kConflictNote = "conflict";
constexpr size_t kShown = 100;

}  // namespace

Status Core::ResolveConflict(const OpContext& context, Ino ino, Step& step,
                             const PublishRequest& refused, const Error& error) {
  const auto head = store_.Head(refused.key, context.call);
  const bool ours = head.ok() && IsOurs(*head, refused, step.data->size());
  if (ours || head.Is(Code::kNotFound)) {
    // Either our own write, whose answer was lost, or somebody removed what was changed here: the
    // change wins.
    PublishRequest again = refused;
    const bool guarded = refused.condition.kind != Condition::Kind::kNone;
    if (ours) {
      again.condition = guarded ? Condition::IfEtag(head->info.etag) : Condition::None();
    } else {
      QUAY_ASSIGN(again.condition, ConditionFor(context, again.key, "", step.data->size()));
    }
    const auto written = step.data->Publish(again, context.call);
    // Made by somebody else in the meantime, or by our own attempt.
    if (written.Is(Code::kAlreadyExists))
      return ResolveConflict(context, ino, step, again, written.error());
    if (!written.ok()) return written.error();
    MutexLock lock(mutex_);
    SettledLocked(ino, step, again.key, {written->etag, written->size, 0});
    return {};
  }
  if (!head.ok()) return head.error();
  if (config_.conflict != ConflictPolicy::kKeepBoth) return ChangedByOthers(refused.key, error);
  return KeepBoth(context, ino, step, refused);
}

Status Core::KeepBoth(const OpContext& context, Ino ino, Step& step,
                      const PublishRequest& refused) {
  QUAY_ASSIGN(const std::optional<ConflictPlace> place,
              FindConflictPlace(context, ino, refused.key));
  if (!place) return {};
  PublishRequest request = refused;
  request.key = place->key;
  request.condition = Condition::None();
  auto written = step.data->Publish(request, context.call);
  // The version that unchanged parts were to be copied from is gone; all of it may be here.
  if (written.Is(Code::kChanged)) written = step.data->Publish(request, context.call);
  if (!written.ok()) return written.error();
  MutexLock lock(mutex_);
  Inode* inode = table_.Find(ino);
  // What lies under the old name is the other client's.
  if (step.from == refused.key) step.keep_from = true;
  if (inode != nullptr && inode->linked())
    MoveToConflictPlaceLocked(*inode, place->name, refused.key);
  SettledLocked(ino, step, request.key, {written->etag, written->size, 0});
  return {};
}

Status Core::GiveWay(const OpContext& context, Ino ino, const Step& step, const Error& error) {
  if (config_.conflict != ConflictPolicy::kKeepBoth) return ChangedByOthers(step.key, error);
  QUAY_ASSIGN(const std::optional<ConflictPlace> place, FindConflictPlace(context, ino, step.key));
  if (!place) return {};
  MutexLock lock(mutex_);
  Inode* inode = table_.Find(ino);
  if (inode == nullptr || !inode->linked() || DesiredKeyLocked(*inode) != step.key) return {};
  MoveToConflictPlaceLocked(*inode, place->name, step.key);
  SetMovedLocked(*inode);
  StateBatch batch;
  SaveLocked(*inode, &batch);
  return CommitLocked(std::move(batch));
}

// Two conflicts of one file may come in one second, and from two mounts of one machine.
Result<std::optional<Core::ConflictPlace>> Core::FindConflictPlace(const OpContext& context,
                                                                   Ino ino,
                                                                   const std::string& refused) {
  for (int attempt = 1;; ++attempt) {
    ConflictPlace place;
    {
      MutexLock lock(mutex_);
      Inode* inode = table_.Find(ino);
      if (inode == nullptr) return std::optional<ConflictPlace>();
      // What is there is theirs, for certain.
      NotWrittenLocked(*inode, refused);
      if (!inode->linked() || DesiredKeyLocked(*inode) != refused)
        return std::optional<ConflictPlace>();
      place.name = ConflictNameLocked(*inode, attempt);
      Inode* parent = table_.Find(inode->parent);
      if (parent != nullptr && table_.Child(*parent, place.name) != nullptr) continue;
      const auto segment = SegmentOf(place.name);
      const auto own = SegmentOf(inode->name);
      if (!segment || !own)
        return Error(Code::kInternal, "no name for a conflict copy of '" + inode->name + "'");
      place.key = refused.substr(0, refused.size() - own->text.size()) + segment->text;
    }
    const auto head = store_.Head(place.key, context.call);
    if (head.Is(Code::kNotFound)) return std::optional(std::move(place));
    if (!head.ok()) return head.error();
  }
}

void Core::MoveToConflictPlaceLocked(Inode& inode, const std::string& name,
                                     const std::string& refused) {
  ++conflicts_;
  Log(LogLevel::kWarning, "conflict",
      {{"key", refused},
       {"kept_as", name},
       {"advice", "another client changed the file; merge the two"}});
  Inode* parent = table_.Find(inode.parent);
  TellOutdatedLocked({parent->ino, inode.name});
  if (table_.Child(*parent, name) == nullptr) table_.Move(inode, *parent, name);
  if (Inode& file = FileOfLocked(inode); file.links != nullptr) NoteRecordLocked(file);
  parent->complete = parent->made_here = false;  // theirs appears with the next listing
  if (inode.name == name) NoteConflictLocked(inode, refused);
}

// What a copy replaces cannot be named in a condition, only that there is nothing. What was moved
// with a directory above it comes to a name that nobody had a moment ago.
Result<Condition> Core::ConditionForCopy(const OpContext& context, const Step& step) const {
  const bool alone = config_.consistency == Duration::max();
  if (config_.conflict == ConflictPolicy::kOverwrite || alone || step.again)
    return Condition::None();
  const Capabilities can = store_.capabilities();
  const bool fresh = step.expected_etag.empty();
  const bool tested = can.copy_if_absent && !Moves(step) && step.version.size <= can.copy_size_max;
  if (fresh && tested) return Condition::IfAbsent();
  if (fresh && !step.own_rename) return Condition::None();
  const auto head = store_.Head(step.key, context.call);
  if (head.Is(Code::kNotFound)) return Condition::None();
  if (!head.ok()) return head.error();
  if (IsCopyOf(step, *head) || SameEtag(head->info.etag, step.expected_etag))
    return Condition::None();
  return Error(Code::kChanged, "another client changed the object '" + step.key + "'");
}

// Of an object made of parts a copy has another ETag.
bool Core::IsCopyOf(const Step& step, const ObjectHead& there) {
  if (there.info.size != step.version.size) return false;
  const auto& metadata = step.properties.metadata;
  return SameEtag(there.info.etag, step.version.etag) ||
         (!metadata.empty() && there.properties.metadata == metadata);
}

Status Core::CopyTheirs(const OpContext& context, Ino ino, Step& step, const ObjectInfo& theirs,
                        const Condition& condition) {
  {
    // With contents of its own it is published under its new name, and theirs stays.
    MutexLock lock(mutex_);
    const Inode* inode = table_.Find(ino);
    if (inode == nullptr || inode->unpublished()) return {};
  }
  step.version = ObjectVersion::Of(theirs);
  QUAY_ASSIGN(const ObjectInfo made, CopyObject(context, step, step.key, condition));
  return TakeTheirs(ino, step, {made.etag, theirs.size, 0});
}

// At the step's key there is another version than this mount knew, all of it somebody else's.
Status Core::TakeTheirs(Ino ino, Step& step, const ObjectVersion& made) {
  MutexLock lock(mutex_);
  Inode* inode = table_.Find(ino);
  if (inode != nullptr && inode->unpublished()) {
    // Changed meanwhile: that goes there next, in place of what has just been copied.
    AddRemovalLocked(step.key, made.etag, made.size, 0);
    StateBatch batch;
    batch.PutRemoval({step.key, made.etag, made.size});
    return CommitLocked(std::move(batch));
  }
  if (inode != nullptr) {
    inode->symlink_target.clear();
    ++inode->content_epoch;
    inode->attributes.size = made.size;
    TellOutdatedLocked({ino, ""});
    if (inode->data != nullptr) inode->data->Replace({step.key, made.etag, made.size});
  }
  SettledLocked(ino, step, step.key, made);
  return {};
}

void Core::TellOutdatedLocked(const Outdated& outdated) {
  if (tell_outdated_) tell_outdated_(outdated);
}

void Core::NoteConflictLocked(const Inode& inode, const std::string& key) {
  conflict_copies_[inode.ino] = inode.name;
  StateBatch batch;
  batch.AddNote({0, std::string(kConflictNote), inode.ino, inode.name,
                 "kept beside what somebody else wrote to '" + key + "'",
                 clock_.Now().time_since_epoch().count()});
  CommitQuietlyLocked(std::move(batch));
}

Status Core::LoadConflictsLocked(StateBatch* batch) {
  return state_->ReadNotes([&](const NoteRow& note) QUAY_REQUIRES(mutex_) {
    if (note.kind != kConflictNote) return;
    const Inode* inode = table_.Find(note.ino);
    if (inode != nullptr && inode->linked() && inode->name == note.path) {
      conflict_copies_[note.ino] = note.path;
    } else {
      batch->DropNote(note.id);
    }
  });
}

// Whoever has merged the two renames or removes the copy.
std::vector<std::string> Core::ConflictFilesLocked() const {
  std::vector<std::string> files;
  for (const auto& [ino, name] : conflict_copies_) {
    const Inode* inode = table_.Find(ino);
    if (inode == nullptr || !inode->linked() || inode->name != name) continue;
    const auto key = table_.KeyOf(*inode);
    files.push_back(key.ok() ? *key : name);
    if (files.size() == kShown) break;
  }
  return files;
}

std::string Core::ConflictNameLocked(const Inode& inode, int attempt) const {
  const std::string suffix = ".conflict-" + config_.host_name + "-" + FormatIsoBasic(clock_.Now()) +
                             (attempt > 1 ? "-" + std::to_string(attempt) : "");
  std::string base = inode.name;
  if (base.size() + suffix.size() > kNameMax) base.resize(kNameMax - suffix.size());
  return base + suffix;
}

}  // namespace quayfs
