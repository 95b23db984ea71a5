// SPDX-License-Identifier: Apache-2.0

#include "providers/local_bucket.h"

#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "base/check.h"
#include "base/hash.h"
#include "base/log.h"

namespace quayfs {
namespace {

constexpr std::string_view kVersionText = "quayfs-local 1\n";
constexpr size_t kCopyBuffer = 1 << 20;
/// Between two looks at CallOptions.
constexpr uint64_t kKernelCopyStep = 64ull << 20;
constexpr auto kLockPoll = std::chrono::milliseconds(2);

/// "a/b/c=" -> "a/b"; "" for what lies in the bucket's directory itself.
std::string ParentOf(std::string_view relative) {
  const size_t slash = relative.rfind('/');
  return slash == std::string_view::npos ? std::string() : std::string(relative.substr(0, slash));
}

Status LockTemporary(const DiskFile& file) {
  if (file.fd() >= 0 && flock(file.fd(), LOCK_EX | LOCK_NB) != 0) {
    return ErrnoError(errno, "cannot lock a temporary file");
  }
  return {};
}

}  // namespace

LocalBucket::LocalBucket(std::string root, Disk& disk, Clock& clock)
    : root_(std::move(root)), disk_(disk), clock_(clock) {}

std::string LocalBucket::Absolute(std::string_view relative) const {
  return relative.empty() ? root_ : fmt::format("{}/{}", root_, relative);
}

Status LocalBucket::CheckCall(const CallOptions& call) const {
  if (call.cancel.stop_requested()) return Error(Code::kCancelled, "cancelled");
  if (call.deadline && clock_.Steady() >= *call.deadline) {
    return Error(Code::kTimedOut, "the time allowed has passed");
  }
  return {};
}

std::string LocalBucket::NewEtag() {
  // Not a digest, and made so that nobody takes it for one.
  return fmt::format("\"q{}\"", HexEncode(RandomBytes(16)));
}

// ---- Reading.

Result<LocalBucket::OpenObject> LocalBucket::Open(const std::string& relative) const {
  OpenObject object;
  QUAY_ASSIGN(object.file, disk_.Open(Absolute(relative), OpenMode::kRead));
  auto record = ReadLocalRecord(*object.file);
  if (!record) return record.error().WithContext(Absolute(relative));
  object.record = std::move(*record);
  return object;
}

Result<std::optional<LocalRecord>> LocalBucket::Peek(const std::string& relative) const {
  auto object = Open(relative);
  if (object.Is(Code::kNotFound)) return std::optional<LocalRecord>();
  if (!object) return object.error();
  return std::optional<LocalRecord>(std::move(object->record));
}

// ---- Temporary files.

LocalBucket::Temporary::Temporary(LocalBucket& bucket, std::string path,
                                  std::unique_ptr<DiskFile> file)
    : bucket_(&bucket), path_(std::move(path)), file_(std::move(file)) {}

LocalBucket::Temporary::Temporary(Temporary&& other) noexcept
    : bucket_(std::exchange(other.bucket_, nullptr)),
      path_(std::move(other.path_)),
      file_(std::move(other.file_)),
      size_(other.size_) {}

LocalBucket::Temporary::~Temporary() {
  // If this fails, the next process to write here finds it abandoned.
  if (bucket_ != nullptr && !path_.empty()) Ignore(bucket_->disk_.RemoveFile(path_));
}

Status LocalBucket::Temporary::AppendSource(const DataSource& data, const CallOptions& call) {
  const uint64_t total = data.size();
  std::vector<std::byte> buffer(std::min<uint64_t>(total, kCopyBuffer));
  for (uint64_t done = 0; done < total;) {
    QUAY_TRY(bucket_->CheckCall(call));
    const auto piece = std::span(buffer).first(std::min<uint64_t>(total - done, buffer.size()));
    QUAY_TRY(data.Read(done, piece));
    QUAY_TRY(file_->Write(size_, piece));
    size_ += piece.size();
    done += piece.size();
  }
  return {};
}

Status LocalBucket::Temporary::AppendFile(const DiskFile& from, ByteRange range,
                                          const CallOptions& call) {
  while (from.fd() >= 0 && file_->fd() >= 0 && !range.empty()) {
    QUAY_TRY(bucket_->CheckCall(call));
    auto in = static_cast<off_t>(range.begin);
    auto out = static_cast<off_t>(size_);
    const ssize_t copied = copy_file_range(from.fd(), &in, file_->fd(), &out,
                                           std::min(range.length(), kKernelCopyStep), 0);
    if (copied < 0 && errno == EINTR) continue;
    if (copied < 0 && (errno == ENOSPC || errno == EDQUOT || errno == EIO)) {
      return ErrnoError(errno, "cannot copy an object");
    }
    // Anything else is the kernel's way to say that it cannot do it for these files.
    if (copied <= 0) break;
    range.begin += static_cast<uint64_t>(copied);
    size_ += static_cast<uint64_t>(copied);
  }
  return AppendByReading(from, range, call);
}

Status LocalBucket::Temporary::AppendByReading(const DiskFile& from, ByteRange range,
                                               const CallOptions& call) {
  std::vector<std::byte> buffer(std::min<uint64_t>(range.length(), kCopyBuffer));
  while (!range.empty()) {
    QUAY_TRY(bucket_->CheckCall(call));
    const auto piece = std::span(buffer).first(std::min<uint64_t>(range.length(), buffer.size()));
    QUAY_ASSIGN(const size_t got, from.Read(range.begin, piece));
    if (got != piece.size()) return Error(Code::kCorrupt, "an object file is shorter than it says");
    QUAY_TRY(file_->Write(size_, piece));
    range.begin += piece.size();
    size_ += piece.size();
  }
  return {};
}

Status LocalBucket::Temporary::Finish(LocalRecord& record) {
  record.size = size_;
  const std::string trailer = EncodeLocalRecord(record);
  QUAY_TRY(file_->Write(size_, AsBytes(trailer)));
  return file_->SyncData();
}

Result<LocalBucket::Temporary> LocalBucket::MakeTemporary(const CallOptions& call) {
  std::string path =
      Absolute(fmt::format("{}/{}", kLocalTemporaryName, HexEncode(RandomBytes(16))));
  // Made and locked under the bucket's lock: whoever looks for abandoned files never sees one that
  // is not locked yet.
  QUAY_ASSIGN(const Guard guard, Lock(call));
  auto file = disk_.Open(path, OpenMode::kCreateExclusive);
  if (file.Is(Code::kNotFound)) {
    const Status made = disk_.MakeDirectory(Absolute(kLocalTemporaryName));
    if (!made.ok() && !made.Is(Code::kAlreadyExists)) return made.error();
    file = disk_.Open(path, OpenMode::kCreateExclusive);
  }
  if (!file) return file.error();
  Temporary temporary(*this, std::move(path), std::move(*file));
  QUAY_TRY(LockTemporary(*temporary.file_));
  return temporary;
}

// ---- The lock.

LocalBucket::Guard::~Guard() {
  if (bucket_ != nullptr) bucket_->Unlock();
}

// The Guard outlives this function, which the analysis cannot follow.
Result<LocalBucket::Guard> LocalBucket::Lock(const CallOptions& call)
    QUAY_NO_THREAD_SAFETY_ANALYSIS {
  while (true) {
    QUAY_TRY(CheckCall(call));
    mutex_.lock();
    auto locked = TryLockFile();
    if (locked.ok() && *locked) {
      Guard guard(*this);
      if (!prepared_) QUAY_TRY(PrepareFolder());
      return guard;
    }
    mutex_.unlock();
    if (!locked) return locked.error();
    // Not an error if cut short: the call is looked at again.
    static_cast<void>(clock_.Sleep(kLockPoll, call.cancel));
  }
}

void LocalBucket::Unlock() QUAY_NO_THREAD_SAFETY_ANALYSIS {
  if (lock_file_ != nullptr && lock_file_->fd() >= 0) {
    static_cast<void>(flock(lock_file_->fd(), LOCK_UN));  // cannot fail on an open file
  }
  mutex_.unlock();
}

Result<bool> LocalBucket::TryLockFile() {
  if (lock_file_ == nullptr) {
    auto file = disk_.Open(Absolute(kLocalLockName), OpenMode::kCreateOrOpen);
    if (!file) return file.error().WithContext("cannot write to the bucket's folder");
    lock_file_ = std::move(*file);
  }
  if (lock_file_->fd() < 0) return true;
  while (flock(lock_file_->fd(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) return false;
    if (errno != EINTR) return ErrnoError(errno, "cannot lock the bucket's folder");
  }
  return true;
}

Status LocalBucket::PrepareFolder() {
  QUAY_TRY(CheckVersion());
  RemoveAbandonedTemporaries();
  prepared_ = true;
  return {};
}

Status LocalBucket::CheckVersion() {
  std::string text(kVersionText.size() + 1, '\0');
  QUAY_ASSIGN(const size_t got, lock_file_->Read(0, std::as_writable_bytes(std::span(text))));
  text.resize(got);
  if (text == kVersionText) return {};
  // Empty or cut short: somebody was stopped while making it.
  if (!kVersionText.starts_with(text)) {
    return Error(Code::kNotSupported, fmt::format("{} is of a format that this version does not "
                                                  "know",
                                                  Absolute(kLocalLockName)));
  }
  QUAY_TRY(lock_file_->Write(0, AsBytes(kVersionText)));
  QUAY_TRY(lock_file_->SyncData());
  return disk_.SyncDirectory(root_);
}

/// Temporary files whose writer is gone: a living one holds a lock on its file.
void LocalBucket::RemoveAbandonedTemporaries() {
  const std::string folder = Absolute(kLocalTemporaryName);
  const auto entries = disk_.List(folder);
  if (!entries) return;  // nothing there yet
  for (const DiskEntry& entry : *entries) {
    const std::string path = fmt::format("{}/{}", folder, entry.name);
    if (entry.is_directory) {
      RemoveDiscarded(path);
      continue;
    }
    auto file = disk_.Open(path, OpenMode::kReadWrite);
    if (!file || (*file)->fd() < 0) continue;
    if (flock((*file)->fd(), LOCK_EX | LOCK_NB) != 0) continue;
    const Status removed = disk_.RemoveFile(path);
    Log(LogLevel::kDebug, "local.abandoned_temporary", {{"path", path}, {"removed", removed.ok()}});
  }
}

// ---- Directory entries.

Status LocalBucket::MakeParents(const std::string& relative) {
  for (size_t slash = relative.find('/'); slash != std::string::npos;
       slash = relative.find('/', slash + 1)) {
    const std::string directory = relative.substr(0, slash);
    const Status made = disk_.MakeDirectory(Absolute(directory));
    if (made.ok()) {
      const MutexLock lock(new_mutex_);
      new_directories_[directory] = ++made_directories_;
    } else if (!made.Is(Code::kAlreadyExists)) {
      return made.error();
    }
  }
  return {};
}

Status LocalBucket::Rename(const std::string& from, const std::string& to, const Guard& /*guard*/) {
  const std::string source = Absolute(from);
  const std::string target = Absolute(to);
  Status renamed = disk_.Rename(source, target);
  if (renamed.Is(Code::kNotFound)) {
    QUAY_TRY(MakeParents(to));
    renamed = disk_.Rename(source, target);
  }
  return renamed;
}

Status LocalBucket::Publish(Temporary& temporary, const std::string& relative, const Guard& guard) {
  QUAY_TRY(Rename(temporary.path_.substr(root_.size() + 1), relative, guard));
  temporary.path_.clear();
  return {};
}

Status LocalBucket::Remove(const std::string& relative, const Guard& /*guard*/) {
  const Status removed = disk_.RemoveFile(Absolute(relative));
  if (!removed.ok() && !removed.Is(Code::kNotFound)) return removed.error();
  for (std::string directory = ParentOf(relative); !directory.empty();
       directory = ParentOf(directory)) {
    // One that stays is an empty directory: listings do not show it.
    if (!disk_.RemoveDirectory(Absolute(directory)).ok()) break;
    const MutexLock lock(new_mutex_);
    new_directories_.erase(directory);
  }
  return {};
}

Status LocalBucket::Discard(const std::string& relative, const Guard& /*guard*/,
                            std::string* discarded) {
  discarded->clear();
  std::string path =
      Absolute(fmt::format("{}/{}", kLocalTemporaryName, HexEncode(RandomBytes(16))));
  const Status made = disk_.MakeDirectory(Absolute(kLocalTemporaryName));
  if (!made.ok() && !made.Is(Code::kAlreadyExists)) return made.error();
  const Status renamed = disk_.Rename(Absolute(relative), path);
  if (renamed.Is(Code::kNotFound)) return {};
  QUAY_TRY(renamed);
  *discarded = std::move(path);
  return {};
}

void LocalBucket::RemoveDiscarded(const std::string& discarded) {
  const auto entries = disk_.List(discarded);
  if (!entries) return;
  for (const DiskEntry& entry : *entries) {
    Ignore(disk_.RemoveFile(fmt::format("{}/{}", discarded, entry.name)));
  }
  Ignore(disk_.RemoveDirectory(discarded));
}

Status LocalBucket::SyncNewParents(const std::string& relative) {
  std::string directory = ParentOf(relative);
  while (!directory.empty()) {
    uint64_t number = 0;
    {
      const MutexLock lock(new_mutex_);
      const auto found = new_directories_.find(directory);
      if (found != new_directories_.end()) number = found->second;
    }
    std::string parent = ParentOf(directory);
    if (number != 0) {
      QUAY_TRY(disk_.SyncDirectory(Absolute(parent)));
      const MutexLock lock(new_mutex_);
      const auto found = new_directories_.find(directory);
      if (found != new_directories_.end() && found->second == number) new_directories_.erase(found);
    }
    directory = std::move(parent);
  }
  return {};
}

Status LocalBucket::Persist(const std::string& relative) {
  std::string directory = ParentOf(relative);
  while (true) {
    Status synced = disk_.SyncDirectory(Absolute(directory));
    if (synced.ok()) break;
    // The directory went with its last entry: what counts now is that the one above says so.
    if (!synced.Is(Code::kNotFound) || directory.empty()) return synced;
    directory = ParentOf(directory);
  }
  Status synced = SyncNewParents(relative);
  if (synced.Is(Code::kNotFound)) return {};  // removed meanwhile, by a later change
  return synced;
}

}  // namespace quayfs
