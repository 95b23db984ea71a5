// SPDX-License-Identifier: Apache-2.0

#include "fs/fuse/operations.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/xattr.h>

#include <cerrno>
#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/log.h"
#include "cache/waiting.h"
#include "fs/errno.h"
#include "fs/work_queue.h"

namespace quayfs::fuse_operations {
namespace {

constexpr unsigned kRenameNoReplace = 1;  // RENAME_NOREPLACE
constexpr unsigned kRenameExchange = 2;   // RENAME_EXCHANGE

Service& ServiceOf(fuse_req_t request) {
  return *static_cast<Service*>(fuse_req_userdata(request));
}
FileSystem& FileSystemOf(fuse_req_t request) { return ServiceOf(request).file_system(); }

OpContext ContextOf(fuse_req_t request) {
  const fuse_ctx* caller = fuse_req_ctx(request);
  OpContext context;
  context.uid = caller->uid;
  context.gid = caller->gid;
  context.pid = caller->pid;
  context.umask = caller->umask;
  return context;
}

// Handles travel through the kernel as numbers.
OpenFile* FileOf(const fuse_file_info* info) {
  return info == nullptr ? nullptr : reinterpret_cast<OpenFile*>(static_cast<uintptr_t>(info->fh));
}
OpenDirectory* DirectoryOf(const fuse_file_info* info) {
  return reinterpret_cast<OpenDirectory*>(static_cast<uintptr_t>(info->fh));
}
template <typename Handle>
uint64_t NumberOf(Handle* handle) {
  static_assert(sizeof(uintptr_t) <= sizeof(uint64_t));
  return reinterpret_cast<uintptr_t>(handle);
}

timespec ToTimespec(WallTime time) {
  constexpr int64_t kNanos = 1'000'000'000;
  const int64_t total = time.time_since_epoch().count();
  int64_t seconds = total / kNanos;
  int64_t nanos = total % kNanos;
  if (nanos < 0) {
    nanos += kNanos;
    --seconds;
  }
  return {seconds, nanos};
}

// Times beyond the range of 64-bit nanoseconds (the years 1677 to 2262) are held at its ends.
WallTime FromTimespec(const timespec& time) {
  constexpr int64_t kLimit = std::numeric_limits<int64_t>::max() / 1'000'000'000 - 1;
  const int64_t seconds = std::min<int64_t>(std::max<int64_t>(time.tv_sec, -kLimit), kLimit);
  return WallTime(std::chrono::seconds(seconds) + std::chrono::nanoseconds(time.tv_nsec));
}

struct stat ToStat(const Attributes& attributes) {
  struct stat out {};
  out.st_ino = attributes.ino;
  out.st_mode = attributes.mode;
  out.st_nlink = attributes.nlink;
  out.st_uid = attributes.uid;
  out.st_gid = attributes.gid;
  out.st_rdev = attributes.rdev;
  out.st_size = static_cast<off_t>(attributes.size);
  out.st_blocks = static_cast<blkcnt_t>(attributes.blocks);
  out.st_blksize = 4096;
  out.st_atim = ToTimespec(attributes.atime);
  out.st_mtim = ToTimespec(attributes.mtime);
  out.st_ctim = ToTimespec(attributes.ctime);
  return out;
}

// A handle that only writes gains nothing from the kernel's page cache and pays for it with a
// second copy of every byte: its writes go past it. Handles that also read may be mapped, which
// needs the cache.
bool BypassesPageCache(int flags) { return (flags & O_ACCMODE) == O_WRONLY; }

double Seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }

fuse_entry_param ToEntryParam(const Entry& entry) {
  fuse_entry_param out{};
  out.ino = entry.ino;
  out.generation = 1;
  out.attr = ToStat(entry.attributes);
  out.entry_timeout = Seconds(entry.entry_valid);
  out.attr_timeout = Seconds(entry.attributes_valid);
  return out;
}

// Answers that are part of everyday life and say nothing about the health of the mount.
bool IsOrdinary(Code code) {
  switch (code) {
    case Code::kNotFound:
    case Code::kAlreadyExists:
    case Code::kNotDirectory:
    case Code::kIsDirectory:
    case Code::kNotEmpty:
    case Code::kNameTooLong:
    case Code::kNotPermitted:
    case Code::kReadOnly:
    case Code::kInvalidArgument:
    case Code::kNotSupported:
    case Code::kBadHandle:
    case Code::kNoAttribute:
    case Code::kTooLarge:
    case Code::kTooManyLinks:
    case Code::kBufferTooSmall:
      return true;
    default:
      return false;
  }
}

std::string_view AdviceFor(Code code) {
  switch (code) {
    case Code::kPermissionDenied:
      return "check the key's rights on the bucket: quayfs check";
    case Code::kUnauthenticated:
      return "check [credentials] in the mount config";
    case Code::kUnavailable:
    case Code::kTimedOut:
    case Code::kThrottled:
      return "the store does not answer; what is not uploaded stays in the cache";
    case Code::kNoSpace:
    case Code::kQuota:
      return "free space in the cache directory or the bucket";
    case Code::kChanged:
      return "another client changed the object; open the file again";
    case Code::kArchived:
      return "restore the object from its archive class first";
    default:
      return "see quayfs status";
  }
}

void LogFailure(const char* operation, Ino ino, const Error& error) {
  if (IsOrdinary(error.code()) || error.code() == Code::kCancelled) return;
  Log(LogLevel::kError, "operation.failed",
      {{"op", operation},
       {"inode", ino},
       {"error", error.ToString()},
       {"advice", AdviceFor(error.code())}});
}

void ReplyError(fuse_req_t request, const char* operation, Ino ino, const Error& error) {
  LogFailure(operation, ino, error);
  fuse_reply_err(request, ErrnoFor(error));
}

void OnInterrupt(fuse_req_t request, void* data) {
  ServiceOf(request).interrupts().Interrupt(reinterpret_cast<uintptr_t>(data));
}

// While the store is away a call waits, as on a disk that has gone to sleep; it ends with the
// store's return, with a signal (after a grace), with the mount, or when the config's patience is
// over.
template <typename Call>
auto CallPatiently(Service& service, OpContext& context, Call& call) {
  constexpr Duration kPauseFirst = std::chrono::milliseconds(500);
  constexpr Duration kPauseMax = std::chrono::seconds(5);
  const Duration limit = service.timeout();
  if (limit > Duration{0}) context.call.deadline = std::chrono::steady_clock::now() + limit;
  Mutex mutex(LockRank::kLeaf);
  CondVar never;
  for (Duration pause = kPauseFirst;; pause = std::min(pause * 2, kPauseMax)) {
    auto result = call(context);
    if (result.ok() || !StoreIsAway(result.code())) return result;
    CallOptions nap = context.call;
    const SteadyTime until = std::chrono::steady_clock::now() + pause;
    if (nap.deadline && *nap.deadline <= until) return result;
    nap.deadline = until;
    MutexLock lock(mutex);
    while (true) {
      const Status waited = WaitOnce(never, mutex, nap);
      if (waited.Is(Code::kCancelled)) return result;
      if (!waited.ok()) break;
    }
  }
}

// Runs `call` here if it needs no network, else on a thread that may wait; then `reply` with its
// value, or the error. `call` has to own everything it uses: the request's buffers are gone when it
// runs for the second time.
template <typename Call, typename Reply>
void Serve(fuse_req_t request, const char* operation, Ino ino, Call call, Reply reply) {
  OpContext context = ContextOf(request);
  context.may_block = false;
  auto result = call(context);
  if (result.Is(Code::kWouldBlock)) ServiceOf(request).CountWait(operation);
  if (result.ok() || !(result.Is(Code::kWouldBlock) || StoreIsAway(result.code()))) {
    if (!result.ok()) return ReplyError(request, operation, ino, result.error());
    return reply(request, result);
  }
  ServiceOf(request).Post([request, operation, ino, context, call = std::move(call),
                           reply = std::move(reply)]() mutable {
    Service& service = ServiceOf(request);
    std::stop_source stop;
    const uint64_t id = service.interrupts().Add(stop);
    fuse_req_interrupt_func(request, OnInterrupt,
                            reinterpret_cast<void*>(static_cast<uintptr_t>(id)));
    context.may_block = true;
    context.call.cancel = stop.get_token();
    auto again = CallPatiently(service, context, call);
    fuse_req_interrupt_func(request, nullptr, nullptr);
    service.interrupts().Remove(id);
    if (!again.ok()) return ReplyError(request, operation, ino, again.error());
    reply(request, again);
  });
}

void ReplyNothing(fuse_req_t request, const Status& /*status*/) { fuse_reply_err(request, 0); }

// The kernel forgets to take what it asked for when its process has gone: the reference it would
// have held is given back.
void ReplyEntry(fuse_req_t request, const Result<Entry>& entry) {
  FileSystem& file_system = FileSystemOf(request);
  if (entry->ino == 0 && entry->entry_valid == Duration{0}) {
    fuse_reply_err(request, ENOENT);
    return;
  }
  const fuse_entry_param out = ToEntryParam(*entry);
  if (fuse_reply_entry(request, &out) != 0 && entry->ino != 0) file_system.Forget(entry->ino, 1);
}

// Size 0 asks how much there is.
void ReplySized(fuse_req_t request, size_t size, const std::string& bytes) {
  if (size == 0) {
    fuse_reply_xattr(request, bytes.size());
  } else if (bytes.size() > size) {
    fuse_reply_err(request, ERANGE);
  } else {
    fuse_reply_buf(request, bytes.data(), bytes.size());
  }
}

void ReplyAttributes(fuse_req_t request, const Result<Entry>& entry) {
  const struct stat out = ToStat(entry->attributes);
  fuse_reply_attr(request, &out, Seconds(entry->attributes_valid));
}

void GiveBack(FileSystem& file_system, OpenFile* file) {
  OpContext context;
  if (const Status status = file_system.Release(context, file); !status.ok()) {
    LogFailure("release", 0, status.error());
  }
}

// --- names
// -----------------------------------------------------------------------------------------------------------

void OnLookup(fuse_req_t request, fuse_ino_t parent, const char* name) {
  FileSystem& file_system = FileSystemOf(request);
  Serve(
      request, "lookup", parent,
      [&file_system, parent, name = std::string(name)](const OpContext& context) {
        return file_system.Lookup(context, parent, name);
      },
      ReplyEntry);
}

void OnForget(fuse_req_t request, fuse_ino_t ino, uint64_t lookups) {
  FileSystemOf(request).Forget(ino, lookups);
  fuse_reply_none(request);
}

void OnForgetMulti(fuse_req_t request, size_t count, fuse_forget_data* forgets) {
  for (size_t i = 0; i < count; ++i)
    FileSystemOf(request).Forget(forgets[i].ino, forgets[i].nlookup);
  fuse_reply_none(request);
}

void OnMknod(fuse_req_t request, fuse_ino_t parent, const char* name, mode_t mode, dev_t rdev) {
  FileSystem& file_system = FileSystemOf(request);
  Serve(
      request, "mknod", parent,
      [&file_system, parent, name = std::string(name), mode, rdev](const OpContext& context) {
        return file_system.MakeNode(context, parent, name, mode, rdev);
      },
      ReplyEntry);
}

void OnMkdir(fuse_req_t request, fuse_ino_t parent, const char* name, mode_t mode) {
  FileSystem& file_system = FileSystemOf(request);
  Serve(
      request, "mkdir", parent,
      [&file_system, parent, name = std::string(name), mode](const OpContext& context) {
        return file_system.MakeDirectory(context, parent, name, mode);
      },
      ReplyEntry);
}

void OnSymlink(fuse_req_t request, const char* target, fuse_ino_t parent, const char* name) {
  FileSystem& file_system = FileSystemOf(request);
  Serve(
      request, "symlink", parent,
      [&file_system, parent, name = std::string(name),
       target = std::string(target)](const OpContext& context) {
        return file_system.MakeSymlink(context, parent, name, target);
      },
      ReplyEntry);
}

void OnUnlink(fuse_req_t request, fuse_ino_t parent, const char* name) {
  FileSystem& file_system = FileSystemOf(request);
  Serve(
      request, "unlink", parent,
      [&file_system, parent, name = std::string(name)](const OpContext& context) {
        return file_system.Unlink(context, parent, name);
      },
      ReplyNothing);
}

void OnRmdir(fuse_req_t request, fuse_ino_t parent, const char* name) {
  FileSystem& file_system = FileSystemOf(request);
  Serve(
      request, "rmdir", parent,
      [&file_system, parent, name = std::string(name)](const OpContext& context) {
        return file_system.RemoveDirectory(context, parent, name);
      },
      ReplyNothing);
}

void OnRename(fuse_req_t request, fuse_ino_t parent, const char* name, fuse_ino_t new_parent,
              const char* new_name, unsigned flags) {
  if ((flags & ~(kRenameNoReplace | kRenameExchange)) != 0) {
    fuse_reply_err(request, EINVAL);
    return;
  }
  RenameFlags rename;
  rename.no_replace = (flags & kRenameNoReplace) != 0;
  rename.exchange = (flags & kRenameExchange) != 0;
  FileSystem& file_system = FileSystemOf(request);
  Serve(
      request, "rename", parent,
      [&file_system, parent, name = std::string(name), new_parent, new_name = std::string(new_name),
       rename](const OpContext& context) {
        return file_system.Rename(context, parent, name, new_parent, new_name, rename);
      },
      ReplyNothing);
}

void OnLink(fuse_req_t request, fuse_ino_t ino, fuse_ino_t parent, const char* name) {
  FileSystem& file_system = FileSystemOf(request);
  Serve(
      request, "link", ino,
      [&file_system, ino, parent, name = std::string(name)](const OpContext& context) {
        return file_system.Link(context, ino, parent, name);
      },
      ReplyEntry);
}

void OnReadlink(fuse_req_t request, fuse_ino_t ino) {
  FileSystem& file_system = FileSystemOf(request);
  Serve(
      request, "readlink", ino,
      [&file_system, ino](const OpContext& context) { return file_system.ReadLink(context, ino); },
      [](fuse_req_t to, const Result<std::string>& target) {
        fuse_reply_readlink(to, target->c_str());
      });
}

// --- attributes
// ------------------------------------------------------------------------------------------------------

void OnGetattr(fuse_req_t request, fuse_ino_t ino, fuse_file_info* /*info*/) {
  FileSystem& file_system = FileSystemOf(request);
  Serve(
      request, "getattr", ino,
      [&file_system, ino](const OpContext& context) {
        return file_system.GetAttributes(context, ino);
      },
      ReplyAttributes);
}

AttributeChange ToChange(const struct stat& wanted, int to_set) {
  AttributeChange change;
  if ((to_set & FUSE_SET_ATTR_MODE) != 0) change.mode = wanted.st_mode & 07777;
  if ((to_set & FUSE_SET_ATTR_UID) != 0) change.uid = wanted.st_uid;
  if ((to_set & FUSE_SET_ATTR_GID) != 0) change.gid = wanted.st_gid;
  if ((to_set & FUSE_SET_ATTR_SIZE) != 0) change.size = static_cast<uint64_t>(wanted.st_size);
  if ((to_set & FUSE_SET_ATTR_ATIME_NOW) != 0) {
    change.atime_now = true;
  } else if ((to_set & FUSE_SET_ATTR_ATIME) != 0) {
    change.atime = FromTimespec(wanted.st_atim);
  }
  if ((to_set & FUSE_SET_ATTR_MTIME_NOW) != 0) {
    change.mtime_now = true;
  } else if ((to_set & FUSE_SET_ATTR_MTIME) != 0) {
    change.mtime = FromTimespec(wanted.st_mtim);
  }
  return change;
}

void OnSetattr(fuse_req_t request, fuse_ino_t ino, struct stat* wanted, int to_set,
               fuse_file_info* info) {
  FileSystem& file_system = FileSystemOf(request);
  Serve(
      request, "setattr", ino,
      [&file_system, ino, change = ToChange(*wanted, to_set),
       file = FileOf(info)](const OpContext& context) {
        return file_system.SetAttributes(context, ino, change, file);
      },
      ReplyAttributes);
}

void OnStatfs(fuse_req_t request, fuse_ino_t /*ino*/) {
  FileSystem& file_system = FileSystemOf(request);
  Serve(
      request, "statfs", kRootIno,
      [&file_system](const OpContext& context) { return file_system.StatFs(context); },
      [](fuse_req_t to, const Result<FileSystemStats>& stats) {
        constexpr uint64_t kBlock = 4096;
        struct statvfs out {};
        out.f_bsize = out.f_frsize = kBlock;
        out.f_blocks = stats->total_bytes / kBlock;
        out.f_bfree = out.f_bavail = stats->free_bytes / kBlock;
        out.f_files = stats->files + stats->free_files;
        out.f_ffree = out.f_favail = stats->free_files;
        out.f_namemax = kNameMax;
        fuse_reply_statfs(to, &out);
      });
}

// --- files
// -----------------------------------------------------------------------------------------------------------

void Describe(const Opened& opened, fuse_file_info& info) {
  info.fh = NumberOf(opened.file);
  info.keep_cache = opened.keep_cache;
  info.direct_io = BypassesPageCache(info.flags);
  // Closing what cannot write has nothing to wait for or to tell.
  info.noflush = (info.flags & O_ACCMODE) == O_RDONLY;
}

void OnOpen(fuse_req_t request, fuse_ino_t ino, fuse_file_info* info) {
  FileSystem& file_system = FileSystemOf(request);
  Serve(
      request, "open", ino,
      [&file_system, ino, flags = info->flags](const OpContext& context) {
        return file_system.Open(context, ino, flags);
      },
      [&file_system, info = *info](fuse_req_t to, const Result<Opened>& opened) mutable {
        Describe(*opened, info);
        if (fuse_reply_open(to, &info) != 0) GiveBack(file_system, opened->file);
      });
}

void OnCreate(fuse_req_t request, fuse_ino_t parent, const char* name, mode_t mode,
              fuse_file_info* info) {
  FileSystem& file_system = FileSystemOf(request);
  Serve(
      request, "create", parent,
      [&file_system, parent, name = std::string(name), mode,
       flags = info->flags](const OpContext& context) {
        return file_system.Create(context, parent, name, mode, flags);
      },
      [&file_system, info = *info](fuse_req_t to, const Result<Created>& created) mutable {
        Describe(created->opened, info);
        const fuse_entry_param entry = ToEntryParam(created->entry);
        if (fuse_reply_create(to, &entry, &info) == 0) return;
        GiveBack(file_system, created->opened.file);
        file_system.Forget(created->entry.ino, 1);
      });
}

struct ReadBytes {
  std::shared_ptr<std::vector<std::byte>> buffer;
  size_t size = 0;
};

void OnRead(fuse_req_t request, fuse_ino_t ino, size_t size, off_t offset, fuse_file_info* info) {
  FileSystem& file_system = FileSystemOf(request);
  // Each worker keeps one buffer; a read that has to wait takes it along and the worker makes
  // another.
  thread_local std::shared_ptr<std::vector<std::byte>> worker_buffer;
  if (worker_buffer == nullptr || worker_buffer.use_count() > 1) {
    worker_buffer = std::make_shared<std::vector<std::byte>>();
  }
  if (worker_buffer->size() < size) worker_buffer->resize(size);
  Serve(
      request, "read", ino,
      [&file_system, file = FileOf(info), size, offset,
       buffer = worker_buffer](const OpContext& context) -> Result<ReadBytes> {
        QUAY_ASSIGN(const size_t read,
                    file_system.Read(context, *file, static_cast<uint64_t>(offset),
                                     std::span(buffer->data(), size)));
        return ReadBytes{buffer, read};
      },
      [](fuse_req_t to, const Result<ReadBytes>& read) {
        fuse_reply_buf(to, reinterpret_cast<const char*>(read->buffer->data()), read->size);
      });
}

void OnWrite(fuse_req_t request, fuse_ino_t ino, const char* data, size_t size, off_t offset,
             fuse_file_info* info) {
  FileSystem& file_system = FileSystemOf(request);
  OpContext context = ContextOf(request);
  context.may_block = false;
  context.page_writeback = info->writepage != 0;
  const auto bytes = std::as_bytes(std::span(data, size));
  const auto reply = [](fuse_req_t to, const Result<size_t>& written) {
    fuse_reply_write(to, *written);
  };
  const auto written =
      file_system.Write(context, *FileOf(info), static_cast<uint64_t>(offset), bytes);
  if (!written.Is(Code::kWouldBlock)) {
    if (written.ok()) return reply(request, written);
    return ReplyError(request, "write", ino, written.error());
  }
  // Only now is a copy worth its price.
  const auto copy = std::make_shared<std::vector<std::byte>>(bytes.begin(), bytes.end());
  Serve(
      request, "write", ino,
      [&file_system, file = FileOf(info), offset, copy,
       page_writeback = context.page_writeback](OpContext again) {
        again.page_writeback = page_writeback;
        return file_system.Write(again, *file, static_cast<uint64_t>(offset), *copy);
      },
      reply);
}

void OnFlush(fuse_req_t request, fuse_ino_t ino, fuse_file_info* info) {
  FileSystem& file_system = FileSystemOf(request);
  Serve(
      request, "flush", ino,
      [&file_system, file = FileOf(info)](const OpContext& context) {
        return file_system.Flush(context, *file);
      },
      ReplyNothing);
}

void OnFsync(fuse_req_t request, fuse_ino_t ino, int /*datasync*/, fuse_file_info* info) {
  FileSystem& file_system = FileSystemOf(request);
  Serve(
      request, "fsync", ino,
      [&file_system, file = FileOf(info)](const OpContext& context) {
        return file_system.Fsync(context, *file);
      },
      ReplyNothing);
}

void OnRelease(fuse_req_t request, fuse_ino_t ino, fuse_file_info* info) {
  FileSystem& file_system = FileSystemOf(request);
  Serve(
      request, "release", ino,
      [&file_system, file = FileOf(info)](const OpContext& context) {
        return file_system.Release(context, file);
      },
      ReplyNothing);
}

void OnFallocate(fuse_req_t request, fuse_ino_t ino, int mode, off_t offset, off_t length,
                 fuse_file_info* info) {
  if ((mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) != 0) {
    fuse_reply_err(request, EOPNOTSUPP);
    return;
  }
  AllocateRequest allocate;
  allocate.offset = static_cast<uint64_t>(offset);
  allocate.length = static_cast<uint64_t>(length);
  allocate.keep_size = (mode & FALLOC_FL_KEEP_SIZE) != 0;
  allocate.zero = (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) != 0;
  FileSystem& file_system = FileSystemOf(request);
  Serve(
      request, "fallocate", ino,
      [&file_system, file = FileOf(info), allocate](const OpContext& context) {
        return file_system.Allocate(context, *file, allocate);
      },
      ReplyNothing);
}

void OnLseek(fuse_req_t request, fuse_ino_t ino, off_t offset, int whence, fuse_file_info* info) {
  FileSystem& file_system = FileSystemOf(request);
  Serve(
      request, "lseek", ino,
      [&file_system, file = FileOf(info), offset,
       hole = whence == SEEK_HOLE](const OpContext& context) {
        return file_system.Seek(context, *file, static_cast<uint64_t>(offset), hole);
      },
      [](fuse_req_t to, const Result<std::optional<uint64_t>>& found) {
        if (found->has_value()) {
          fuse_reply_lseek(to, static_cast<off_t>(**found));
        } else {
          fuse_reply_err(to, ENXIO);
        }
      });
}

// With EOPNOTSUPP the kernel copies the bytes itself.
void OnCopyFileRange(fuse_req_t request, fuse_ino_t /*from_ino*/, off_t from_offset,
                     fuse_file_info* from, fuse_ino_t ino, off_t offset, fuse_file_info* to,
                     size_t length, int /*flags*/) {
  CopyRequest copy;
  copy.from_offset = static_cast<uint64_t>(from_offset);
  copy.offset = static_cast<uint64_t>(offset);
  copy.length = std::min<uint64_t>(length, std::numeric_limits<uint32_t>::max());  // of the answer
  FileSystem& file_system = FileSystemOf(request);
  Serve(
      request, "copy_file_range", ino,
      [&file_system, from = FileOf(from), to = FileOf(to), copy](const OpContext& context) {
        return file_system.CopyRange(context, *from, *to, copy);
      },
      [](fuse_req_t request_to, const Result<size_t>& copied) {
        fuse_reply_write(request_to, *copied);
      });
}

// --- extended attributes

void OnGetxattr(fuse_req_t request, fuse_ino_t ino, const char* name, size_t size) {
  FileSystem& file_system = FileSystemOf(request);
  Serve(
      request, "getxattr", ino,
      [&file_system, ino, name = std::string(name)](const OpContext& context) {
        return file_system.GetXattr(context, ino, name);
      },
      [size](fuse_req_t to, const Result<std::string>& value) { ReplySized(to, size, *value); });
}

void OnListxattr(fuse_req_t request, fuse_ino_t ino, size_t size) {
  FileSystem& file_system = FileSystemOf(request);
  Serve(
      request, "listxattr", ino,
      [&file_system, ino](const OpContext& context) {
        return file_system.ListXattrs(context, ino);
      },
      [size](fuse_req_t to, const Result<std::vector<std::string>>& names) {
        std::string all;
        for (const std::string& name : *names) all.append(name.c_str(), name.size() + 1);
        ReplySized(to, size, all);
      });
}

void OnSetxattr(fuse_req_t request, fuse_ino_t ino, const char* name, const char* value,
                size_t size, int flags) {
  XattrMode mode = XattrMode::kAny;
  if ((flags & XATTR_CREATE) != 0) mode = XattrMode::kCreate;
  if ((flags & XATTR_REPLACE) != 0) mode = XattrMode::kReplace;
  FileSystem& file_system = FileSystemOf(request);
  Serve(
      request, "setxattr", ino,
      [&file_system, ino, name = std::string(name), value = std::string(value, size),
       mode](const OpContext& context) {
        return file_system.SetXattr(context, ino, name, value, mode);
      },
      ReplyNothing);
}

void OnRemovexattr(fuse_req_t request, fuse_ino_t ino, const char* name) {
  FileSystem& file_system = FileSystemOf(request);
  Serve(
      request, "removexattr", ino,
      [&file_system, ino, name = std::string(name)](const OpContext& context) {
        return file_system.RemoveXattr(context, ino, name);
      },
      ReplyNothing);
}

// --- directories
// -----------------------------------------------------------------------------------------------------

void OnOpendir(fuse_req_t request, fuse_ino_t ino, fuse_file_info* info) {
  FileSystem& file_system = FileSystemOf(request);
  Serve(
      request, "opendir", ino,
      [&file_system, ino](const OpContext& context) { return file_system.OpenDir(context, ino); },
      [&file_system, info = *info](fuse_req_t to, const Result<OpenDirectory*>& directory) mutable {
        info.fh = NumberOf(*directory);
        if (fuse_reply_open(to, &info) != 0) file_system.ReleaseDir(*directory);
      });
}

// References that the kernel holds once it has taken an answer; until then they are given back at
// the end.
class LookupReferences {
 public:
  LookupReferences(FileSystem& file_system, std::vector<Ino> inodes)
      : file_system_(file_system), inodes_(std::move(inodes)) {}
  ~LookupReferences() {
    for (const Ino ino : inodes_) file_system_.Forget(ino, 1);
  }
  LookupReferences(const LookupReferences&) = delete;
  LookupReferences& operator=(const LookupReferences&) = delete;
  void HandOver() { inodes_.clear(); }

