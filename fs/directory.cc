// SPDX-License-Identifier: Apache-2.0

#include <algorithm>
#include <unordered_set>

#include "fs/core.h"
#include "fs/key_names.h"

namespace quayfs {
namespace {

constexpr uint64_t kOffsetOfFirstChild = 2;  // after "." and ".."

// A page that is being fetched while the reader is still busy with the one before.
struct PageFetch {
  Mutex mutex{LockRank::kHandles};
  CondVar arrived;
  std::optional<Result<ListPage>> page QUAY_GUARDED_BY(mutex);
};

Result<ListPage> WaitForPage(PageFetch& fetch) {
  MutexLock lock(fetch.mutex);
  while (!fetch.page) fetch.arrived.Wait(fetch.mutex);
  return std::move(*fetch.page);
}

}  // namespace

/// A snapshot of a directory that grows page by page as its reader gets on. One reader at a time
/// per handle, as the kernel does it; `mutex_`-guarded state of the inodes is only touched under
/// that lock.
struct OpenDirectory {
  struct Item {
    std::string name;
    Ino ino = 0;
  };

  Ino ino = 0;
  std::vector<Item> items;
  std::unordered_set<std::string> names;
  bool begun = false;
  bool done = false;
  std::string key;     // the directory's
  std::string prefix;  // what is being listed: `key`, then its long folder
  std::string token;
  SteadyTime started{};
  std::shared_ptr<PageFetch> next;  // a fetch under way, with its own lock
  std::stop_source stop;

