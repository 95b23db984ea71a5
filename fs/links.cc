// SPDX-License-Identifier: Apache-2.0
//
// Core: hard links. A file is one inode under its first name; each further name is an inode of its
// own, which the kernel never hears of: looking it up answers with the file. In the table, in the
// database and in the bucket such a name is made, moved and removed as any small file is, so the
// reconciler, a crash and somebody else's changes treat it as one. What is special:
//
//   - removing the first name puts the file in the place of a further name, whose object goes; the
//     data object is then moved like that of any renamed file
//   - the file's link record is written anew after every change of its names (Step::kRecord)
//   - the file of a name is found by the id that both carry, if it is in the table, else by the
//     record
//
// Which names of a file there are is known entirely if it was first linked here, or if all that the
// record lists have been looked up (KnowNames), as is done before its names change.

#include <algorithm>

#include "base/log.h"
#include "fs/core.h"
#include "fs/key_names.h"
#include "fs/link_record.h"

namespace quayfs {
namespace {

constexpr size_t kNamesMax = 65000;

/// A name that nobody can ask for.
std::string AsideName(const Inode& inode) { return "/" + std::to_string(inode.ino); }

}  // namespace

Inode& Core::FileOfLocked(Inode& named) {
  if (!named.is_name() || named.links->link_to == 0) return named;
  Inode* file = table_.Find(named.links->link_to);
  if (file != nullptr && file->linked()) return *file;
  named.links->link_to = 0;
  named.attributes_known = named.needs_work();
  return named;
}

std::vector<Ino> Core::NamesLocked(const Inode& file) const {
  std::vector<Ino> names;
  if (file.links == nullptr) return names;
  for (const Ino ino : file.links->names) {
    const Inode* name = table_.Find(ino);
    if (name != nullptr && name->linked() && name->is_name() && name->links->link_to == file.ino)
      names.push_back(ino);
  }
  return names;
}

uint32_t Core::LinkCountLocked(const Inode& file) const {
  if (!file.linked()) return 0;
  if (file.links == nullptr || file.links->is_name) return 1;
  const auto known = static_cast<uint32_t>(NamesLocked(file).size() + 1);
  return file.links->names_known ? known : std::max(known, file.links->link_count);
}

void Core::AttachLocked(Inode& name, Inode& file) {
  if (file.links == nullptr) {
    file.links = std::make_unique<LinkState>();
    file.links->id = name.links->id;
  }
  name.links->link_to = file.ino;
  auto& names = file.links->names;
  if (std::find(names.begin(), names.end(), name.ino) == names.end()) names.push_back(name.ino);
  if (!name.moved) return;
  // It had moved before anybody knew whose name it is, and the file may have no other work.
  NoteRecordLocked(file);
  StateBatch batch;
  SaveLocked(file, &batch);
  CommitQuietlyLocked(std::move(batch));
  NoteWorkLocked(file);
  // Nothing is gained by gathering; whoever syncs waits for it.
  queue_.Hasten(file.ino, clock_.Steady());
  WakeSchedulerLocked(clock_.Steady());
}

// The file's record does not list its names as they are.
void Core::NoteRecordLocked(Inode& file) {
  file.links->record_dirty = true;
  ++file.links->record_seq;
}

void Core::RegisterFileLocked(Inode& file) {
  LinkGroup& group = link_groups_[file.links->id];
  group.file = file.ino;
  for (const Ino ino : std::exchange(group.waiting, {})) {
    Inode* name = table_.Find(ino);
    if (name != nullptr && name->is_name() && name->links->id == file.links->id)
      AttachLocked(*name, file);
  }
}

// What an object says of itself.
void Core::TakeLinksLocked(Inode& inode, const DecodedAttributes& decoded) {
  if (inode.is_directory()) return;
  if (decoded.link_id.empty()) {
    // A file that somebody else has written anew keeps the names it is known by.
    if (inode.links != nullptr && (inode.links->is_name || NamesLocked(inode).empty()))
      inode.links.reset();
    return;
  }
  const bool same = inode.links != nullptr && inode.links->id == decoded.link_id &&
                    inode.links->is_name == decoded.link_name;
  if (!same) {
    inode.links = std::make_unique<LinkState>();
    inode.links->id = decoded.link_id;
    inode.links->is_name = decoded.link_name;
    inode.links->names_known = false;
  }
  if (decoded.link_name) {
    if (inode.links->link_to == 0) {
      const auto group = link_groups_.find(decoded.link_id);
      Inode* file = group == link_groups_.end() ? nullptr : table_.Find(group->second.file);
      if (file != nullptr && file->linked() && file->links != nullptr && !file->links->is_name &&
          file->links->id == decoded.link_id) {
        AttachLocked(inode, *file);
      } else {
        link_groups_[decoded.link_id].waiting.push_back(inode.ino);
      }
    }
    return;
  }
  if (inode.moved) NoteRecordLocked(inode);
  RegisterFileLocked(inode);
}

Result<LinkRecord> Core::ReadRecord(const OpContext& context, const std::string& id) {
  QUAY_TRY(MayWait(context));
  StringSink body;
  const auto got =
      store_.Get({LinkRecordKey(config_.prefix, id), std::nullopt, ""}, body, context.call);
  if (!got.ok()) return got.error();
  return ParseLinkRecord(body.text());
}

// 0: there is nothing of that path.
Result<Ino> Core::FindPath(const OpContext& context, std::string_view path) {
  Ino at = kRootIno;
  while (!path.empty()) {
    const size_t slash = path.find('/');
    const auto found = FindChild(context, at, path.substr(0, slash));
    if (found.Is(Code::kNotDirectory) || found.Is(Code::kNotFound)) return Ino{0};
    if (!found.ok()) return found.error();
    if (found->ino == 0) return Ino{0};
    at = found->ino;
    path = slash == std::string_view::npos ? std::string_view() : path.substr(slash + 1);
  }
  return at;
}

// Who had this path when its object was written, and has moved since. 0: nobody.
Ino Core::MovedFrom(std::string_view path) const {
  std::string key = keys_.root;
  while (!path.empty()) {
    const size_t slash = path.find('/');
    const auto segment = SegmentOf(path.substr(0, slash));
    if (!segment) return 0;
    const bool last = slash == std::string_view::npos;
    key = ChildKey(keys_, key, segment->text, /*directory=*/!last);
    path = last ? std::string_view() : path.substr(slash + 1);
  }
  MutexLock lock(mutex_);
  const auto source = sources_.find(key);
  return source == sources_.end() ? 0 : source->second;
}

// What is known of an inode's links is enough to show it. REQUIRES: its own attributes are known.
Status Core::EnsureLinks(const OpContext& context, Ino ino) {
  std::string id;
  {
    MutexLock lock(mutex_);
    Inode* inode = table_.Find(ino);
    if (inode == nullptr || inode->links == nullptr) return {};
    FileOfLocked(*inode);
    if (inode->LinksShown()) return {};
    if (inode->links->is_name) {
      QUAY_TRY(MayWait(context));
    } else {
      id = inode->links->id;
    }
  }
  if (id.empty()) return ResolveName(context, ino);
  const auto record = ReadRecord(context, id);
  const bool missing = record.Is(Code::kNotFound) || record.Is(Code::kCorrupt);
  if (!record.ok() && !missing) return record.error();
  MutexLock lock(mutex_);
  Inode* inode = table_.Find(ino);
  if (inode == nullptr || inode->links == nullptr) return {};
  inode->links->link_count = missing ? 1 : static_cast<uint32_t>(record->names.size() + 1);
  if (missing) inode->links->names_known = true;
  return {};
}

// Finds the file of a name. A name whose file is nowhere stays as it is: it can be removed, and
// opening it says what is wrong.
Status Core::ResolveName(const OpContext& context, Ino ino) {
  std::string id;
  {
    MutexLock lock(mutex_);
    const Inode* name = table_.Find(ino);
    if (name == nullptr || !name->is_name()) return {};
    id = name->links->id;
  }
  const auto record = ReadRecord(context, id);
  if (record.Is(Code::kNotFound) || record.Is(Code::kCorrupt)) return {};
  if (!record.ok()) return record.error();
  std::vector<std::string> places = {record->data};
  places.insert(places.end(), record->names.begin(), record->names.end());
  for (const std::string& place : places) {
    QUAY_ASSIGN(const Ino found, FindPath(context, place));
    if (found == 0 || found == ino) continue;
    const Status known = EnsureOwnAttributes(context, found);
    if (known.Is(Code::kNotFound) || known.Is(Code::kChanged)) continue;
    QUAY_TRY(known);
    MutexLock lock(mutex_);
    Inode* name = table_.Find(ino);
    Inode* file = table_.Find(found);
    if (name == nullptr || !name->is_name()) return {};
    if (FileOfLocked(*name).ino != ino) return {};  // found by its id meanwhile
    if (file == nullptr || file->is_directory() || file->is_name()) continue;
    // The record's word is enough where somebody has written the data object anew; elsewhere the
    // object must say so itself.
    const bool says = file->links != nullptr && file->links->id == id;
    if (!says && (place != record->data || file->links != nullptr)) continue;
    AttachLocked(*name, *file);
    file->links->names_known = false;
    file->links->link_count = static_cast<uint32_t>(places.size());
    RegisterFileLocked(*file);
    return {};
  }
  return {};
}

// All names of a file are in the table afterwards. `ino` may be one of them.
Status Core::KnowNames(const OpContext& context, Ino ino) {
  std::string id;
  {
    MutexLock lock(mutex_);
    Inode* inode = table_.Find(ino);
    if (inode == nullptr || inode->links == nullptr) return {};
    const Inode& file = FileOfLocked(*inode);
    if (file.links == nullptr || file.links->names_known || file.is_name()) return {};
    id = file.links->id;
    ino = file.ino;
  }
  const auto record = ReadRecord(context, id);
  if (!record.ok() && !record.Is(Code::kNotFound) && !record.Is(Code::kCorrupt))
    return record.error();
  if (record.ok()) {
    std::vector<std::string> places = {record->data};
    places.insert(places.end(), record->names.begin(), record->names.end());
    for (const std::string& place : places) {
      QUAY_ASSIGN(const Ino there, FindPath(context, place));
      for (const Ino found : {there, MovedFrom(place)}) {
        if (found == 0 || found == ino) continue;
        Status known = EnsureAttributes(context, found);
        if (!known.ok() && !known.Is(Code::kNotFound) && !known.Is(Code::kChanged)) return known;
      }
    }
  }
  MutexLock lock(mutex_);
  Inode* file = table_.Find(ino);
  if (file != nullptr && file->links != nullptr) file->links->names_known = true;
  return {};
}

Result<Entry> Core::Link(const OpContext& context, Ino ino, Ino new_parent,
                         std::string_view new_name) {
  QUAY_TRY(CheckWritable());
  QUAY_TRY(CheckName(new_name));
  if (!posix()) return Error(Code::kNotPermitted, "metadata = \"plain\" has no hard links");
  while (true) {
    QUAY_TRY(EnsureAttributes(context, ino));
    QUAY_TRY(KnowNames(context, ino));
    QUAY_ASSIGN(const Found found, FindChild(context, new_parent, new_name));
    if (found.ino != 0)
      return Error(Code::kAlreadyExists, "'" + std::string(new_name) + "' exists");
    QUAY_TRY(EnsureAttributes(context, new_parent));
    MutexLock lock(mutex_);
    QUAY_ASSIGN(Inode * file, FindLocked(ino));
    QUAY_ASSIGN(Inode * directory, FindDirectoryLocked(new_parent));
    if (table_.Child(*directory, new_name) != nullptr) continue;  // made in between
    if (file->is_directory()) return Error(Code::kNotPermitted, "a directory has one name");
    if (!file->linked())
      return Error(Code::kNotFound, "the file has been removed; it gets no new name");
    if (file->is_name()) return Error(Code::kCorrupt, "the data of this hard link are missing");
    if (new_parent == kRootIno && new_name == kReservedSegment)
      return Error(Code::kNotPermitted, "'.quayfs' is reserved for the file system's own objects");
    QUAY_TRY(CheckKeyLocked(*directory, new_name, /*is_directory=*/false));
    if (NamesLocked(*file).size() + 1 >= kNamesMax)
      return Error(Code::kTooManyLinks, "a file may have 65000 names");
    QUAY_TRY(AddNameLocked(*file, *directory, new_name));
    return EntryOfLocked(*file, /*count_lookup=*/true);
  }
}

Status Core::AddNameLocked(Inode& file, Inode& directory, std::string_view new_name) {
  const Attributes file_before = file.attributes;
  const Attributes directory_before = directory.attributes;
  const std::unique_ptr<LinkState> links_before =
      file.links == nullptr ? nullptr : std::make_unique<LinkState>(*file.links);
  const bool dirty_before = file.attributes_dirty;
  Inode& name = table_.Create(directory, new_name, S_IFREG | (file.attributes.mode & 0777));
  const mode_t mode = name.attributes.mode;
  name.attributes = file.attributes;
  name.attributes.ino = name.ino;
  name.attributes.mode = mode;
  name.attributes.rdev = 0;
  name.attributes_known = true;
  name.changed_at = name.checked_at = clock_.Steady();
  if (file.links == nullptr) {
    file.links = std::make_unique<LinkState>();
    file.links->id = NewLinkId();
    // The data object says that there is a record.
    file.attributes_dirty = true;
    ++file.attributes_seq;
  }
  name.links = std::make_unique<LinkState>();
  name.links->id = file.links->id;
  name.links->is_name = true;
  AttachLocked(name, file);
  RegisterFileLocked(file);
  NoteRecordLocked(file);
  TouchLocked(file, /*contents=*/false);
  TouchFolderLocked(directory);
  StateBatch batch;
  ReserveNumbersLocked(&batch);
  KeepLongFolderLocked(directory, &batch);
  SaveLocked(directory, &batch);
  SaveLocked(file, &batch);
  SaveLocked(name, &batch);
  Status committed = CommitLocked(std::move(batch));
  if (!committed.ok()) {
    file.attributes = file_before;
    file.attributes_dirty = dirty_before;
    directory.attributes = directory_before;
    file.links = links_before == nullptr ? nullptr : std::make_unique<LinkState>(*links_before);
    table_.Unlink(name);
    return committed;
  }
  directory.removals.erase(name.name);
  NoteWorkLocked(file);
  NoteWorkLocked(name);
  return {};
}

// Prepares that the name of `named` goes, and only the name if the file has others: the table is
// as it will be, but for the victim, which waits under a name that nobody can ask for.
// REQUIRES: all its names are known.
Core::NameDrop Core::PlanDropLocked(Inode& named, StateBatch* batch) {
  NameDrop drop;
  Inode* victim = &named;
  if (named.links != nullptr) {
    Inode& file = FileOfLocked(named);
    const std::vector<Ino> names = NamesLocked(file);
    drop.links = *file.links;
    drop.attributes = file.attributes;
    drop.dirty = file.attributes_dirty;
    if (&file != &named || !names.empty()) drop.file = file.ino;
    if (&file == &named && !names.empty()) victim = table_.Find(names.front());
  }
  drop.victim = victim->ino;
  drop.stored = victim->stored;
  drop.parent = named.parent;
  drop.name = named.name;
  drop.victim_parent = victim->parent;
  drop.victim_name = victim->name;
  table_.Move(*victim, *table_.Find(victim->parent), AsideName(*victim));
  if (victim != &named) {
    table_.Move(named, *table_.Find(drop.victim_parent), drop.victim_name);
    SetMovedLocked(named);
    drop.stray = StraysLocked(named);
    if (drop.stray) PlanStrayLocked(named, batch);
  }
  if (drop.file != 0) {
    Inode& file = *table_.Find(drop.file);
    std::erase(file.links->names, victim->ino);
    TouchLocked(file, /*contents=*/false);
    NoteRecordLocked(file);
    if (NamesLocked(file).empty()) drop.record = LinkRecordKey(config_.prefix, file.links->id);
  } else if (named.links != nullptr && !named.is_name()) {
    drop.record = LinkRecordKey(config_.prefix, named.links->id);
  }
  if (!drop.record.empty()) {
    batch->PutRemoval({drop.record, "", 0});
    if (drop.file != 0) {
      Inode& file = *table_.Find(drop.file);
      file.links.reset();
      file.attributes_dirty = true;  // the object still says that there is a record
      ++file.attributes_seq;
    }
  }
  if (drop.file != 0) SaveLocked(*table_.Find(drop.file), batch);
  PlanRemovalLocked(*victim, batch);
  return drop;
}

// REQUIRES: the batch could not be committed.
void Core::UndoDropLocked(const NameDrop& drop) {
  Inode& victim = *table_.Find(drop.victim);
  victim.stored = drop.stored;
  if (drop.file != 0) {
    Inode& file = *table_.Find(drop.file);
    file.links = std::make_unique<LinkState>(drop.links);
    file.attributes = drop.attributes;
    file.attributes_dirty = drop.dirty;
    if (file.parent == drop.victim_parent && file.name == drop.victim_name) {
      table_.Move(file, *table_.Find(drop.parent), drop.name);
      SetMovedLocked(file);
    }
  }
  table_.Move(victim, *table_.Find(drop.victim_parent), drop.victim_name);
}

// REQUIRES: the batch has been committed.
void Core::CarryOutDropLocked(const NameDrop& drop) {
  Inode& victim = *table_.Find(drop.victim);
  Inode* parent = table_.Find(drop.parent);
  if (parent != nullptr && parent->listings_under_way > 0)
    parent->removals[drop.name] = clock_.Steady();
  RemoveLocked(victim);
  if (!drop.record.empty()) AddRemovalLocked(drop.record, "", 0, 0);
  if (drop.file == 0) return;
  Inode& file = *table_.Find(drop.file);
  if (drop.stray) AddStrayLocked(file);
  file.changed_at = file.checked_at = clock_.Steady();
  NoteWorkLocked(file);
}

// After a move of `inode` in the table, whose batch it joins.
void Core::NoteLinksMovedLocked(Inode& inode, StateBatch* batch) {
  if (inode.links == nullptr) return;
  Inode& file = FileOfLocked(inode);
  if (file.is_name()) return;
  NoteRecordLocked(file);
  SaveLocked(file, batch);
  NoteWorkLocked(file);
}

// Step::kRecord.
Status Core::WriteRecord(const OpContext& context, Ino ino, const Step& step) {
  QUAY_TRY(KnowNames(context, ino));
  LinkRecord record;
  uint64_t seq = 0;
  {
    MutexLock lock(mutex_);
    const Inode* file = table_.Find(ino);
    if (file == nullptr || file->links == nullptr || !file->linked()) return {};
    record.data = table_.PathOf(*file);
    for (const Ino name : NamesLocked(*file))
      record.names.push_back(table_.PathOf(*table_.Find(name)));
    seq = file->links->record_seq;
  }
  ObjectProperties properties;
  properties.content_type = "text/plain; charset=utf-8";
  const auto written = store_.Put(step.key, MemorySource(FormatLinkRecord(record)), properties,
                                  Condition::None(), context.call);
  if (!written.ok()) return written.error();
  MutexLock lock(mutex_);
  Inode* file = table_.Find(ino);
  if (file == nullptr || file->links == nullptr || !file->linked()) {
    // Removed meanwhile, and the record perhaps before this one was written.
    AddRemovalLocked(step.key, "", 0, 0);
    StateBatch batch;
    batch.PutRemoval({step.key, "", 0});
    CommitQuietlyLocked(std::move(batch));
    return {};
  }
  file->links->record_there = true;
  if (file->links->record_seq != seq) return {};
  file->links->record_dirty = false;
  RememberLocked(*file);
  return {};
}

void Core::RestoreLinksLocked() {
  std::vector<Ino> names;
  table_.ForEach([&](const Inode& inode) {
    if (inode.links != nullptr) names.push_back(inode.ino);
  });
  for (const Ino ino : names) {
    Inode& inode = *table_.Find(ino);
    if (!inode.is_name()) {
      RegisterFileLocked(inode);
      continue;
    }
    Inode* file = table_.Find(inode.links->link_to);
    inode.links->link_to = 0;
    if (file != nullptr && file->linked() && !file->is_directory() && !file->is_name()) {
      AttachLocked(inode, *file);
    } else {
      link_groups_[inode.links->id].waiting.push_back(ino);
    }
  }
}

}  // namespace quayfs