 private:
  FileSystem& file_system_;
  std::vector<Ino> inodes_;
};

struct Listing {
  std::vector<char> bytes;
  std::shared_ptr<LookupReferences> references;  // of one owner: shared only to be movable
};

// Entries as the kernel wants them, until `limit` bytes are full.
class DirectoryBuffer {
 public:
  DirectoryBuffer(fuse_req_t request, size_t limit, bool plus)
      : request_(request), limit_(limit), plus_(plus) {}

  bool Add(const DirectoryEntry& entry, uint64_t next_offset) {
    const size_t at = bytes_.size();
    fuse_entry_param param{};
    if (entry.full) {
      param = ToEntryParam(*entry.full);
    } else {
      // ino 0 tells the kernel that this is a name and nothing more.
      param.attr.st_ino = entry.ino;
      param.attr.st_mode = entry.type;
    }
    const auto add = [&](char* out, size_t room) {
      const auto offset = static_cast<off_t>(next_offset);
      return plus_
                 ? fuse_add_direntry_plus(request_, out, room, entry.name.c_str(), &param, offset)
                 : fuse_add_direntry(request_, out, room, entry.name.c_str(), &param.attr, offset);
    };
    const size_t needed = add(nullptr, 0);
    if (at + needed > limit_) return false;
    bytes_.resize(at + needed);
    add(bytes_.data() + at, needed);
    if (entry.full) references_.push_back(entry.full->ino);
    return true;
  }
  Listing Take(FileSystem& file_system) {
    return {std::move(bytes_),
            std::make_shared<LookupReferences>(file_system, std::move(references_))};
  }

