// SPDX-License-Identifier: Apache-2.0

#include <fcntl.h>

#include <algorithm>

#include "base/log.h"
#include "fs/attribute_codec.h"
#include "fs/core.h"
#include "fs/key_names.h"

namespace quayfs {
namespace {

bool Writable(int flags) { return (flags & O_ACCMODE) != O_RDONLY; }

// Between losing the answer to a write and being told that the object is already there lies our own
// first attempt.
bool IsOurs(const ObjectHead& head, const PublishRequest& request, uint64_t size) {
  return !request.properties.metadata.empty() && head.info.size == size &&
         head.properties.metadata == request.properties.metadata;
}

}  // namespace

Result<std::shared_ptr<FileData>> Core::DataLocked(Inode& inode) {
  if (inode.data != nullptr) return inode.data;
  if (inode.published) {
    QUAY_ASSIGN(inode.data,
                cache_.Open(inode.ino, {inode.object_key, inode.version.etag, inode.version.size}));
  } else {
    QUAY_ASSIGN(inode.data, cache_.Create(inode.ino));
  }
  return inode.data;
}

void Core::DropDataLocked(Inode& inode) {
  if (inode.data == nullptr || inode.opens > 0) return;
  if (inode.linked() && inode.unpublished()) return;
  inode.attributes.size = inode.data->size();
  inode.data.reset();
}

Result<Opened> Core::OpenLocked(Inode& inode, int flags) {
  QUAY_ASSIGN(const std::shared_ptr<FileData> data, DataLocked(inode));
  if (Writable(flags) && (flags & O_TRUNC) != 0 && data->size() > 0) {
    QUAY_TRY(data->Truncate(0));
    TouchLocked(inode, /*contents=*/true);
  }
  // The kernel updates atime on reads it answers itself; what is kept here follows the relatime
  // rule.
  if (!Writable(flags) && inode.attributes.atime <= inode.attributes.mtime)
    inode.attributes.atime = clock_.Now();
  auto file = std::make_unique<OpenFile>();
  file->ino = inode.ino;
  file->flags = flags;
  file->writable = Writable(flags);
  file->data = data;
  Opened opened;
  opened.keep_cache = inode.kernel_epoch == inode.content_epoch;
  inode.kernel_epoch = inode.content_epoch;
  ++inode.opens;
  ++open_files_;
  opened.file = file.release();
  return opened;
}

Result<Opened> Core::Open(const OpContext& context, Ino ino, int flags) {
  if (Writable(flags)) QUAY_TRY(CheckWritable());
  QUAY_TRY(EnsureAttributes(context, ino));
  if (config_.close_to_open) QUAY_TRY(Revalidate(context, ino));
  MutexLock lock(mutex_);
  QUAY_ASSIGN(Inode * inode, FindLocked(ino));
  if (inode->is_directory())
    return Error(Code::kIsDirectory, "'" + inode->name + "' is a directory");
  if (!inode->is_regular())
    return Error(Code::kNotSupported, "only regular files have contents here");
  return OpenLocked(*inode, flags);
}

// close-to-open: whoever opens a file sees what was closed elsewhere before.
Status Core::Revalidate(const OpContext& context, Ino ino) {
  std::string key;
  SteadyTime started;
  {
    MutexLock lock(mutex_);
    QUAY_ASSIGN(const Inode* inode, FindLocked(ino));
    if (!inode->published || inode->unpublished() || inode->opens > 0 || !inode->linked())
      return {};
    QUAY_TRY(MayWait(context));
    key = inode->object_key;
    started = clock_.Steady();
  }
  const auto head = store_.Head(key, context.call);
  if (!head.ok() && head.code() != Code::kNotFound) return head.error();
  {
    MutexLock lock(mutex_);
    Inode* inode = table_.Find(ino);
    if (inode == nullptr || inode->changed_at >= started || inode->unpublished()) return {};
    if (head.ok()) {
      ApplyHeadLocked(*inode, *head);
      return {};
    }
    GoneLocked(*inode);
  }
  SettleErased();
  return Error(Code::kChanged, "the file has been removed by another client");
}

Result<Created> Core::Create(const OpContext& context, Ino parent, std::string_view name,
                             mode_t mode, int flags) {
  QUAY_TRY(CheckWritable());
  QUAY_TRY(CheckName(name));
  QUAY_ASSIGN(const Found found, FindChild(context, parent, name));
  if (found.ino != 0) {
    if ((flags & O_EXCL) != 0)
      return Error(Code::kAlreadyExists, "'" + std::string(name) + "' exists");
    QUAY_ASSIGN(const Opened opened, Open(context, found.ino, flags));
    MutexLock lock(mutex_);
    QUAY_ASSIGN(Inode * inode, FindLocked(found.ino));
    return Created{EntryOfLocked(*inode, /*count_lookup=*/true), opened};
  }
  QUAY_TRY(EnsureAttributes(context, parent));
  MutexLock lock(mutex_);
  QUAY_ASSIGN(Inode * directory, FindDirectoryLocked(parent));
  if (table_.Child(*directory, name) != nullptr) {
    return Error(Code::kAlreadyExists, "'" + std::string(name) + "' exists");
  }
  Attributes attributes;
  const auto key = PrepareNodeLocked(context, parent, name, S_IFREG | (mode & 07777), &attributes);
  if (!key.ok()) return key.error();
  Inode& inode = table_.Create(*directory, name, attributes.mode);
  attributes.ino = inode.ino;
  inode.attributes = attributes;
  inode.attributes_known = true;
  inode.changed_at = inode.checked_at = clock_.Steady();
  auto opened = OpenLocked(inode, flags);
  if (!opened.ok()) {
    table_.Unlink(inode);
    return opened.error();
  }
  TouchLocked(*directory, /*contents=*/true);
  return Created{EntryOfLocked(inode, /*count_lookup=*/true), *opened};
}

Result<size_t> Core::Read(const OpContext& context, OpenFile& file, uint64_t offset,
                          std::span<std::byte> out) {
  for (int attempt = 0;; ++attempt) {
    const std::string key = file.data->state().base.key;
    auto read = file.data->Read(offset, out, file.pattern, context.may_block, context.call);
    if (read.ok() || (read.code() != Code::kNotFound && read.code() != Code::kChanged)) return read;
    // A rename by this mount moves the object under the reader; the bytes are the same.
    if (attempt == 0 && file.data->state().base.key != key) continue;
    MutexLock lock(mutex_);
    if (Inode* inode = table_.Find(file.ino); inode != nullptr) {
      inode->checked_at = SteadyTime{};
      if (Inode* parent = table_.Find(inode->parent); parent != nullptr) parent->complete = false;
    }
    return Error(Code::kChanged,
                 "another client replaced or removed the object while it was open: " +
                     read.error().message());
  }
}

Result<size_t> Core::Write(const OpContext& /*context*/, OpenFile& file, uint64_t offset,
                           std::span<const std::byte> data) {
  if (!file.writable) return Error(Code::kBadHandle, "the file is open for reading only");
  if ((file.flags & O_APPEND) != 0) offset = file.data->size();
  if (offset + data.size() > store_.capabilities().object_size_max) {
    return Error(Code::kTooLarge, "the object store takes objects of up to " +
                                      std::to_string(store_.capabilities().object_size_max) +
                                      " bytes");
  }
  QUAY_TRY(file.data->Write(offset, data));
  MutexLock lock(mutex_);
  if (Inode* inode = table_.Find(file.ino); inode != nullptr)
    TouchLocked(*inode, /*contents=*/true);
  return data.size();
}

Status Core::Flush(const OpContext& context, OpenFile& file) {
  if (!file.writable) return {};
  return PublishFile(context, file.ino);
}

Status Core::Fsync(const OpContext& context, OpenFile& file) {
  return PublishFile(context, file.ino);
}

Status Core::Release(const OpContext& context, OpenFile* file) {
  Status status;
  if (file->writable) status = PublishFile(context, file->ino);
  if (status.Is(Code::kWouldBlock)) return status;
  {
    MutexLock lock(mutex_);
    const Inode* inode = table_.Find(file->ino);
    if (inode != nullptr && inode->opens == 1 && !inode->orphan_key.empty())
      QUAY_TRY(MayWait(context));
  }
  const std::unique_ptr<OpenFile> handle(file);
  handle->data.reset();
  std::string orphan;
  {
    MutexLock lock(mutex_);
    --open_files_;
    if (Inode* inode = table_.Find(handle->ino); inode != nullptr) {
      --inode->opens;
      DropDataLocked(*inode);
      if (inode->opens == 0) orphan = std::exchange(inode->orphan_key, {});
      table_.EraseIfUnused(*inode);
    }
  }
  SettleErased();
  if (!orphan.empty()) {
    const Status removed = store_.Delete(orphan, Condition::None(), context.call);
    if (!removed.ok() && status.ok()) status = removed;
  }
  return status;
}

Status Core::PublishFile(const OpContext& context, Ino ino) {
  bool attributes = false;
  {
    MutexLock lock(mutex_);
    const Inode* inode = table_.Find(ino);
    if (inode == nullptr || !inode->linked()) return {};
    if (!inode->unpublished() && !inode->attributes_dirty) return {};
    QUAY_TRY(MayWait(context));
  }
  Status status;
  {
    SharedGateHold tree;
    QUAY_TRY(tree.Take(tree_, SharedGateHold::Mode::kShared, context.may_block, context.call));
    GateHold gate;
    QUAY_TRY(gate.Take(files_, {ino}, context.may_block, context.call));
    status = PublishGated(context, ino);
    MutexLock lock(mutex_);
    const Inode* inode = table_.Find(ino);
    attributes = inode != nullptr && inode->attributes_dirty && !inode->unpublished();
  }
  if (status.ok() && attributes) status = PublishAttributes(context, ino);
  if (!status.ok()) NoteFailure(status.error());
  return status;
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

// REQUIRES: the gates of the tree (shared) and of the file. `elsewhere`: publish under a name that
// the file is about to get.
Status Core::PublishGated(const OpContext& context, Ino ino, const Elsewhere* elsewhere) {
  PublishRequest request;
  std::shared_ptr<FileData> data;
  std::string expected;
  uint64_t seq = 0;
  {
    MutexLock lock(mutex_);
    const Inode* inode = table_.Find(ino);
    if (inode == nullptr || !inode->linked() || inode->data == nullptr) return {};
    if (!inode->unpublished() && !inode->attributes_dirty) return {};
    QUAY_ASSIGN(request.key, table_.KeyOf(*inode));
    if (inode->published && inode->object_key == request.key) expected = inode->version.etag;
    if (elsewhere != nullptr) {
      request.key = elsewhere->key;
      expected = elsewhere->expected_etag;
    }
    request.properties = PropertiesLocked(*inode);
    data = inode->data;
    seq = inode->attributes_seq;
  }
  const auto condition = ConditionFor(context, request.key, expected, data->size());
  if (condition.Is(Code::kChanged))
    return ResolveConflict(context, ino, data, request, seq, condition.error());
  if (!condition.ok()) return condition.error();
  request.condition = *condition;
  const auto written = data->Publish(request, context.call);
  if (written.Is(Code::kChanged) || written.Is(Code::kAlreadyExists)) {
    return ResolveConflict(context, ino, data, request, seq, written.error());
  }
  if (!written.ok()) return written.error();
  MutexLock lock(mutex_);
  if (Inode* inode = table_.Find(ino); inode != nullptr)
    PublishedLocked(*inode, request, *written, seq);
  return {};
}

void Core::PublishedLocked(Inode& inode, const PublishRequest& request, const ObjectInfo& written,
                           uint64_t seq) {
  inode.published = true;
  inode.object_key = request.key;
  inode.version = {written.etag, written.size, 0};
  inode.properties = request.properties;
  if (inode.attributes_seq == seq) inode.attributes_dirty = false;
  inode.changed_at = inode.checked_at = clock_.Steady();
}

Status Core::ResolveConflict(const OpContext& context, Ino ino,
                             const std::shared_ptr<FileData>& data, const PublishRequest& refused,
                             uint64_t seq, const Error& error) {
  const auto head = store_.Head(refused.key, context.call);
  const bool ours = head.ok() && IsOurs(*head, refused, data->size());
  if (ours || head.Is(Code::kNotFound)) {
    // Either our own write, whose answer was lost, or somebody removed what was changed here: the
    // change wins.
    PublishRequest again = refused;
    const bool guarded = refused.condition.kind != Condition::Kind::kNone;
    again.condition = ours && guarded ? Condition::IfEtag(head->info.etag) : Condition::None();
    const auto written = data->Publish(again, context.call);
    if (!written.ok()) return written.error();
    MutexLock lock(mutex_);
    if (Inode* inode = table_.Find(ino); inode != nullptr)
      PublishedLocked(*inode, again, *written, seq);
    return {};
  }
  if (!head.ok()) return head.error();
  if (config_.conflict != ConflictPolicy::kKeepBoth) return Error(Code::kChanged, error.message());
  return KeepBoth(context, ino, data, refused, seq);
}

Status Core::KeepBoth(const OpContext& context, Ino ino, const std::shared_ptr<FileData>& data,
                      const PublishRequest& refused, uint64_t seq) {
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
  const auto written = data->Publish(request, context.call);
  if (!written.ok()) return written.error();
  Log(LogLevel::kWarning, "conflict",
      {{"key", refused.key},
       {"kept_as", request.key},
       {"advice", "another client changed the file; merge the two"}});
  MutexLock lock(mutex_);
  ++conflicts_;
  Inode* inode = table_.Find(ino);
  if (inode == nullptr) return {};
  Inode* parent = table_.Find(inode->parent);
  if (parent != nullptr) {
    if (table_.Child(*parent, name) == nullptr) table_.Move(*inode, *parent, name);
    parent->complete = false;  // the other client's version appears with the next listing
  }
  PublishedLocked(*inode, request, *written, seq);
  return {};
}

std::string Core::ConflictNameLocked(const Inode& inode) const {
  std::string stamp = FormatIsoBasic(clock_.Now());
  std::string suffix = ".conflict-" + config_.host_name + "-" + stamp;
  std::string base = inode.name;
  if (base.size() + suffix.size() > kNameMax) base.resize(kNameMax - suffix.size());
  return base + suffix;
}

}  // namespace quayfs
