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
    again.condition = ours && guarded ? Condition::IfEtag(head->info.etag) : Condition::None();
    const auto written = step.data->Publish(again, context.call);
    if (!written.ok()) return written.error();
    MutexLock lock(mutex_);
    SettledLocked(ino, step, again.key, {written->etag, written->size, 0});
    return {};
  }
  if (!head.ok()) return head.error();
  if (config_.conflict != ConflictPolicy::kKeepBoth) return Error(Code::kChanged, error.message());
  return KeepBoth(context, ino, step, refused);
}

Status Core::KeepBoth(const OpContext& context, Ino ino, Step& step,
                      const PublishRequest& refused) {
  PublishRequest request = refused;
  std::string name;
  {
    MutexLock lock(mutex_);
    QUAY_ASSIGN(const Inode* inode, FindLocked(ino));
    name = ConflictNameLocked(*inode);
    const auto segment = SegmentOf(name);
    if (!segment)
      return Error(Code::kInternal, "no name for a conflict copy of '" + inode->name + "'");
    const auto own = SegmentOf(inode->name);
    request.key =
        refused.key.substr(0, refused.key.size() - (own ? own->text.size() : 0)) + segment->text;
  }
  request.condition = Condition::None();
  const auto written = step.data->Publish(request, context.call);
  if (!written.ok()) return written.error();
  Log(LogLevel::kWarning, "conflict",
      {{"key", refused.key},
       {"kept_as", request.key},
       {"advice", "another client changed the file; merge the two"}});
  MutexLock lock(mutex_);
  ++conflicts_;
  Inode* inode = table_.Find(ino);
  // What lies under the old name is the other client's.
  if (step.from == refused.key) step.keep_from = true;
  if (inode != nullptr && inode->linked()) {
    Inode* parent = table_.Find(inode->parent);
    if (table_.Child(*parent, name) == nullptr) table_.Move(*inode, *parent, name);
    if (inode->links != nullptr) NoteRecordLocked(*inode);
    parent->complete = false;  // the other client's version appears with the next listing
    if (inode->name == name) NoteConflictLocked(*inode, refused.key);
  }
  SettledLocked(ino, step, request.key, {written->etag, written->size, 0});
  return {};
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

std::string Core::ConflictNameLocked(const Inode& inode) const {
  const std::string suffix = ".conflict-" + config_.host_name + "-" + FormatIsoBasic(clock_.Now());
  std::string base = inode.name;
  if (base.size() + suffix.size() > kNameMax) base.resize(kNameMax - suffix.size());
  return base + suffix;
}

}  // namespace quayfs