 private:
  fuse_req_t request_;
  const size_t limit_;
  const bool plus_;
  std::vector<char> bytes_;
  std::vector<Ino> references_;
};

void ReadDirectory(fuse_req_t request, fuse_ino_t ino, size_t size, off_t offset,
                   fuse_file_info* info, bool plus) {
  FileSystem& file_system = FileSystemOf(request);
  Serve(
      request, "readdir", ino,
      [&file_system, request, size, offset, directory = DirectoryOf(info),
       plus](const OpContext& context) -> Result<Listing> {
        DirectoryBuffer buffer(request, size, plus);
        const Status read =
            file_system.ReadDir(context, *directory, static_cast<uint64_t>(offset), plus,
                                [&buffer](const DirectoryEntry& entry, uint64_t next) {
                                  return buffer.Add(entry, next);
                                });
        Listing listing = buffer.Take(file_system);
        if (!read.ok()) return read.error();
        return listing;
      },
      [](fuse_req_t to, const Result<Listing>& listing) {
        const int replied = fuse_reply_buf(to, listing->bytes.data(), listing->bytes.size());
        if (replied == 0) listing->references->HandOver();
      });
}

void OnReaddir(fuse_req_t request, fuse_ino_t ino, size_t size, off_t offset,
               fuse_file_info* info) {
  ReadDirectory(request, ino, size, offset, info, /*plus=*/false);
}

void OnReaddirplus(fuse_req_t request, fuse_ino_t ino, size_t size, off_t offset,
                   fuse_file_info* info) {
  ReadDirectory(request, ino, size, offset, info, /*plus=*/true);
}

void OnReleasedir(fuse_req_t request, fuse_ino_t /*ino*/, fuse_file_info* info) {
  // May have to wait for a page that is being fetched.
  ServiceOf(request).Post([request, directory = DirectoryOf(info)] {
    FileSystemOf(request).ReleaseDir(directory);
    fuse_reply_err(request, 0);
  });
}

void OnFsyncdir(fuse_req_t request, fuse_ino_t ino, int /*datasync*/, fuse_file_info* info) {
  FileSystem& file_system = FileSystemOf(request);
  Serve(
      request, "fsyncdir", ino,
      [&file_system, directory = DirectoryOf(info)](const OpContext& context) {
        return file_system.FsyncDir(context, *directory);
      },
      ReplyNothing);
}

/// The handler, after counting the call.
template <size_t kIndex, auto kHandler>
struct Counted;
template <size_t kIndex, typename... Arguments, void (*kHandler)(fuse_req_t, Arguments...)>
struct Counted<kIndex, kHandler> {
  static void Call(fuse_req_t request, Arguments... arguments) {
    ServiceOf(request).Count(kIndex);
    kHandler(request, arguments...);
  }
};

}  // namespace