  void Reset() {
    items.clear();
    names.clear();
    begun = done = false;
    token.clear();
    next.reset();
  }
};

Result<OpenDirectory*> Core::OpenDir(const OpContext& /*context*/, Ino ino) {
  MutexLock lock(mutex_);
  QUAY_ASSIGN(Inode * inode, FindLocked(ino));
  if (!inode->is_directory())
    return Error(Code::kNotDirectory, "'" + inode->name + "' is not a directory");
  auto handle = std::make_unique<OpenDirectory>();
  handle->ino = ino;
  ++inode->opens;
  open_directories_.insert(handle.get());
  return handle.release();
}

void Core::ReleaseDir(OpenDirectory* directory) {
  const std::unique_ptr<OpenDirectory> handle(directory);
  handle->stop.request_stop();
  // The fetch refers to the store and to nothing of the handle; but it must be over before the
  // store goes.
  if (handle->next != nullptr) Ignore(WaitForPage(*handle->next));
  {
    MutexLock lock(mutex_);
    open_directories_.erase(handle.get());
    Inode* inode = table_.Find(handle->ino);
    if (inode != nullptr) {
      if (handle->begun && !handle->done) EndListingLocked(inode);
      --inode->opens;
      table_.EraseIfUnused(*inode);
    }
  }
  SettleErased();
}

void Core::TakeSnapshotLocked(const Inode& directory, OpenDirectory& handle) {
  for (const auto& [name, child] : directory.children) handle.items.push_back({name, child});
  handle.begun = handle.done = true;
}

// Starts a snapshot: from what is known, if that is everything and fresh, else from the first page
// of a listing.
Status Core::BeginReading(const OpContext& context, OpenDirectory& handle) {
  {
    MutexLock lock(mutex_);
    QUAY_ASSIGN(Inode * inode, FindLocked(handle.ino));
    if (!inode->linked()) {
      handle.begun = handle.done = true;  // removed while open: empty
      return {};
    }
    if (inode->complete && FreshLocked(inode->listed_at)) {
      TakeSnapshotLocked(*inode, handle);
      return {};
    }
    QUAY_TRY(MayWait(context));
    QUAY_ASSIGN(handle.key, table_.KeyOf(*inode));
    handle.prefix = handle.key;
    BeginListingLocked(*inode);
    handle.started = clock_.Steady();
  }
  handle.begun = true;
  Status first = ReadPage(context, handle);
  if (first.ok() || !away_) return first;
  // What was known before will do.
  MutexLock lock(mutex_);
  QUAY_ASSIGN(Inode * inode, FindLocked(handle.ino));
  if (!inode->complete) return first;
  EndListingLocked(inode);
  TakeSnapshotLocked(*inode, handle);
  return {};
}

Status Core::ReadPage(const OpContext& context, OpenDirectory& handle) {
  ListRequest request;
  request.prefix = handle.prefix;
  request.delimiter = "/";
  request.token = handle.token;
  const std::shared_ptr<PageFetch> ahead = std::exchange(handle.next, nullptr);
  const auto page =
      Heard(ahead != nullptr ? WaitForPage(*ahead) : store_.List(request, context.call));
  if (!page.ok()) return page.error();
  if (!page->next_token.empty() && page->next_token == handle.token) {
    return Error(Code::kCorrupt, "the listing of '" + handle.prefix + "' does not get on");
  }
  handle.token = page->next_token;
  if (!handle.token.empty()) FetchAhead(handle);

  MutexLock lock(mutex_);
  Inode* inode = table_.Find(handle.ino);
  if (inode == nullptr) return Error(Code::kChanged, "the directory is gone");
  const auto prefix_now = table_.KeyOf(*inode);
  if (!prefix_now.ok() || *prefix_now != handle.key) {
    // Renamed or removed meanwhile. A rename knows everything below the directory.
    EndListingLocked(inode);
    for (const auto& [name, child] : inode->children) {
      if (handle.names.insert(name).second) handle.items.push_back({name, child});
    }
    handle.names.clear();
    handle.done = true;
    return {};
  }
  for (const Ino ino : ApplyPageLocked(*inode, handle.prefix, *page, handle.started)) {
    const Inode* child = table_.Find(ino);
    if (child != nullptr && handle.names.insert(child->name).second)
      handle.items.push_back({child->name, ino});
  }
  if (!handle.token.empty()) return {};
  if (handle.prefix == handle.key && HasLongFolder(keys_, handle.key)) {
    handle.prefix = LongFolder(keys_, handle.key);
    return {};
  }
  FinishListingLocked(*inode, handle.started);
  EndListingLocked(inode);
  // What only this mount knows of comes last.
  for (const auto& [name, child] : inode->children) {
    if (handle.names.insert(name).second) handle.items.push_back({name, child});
  }
  handle.names.clear();
  handle.done = true;
  return {};
}

void Core::FetchAhead(OpenDirectory& handle) {
  ListRequest request;
  request.prefix = handle.prefix;
  request.delimiter = "/";
  request.token = handle.token;
  auto fetch = std::make_shared<PageFetch>();
  handle.next = fetch;
  background_.Post([this, fetch, request, cancel = handle.stop.get_token()] {
    CallOptions call;
    call.cancel = cancel;
    auto page = store_.List(request, call);
    MutexLock lock(fetch->mutex);
    fetch->page.emplace(std::move(page));
    fetch->arrived.NotifyAll();
  });
}

Status Core::ReadDir(const OpContext& context, OpenDirectory& directory, uint64_t offset, bool plus,
                     const std::function<bool(const DirectoryEntry&, uint64_t)>& take) {
  // A rewind takes a new snapshot, unless the old one is still being made: that goes on.
  if (offset == 0 && directory.done) directory.Reset();
  if (!directory.begun) QUAY_TRY(BeginReading(context, directory));

  if (offset < kOffsetOfFirstChild) {
    QUAY_ASSIGN(const bool more, TakeDots(directory.ino, offset, take));
    if (!more) return {};
    offset = kOffsetOfFirstChild;
  }
  bool taken_any = false;  // by this call: an answer without entries means the end
  while (true) {
    const uint64_t index = offset - kOffsetOfFirstChild;
    if (index >= directory.items.size()) {
      if (directory.done) return {};
      // What has been taken is worth answering with; the next call waits for the next page.
      if (!context.may_block && taken_any) return {};
      QUAY_TRY(MayWait(context));
      QUAY_TRY(ReadPage(context, directory));
      continue;
    }
    DirectoryEntry entry;
    if (DescribeItem(directory, index, plus, &entry)) {
      if (!take(entry, offset + 1)) {
        if (entry.full) Forget(entry.ino, 1);
        return {};
      }
      taken_any = true;
    }
    ++offset;
  }
}

Result<bool> Core::TakeDots(Ino ino, uint64_t offset,
                            const std::function<bool(const DirectoryEntry&, uint64_t)>& take) {
  Ino parent = ino;
  {
    MutexLock lock(mutex_);
    QUAY_ASSIGN(const Inode* inode, FindLocked(ino));
    if (inode->parent != 0) parent = inode->parent;
  }
  DirectoryEntry entry;
  entry.type = S_IFDIR;
  if (offset == 0) {
    entry.name = ".";
    entry.ino = ino;
    if (!take(entry, 1)) return false;
  }
  entry.name = "..";
  entry.ino = parent;
  return take(entry, kOffsetOfFirstChild);
}

// False if the entry has been removed since it was listed.
bool Core::DescribeItem(OpenDirectory& handle, uint64_t index, bool plus, DirectoryEntry* entry) {
  const OpenDirectory::Item& item = handle.items[index];
  MutexLock lock(mutex_);
  const Inode* directory = table_.Find(handle.ino);
  Inode* inode = directory == nullptr ? nullptr : table_.Child(*directory, item.name);
  if (inode == nullptr) return false;
  entry->name = item.name;
  inode = &FileOfLocked(*inode);
  entry->ino = inode->ino;
  entry->type =
      inode->attributes_known || inode->is_directory() ? inode->attributes.mode & S_IFMT : 0;
  if (plus && inode->attributes_known && inode->LinksShown())
    entry->full = EntryOfLocked(*inode, /*count_lookup=*/true);
  return true;
}

// What has happened to the directory and to the names in it is in the bucket afterwards.
Status Core::FsyncDir(const OpContext& context, OpenDirectory& directory) {
  std::vector<Ino> pending;
  std::string prefix;
  {
    MutexLock lock(mutex_);
    const Inode* inode = table_.Find(directory.ino);
    if (inode == nullptr || !inode->linked()) return {};
    if (config_.fsync == FileSystemConfig::Durability::kLocal) {
      return CommitLocked({}, Persist::kSurvivesPowerCut);
    }
    QUAY_ASSIGN(prefix, table_.KeyOf(*inode));
    for (const auto& [name, child] : inode->children) {
      if (table_.Find(child)->needs_work()) pending.push_back(child);
    }
  }
  QUAY_TRY(SyncPath(context, directory.ino));
  for (const Ino ino : pending) QUAY_TRY(SyncInode(context, ino));
  QUAY_TRY(SyncRemovals(context, prefix));
  return HasLongFolder(keys_, prefix) ? SyncRemovals(context, LongFolder(keys_, prefix)) : Status();
}

}  // namespace quayfs
