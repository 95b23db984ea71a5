// SPDX-License-Identifier: Apache-2.0

#include "base/disk.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <string_view>
#include <utility>

#include "base/hash.h"
#include "base/unique_fd.h"

namespace quayfs {
namespace {

// Calls again while a signal gets in the way.
template <typename Call>
auto Retrying(Call call) {
  while (true) {
    const auto result = call();
    if (result != -1 || errno != EINTR) return result;
  }
}

Error Failed(std::string_view what, const std::string& path) {
  const int errnum = errno;
  return ErrnoError(errnum, std::string(what) + " '" + path + "'");
}

Status Check(int result, std::string_view what, const std::string& path) {
  if (result != 0) return Failed(what, path);
  return {};
}

class PosixFile final : public DiskFile {
 public:
  PosixFile(UniqueFd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}

  Result<size_t> Read(uint64_t offset, std::span<std::byte> out) const override {
    size_t done = 0;
    while (done < out.size()) {
      const ssize_t got = Retrying([&] {
        return ::pread(fd_.get(), out.data() + done, out.size() - done,
                       static_cast<off_t>(offset + done));
      });
      if (got < 0) return Failed("cannot read", path_);
      if (got == 0) break;
      done += static_cast<size_t>(got);
    }
    return done;
  }

  Status Write(uint64_t offset, std::span<const std::byte> data) override {
    size_t done = 0;
    while (done < data.size()) {
      const ssize_t put = Retrying([&] {
        return ::pwrite(fd_.get(), data.data() + done, data.size() - done,
                        static_cast<off_t>(offset + done));
      });
      if (put < 0) return Failed("cannot write", path_);
      if (put == 0) return {Code::kIo, "cannot write '" + path_ + "': the system took no bytes"};
      done += static_cast<size_t>(put);
    }
    return {};
  }

  Status Truncate(uint64_t size) override {
    return Check(Retrying([&] { return ::ftruncate(fd_.get(), static_cast<off_t>(size)); }),
                 "cannot set the size of", path_);
  }

  Status PunchHole(ByteRange range) override {
    if (range.empty()) return {};
    const int result = Retrying([&] {
      return ::fallocate(fd_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                         static_cast<off_t>(range.begin), static_cast<off_t>(range.length()));
    });
    if (result == 0) return {};
    if (errno == EOPNOTSUPP || errno == ENOSYS) return WriteZeros(*this, range);
    return Failed("cannot punch a hole in", path_);
  }

  Result<uint64_t> Size() const override {
    struct stat attributes = {};
    if (::fstat(fd_.get(), &attributes) != 0) return Failed("cannot stat", path_);
    return static_cast<uint64_t>(attributes.st_size);
  }

  Status SyncData() override {
    return Check(Retrying([&] { return ::fdatasync(fd_.get()); }), "cannot sync", path_);
  }

  int fd() const override { return fd_.get(); }