fuse_lowlevel_ops Table() {
  fuse_lowlevel_ops ops{};
  ops.lookup = Counted<OperationIndex("lookup"), OnLookup>::Call;
  ops.forget = Counted<OperationIndex("forget"), OnForget>::Call;
  ops.forget_multi = Counted<OperationIndex("forget_multi"), OnForgetMulti>::Call;
  ops.getattr = Counted<OperationIndex("getattr"), OnGetattr>::Call;
  ops.setattr = Counted<OperationIndex("setattr"), OnSetattr>::Call;
  ops.readlink = Counted<OperationIndex("readlink"), OnReadlink>::Call;
  ops.mknod = Counted<OperationIndex("mknod"), OnMknod>::Call;
  ops.mkdir = Counted<OperationIndex("mkdir"), OnMkdir>::Call;
  ops.unlink = Counted<OperationIndex("unlink"), OnUnlink>::Call;
  ops.rmdir = Counted<OperationIndex("rmdir"), OnRmdir>::Call;
  ops.symlink = Counted<OperationIndex("symlink"), OnSymlink>::Call;
  ops.rename = Counted<OperationIndex("rename"), OnRename>::Call;
  ops.link = Counted<OperationIndex("link"), OnLink>::Call;
  ops.open = Counted<OperationIndex("open"), OnOpen>::Call;
  ops.create = Counted<OperationIndex("create"), OnCreate>::Call;
  ops.read = Counted<OperationIndex("read"), OnRead>::Call;
  ops.write = Counted<OperationIndex("write"), OnWrite>::Call;
  ops.flush = Counted<OperationIndex("flush"), OnFlush>::Call;
  ops.fsync = Counted<OperationIndex("fsync"), OnFsync>::Call;
  ops.release = Counted<OperationIndex("release"), OnRelease>::Call;
  ops.fallocate = Counted<OperationIndex("fallocate"), OnFallocate>::Call;
  ops.lseek = Counted<OperationIndex("lseek"), OnLseek>::Call;
  ops.copy_file_range = Counted<OperationIndex("copy_file_range"), OnCopyFileRange>::Call;
  ops.getxattr = Counted<OperationIndex("getxattr"), OnGetxattr>::Call;
  ops.listxattr = Counted<OperationIndex("listxattr"), OnListxattr>::Call;
  ops.setxattr = Counted<OperationIndex("setxattr"), OnSetxattr>::Call;
  ops.removexattr = Counted<OperationIndex("removexattr"), OnRemovexattr>::Call;
  ops.opendir = Counted<OperationIndex("opendir"), OnOpendir>::Call;
  ops.readdir = Counted<OperationIndex("readdir"), OnReaddir>::Call;
  ops.readdirplus = Counted<OperationIndex("readdirplus"), OnReaddirplus>::Call;
  ops.releasedir = Counted<OperationIndex("releasedir"), OnReleasedir>::Call;
  ops.fsyncdir = Counted<OperationIndex("fsyncdir"), OnFsyncdir>::Call;
  ops.statfs = Counted<OperationIndex("statfs"), OnStatfs>::Call;
  return ops;
}

}  // namespace quayfs::fuse_operations
