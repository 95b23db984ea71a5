// SPDX-License-Identifier: Apache-2.0

#include "fs/core.h"

#include <algorithm>

#include "base/log.h"
#include "fs/attribute_codec.h"
#include "fs/key_names.h"

namespace quayfs {
namespace {

// What df shows of a store that does not tell its size.
constexpr uint64_t kCapacity = 1ull << 50;

}  // namespace

Result<std::unique_ptr<FileSystem>> FileSystem::Open(const FileSystemConfig& config,
                                                     ObjectStore& store, Cache& cache,
                                                     Executor& background, Clock& clock,
                                                     const CallOptions& call) {
  if (!config.prefix.empty() && !config.prefix.ends_with('/')) {
    return Error(Code::kInvalidArgument, "the prefix '" + config.prefix + "' must end with '/'");
  }
  QUAY_TRY(store.CheckBucket(call));
  auto core = std::make_unique<Core>(config, store, cache, background, clock);
  QUAY_TRY(core->LoadRoot(call));
  core->StartWork();
  return std::unique_ptr<FileSystem>(std::move(core));
}

Core::Core(const FileSystemConfig& config, ObjectStore& store, Cache& cache, Executor& background,
           Clock& clock)
    : config_(config),
      store_(store),
      cache_(cache),
      background_(background),
      clock_(clock),
      keys_{config.prefix, static_cast<size_t>(store.capabilities().key_size_max)},
      table_(keys_),
      state_(cache.state()),
      queue_(std::max<size_t>(config.work_in_flight, 1)),
      burst_(config.write_delay),
      workers_("reconcile", std::max<size_t>(config.work_in_flight, 1)) {}

// The kernel ends a session without giving back what is open then.
void Core::ReleaseAll() {
  std::set<OpenFile*> files;
  std::set<OpenDirectory*> directories;
  {
    MutexLock lock(mutex_);
    files = open_files_;
    directories = open_directories_;
  }
  for (OpenFile* const file : files)
    Ignore(Core::Release({}, file));  // reported by what was synced
  for (OpenDirectory* const directory : directories) Core::ReleaseDir(directory);
}

Core::~Core() {
  cache_.OnPressure(nullptr);
  ReleaseAll();
  work_stop_.request_stop();
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    work_noted_.NotifyAll();
    work_done_.NotifyAll();
  }
  if (scheduler_.joinable()) scheduler_.join();
  {
    MutexLock lock(mutex_);
    while (queue_.running() + removals_running_ > 0) work_done_.Wait(mutex_);
    Ignore(CommitLocked({}));  // logged when it failed first; the next mount finds it out
  }
  prefetch_stop_.request_stop();
  MutexLock lock(prefetch_mutex_);
  while (prefetching_ > 0) prefetch_done_.Wait(prefetch_mutex_);
}

void Core::StartWork() {
  cache_.OnPressure([this](bool hurry) { Hurry(hurry); });
  scheduler_ = std::thread([this] { ScheduleLoop(); });
}

// The root is a directory like any other, except that its marker may have no key of its own (the
// bucket's root has none): then its attributes lie on an object in the reserved folder.
Status Core::LoadRoot(const CallOptions& call) {
  QUAY_TRY(LoadState());
  {
    MutexLock lock(mutex_);
    Inode& root = table_.root();
    if (root.attributes_dirty) return {};  // newer than what the bucket has
    root.checked_at = clock_.Steady();
    ApplyDefaultsLocked(root);
    if (!posix()) return {};
    root.object_key = MarkerKeyLocked(root, config_.prefix);
  }
  const std::string key =
      config_.prefix.empty() ? std::string(kReservedSegment) + "/root" : config_.prefix;
  const auto head = store_.Head(key, call);
  if (!head.ok() && head.code() != Code::kNotFound && head.code() != Code::kPermissionDenied)
    return head.error();
  MutexLock lock(mutex_);
  if (head.ok()) ApplyHeadLocked(table_.root(), *head);
  table_.root().attributes.mode = (table_.root().attributes.mode & 07777) | S_IFDIR;
  table_.root().attributes_known = true;
  return {};
}

Status Core::MayWait(const OpContext& context) const {
  if (!context.may_block) return Error(Code::kWouldBlock, "the answer needs the network");
  return {};
}

Status Core::CheckWritable() const {
  if (config_.read_only) return Error(Code::kReadOnly, "the file system is mounted read-only");
  return {};
}

Status Core::CheckName(std::string_view name) const {
  if (name.size() > kNameMax) {
    return Error(Code::kNameTooLong,
                 "a file name may have 255 bytes, this one has " + std::to_string(name.size()));
  }
  const auto segment = SegmentOf(name);
  if (!segment)
    return Error(Code::kInvalidArgument,
                 "names that begin with '%~' are reserved for odd object keys");
  return {};
}

Inode* Core::AtKeyLocked(const std::string& key) {
  if (!key.starts_with(config_.prefix)) return nullptr;
  Inode* at = &table_.root();
  for (size_t from = config_.prefix.size(); from < key.size() && at != nullptr;) {
    const size_t end = std::min(key.find('/', from), key.size());
    const auto name = NameOf(std::string_view(key).substr(from, end - from));
    at = name ? table_.Child(*at, *name) : nullptr;
    from = end + 1;
  }
  return at;
}

bool Core::FreshLocked(SteadyTime when) const {
  if (when == SteadyTime{}) return false;
  if (away_) return true;
  if (config_.consistency == Duration::max()) return true;
  return clock_.Steady() - when < config_.consistency;
}

