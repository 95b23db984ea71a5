// SPDX-License-Identifier: Apache-2.0

#include <fcntl.h>

#include <utility>

#include "fs/core.h"

namespace quayfs {
namespace {

bool SameVersion(const BaseVersion& a, const BaseVersion& b) {
  return a.key == b.key && SameEtag(a.etag, b.etag);
}

bool Writable(int flags) { return (flags & O_ACCMODE) != O_RDONLY; }
bool MayMap(int flags) { return (flags & O_ACCMODE) == O_RDWR; }

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
  if (inode.data == nullptr || inode.opens > 0 || inode.busy > 0) return;
  if (inode.linked() && inode.unpublished()) return;
  inode.attributes.size = inode.data->size();
  inode.data.reset();
}

Result<Opened> Core::OpenLocked(Inode& inode, int flags) {
  QUAY_ASSIGN(const std::shared_ptr<FileData> data, DataLocked(inode));
  if (Writable(flags) && (flags & O_TRUNC) != 0) {
    if (data->size() > 0) {
      QUAY_TRY(data->Truncate(0));
      TouchLocked(inode, /*contents=*/true);
    } else {
      AttributeChange truncated;  // moves the times even of an empty file
      truncated.mtime_now = true;
      ApplyChangeLocked(inode, truncated);
    }
    inode.unsaved = true;
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
  if (file->writable) ++inode.writers;
  if (MayMap(flags)) ++inode.mappers;
  open_files_.insert(file.get());
  opened.file = file.release();
  NoteWorkLocked(inode);
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
  if (inode->is_name())
    return Error(Code::kCorrupt, "the data of the hard link '" + inode->name +
                                     "' are missing from the bucket; remove this name");
  return OpenLocked(*inode, flags);
}

// close-to-open: whoever opens a file sees what was closed elsewhere before.
Status Core::Revalidate(const OpContext& context, Ino ino) {
  std::string key;
  SteadyTime started;
  {
    MutexLock lock(mutex_);
    QUAY_ASSIGN(const Inode* inode, FindLocked(ino));
    if (!inode->published || inode->ours() || inode->opens > 0 || !inode->linked()) return {};
    if (away_) return {};
    QUAY_TRY(MayWait(context));
    key = inode->object_key;
    started = clock_.Steady();
  }
  const auto head = Heard(store_.Head(key, context.call));
  if (!head.ok() && away_) return {};  // the version that is known
  if (!head.ok() && head.code() != Code::kNotFound) return head.error();
  {
    MutexLock lock(mutex_);
    Inode* inode = table_.Find(ino);
    if (inode == nullptr || inode->changed_at >= started || inode->ours()) return {};
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
    QUAY_TRY(EnsureAttributes(context, found.ino));
    Ino file = 0;
    {
      MutexLock lock(mutex_);
      QUAY_ASSIGN(Inode * named, FindLocked(found.ino));
      file = FileOfLocked(*named).ino;
    }
    QUAY_ASSIGN(const Opened opened, Open(context, file, flags));
    MutexLock lock(mutex_);
    QUAY_ASSIGN(Inode * inode, FindLocked(file));
    return Created{EntryOfLocked(*inode, /*count_lookup=*/true), opened};
  }
  QUAY_TRY(EnsureDirectory(context, parent));
  MutexLock lock(mutex_);
  QUAY_ASSIGN(Inode * directory, FindDirectoryLocked(parent));
  if (table_.Child(*directory, name) != nullptr) {
    return Error(Code::kAlreadyExists, "'" + std::string(name) + "' exists");
  }
  NewNode node;
  QUAY_TRY(PrepareNodeLocked(context, *directory, name, S_IFREG | (mode & 07777), &node));
  QUAY_ASSIGN(Inode * inode, AddNodeLocked(*directory, name, node));
  auto opened = OpenLocked(*inode, flags);
  if (!opened.ok()) {
    StateBatch batch;
    ForgetRowLocked(*inode, &batch);
    CommitQuietlyLocked(std::move(batch));
    table_.Unlink(*inode);
    return opened.error();
  }
  return Created{EntryOfLocked(*inode, /*count_lookup=*/true), *opened};
}

bool Core::HasWork(Ino ino) const {
  MutexLock lock(mutex_);
  const Inode* inode = table_.Find(ino);
  return inode != nullptr && inode->needs_work();
}

Result<size_t> Core::Read(const OpContext& context, OpenFile& file, uint64_t offset,
                          std::span<std::byte> out) {
  for (int attempt = 0;; ++attempt) {
    const BaseVersion base = file.data->state().base;
    auto read = file.data->Read(offset, out, file.pattern, context.may_block, context.call);
    if (read.Is(Code::kUnavailable) && attempt == 0 && !file.data->state().unsettled_key.empty()) {
      // Which version of the object has the missing bytes shows when its publication is settled.
      QUAY_TRY(MayWait(context));
      QUAY_TRY(SyncInode(context, file.ino));
      continue;
    }
    if (!read.ok() && StoreIsAway(read.code())) NoteAnswer(read.code());
    if (read.ok() || (read.code() != Code::kNotFound && read.code() != Code::kChanged)) return read;
    // A rename or a change of attributes by this mount gives the object another key or ETag under
    // the reader, or did before a restart that it had no chance to note; the bytes are the same.
    if (attempt == 0 && !SameVersion(file.data->state().base, base)) continue;
    if (attempt == 0 && HasWork(file.ino)) {
      QUAY_TRY(MayWait(context));
      QUAY_TRY(SyncInode(context, file.ino));
      if (!SameVersion(file.data->state().base, base)) continue;
    }
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

Result<size_t> Core::Write(const OpContext& context, OpenFile& file, uint64_t offset,
                           std::span<const std::byte> data) {
  if (!file.writable) return Error(Code::kBadHandle, "the file is open for reading only");
  if ((file.flags & O_APPEND) != 0 && !context.page_writeback) offset = file.data->size();
  if (offset + data.size() > store_.capabilities().object_size_max) {
    return Error(Code::kTooLarge, "the object store takes objects of up to " +
                                      std::to_string(store_.capabilities().object_size_max) +
                                      " bytes");
  }
  QUAY_TRY(file.data->WriteWhenRoom(offset, data, context.may_block, context.call));
  MutexLock lock(mutex_);
  burst_.Wrote(data.size());
  NoteWrittenLocked(context, file, offset + data.size());
  return data.size();
}

void Core::NoteWrittenLocked(const OpContext& context, const OpenFile& file, uint64_t end) {
  Inode* const inode = table_.Find(file.ino);
  if (inode == nullptr) return;
  TouchWrittenLocked(*inode, file.data->changed_at());
  if (!inode->streaming && end >= config_.stream_from) StreamLocked(*inode);
  // The kernel sees to it for writes that go through its page cache only.
  if (context.uid != 0 && !context.page_writeback) DropSetIdLocked(*inode);
  if (queue_.Find(inode->ino) == nullptr) NoteWorkLocked(*inode);
}

// A time that is in the content's row needs no commit of its own: RestoreContentLocked takes it
// from there, if it is later than those of the inode's row.
void Core::TouchWrittenLocked(Inode& inode, WallTime recorded) {
  const bool later = recorded > inode.attributes.mtime && recorded > inode.attributes.ctime;
  TouchLocked(inode, /*contents=*/true);
  if (!later || inode.unsaved) {
    inode.unsaved = true;
    return;
  }
  inode.attributes.mtime = inode.attributes.ctime = recorded;
  inode.timed_by_content = true;
}

// The metadata are those of now, and the name, too; what has changed when the file is published is
// put right by a copy in the bucket (AdoptUploadLocked).
void Core::StreamLocked(Inode& inode) {
  if (!inode.linked() || inode.data == nullptr) return;
  inode.streaming = true;
  if (inode.data->upload()) return;
  const auto key = table_.KeyOf(inode);
  if (key.ok()) inode.data->AllowStreaming(*key, PropertiesLocked(inode));
}

// A program that runs with its owner's rights does not keep them when somebody else changes it.
void Core::DropSetIdLocked(Inode& inode) {
  mode_t gone = S_ISUID;
  if ((inode.attributes.mode & S_IXGRP) != 0) gone |= S_ISGID;
  if ((inode.attributes.mode & gone) == 0) return;
  inode.attributes.mode &= ~gone;
  if (!posix()) return;
  ++inode.attributes_seq;
  inode.attributes_dirty = true;
}

Status Core::UnreportedLocked(Ino ino) {
  const WorkItem* item = queue_.Find(ino);
  if (item == nullptr || !item->error || item->error_reported) return {};
  // It will be sent when the store is back: nothing has failed yet.
  if (StoreIsAway(item->error->code())) return {};
  queue_.MarkReported(ino);
  return *item->error;
}

Status Core::Flush(const OpContext& context, OpenFile& file) {
  if (!file.writable) return {};
  {
    MutexLock lock(mutex_);
    Inode* inode = table_.Find(file.ino);
    if (inode == nullptr || !inode->linked()) return {};
    if (inode->unsaved) {
      StateBatch batch;
      SaveLocked(*inode, &batch);
      QUAY_TRY(CommitLocked(std::move(batch)));
    }
    if (config_.close == FileSystemConfig::Durability::kLocal) return UnreportedLocked(file.ino);
  }
  return SyncInode(context, file.ino);
}

Status Core::Fsync(const OpContext& context, OpenFile& file) {
  if (config_.fsync == FileSystemConfig::Durability::kRemote) return SyncPath(context, file.ino);
  QUAY_TRY(file.data->SyncLocal());
  MutexLock lock(mutex_);
  Inode* inode = table_.Find(file.ino);
  if (inode == nullptr || !inode->linked()) return {};
  // And the names and attributes, of it and of everything before it.
  StateBatch batch;
  SaveLocked(*inode, &batch);
  QUAY_TRY(CommitLocked(std::move(batch), Persist::kSurvivesPowerCut));
  return UnreportedLocked(file.ino);
}

Status Core::Release(const OpContext& /*context*/, OpenFile* file) {
  const std::unique_ptr<OpenFile> handle(file);
  handle->data.reset();
  {
    MutexLock lock(mutex_);
    open_files_.erase(handle.get());
    if (Inode* inode = table_.Find(handle->ino); inode != nullptr) {
      --inode->opens;
      if (handle->writable) --inode->writers;
      if (MayMap(handle->flags)) --inode->mappers;
      if (inode->linked() && inode->unsaved) RememberLocked(*inode);
      DropDataLocked(*inode);
      if (inode->opens == 0 && !inode->orphan_key.empty())
        AddRemovalLocked(std::exchange(inode->orphan_key, {}), "", 0, 0);
      if (inode->linked()) NoteWorkLocked(*inode);
      table_.EraseIfUnused(*inode);
    }
  }
  SettleErased();
  return {};
}

}  // namespace quayfs
