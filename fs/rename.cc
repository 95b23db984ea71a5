// SPDX-License-Identifier: Apache-2.0

#include <algorithm>
#include <unordered_map>

#include "base/log.h"
#include "fs/core.h"
#include "fs/key_names.h"

namespace quayfs {
namespace {

constexpr size_t kCopiesInFlight = 32;
constexpr uint64_t kCopyPartBytes = 1ull << 30;

}  // namespace

Status Core::Rename(const OpContext& context, Ino parent, std::string_view name, Ino new_parent,
                    std::string_view new_name, RenameFlags flags) {
  QUAY_TRY(CheckWritable());
  if (flags.exchange) return Error(Code::kInvalidArgument, "exchanging two names is not supported");
  QUAY_TRY(CheckName(new_name));
  QUAY_TRY(MayWait(context));
  QUAY_ASSIGN(const RenamePlan plan,
              PlanRename(context, parent, name, new_parent, new_name, flags));
  if (plan.source == plan.target) return {};
  const Status status = plan.directory ? RenameDirectory(context, plan) : RenameFile(context, plan);
  SettleErased();
  return status;
}

// rename(2)'s rules about what may replace what.
Result<Core::RenamePlan> Core::PlanRename(const OpContext& context, Ino parent,
                                          std::string_view name, Ino new_parent,
                                          std::string_view new_name, RenameFlags flags) {
  QUAY_ASSIGN(const Found source, FindChild(context, parent, name));
  if (source.ino == 0) return Error(Code::kNotFound, "no '" + std::string(name) + "'");
  QUAY_TRY(EnsureAttributes(context, source.ino));
  QUAY_ASSIGN(const Found target, FindChild(context, new_parent, new_name));
  const bool directory = S_ISDIR(source.mode);
  if (new_parent == kRootIno && new_name == kReservedSegment) {
    return Error(Code::kNotPermitted, "'.quayfs' is reserved for the file system's own objects");
  }
  if (target.ino != 0 && target.ino != source.ino) {
    if (flags.no_replace)
      return Error(Code::kAlreadyExists, "'" + std::string(new_name) + "' exists");
    if (directory && !S_ISDIR(target.mode)) {
      return Error(Code::kNotDirectory,
                   "a directory cannot replace the file '" + std::string(new_name) + "'");
    }
    if (!directory && S_ISDIR(target.mode)) {
      return Error(Code::kIsDirectory,
                   "a file cannot replace the directory '" + std::string(new_name) + "'");
    }
  }
  MutexLock lock(mutex_);
  QUAY_ASSIGN(const Inode* into, FindDirectoryLocked(new_parent));
  if (directory && table_.IsBelow(*into, source.ino)) {
    return Error(Code::kInvalidArgument, "a directory cannot be moved into itself");
  }
  return RenamePlan{source.ino, target.ino, directory, parent, new_parent, std::string(new_name)};
}

Result<std::string> Core::NewKeyLocked(const RenamePlan& plan) {
  QUAY_ASSIGN(const Inode* directory, FindDirectoryLocked(plan.new_parent));
  QUAY_ASSIGN(std::string key, table_.KeyOf(*directory));
  const auto segment = SegmentOf(plan.new_name);
  if (!segment) return Error(Code::kInvalidArgument, "the name stands for no object key");
  key += segment->text;
  if (plan.directory) key += '/';
  if (key.size() > static_cast<size_t>(store_.capabilities().key_size_max)) {
    return Error(Code::kNameTooLong,
                 "the object key would have " + std::to_string(key.size()) + " bytes");
  }
  return key;
}

// The bucket is as it should be; now the names.
void Core::FinishRenameLocked(const RenamePlan& plan) {
  Inode* source = table_.Find(plan.source);
  Inode* into = table_.Find(plan.new_parent);
  Inode* from = table_.Find(plan.parent);
  if (source == nullptr || into == nullptr) return;
  if (from != nullptr && from->listings_under_way > 0)
    from->removals[source->name] = clock_.Steady();
  if (Inode* target = table_.Child(*into, plan.new_name); target != nullptr && target != source) {
    RemovedLocked(*target);
  }
  table_.Move(*source, *into, plan.new_name);
  into->removals.erase(plan.new_name);
  TouchLocked(*source, /*contents=*/false);
  TouchLocked(*into, /*contents=*/true);
  if (from != nullptr) TouchLocked(*from, /*contents=*/true);
  source->checked_at = source->changed_at;
  QUAY_DCHECK(table_.InvariantsHold());
}

Status Core::RenameFile(const OpContext& context, const RenamePlan& plan) {
  SharedGateHold tree;
  QUAY_TRY(tree.Take(tree_, SharedGateHold::Mode::kShared, context.may_block, context.call));
  GateHold names;
  QUAY_TRY(
      names.Take(directories_, {plan.parent, plan.new_parent}, context.may_block, context.call));
  GateHold objects;
  std::vector<uint64_t> files = {plan.source};
  if (plan.target != 0) files.push_back(plan.target);
  QUAY_TRY(objects.Take(files_, std::move(files), context.may_block, context.call));

  std::string to;
  std::string from;
  std::string target_etag;
  bool published = false;
  bool contents = false;
  bool target_published = false;
  {
    MutexLock lock(mutex_);
    QUAY_ASSIGN(const Inode* source, FindLocked(plan.source));
    if (!source->linked()) return Error(Code::kNotFound, "the file has been removed");
    QUAY_ASSIGN(to, NewKeyLocked(plan));
    from = source->object_key;
    published = source->published;
    contents = source->unpublished();
    if (const Inode* target = table_.Find(plan.target); target != nullptr && target->published) {
      target_published = true;
      target_etag = target->version.etag;
    }
  }
  if (target_published) QUAY_TRY(KeepContents(context, plan.target));
  if (contents && (published || target_published)) {
    const Elsewhere elsewhere{to, target_etag};
    QUAY_TRY(PublishGated(context, plan.source, &elsewhere));
    if (published) {
      QUAY_TRY(KeepDirectory(context, plan.parent));
      QUAY_TRY(store_.Delete(from, Condition::None(), context.call));
    }
  } else if (!contents) {
    QUAY_TRY(KeepDirectory(context, plan.parent));
    QUAY_TRY(RenameObject(context, plan.source, from, to));
  }
  // What is left is a file that the bucket has never seen: it will be published under its new name.
  MutexLock lock(mutex_);
  FinishRenameLocked(plan);
  return {};
}

Status Core::RenameObject(const OpContext& context, Ino ino, const std::string& from,
                          const std::string& to) {
  std::string etag;
  uint64_t size = 0;
  {
    MutexLock lock(mutex_);
    QUAY_ASSIGN(const Inode* inode, FindLocked(ino));
    etag = inode->version.etag;
    size = inode->version.size;
  }
  const bool move = store_.capabilities().move;
  const auto made =
      move ? store_.Move(from, to, context.call) : CopyObject(context, from, etag, size, to);
  if (!made.ok()) return made.error();
  if (!move) {
    const Status removed = store_.Delete(from, Condition::None(), context.call);
    if (!removed.ok()) {
      // Both names are in the bucket now; the next listing tells.
      MutexLock lock(mutex_);
      if (Inode* inode = table_.Find(ino); inode != nullptr) {
        if (Inode* parent = table_.Find(inode->parent); parent != nullptr) parent->complete = false;
      }
      return removed;
    }
  }
  MutexLock lock(mutex_);
  Inode* inode = table_.Find(ino);
  if (inode == nullptr) return {};
  inode->object_key = to;
  inode->version = {made->etag, size, 0};
  if (inode->data != nullptr) inode->data->Rebase({to, made->etag, size});
  return {};
}

Result<ObjectInfo> Core::CopyObject(const OpContext& context, const std::string& from,
                                    const std::string& etag, uint64_t size, const std::string& to) {
  const Capabilities can = store_.capabilities();
  if (!can.copy) return Error(Code::kNotSupported, "the object store cannot copy on its side");
  if (size <= can.copy_size_max) {
    return store_.Copy(from, etag, to, std::nullopt, Condition::None(), context.call);
  }
  if (!can.part_copy)
    return Error(Code::kTooLarge, "the object store cannot copy objects of this size");
  QUAY_ASSIGN(const ObjectHead head, store_.Head(from, context.call));
  QUAY_ASSIGN(const std::string upload, store_.CreateUpload(to, head.properties, context.call));
  const uint64_t part = std::max(kCopyPartBytes, size / static_cast<uint64_t>(can.parts_max) + 1);
  std::vector<PartInfo> parts((size + part - 1) / part);
  const Status copied =
      ParallelFor(background_, parts.size(), kCopiesInFlight, [&](size_t i) -> Status {
        const ByteRange range{i * part, std::min(size, (i + 1) * part)};
        QUAY_ASSIGN(parts[i], store_.CopyPart(to, upload, static_cast<int>(i) + 1, from, etag,
                                              range, context.call));
        return {};
      });
  if (copied.ok()) {
    const auto done = store_.CompleteUpload(to, upload, parts, Condition::None(), context.call);
    if (done.ok()) return done;
    Ignore(store_.AbortUpload(to, upload, {}));  // the failure to report is the one before
    return done.error();
  }
  Ignore(store_.AbortUpload(to, upload, {}));  // likewise
  return copied.error();
}

// Copies every object below a prefix; on failure the copies made so far are removed again.
Result<std::vector<Core::CopiedObject>> Core::CopyTree(const OpContext& context,
                                                       const std::string& from,
                                                       const std::string& to) {
  std::vector<CopiedObject> objects;
  std::vector<std::string> etags;
  ListRequest request;
  request.prefix = from;
  do {
    QUAY_ASSIGN(const ListPage page, store_.List(request, context.call));
    for (const ObjectInfo& object : page.objects) {
      objects.push_back({object.key, to + object.key.substr(from.size()), "", object.size});
      etags.push_back(object.etag);
    }
    request.token = page.next_token;
  } while (!request.token.empty());

  const auto limit = static_cast<size_t>(store_.capabilities().key_size_max);
  for (const CopiedObject& object : objects) {
    if (object.to.size() > limit) {
      return Error(Code::kNameTooLong, "the object '" + object.from + "' would get a key of " +
                                           std::to_string(object.to.size()) + " bytes");
    }
  }
  const Status copied =
      ParallelFor(background_, objects.size(), kCopiesInFlight, [&](size_t i) -> Status {
        CopiedObject& object = objects[i];
        QUAY_ASSIGN(const ObjectInfo made,
                    CopyObject(context, object.from, etags[i], object.size, object.to));
        object.etag = made.etag;
        return {};
      });
  if (copied.ok()) return objects;
  std::vector<std::string> made;
  for (const CopiedObject& object : objects) {
    if (!object.etag.empty()) made.push_back(object.to);
  }
  OpContext cleanup;  // also when the caller has been cancelled
  cleanup.call.deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  Ignore(DeleteAll(cleanup, made));  // the failure to report is the copy's
  return copied.error();
}

Status Core::DeleteAll(const OpContext& context, const std::vector<std::string>& keys) {
  if (keys.empty()) return {};
  QUAY_ASSIGN(const std::vector<DeleteOutcome> outcomes, store_.DeleteMany(keys, context.call));
  for (const DeleteOutcome& outcome : outcomes) {
    if (!outcome.status.ok()) return outcome.status.error();
  }
  return {};
}

void Core::RebaseTreeLocked(Inode& directory, const std::string& from, const std::string& to,
                            const std::vector<CopiedObject>& copied) {
  std::unordered_map<std::string_view, const CopiedObject*> by_source;
  for (const CopiedObject& object : copied) by_source.emplace(object.from, &object);
  for (Inode* inode : table_.Subtree(directory)) {
    if (!inode->published || !inode->object_key.starts_with(from)) continue;
    const auto it = by_source.find(inode->object_key);
    inode->object_key = to + inode->object_key.substr(from.size());
    if (it == by_source.end()) continue;
    inode->version.etag = it->second->etag;
    inode->version.modified_seconds = 0;
    inode->changed_at = clock_.Steady();
    if (inode->data != nullptr)
      inode->data->Rebase({inode->object_key, inode->version.etag, inode->version.size});
  }
}

// Nobody else is at work in the tree meanwhile. The copies are all there before the first original
// goes, so whoever looks sees the old tree or the new one.
Status Core::RenameDirectory(const OpContext& context, const RenamePlan& plan) {
  if (plan.target != 0) QUAY_TRY(RequireEmpty(context, plan.target));
  QUAY_TRY(KeepDirectory(context, plan.parent));
  SharedGateHold tree;
  QUAY_TRY(tree.Take(tree_, SharedGateHold::Mode::kExclusive, context.may_block, context.call));
  std::string from;
  std::string to;
  bool marker = false;
  ObjectProperties properties;
  {
    MutexLock lock(mutex_);
    QUAY_ASSIGN(const Inode* source, FindDirectoryLocked(plan.source));
    QUAY_ASSIGN(from, table_.KeyOf(*source));
    QUAY_ASSIGN(to, NewKeyLocked(plan));
    marker = source->published && source->object_key == from;
    properties = PropertiesLocked(*source);
  }
  QUAY_ASSIGN(std::vector<CopiedObject> copied, CopyTree(context, from, to));
  if (!marker) {
    const auto written =
        store_.Put(to, MemorySource(""), properties, Condition::None(), context.call);
    if (!written.ok()) return written.error();
    copied.push_back({from, to, written->etag, 0});
  }
  {
    MutexLock lock(mutex_);
    Inode* source = table_.Find(plan.source);
    if (source != nullptr) {
      RebaseTreeLocked(*source, from, to, copied);
      source->published = true;
      source->object_key = to;
    }
    FinishRenameLocked(plan);
  }
  std::vector<std::string> originals;
  originals.reserve(copied.size());
  for (const CopiedObject& object : copied) originals.push_back(object.from);
  const Status removed = DeleteAll(context, originals);
  if (removed.ok()) return {};
  // The new tree is whole; what could not be removed of the old one shows up with the next listing.
  MutexLock lock(mutex_);
  if (Inode* parent = table_.Find(plan.parent); parent != nullptr) parent->complete = false;
  return removed;
}

}  // namespace quayfs
