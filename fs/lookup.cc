// SPDX-License-Identifier: Apache-2.0

#include <algorithm>

#include "base/log.h"
#include "fs/attribute_codec.h"
#include "fs/core.h"
#include "fs/key_names.h"

namespace quayfs {
namespace {

// A directory whose names are wanted is listed once if that takes one page; a larger one is asked
// for single names.
constexpr int kFirstPageKeys = 1000;
// The second question about attributes in one directory brings the siblings' along: somebody walks
// through it.
constexpr int kAttributeRequestsBeforePrefetch = 2;
constexpr std::string_view kFolderMarkerSuffix = "_$folder$";

}  // namespace

Result<Entry> Core::Lookup(const OpContext& context, Ino parent, std::string_view name) {
  if (name.size() > kNameMax) return Error(Code::kNameTooLong, "a file name may have 255 bytes");
  QUAY_ASSIGN(const Found found, FindChild(context, parent, name));
  if (found.ino == 0) {
    MutexLock lock(mutex_);
    QUAY_ASSIGN(const Inode* directory, FindDirectoryLocked(parent));
    Entry negative;
    negative.entry_valid =
        directory->complete ? RemainingLocked(directory->listed_at) : Duration{0};
    return negative;
  }
  const Status known = EnsureAttributes(context, found.ino);
  if (known.Is(Code::kNotFound)) return Entry{};
  QUAY_TRY(known);
  MutexLock lock(mutex_);
  Inode* directory = table_.Find(parent);
  Inode* inode = directory == nullptr ? nullptr : table_.Child(*directory, name);
  if (inode == nullptr) return Entry{};
  return EntryOfLocked(FileOfLocked(*inode), /*count_lookup=*/true);
}

void Core::Forget(Ino ino, uint64_t lookups) {
  {
    MutexLock lock(mutex_);
    table_.Forget(ino, lookups);
  }
  SettleErased();
}

Result<Core::Found> Core::FindChild(const OpContext& context, Ino parent, std::string_view name) {
  {
    MutexLock lock(mutex_);
    QUAY_ASSIGN(Inode * directory, FindDirectoryLocked(parent));
    if (parent == kRootIno && name == kReservedSegment) return Found{};
    if (!SegmentOf(name)) return Found{};
    Found found;
    if (LookupLocked(*directory, name, &found) != LockedLookup::kAskBucket) return found;
  }
  QUAY_TRY(MayWait(context));
  if (const Status asked = AskBucketForName(context, parent, name); !asked.ok()) {
    // While the store is away, what was known of it will do.
    MutexLock lock(mutex_);
    QUAY_ASSIGN(Inode * directory, FindDirectoryLocked(parent));
    Found found;
    if (!away_ || LookupLocked(*directory, name, &found) == LockedLookup::kAskBucket)
      return asked.error();
    return found;
  }
  // What the bucket said is in the table now.
  MutexLock lock(mutex_);
  QUAY_ASSIGN(Inode * directory, FindDirectoryLocked(parent));
  const Inode* inode = table_.Child(*directory, name);
  return inode == nullptr ? Found{} : Found{inode->ino, inode->attributes.mode};
}

Core::LockedLookup Core::LookupLocked(Inode& directory, std::string_view name, Found* found) {
  const Inode* inode = table_.Child(directory, name);
  const bool listing_fresh = directory.complete && FreshLocked(directory.listed_at);
  if (inode == nullptr) return listing_fresh ? LockedLookup::kAbsent : LockedLookup::kAskBucket;
  *found = Found{inode->ino, inode->attributes.mode};
  const bool ours = !inode->published || inode->ours() || inode->opens > 0;
  if (ours || listing_fresh || FreshLocked(inode->checked_at)) return LockedLookup::kFound;
  return LockedLookup::kAskBucket;
}

Status Core::AskBucketForName(const OpContext& context, Ino parent, std::string_view name) {
  ListRequest request;
  SteadyTime started;
  bool large = false;
  {
    MutexLock lock(mutex_);
    QUAY_ASSIGN(Inode * directory, FindDirectoryLocked(parent));
    QUAY_ASSIGN(request.prefix, table_.KeyOf(*directory));
    large = directory->large;
    if (!large) BeginListingLocked(*directory);
    started = clock_.Steady();
  }
  if (large) return ProbeName(context, parent, name, request.prefix);

  request.delimiter = "/";
  request.max_keys = kFirstPageKeys;
  const std::string directory_key = request.prefix;
  auto page = Heard(store_.List(request, context.call));
  std::optional<Result<ListPage>> beyond;
  if (page.ok() && HasLongFolder(keys_, directory_key)) {
    request.prefix = LongFolder(keys_, directory_key);
    beyond = Heard(store_.List(request, context.call));
    if (!beyond->ok()) page = beyond->error();
  }
  bool more = false;
  {
    MutexLock lock(mutex_);
    Inode* directory = table_.Find(parent);
    if (directory != nullptr) {
      const auto prefix_now = table_.KeyOf(*directory);
      if (page.ok() && prefix_now.ok() && *prefix_now == directory_key) {
        ApplyPageLocked(*directory, directory_key, *page, started);
        more = !page->next_token.empty();
        if (beyond) {
          ApplyPageLocked(*directory, request.prefix, **beyond, started);
          more = more || !(*beyond)->next_token.empty();
        }
        directory->large = more;
        if (!more) FinishListingLocked(*directory, started);
      }
    }
    EndListingLocked(directory);
  }
  SettleErased();
  if (!page.ok()) return page.error();
  return more ? ProbeName(context, parent, name, request.prefix) : Status();
}

// Asks for one name in a directory too large to list for it: as an object, and as a prefix.
Status Core::ProbeName(const OpContext& context, Ino parent, std::string_view name,
                       const std::string& directory_key) {
  const auto segment = SegmentOf(name);
  if (!segment) return {};
  const std::string key = ChildKey(keys_, directory_key, segment->text, /*directory=*/false);
  const std::string below_key = ChildKey(keys_, directory_key, segment->text, /*directory=*/true);
  const SteadyTime started = clock_.Steady();
  {
    MutexLock lock(mutex_);
    QUAY_ASSIGN(Inode * directory, FindDirectoryLocked(parent));
    BeginListingLocked(*directory);
  }
  const auto head = Heard(store_.Head(key, context.call));
  ListRequest request;
  request.prefix = below_key;
  request.max_keys = 1;
  const auto below = Heard(store_.List(request, context.call));
  {
    MutexLock lock(mutex_);
    Inode* directory = table_.Find(parent);
    EndListingLocked(directory);
    if (directory == nullptr) return {};
    const auto prefix_now = table_.KeyOf(*directory);
    if (!prefix_now.ok() || *prefix_now != directory_key) return {};  // renamed meanwhile
    ListPage page;
    ListPage folders;
    if (head.ok()) page.objects.push_back(head->info);
    if (below.ok() && !below->objects.empty()) folders.common_prefixes.push_back(below_key);
    const bool answered = (head.ok() || head.code() == Code::kNotFound) && below.ok();
    if (answered) {
      // Directories first; one may lie in the long folder while an object would not yet.
      const auto folder_of = [&](const std::string& child, size_t tail) {
        return child.substr(0, child.size() - tail);
      };
      ApplyPageLocked(*directory, folder_of(below_key, segment->text.size() + 1), folders, started);
      ApplyPageLocked(*directory, folder_of(key, segment->text.size()), page, started);
      Inode* child = table_.Child(*directory, name);
      const bool seen = head.ok() || !folders.common_prefixes.empty();
      if (child != nullptr && !seen && child->changed_at < started && !child->ours())
        GoneLocked(*child);
      if (child != nullptr && seen && head.ok() && !child->is_directory() &&
          child->changed_at < started && !child->ours()) {
        ApplyHeadLocked(*child, *head);
        RememberLocked(*child);
      }
    }
  }
  SettleErased();
  if (!head.ok() && head.code() != Code::kNotFound) return head.error();
  if (!below.ok()) return below.error();
  return {};
}

Status Core::EnsureAttributes(const OpContext& context, Ino ino) {
  {
    MutexLock lock(mutex_);
    QUAY_ASSIGN(Inode * inode, FindLocked(ino));
    // May find that a name's file has gone.
    const Inode& file = FileOfLocked(*inode);
    if (inode->attributes_known && inode->LinksShown() && file.LinksShown()) return {};
  }
  QUAY_TRY(EnsureOwnAttributes(context, ino));
  QUAY_TRY(EnsureLinks(context, ino));
  {
    MutexLock lock(mutex_);
    Inode* inode = table_.Find(ino);
    if (inode == nullptr || !inode->is_name()) return {};
    ino = FileOfLocked(*inode).ino;
  }
  return EnsureLinks(context, ino);
}

Status Core::EnsureOwnAttributes(const OpContext& context, Ino ino) {
  bool prefetch = false;
  {
    MutexLock lock(mutex_);
    QUAY_ASSIGN(const Inode* inode, FindLocked(ino));
    if (inode->attributes_known || inode->unpublished() || !inode->linked()) return {};
    QUAY_TRY(MayWait(context));
    if (Inode* parent = table_.Find(inode->parent); parent != nullptr) {
      prefetch = ++parent->attribute_requests >= kAttributeRequestsBeforePrefetch;
    }
  }
  if (prefetch) PrefetchSiblings(ino);
  return FetchAttributes(context, ino);
}

Status Core::FetchAttributes(const OpContext& context, Ino ino) {
  GateHold gate;
  QUAY_TRY(gate.Take(heads_, {ino}, context.may_block, context.call));
  std::string key;
  SteadyTime started;
  {
    MutexLock lock(mutex_);
    Inode* inode = table_.Find(ino);
    if (inode == nullptr || inode->attributes_known) return {};
    QUAY_ASSIGN(key, table_.KeyOf(*inode));
    if (inode->is_directory()) key = MarkerKeyLocked(*inode, key);
    if (inode->published) key = inode->object_key;
    started = clock_.Steady();
  }
  const auto head = Heard(store_.Head(key, context.call));
  {
    MutexLock lock(mutex_);
    Inode* inode = table_.Find(ino);
    if (inode == nullptr || inode->attributes_known || inode->changed_at >= started) return {};
    if (head.ok()) {
      ApplyHeadLocked(*inode, *head);
      RememberLocked(*inode);
    } else if (inode->is_directory() &&
               (head.code() == Code::kNotFound || head.code() == Code::kPermissionDenied)) {
      // It exists by what is in it; no right to list and no marker look the same.
      ApplyDefaultsLocked(*inode);
      inode->attributes_known = true;
    } else if (head.code() == Code::kNotFound && inode->steps == 0) {
      GoneLocked(*inode);
    }
  }
  SettleErased();
  if (head.ok() || head.code() == Code::kPermissionDenied) return {};
  if (head.code() == Code::kNotFound) {
    MutexLock lock(mutex_);
    if (const Inode* inode = table_.Find(ino); inode != nullptr && inode->linked()) return {};
    return Error(Code::kNotFound, "the object is gone");
  }
  return head.error();
}

// Attributes of the next unknown entries of the same directory, in parallel, for whoever asks next.
void Core::PrefetchSiblings(Ino ino) {
  std::vector<Ino> wanted;
  {
    MutexLock lock(mutex_);
    const Inode* inode = table_.Find(ino);
    const Inode* parent = inode == nullptr ? nullptr : table_.Find(inode->parent);
    if (parent == nullptr) return;
    auto it = parent->children.upper_bound(inode->name);
    for (; it != parent->children.end() && wanted.size() < config_.head_requests_in_flight; ++it) {
      const Inode* sibling = table_.Find(it->second);
      if (sibling != nullptr && !sibling->attributes_known && !sibling->unpublished())
        wanted.push_back(it->second);
    }
  }
  for (const Ino sibling : wanted) {
    {
      MutexLock lock(prefetch_mutex_);
      if (prefetching_ >= config_.head_requests_in_flight || prefetch_stop_.stop_requested())
        return;
      ++prefetching_;
    }
    background_.Post([this, sibling] {
      OpContext context;
      context.call.cancel = prefetch_stop_.get_token();
      // Nobody waits for this one; whoever needs the answer asks again and reports the failure.
      Ignore(FetchAttributes(context, sibling));
      MutexLock lock(prefetch_mutex_);
      --prefetching_;
      prefetch_done_.NotifyAll();
    });
  }
}

void Core::ApplyDefaultsLocked(Inode& inode) {
  const mode_t type = inode.attributes.mode & S_IFMT;
  const mode_t permissions =
      type == S_IFDIR ? config_.default_directory_mode : config_.default_file_mode;
  inode.attributes.mode = type | permissions;
  inode.attributes.uid = config_.default_uid;
  inode.attributes.gid = config_.default_gid;
  if (inode.is_directory() && inode.attributes.mtime == WallTime{}) {
    inode.attributes.mtime = inode.attributes.ctime = inode.attributes.atime = clock_.Now();
  }
}

void Core::ApplyHeadLocked(Inode& inode, const ObjectHead& head) {
  const DecodedAttributes decoded =
      DecodeAttributes(head.info.key, head.info.size, head.properties);
  if (decoded.type == S_IFDIR && !inode.is_directory() && inode.lookups == 0)
    table_.BecomeDirectory(inode);
  if (!inode.is_directory() && decoded.type != S_IFDIR) {
    const bool trusted =
        config_.trust_special_bits || (decoded.type != S_IFCHR && decoded.type != S_IFBLK);
    const mode_t type = trusted && posix() ? decoded.type : S_IFREG;
    inode.attributes.mode = type | (inode.attributes.mode & 07777);
    ApplyVersionLocked(inode, head.info.key, head.info);
  }
  ApplyDefaultsLocked(inode);
  inode.attributes.mtime = head.info.last_modified;
  inode.published = true;
  inode.object_key = head.info.key;
  inode.version = ObjectVersion::Of(head.info);
  inode.properties = head.properties;
  if (posix()) {
    Attributes& attributes = inode.attributes;
    if (decoded.permissions) {
      // A set-uid bit of a stranger's making is a way to become root.
      const mode_t mask = config_.trust_special_bits ? 07777 : 01777;
      attributes.mode = (attributes.mode & S_IFMT) | (*decoded.permissions & mask);
    }
    if (S_ISLNK(attributes.mode)) attributes.mode |= 0777;
    attributes.uid = decoded.uid.value_or(attributes.uid);
    attributes.gid = decoded.gid.value_or(attributes.gid);
    attributes.mtime = decoded.mtime.value_or(attributes.mtime);
    attributes.rdev = decoded.rdev;
    if (decoded.symlink_target) {
      inode.symlink_target = *decoded.symlink_target;
      attributes.size = inode.symlink_target.size();
    }
  }
  inode.xattrs.reset();
  if (posix()) TakeLinksLocked(inode, decoded);
  inode.attributes.ctime = posix() && decoded.ctime ? *decoded.ctime : inode.attributes.mtime;
  inode.attributes.atime = posix() && decoded.atime ? *decoded.atime : inode.attributes.mtime;
  inode.attributes_known = true;
  inode.checked_at = clock_.Steady();
}

// The bucket shows `info` at the inode's key: the version known, or a new one that somebody else
// made.
void Core::ApplyVersionLocked(Inode& inode, const std::string& key, const ObjectInfo& info) {
  const ObjectVersion version = ObjectVersion::Of(info);
  const bool same = inode.published && inode.version.MayBe(version);
  inode.checked_at = clock_.Steady();
  if (same) {
    if (inode.version.modified_seconds == 0)
      inode.version.modified_seconds = version.modified_seconds;
    return;
  }
  const bool same_bytes =
      inode.published && info.size == inode.version.size && SameEtag(info.etag, inode.version.etag);
  // Whoever may write decides by what he has read, of which the kernel has pages: his changes are
  // to that version, and meet this one as a conflict.
  if (!same_bytes && inode.published && inode.writers > 0) return;
  inode.published = true;
  inode.object_key = key;
  inode.version = version;
  if (!same_bytes) {
    inode.symlink_target.clear();
    ++inode.content_epoch;
    if (inode.lookups > 0) TellOutdatedLocked({inode.ino, ""});
    if (inode.data != nullptr) inode.data->Replace({key, info.etag, info.size});
  }
  inode.attributes.size = info.size;
  inode.attributes_known = !posix();
  if (!posix()) ApplyDefaultsLocked(inode);
  inode.attributes.mtime = inode.attributes.ctime = inode.attributes.atime = info.last_modified;
}

void Core::BeginListingLocked(Inode& directory) {
  ++listings_;
  ++directory.listings_under_way;
}

// `directory` is null if it has gone meanwhile.
void Core::EndListingLocked(Inode* directory) {
  if (--listings_ == 0) gone_.clear();
  if (directory != nullptr && --directory->listings_under_way == 0) directory->removals.clear();
}

std::vector<Ino> Core::ApplyPageLocked(Inode& directory, const std::string& directory_key,
                                       const ListPage& page, SteadyTime started) {
  std::vector<Ino> seen;
  seen.reserve(page.objects.size() + page.common_prefixes.size());
  const bool root = directory.ino == kRootIno;
  // Directories first: an object of the same name has to make way.
  for (const std::string& prefix : page.common_prefixes) {
    if (!prefix.starts_with(directory_key) || prefix.size() <= directory_key.size()) continue;
    const std::string_view segment = std::string_view(prefix).substr(
        directory_key.size(), prefix.size() - directory_key.size() - 1);
    if (root && segment == kReservedSegment) continue;
    const auto name = NameOf(segment);
    if (name) seen.push_back(SeenLocked(directory, *name, prefix, nullptr, started));
  }
  for (const ObjectInfo& object : page.objects) {
    if (!object.key.starts_with(directory_key)) continue;
    const std::string_view segment = std::string_view(object.key).substr(directory_key.size());
    if (segment.empty() && object.size == 0) {
      // Our own marker. Its attributes may have been changed by somebody else; those that this
      // mount has yet to send are newer.
      if (directory.ours()) continue;
      if (directory.changed_at < started && directory.published &&
          !directory.version.MayBe(ObjectVersion::Of(object))) {
        directory.attributes_known = false;
      } else if (directory.published && directory.version.modified_seconds == 0) {
        directory.version = ObjectVersion::Of(object);
      } else if (!directory.published && directory.changed_at < started) {
        directory.published = true;
        directory.object_key = object.key;
        directory.version = ObjectVersion::Of(object);
      }
      continue;
    }
    if (segment.find('/') != std::string_view::npos || (root && segment == kReservedSegment))
      continue;
    if (object.size == 0 && segment.ends_with(kFolderMarkerSuffix)) {
      const auto name = NameOf(segment.substr(0, segment.size() - kFolderMarkerSuffix.size()));
      if (name) seen.push_back(SeenLocked(directory, *name, object.key, nullptr, started));
      continue;
    }
    auto name = NameOf(segment);
    if (name && segment.empty()) name = NameOf(segment, /*shadowed=*/true);
    if (name) {
      Inode* other = table_.Child(directory, *name);
      if (other != nullptr && other->is_directory() && other->object_key == object.key &&
          object.size == 0) {
        other->checked_at = clock_.Steady();  // a marker without the slash
        seen.push_back(other->ino);
        continue;
      }
      if (other != nullptr && other->is_directory()) name = NameOf(segment, /*shadowed=*/true);
    }
    if (name) seen.push_back(SeenLocked(directory, *name, object.key, &object, started));
  }
  std::erase(seen, Ino{0});
  return seen;
}

// One entry of a listing that began at `started`: `object` for a file, null for a directory.
Ino Core::SeenLocked(Inode& directory, const std::string& name, const std::string& key,
                     const ObjectInfo* object, SteadyTime started) {
  const auto removed = directory.removals.find(name);
  if (removed != directory.removals.end() && removed->second >= started) return 0;
  Inode* inode = table_.Child(directory, name);
  const bool is_directory = object == nullptr;
  // A file may have taken the name of a directory whose objects have not gone yet.
  if ((inode == nullptr || inode->is_directory() != is_directory) &&
      HiddenLocked(directory, key, object, started)) {
    return inode == nullptr ? 0 : inode->ino;
  }
  if (inode != nullptr) {
    if (inode->changed_at >= started || inode->ours() ||
        (!inode->published && !inode->is_directory())) {
      return inode->ino;  // this mount knows better
    }
    if (inode->is_directory() != is_directory) {
      if (is_directory) {
        // A file has been shown under the name that a directory now takes: it goes on under the
        // name for shadowed objects.
        const auto segment = SegmentOf(name);
        const auto other = segment ? NameOf(segment->text, /*shadowed=*/true) : std::nullopt;
        if (other && table_.Child(directory, *other) == nullptr) {
          table_.Move(*inode, directory, *other);
        } else {
          GoneLocked(*inode);
        }
      } else {
        GoneLocked(*inode);
      }
      inode = nullptr;
    }
  }
  if (inode == nullptr) {
    inode = &table_.Create(directory, name, is_directory ? S_IFDIR : S_IFREG);
    ApplyDefaultsLocked(*inode);
    if (is_directory) inode->attributes_known = !posix();
  }
  if (is_directory) {
    inode->checked_at = clock_.Steady();
  } else {
    ApplyVersionLocked(*inode, key, *object);
  }
  return inode->ino;
}

bool Core::RemovedSinceLocked(const std::string& key, SteadyTime started) const {
  for (auto it = gone_.lower_bound(key); it != gone_.end(); ++it) {
    const bool below = key.ends_with('/') && it->first.starts_with(key);
    if (it->first != key && !below) return false;
    if (it->second >= started) return true;
  }
  return false;
}

bool Core::HiddenLocked(Inode& directory, const std::string& key, const ObjectInfo* object,
                        SteadyTime started) {
  if (RemovedSinceLocked(key, started)) {
    // Most likely the listing is older than the removal; the next one will tell.
    directory.recheck = true;
    return true;
  }
  if (object == nullptr) return RemovalBelowLocked(key);
  if (sources_.contains(key) || busy_keys_.contains(key)) return true;
  const auto it = removals_.find(key);
  if (it == removals_.end()) return false;
  const Removal& removal = it->second;
  const bool ours = removal.etag.empty() || SameEtag(removal.etag, object->etag);
  if (ours || removal.running || busy_keys_.contains(key) || removal.added >= started) return true;
  // Somebody else has made a new object there since: it is not what was removed here.
  StateBatch batch;
  batch.DropRemoval(key);
  CommitQuietlyLocked(std::move(batch));
  removals_.erase(it);
  return false;
}

// Every page has been applied: what was not seen is gone, and what is not there is known to be
// absent.
void Core::FinishListingLocked(Inode& directory, SteadyTime started) {
  std::vector<Inode*> vanished;
  for (const auto& [name, child] : directory.children) {
    Inode* inode = table_.Find(child);
    const bool ours =
        inode->changed_at >= started || inode->ours() || (!inode->published && inode->opens > 0);
    if (!ours && inode->checked_at < started) vanished.push_back(inode);
  }
  for (Inode* inode : vanished) {
    // A directory that holds something not yet in the bucket exists because of that.
    bool pending = false;
    for (const Inode* below : table_.Subtree(*inode)) pending = pending || below->ours();
    if (!pending) GoneLocked(*inode);
  }
  directory.complete = !std::exchange(directory.recheck, false);
  directory.large = false;
  directory.listed_at = started;
  directory.attribute_requests = 0;
}

// Somebody else removed it.
void Core::GoneLocked(Inode& inode) {
  StateBatch batch;
  for (Inode* below : table_.Subtree(inode)) {
    // Its step would take what it has just written for a removed file's, and delete it.
    QUAY_DCHECK(below->steps == 0);
    ForgetRowLocked(*below, &batch);
  }
  CommitQuietlyLocked(std::move(batch));
  inode.published = false;
  table_.Unlink(inode);
}

}  // namespace quayfs