 private:
  const UniqueFd fd_;
  const std::string path_;
};

// O_NONBLOCK does nothing to a regular file, and keeps anything else from making us wait.
constexpr int kOpenFlags = O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
constexpr mode_t kFileMode = 0600;
constexpr mode_t kDirectoryMode = 0700;

int FlagsOf(OpenMode mode) {
  switch (mode) {
    case OpenMode::kRead:
      return O_RDONLY;
    case OpenMode::kReadWrite:
      return O_RDWR;
    case OpenMode::kCreateExclusive:
      return O_RDWR | O_CREAT | O_EXCL;
    case OpenMode::kCreateOrOpen:
      break;
  }
  return O_RDWR | O_CREAT;
}

Result<std::unique_ptr<DiskFile>> OpenRegular(const std::string& path, int flags) {
  UniqueFd fd(Retrying([&] { return ::open(path.c_str(), flags | kOpenFlags, kFileMode); }));
  if (!fd.valid()) return Failed("cannot open", path);
  struct stat attributes = {};
  if (::fstat(fd.get(), &attributes) != 0) return Failed("cannot stat", path);
  if (S_ISDIR(attributes.st_mode)) {
    return {Code::kIsDirectory, "cannot open '" + path + "' as a file: it is a directory"};
  }
  if (!S_ISREG(attributes.st_mode)) {
    return {Code::kInvalidArgument, "cannot open '" + path + "': it is not a regular file"};
  }
  return std::unique_ptr<DiskFile>(std::make_unique<PosixFile>(std::move(fd), path));
}

Result<UniqueFd> OpenDirectory(const std::string& path) {
  UniqueFd fd(Retrying([&] { return ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); }));
  if (!fd.valid()) return Failed("cannot open the directory", path);
  return fd;
}

struct CloseDirectory {
  void operator()(DIR* directory) const { ::closedir(directory); }
};

// Some file systems do not say in the listing what an entry is. An entry that has gone meanwhile is
// not a directory.
bool IsDirectory(int directory, const dirent& entry) {
  if (entry.d_type != DT_UNKNOWN) return entry.d_type == DT_DIR;
  struct stat attributes = {};
  return ::fstatat(directory, entry.d_name, &attributes, AT_SYMLINK_NOFOLLOW) == 0 &&
         S_ISDIR(attributes.st_mode);
}

int64_t Nanoseconds(const timespec& time) {
  return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

class PosixDisk final : public Disk {
 public:
  Result<std::unique_ptr<DiskFile>> Open(const std::string& path, OpenMode mode) override {
    return OpenRegular(path, FlagsOf(mode));
  }

  Result<std::unique_ptr<DiskFile>> OpenTemporary(const std::string& directory) override {
    UniqueFd fd(Retrying([&] {
      return ::open(directory.c_str(), O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC, kFileMode);
    }));
    if (fd.valid()) {
      return std::unique_ptr<DiskFile>(
          std::make_unique<PosixFile>(std::move(fd), directory + "/(temporary)"));
    }
    // Kernels and file systems without O_TMPFILE take it for an attempt to open the directory for
    // writing.
    if (errno == EOPNOTSUPP || errno == EISDIR || errno == ENOENT) {
      return internal::OpenTemporaryByName(directory);
    }
    return Failed("cannot make a temporary file in", directory);
  }

  Status MakeDirectory(const std::string& path) override {
    return Check(::mkdir(path.c_str(), kDirectoryMode), "cannot make the directory", path);
  }

  Status RemoveFile(const std::string& path) override {
    return Check(::unlink(path.c_str()), "cannot remove", path);
  }

  Status RemoveDirectory(const std::string& path) override {
    if (::rmdir(path.c_str()) == 0) return {};
    if (errno == EEXIST) errno = ENOTEMPTY;  // POSIX allows both
    return Failed("cannot remove the directory", path);
  }

  Status Rename(const std::string& from, const std::string& to) override {
    return Check(::rename(from.c_str(), to.c_str()), "cannot rename '" + from + "' to", to);
  }

  Status Link(const std::string& from, const std::string& to) override {
    return Check(::link(from.c_str(), to.c_str()), "cannot link '" + from + "' to", to);
  }

  Status SyncDirectory(const std::string& path) override {
    QUAY_ASSIGN(const UniqueFd fd, OpenDirectory(path));
    return Check(Retrying([&] { return ::fsync(fd.get()); }), "cannot sync the directory", path);
  }

  Result<std::vector<DiskEntry>> List(const std::string& path) const override {
    QUAY_ASSIGN(UniqueFd fd, OpenDirectory(path));
    const std::unique_ptr<DIR, CloseDirectory> directory(::fdopendir(fd.get()));
    if (!directory) return Failed("cannot list", path);
    const int directory_fd = fd.Release();  // belongs to the stream from here on
    std::vector<DiskEntry> entries;
    while (true) {
      errno = 0;
      // NOLINTNEXTLINE(concurrency-mt-unsafe): the stream is this call's own
      const dirent* const entry = ::readdir(directory.get());
      if (entry == nullptr) break;
      const std::string_view name(entry->d_name);
      if (name == "." || name == "..") continue;
      entries.push_back({std::string(name), IsDirectory(directory_fd, *entry)});
    }
    if (errno != 0) return Failed("cannot list", path);
    return entries;
  }

  Result<DiskStat> Stat(const std::string& path) const override {
    struct stat attributes = {};
    if (::lstat(path.c_str(), &attributes) != 0) return Failed("cannot stat", path);
    DiskStat result;
    result.size = static_cast<uint64_t>(attributes.st_size);
    result.is_directory = S_ISDIR(attributes.st_mode);
    result.is_regular = S_ISREG(attributes.st_mode);
    result.mtime_ns = Nanoseconds(attributes.st_mtim);
    result.ctime_ns = Nanoseconds(attributes.st_ctim);
    result.inode = attributes.st_ino;
    return result;
  }

  Result<DiskSpace> Space(const std::string& path) const override {
    struct statvfs space = {};
    if (Retrying([&] { return ::statvfs(path.c_str(), &space); }) != 0) {
      return Failed("cannot get the free space of", path);
    }
    DiskSpace result;
    result.total_bytes = uint64_t{space.f_blocks} * space.f_frsize;
    result.available_bytes = uint64_t{space.f_bavail} * space.f_frsize;
    return result;
  }
};

}  // namespace

Disk& SystemDisk() {
  static PosixDisk* const kDisk = new PosixDisk();
  return *kDisk;
}

Status WriteZeros(DiskFile& file, ByteRange range) {
  static constexpr std::array<std::byte, size_t{64} * 1024> kZeros{};
  QUAY_ASSIGN(const uint64_t size, file.Size());
  const uint64_t end = std::min(range.end, size);
  for (uint64_t position = range.begin; position < end;) {
    const uint64_t step = std::min<uint64_t>(kZeros.size(), end - position);
    QUAY_TRY(file.Write(position, std::span(kZeros).first(static_cast<size_t>(step))));
    position += step;
  }
  return {};
}

Result<std::unique_ptr<DiskFile>> internal::OpenTemporaryByName(const std::string& directory) {
  while (true) {
    const std::string path = directory + "/.tmp-" + HexEncode(RandomBytes(16));
    auto file = OpenRegular(path, O_RDWR | O_CREAT | O_EXCL);
    if (file.Is(Code::kAlreadyExists)) continue;
    QUAY_TRY(file);
    QUAY_TRY(Check(::unlink(path.c_str()), "cannot remove", path));
    return file;
  }
}

}  // namespace quayfs