Duration Core::RemainingLocked(SteadyTime when) const {
  if (when == SteadyTime{}) return Duration{0};
  if (config_.consistency == Duration::max()) return std::chrono::hours(24);
  return std::max<Duration>(Duration{0}, config_.consistency - (clock_.Steady() - when));
}

Result<Inode*> Core::FindLocked(Ino ino) {
  Inode* inode = table_.Find(ino);
  if (inode == nullptr)
    return Error(Code::kChanged, "inode " + std::to_string(ino) + " is not known any more");
  return inode;
}

Result<Inode*> Core::FindDirectoryLocked(Ino ino) {
  QUAY_ASSIGN(Inode * inode, FindLocked(ino));
  if (!inode->is_directory())
    return Error(Code::kNotDirectory, "'" + inode->name + "' is not a directory");
  if (!inode->linked())
    return Error(Code::kNotFound, "the directory '" + inode->name + "' has been removed");
  return inode;
}

Attributes Core::AttributesOfLocked(const Inode& inode) const {
  Attributes attributes = inode.attributes;
  attributes.ino = inode.ino;
  if (inode.data != nullptr && inode.is_regular()) attributes.size = inode.data->size();
  if (inode.is_directory()) {
    // 1 is the usual way to say that subdirectories were not counted.
    attributes.nlink = inode.complete ? 2 + inode.subdirectories : 1;
    attributes.size = 4096;
  } else {
    attributes.nlink = LinkCountLocked(inode);
  }
  attributes.blocks = (attributes.size + 511) / 512;
  return attributes;
}

Entry Core::EntryOfLocked(Inode& inode, bool count_lookup) {
  Entry entry;
  entry.ino = inode.ino;
  entry.attributes = AttributesOfLocked(inode);
  SteadyTime known = inode.checked_at;
  if (const Inode* parent = table_.Find(inode.parent); parent != nullptr && parent->complete) {
    known = std::max(known, parent->listed_at);
  }
  entry.entry_valid = RemainingLocked(known);
  entry.attributes_valid = entry.entry_valid;
  if (inode.needs_work() || inode.ino == kRootIno) {
    entry.entry_valid = entry.attributes_valid = std::chrono::seconds(1);
  }
  if (count_lookup) ++inode.lookups;
  return entry;
}

// A change by this mount: times move, and what a listing that began earlier says of it does not
// count.
void Core::TouchLocked(Inode& inode, bool contents) {
  const WallTime now = clock_.Now();
  inode.attributes.ctime = now;
  if (contents) inode.attributes.mtime = now;
  inode.changed_at = clock_.Steady();
}

void Core::TouchFolderLocked(Inode& folder) {
  TouchLocked(folder, /*contents=*/true);
  if (!config_.folder_times || !posix() || !folder.published) return;
  if (!folder.attributes_dirty) folder.attributes_dirty = folder.times_only = true;
  ++folder.attributes_seq;
  NoteWorkLocked(folder);
}

void Core::SettleErased() {
  std::vector<Ino> erased;
  {
    MutexLock lock(mutex_);
    erased = table_.TakeErased();
  }
  // The row went with the name, or with whoever found that it was gone.
  for (const Ino ino : erased) cache_.Remove(ino);
}

void Core::NoteFailureLocked(const Error& error) { last_error_ = error.ToString(); }

void Core::NoteFailure(const Error& error) {
  MutexLock lock(mutex_);
  NoteFailureLocked(error);
}

Result<FileSystemStats> Core::StatFs(const OpContext& /*context*/) {
  FileSystemStats stats;
  const std::optional<StoreSpace> space = store_.Space();
  stats.total_bytes = config_.capacity_bytes.value_or(space ? space->total : kCapacity);
  stats.free_bytes = std::min(stats.total_bytes, space ? space->free : stats.total_bytes);
  // What waits for the bucket will take room there.
  stats.free_bytes -= std::min(stats.free_bytes, cache_.stats().dirty_bytes);
  MutexLock lock(mutex_);
  stats.files = table_.size();
  stats.free_files = (1ull << 40) - std::min<uint64_t>(1ull << 40, stats.files);
  return stats;
}

PendingWork Core::pending() const {
  constexpr size_t kRetriedShown = 10;
  MutexLock lock(mutex_);
  PendingWork work;
  const SteadyTime now = clock_.Steady();
  for (const Ino ino : queue_.All()) {
    const Inode* inode = table_.Find(ino);
    const WorkItem* item = queue_.Find(ino);
    if (inode == nullptr || !inode->needs_work()) continue;
    ++work.files;
    if (inode->data != nullptr) work.bytes += inode->data->state().written_bytes;
    work.oldest = std::max<Duration>(work.oldest, now - item->first);
    if (item->error && work.retried.size() < kRetriedShown) {
      const auto key = table_.KeyOf(*inode);
      work.retried.push_back(
          {key.ok() ? *key : inode->name, item->error->ToString(), item->failures});
    }
  }
  for (const auto& [key, removal] : removals_) {
    if (removal.error && work.retried.size() < kRetriedShown)
      work.retried.push_back({key, removal.error->ToString(), removal.failures});
  }
  work.removals = removals_.size();
  work.in_flight = queue_.running() + removals_running_;
  work.store_away = away_ || queue_.outage().has_value();
  work.open_files = open_files_.size();
  work.known_inodes = table_.size();
  work.conflicts = conflicts_;
  work.conflict_files = ConflictFilesLocked();
  work.last_error = last_error_;
  return work;
}

}  // namespace quayfs
