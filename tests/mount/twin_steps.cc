// SPDX-License-Identifier: Apache-2.0

#include "tests/mount/twin_steps.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/falloc.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <set>

#include "base/hash.h"
#include "base/unique_fd.h"
#include "tests/mount/program.h"

namespace quayfs::mounttest {
namespace {

// Times that steps set are before this one, and times that the clock sets are after it.
constexpr time_t kSetBefore = 1'650'000'000;
constexpr const char* kAccessList = "system.posix_acl_access";
constexpr const char* kDefaultList = "system.posix_acl_default";

std::string Errno(int number) { return ::strerrorname_np(number); }
std::string Answer(int result) { return result < 0 ? Errno(errno) : std::to_string(result); }

std::string Short(const std::string& bytes) {
  if (bytes.size() <= 24 && bytes.find('\0') == std::string::npos) return "'" + bytes + "'";
  return fmt::format("{} bytes {}", bytes.size(), HexEncode(Sha256(bytes)).substr(0, 12));
}

std::string Kind(mode_t mode) {
  return S_ISREG(mode)   ? "file"
         : S_ISDIR(mode) ? "folder"
         : S_ISLNK(mode) ? "link"
                         : fmt::format("special {:o}", mode & S_IFMT);
}

/// What stat(2) says, as far as two file systems have to agree.
std::string Facts(const struct stat& facts, bool folder_times) {
  std::string text = fmt::format("{} {:o} {}:{}", Kind(facts.st_mode), facts.st_mode & 07777,
                                 facts.st_uid, facts.st_gid);
  // Folders' counts differ among file systems.
  if (!S_ISDIR(facts.st_mode)) {
    text += fmt::format(" names={} size={}", facts.st_nlink, facts.st_size);
    if (S_ISCHR(facts.st_mode) || S_ISBLK(facts.st_mode))
      text += fmt::format(" device={}", facts.st_rdev);
  }
  if (S_ISDIR(facts.st_mode) && !folder_times) return text;
  if (facts.st_mtim.tv_sec >= kSetBefore) return text + " modified lately";
  return text + fmt::format(" modified {}.{:09}", facts.st_mtim.tv_sec, facts.st_mtim.tv_nsec);
}

std::string Target(const std::string& path) {
  std::array<char, 4096> target;
  const ssize_t size = ::readlink(path.c_str(), target.data(), target.size());
  return size < 0 ? Errno(errno) : std::string(target.data(), static_cast<size_t>(size));
}

std::string Xattrs(const std::string& path) {
  std::array<char, 4096> names;
  const ssize_t size = ::llistxattr(path.c_str(), names.data(), names.size());
  if (size < 0) return Errno(errno);
  std::set<std::string> all;
  for (const char* at = names.data(); at < names.data() + size; at += std::strlen(at) + 1)
    all.insert(at);
  std::string text;
  for (const std::string& name : all) {
    if (name.rfind("security.", 0) == 0) continue;  // the machine's own
    std::array<char, 8192> value;
    const ssize_t got = ::lgetxattr(path.c_str(), name.c_str(), value.data(), value.size());
    text +=
        " " + name + "=" +
        (got < 0 ? Errno(errno) : HexEncode(std::string(value.data(), static_cast<size_t>(got))));
  }
  return text;
}

std::string ListFolder(const std::string& path) {
  DIR* const folder = ::opendir(path.c_str());
  if (folder == nullptr) return Errno(errno);
  std::set<std::string> names;
  while (const dirent* entry = ::readdir(folder)) names.insert(entry->d_name);
  ::closedir(folder);
  std::string text;
  for (const std::string& name : names) text += name + " ";
  return text;
}

// An access control list as the kernel takes it: version, then tag, rights and id of each entry.
std::string AccessList(mode_t rights, uint32_t uid) {
  const auto entry = [](uint16_t tag, uint16_t allowed, uint32_t id) {
    std::string bytes(8, '\0');
    std::memcpy(bytes.data(), &tag, 2);
    std::memcpy(bytes.data() + 2, &allowed, 2);
    std::memcpy(bytes.data() + 4, &id, 4);
    return bytes;
  };
  constexpr uint32_t kNobody = 0xffffffff;
  const uint32_t version = 2;
  std::string list(4, '\0');
  std::memcpy(list.data(), &version, 4);
  const auto part = [&](int shift) { return static_cast<uint16_t>(rights >> shift & 7); };
  return list + entry(0x01, part(6), kNobody) + entry(0x02, part(3), uid) +
         entry(0x04, part(3), kNobody) + entry(0x10, 7, kNobody) + entry(0x20, part(0), kNobody);
}

std::string ReadAll(int fd, uint64_t offset, uint64_t length) {
  std::string text(length, '\0');
  uint64_t have = 0;
  while (have < length) {
    const ssize_t got =
        ::pread(fd, text.data() + have, length - have, static_cast<off_t>(offset + have));
    if (got < 0) return Errno(errno);
    if (got == 0) break;
    have += static_cast<uint64_t>(got);
  }
  text.resize(have);
  return Short(text);
}

}  // namespace

std::string TwinStep::Describe() const {
  switch (kind) {
    case TwinKind::kOpen:
      return fmt::format("#{} = open({}, 0{:o}, {:o})", handle, path, flags, mode);
    case TwinKind::kClose:
      return fmt::format("close(#{})", handle);
    case TwinKind::kRead:
      return fmt::format("pread(#{}, {}, at {})", handle, length, offset);
    case TwinKind::kWrite:
      return fmt::format("pwrite(#{}, {}, at {})", handle, length, offset);
    case TwinKind::kResizeOpen:
      return fmt::format("ftruncate(#{}, {})", handle, offset);
    case TwinKind::kAllocate:
      return fmt::format("fallocate(#{}, {:#x}, {}, {})", handle, flags, offset, length);
    case TwinKind::kMapWrite:
      return fmt::format("mmap and write(#{}, {}, at {})", handle, length, offset);
    case TwinKind::kCopyRange:
      return fmt::format("copy_file_range(#{} at {}, #{} at {}, {})", handle, offset, other,
                         destination, length);
    case TwinKind::kFsync:
      return fmt::format("fsync(#{})", handle);
    case TwinKind::kStatOpen:
      return fmt::format("fstat(#{})", handle);
    case TwinKind::kResize:
      return fmt::format("truncate({}, {})", path, offset);
    case TwinKind::kStat:
      return fmt::format("lstat({})", path);
    case TwinKind::kList:
      return fmt::format("list({})", path);
    case TwinKind::kMkdir:
      return fmt::format("mkdir({}, {:o})", path, mode);
    case TwinKind::kRmdir:
      return fmt::format("rmdir({})", path);
    case TwinKind::kUnlink:
      return fmt::format("unlink({})", path);
    case TwinKind::kSymlink:
      return fmt::format("symlink({}, {})", to, path);
    case TwinKind::kMknod:
      return fmt::format("mknod({}, {:o})", path, mode);
    case TwinKind::kLink:
      return fmt::format("link({}, {})", path, to);
    case TwinKind::kRename:
      return fmt::format("renameat2({}, {}, {})", path, to, flags);
    case TwinKind::kChmod:
      return fmt::format("chmod({}, {:o})", path, mode);
    case TwinKind::kChown:
      return fmt::format("lchown({}, {}, {})", path, static_cast<int>(uid), static_cast<int>(gid));
    case TwinKind::kUtimes:
      return fmt::format("utimensat({}, {}.{})", path, offset, length);
    case TwinKind::kSetXattr:
      return fmt::format("lsetxattr({}, {}, {} bytes, {})", path, to, length, flags);
    case TwinKind::kRemoveXattr:
      return fmt::format("lremovexattr({}, {})", path, to);
    case TwinKind::kSetAcl:
      return fmt::format("set {} of {} to {:o}, {}", to, path, mode, uid);
    case TwinKind::kRemount:
      return "remount";
    case TwinKind::kRemountCold:
      return "remount with an empty cache";
    case TwinKind::kKill:
      return "kill the daemon and mount again";
  }
  return "";
}

TwinFolder::TwinFolder(std::string root) : root_(std::move(root)) { handles_.fill(-1); }
TwinFolder::~TwinFolder() { CloseAll(); }

void TwinFolder::CloseAll() {
  for (int& fd : handles_) {
    if (fd >= 0) ::close(fd);
    fd = -1;
  }
}

std::string TwinFolder::Perform(const TwinStep& step) {
  switch (step.kind) {
    case TwinKind::kOpen:
      return Open(step);
    case TwinKind::kClose:
    case TwinKind::kRead:
    case TwinKind::kWrite:
    case TwinKind::kResizeOpen:
    case TwinKind::kAllocate:
    case TwinKind::kMapWrite:
    case TwinKind::kCopyRange:
    case TwinKind::kFsync:
    case TwinKind::kStatOpen:
      return handles_.at(step.handle) < 0 ? "not open" : PerformOnHandle(step);
    case TwinKind::kChmod:
    case TwinKind::kChown:
    case TwinKind::kUtimes:
    case TwinKind::kSetXattr:
    case TwinKind::kRemoveXattr:
    case TwinKind::kSetAcl:
      return PerformOnAttributes(step);
    default:
      return PerformOnName(step);
  }
}

std::string TwinFolder::Open(const TwinStep& step) {
  int& fd = handles_.at(step.handle);
  if (fd >= 0) ::close(fd);
  fd = -1;
  struct stat facts {};
  // Devices are real ones.
  const bool there = ::stat(Path(step.path).c_str(), &facts) == 0;
  if (there && (S_ISCHR(facts.st_mode) || S_ISBLK(facts.st_mode))) return "a device";
  fd = ::open(Path(step.path).c_str(), step.flags | O_CLOEXEC | O_NONBLOCK, step.mode);
  return fd < 0 ? Errno(errno) : "open";
}

std::string TwinFolder::PerformOnHandle(const TwinStep& step) {
  int& fd = handles_.at(step.handle);
  const auto offset = static_cast<off_t>(step.offset);
  struct stat facts {};
  switch (step.kind) {
    case TwinKind::kClose:
      return Answer(::close(std::exchange(fd, -1)));
    case TwinKind::kRead:
      return ReadAll(fd, step.offset, step.length);
    case TwinKind::kWrite: {
      const std::string bytes = Pattern(step.length, step.seed);
      return Answer(static_cast<int>(::pwrite(fd, bytes.data(), bytes.size(), offset)));
    }
    case TwinKind::kResizeOpen:
      return Answer(::ftruncate(fd, offset));
    case TwinKind::kAllocate:
      return Answer(::fallocate(fd, step.flags, offset, static_cast<off_t>(step.length)));
    case TwinKind::kMapWrite:
      return MapWrite(step);
    case TwinKind::kCopyRange:
      return CopyRange(step);
    case TwinKind::kFsync:
      return Answer(::fsync(fd));
    default:
      return ::fstat(fd, &facts) == 0 ? Facts(facts, false) : Errno(errno);
  }
}

std::string TwinFolder::MapWrite(const TwinStep& step) {
  const int fd = handles_.at(step.handle);
  struct stat facts {};
  if (::fstat(fd, &facts) != 0) return Errno(errno);
  const auto size = static_cast<uint64_t>(facts.st_size);
  if (!S_ISREG(facts.st_mode) || step.offset >= size) return "nothing to map";
  void* const memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (memory == MAP_FAILED) return Errno(errno);
  const std::string bytes = Pattern(std::min(step.length, size - step.offset), step.seed);
  std::memcpy(static_cast<char*>(memory) + step.offset, bytes.data(), bytes.size());
  // Else the time of the change is whenever the kernel writes it back.
  std::string synced = Answer(::msync(memory, size, MS_SYNC));
  ::munmap(memory, size);
  return synced;
}

std::string TwinFolder::CopyRange(const TwinStep& step) {
  const int from = handles_.at(step.handle);
  const int to = handles_.at(step.other);
  auto source = static_cast<off64_t>(step.offset);
  auto destination = static_cast<off64_t>(step.destination);
  uint64_t left = step.length;
  while (left > 0) {
    const ssize_t some = ::copy_file_range(from, &source, to, &destination, left, 0);
    if (some < 0) return Errno(errno);
    if (some == 0) break;
    left -= static_cast<uint64_t>(some);
  }
  return fmt::format("{} copied", step.length - left);
}

std::string TwinFolder::PerformOnName(const TwinStep& step) {
  const std::string path = Path(step.path);
  const std::string to = Path(step.to);
  struct stat facts {};
  switch (step.kind) {
    case TwinKind::kResize:
      return Answer(::truncate(path.c_str(), static_cast<off_t>(step.offset)));
    case TwinKind::kStat:
      return ::lstat(path.c_str(), &facts) == 0 ? Facts(facts, false) : Errno(errno);
    case TwinKind::kList:
      return ListFolder(path);
    case TwinKind::kMkdir:
      return Answer(::mkdir(path.c_str(), step.mode));
    case TwinKind::kRmdir:
      return Answer(::rmdir(path.c_str()));
    case TwinKind::kUnlink:
      return Answer(::unlink(path.c_str()));
    case TwinKind::kSymlink:
      return Answer(::symlink(step.to.c_str(), path.c_str()));
    case TwinKind::kMknod:
      return Answer(::mknod(path.c_str(), step.mode, makedev(240, 7)));
    case TwinKind::kLink:
      return Answer(::link(path.c_str(), to.c_str()));
    default:
      return Answer(::renameat2(AT_FDCWD, path.c_str(), AT_FDCWD, to.c_str(),
                                static_cast<unsigned>(step.flags)));
  }
}

std::string TwinFolder::PerformOnAttributes(const TwinStep& step) {
  const std::string path = Path(step.path);
  switch (step.kind) {
    case TwinKind::kChmod:
      return Answer(::chmod(path.c_str(), step.mode));
    case TwinKind::kChown:
      return Answer(::lchown(path.c_str(), step.uid, step.gid));
    case TwinKind::kUtimes: {
      const timespec time = {static_cast<time_t>(step.offset), static_cast<long>(step.length)};
      const std::array<timespec, 2> times = {time, time};
      return Answer(::utimensat(AT_FDCWD, path.c_str(), times.data(), AT_SYMLINK_NOFOLLOW));
    }
    case TwinKind::kSetXattr: {
      const std::string value = Pattern(step.length, step.seed);
      return Answer(
          ::lsetxattr(path.c_str(), step.to.c_str(), value.data(), value.size(), step.flags));
    }
    case TwinKind::kSetAcl: {
      const std::string list = AccessList(step.mode, step.uid);
      return Answer(::setxattr(path.c_str(), step.to.c_str(), list.data(), list.size(), 0));
    }
    default:
      return Answer(::lremovexattr(path.c_str(), step.to.c_str()));
  }
}

std::map<std::string, std::string> TwinFolder::Describe(bool thorough, bool folder_times) const {
  std::map<std::string, std::string> found;
  std::map<ino_t, std::string> first_names;
  std::vector<std::string> folders = {""};
  while (!folders.empty()) {
    const std::string folder = folders.back();
    folders.pop_back();
    for (const std::string& name : Names(root_ + folder)) {
      std::string relative = folder;
      relative.append("/").append(name);
      const std::string path = root_ + relative;
      struct stat facts {};
      std::string& text = found[relative.substr(1)];
      text = ::lstat(path.c_str(), &facts) == 0 ? Facts(facts, folder_times) : Errno(errno);
      if (S_ISDIR(facts.st_mode)) folders.push_back(relative);
      if (S_ISLNK(facts.st_mode)) text += " -> " + Target(path);
      if (thorough && S_ISREG(facts.st_mode)) text += " " + Short(ReadFile(path));
      if (thorough && !S_ISLNK(facts.st_mode)) text += Xattrs(path);
    }
  }
  // Which names are one file.
  for (auto& [name, text] : found) {
    struct stat facts {};
    if (::lstat(Path(name).c_str(), &facts) != 0 || S_ISDIR(facts.st_mode)) continue;
    const auto [first, is_new] = first_names.emplace(facts.st_ino, name);
    if (!is_new) text += " same as " + first->second;
  }
  return found;
}

std::string DescribeDifference(const std::map<std::string, std::string>& wanted,
                               const std::map<std::string, std::string>& found) {
  std::string text;
  for (const auto& [path, facts] : wanted) {
    const auto there = found.find(path);
    if (there == found.end()) {
      text += fmt::format("  {}: not there; should be {}\n", path, facts);
    } else if (there->second != facts) {
      text += fmt::format("  {}: {}\n    should be {}\n", path, there->second, facts);
    }
  }
  for (const auto& [path, facts] : found) {
    if (wanted.count(path) == 0)
      text += fmt::format("  {}: should not be there: {}\n", path, facts);
  }
  return text;
}

TwinFeatures FeaturesOf(const std::string& folder) {
  const std::string path = folder + "/probe";
  const UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  const std::string list = AccessList(0644, 4711);
  TwinFeatures features;
  features.xattrs = ::fsetxattr(fd.get(), "user.a", "1", 1, 0) == 0;
  features.acls = ::fsetxattr(fd.get(), kAccessList, list.data(), list.size(), 0) == 0;
  features.zero_range = ::fallocate(fd.get(), FALLOC_FL_ZERO_RANGE, 0, 4096) == 0;
  ::unlink(path.c_str());
  return features;
}

// ---- choosing

namespace {

// Few, so that they meet.
constexpr std::array<const char*, 7> kNames = {"a", "b", "c", "d", "e e", "f%", ".g"};
constexpr size_t kPathsMax = 40;
constexpr std::array<mode_t, 8> kModes = {0644, 0600, 0755, 0711, 04755, 02755, 01777, 0};

}  // namespace

std::string TwinChooser::NewPath(const std::vector<std::string>& paths) {
  std::string path;
  // In a folder, or in what is none.
  if (!paths.empty() && Draw(3) != 0) path = paths[Draw(paths.size())] + "/";
  if (std::count(path.begin(), path.end(), '/') > 3) path.clear();
  if (Draw(100) == 0) return path + std::string(255 + Draw(2), 'n');
  return path + kNames.at(Draw(kNames.size()));
}

std::string TwinChooser::AnyPath(const std::vector<std::string>& paths) {
  if (paths.empty() || Draw(12) == 0) return NewPath(paths);
  return paths[Draw(paths.size())];
}

TwinStep TwinChooser::Choose(const std::vector<std::string>& paths) {
  const uint64_t what = Draw(1000);
  if (what < 12) {
    TwinStep step;
    step.kind = what < 5    ? TwinKind::kRemount
                : what < 10 ? TwinKind::kRemountCold
                            : TwinKind::kKill;
    return step;
  }
  if (what < 400) return ChooseOnHandle(paths);
  if (what < 750) return ChooseName(paths);
  return ChooseAttribute(paths);
}

TwinStep TwinChooser::ChooseOnHandle(const std::vector<std::string>& paths) {
  constexpr std::array<int, 8> kFlags = {O_RDWR,
                                         O_WRONLY,
                                         O_RDONLY,
                                         O_RDWR | O_CREAT,
                                         O_RDWR | O_CREAT | O_EXCL,
                                         O_WRONLY | O_TRUNC,
                                         O_RDWR | O_APPEND | O_CREAT,
                                         O_WRONLY | O_CREAT | O_TRUNC};
  constexpr std::array<TwinKind, 16> kKinds = {
      TwinKind::kOpen,     TwinKind::kOpen,      TwinKind::kOpen,       TwinKind::kClose,
      TwinKind::kRead,     TwinKind::kRead,      TwinKind::kWrite,      TwinKind::kWrite,
      TwinKind::kWrite,    TwinKind::kWrite,     TwinKind::kResizeOpen, TwinKind::kAllocate,
      TwinKind::kMapWrite, TwinKind::kCopyRange, TwinKind::kFsync,      TwinKind::kStatOpen};
  TwinStep step;
  step.kind = kKinds.at(Draw(kKinds.size()));
  step.handle = Draw(TwinFolder::kHandles);
  step.other = Draw(TwinFolder::kHandles);
  step.offset = Draw(4) == 0 ? Draw(200000) : Draw(9000);
  step.length = 1 + (Draw(8) == 0 ? Draw(150000) : Draw(5000));
  step.destination = Draw(9000);
  step.seed = random_();
  step.mode = kModes.at(Draw(4));
  if (step.kind == TwinKind::kOpen) {
    step.flags = kFlags.at(Draw(kFlags.size()));
    const bool makes = (step.flags & O_CREAT) != 0 && paths.size() < kPathsMax;
    step.path = makes && Draw(2) == 0 ? NewPath(paths) : AnyPath(paths);
    if (Draw(10) == 0) step.flags |= O_NOFOLLOW;
  }
  if (step.kind == TwinKind::kAllocate) {
    constexpr std::array<int, 5> kAllocations = {
        0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, FALLOC_FL_ZERO_RANGE,
        FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE};
    step.flags = kAllocations.at(Draw(features_.zero_range ? 5 : 3));
  }
  return step;
}

TwinStep TwinChooser::ChooseName(const std::vector<std::string>& paths) {
  constexpr std::array<TwinKind, 18> kKinds = {
      TwinKind::kMkdir,  TwinKind::kMkdir,  TwinKind::kMkdir,  TwinKind::kSymlink,
      TwinKind::kMknod,  TwinKind::kLink,   TwinKind::kLink,   TwinKind::kRename,
      TwinKind::kRename, TwinKind::kRename, TwinKind::kRename, TwinKind::kRename,
      TwinKind::kUnlink, TwinKind::kUnlink, TwinKind::kRmdir,  TwinKind::kResize,
      TwinKind::kStat,   TwinKind::kList};
  constexpr std::array<mode_t, 4> kSpecial = {S_IFIFO, S_IFSOCK, S_IFCHR, S_IFREG};
  TwinStep step;
  step.kind = kKinds.at(Draw(kKinds.size()));
  step.mode = kModes.at(Draw(7));
  step.path = AnyPath(paths);
  step.offset = Draw(20000);
  const bool makes = step.kind == TwinKind::kMkdir || step.kind == TwinKind::kSymlink ||
                     step.kind == TwinKind::kMknod;
  if (makes && paths.size() >= kPathsMax) step.kind = TwinKind::kUnlink;
  if (makes) step.path = NewPath(paths);
  if (step.kind == TwinKind::kMknod) step.mode |= kSpecial.at(Draw(kSpecial.size()));
  if (step.kind == TwinKind::kSymlink)
    step.to = (Draw(3) == 0 ? "../" : "") + std::string(kNames.at(Draw(kNames.size())));
  if (step.kind == TwinKind::kLink) step.to = NewPath(paths);
  if (step.kind == TwinKind::kRename) {
    step.to = Draw(2) == 0 ? NewPath(paths) : AnyPath(paths);
    const uint64_t how = Draw(8);
    step.flags = how == 0 ? RENAME_NOREPLACE : how == 1 ? RENAME_EXCHANGE : 0;
  }
  return step;
}

TwinStep TwinChooser::ChooseAttribute(const std::vector<std::string>& paths) {
  constexpr std::array<TwinKind, 9> kKinds = {
      TwinKind::kChmod,       TwinKind::kChmod,  TwinKind::kChown,
      TwinKind::kUtimes,      TwinKind::kUtimes, TwinKind::kSetXattr,
      TwinKind::kRemoveXattr, TwinKind::kSetAcl, TwinKind::kSetXattr};
  constexpr std::array<const char*, 3> kAttributes = {"user.a", "user.b b", "trusted.c"};
  TwinStep step;
  step.kind = kKinds.at(Draw(kKinds.size()));
  step.path = AnyPath(paths);
  step.mode = kModes.at(Draw(kModes.size()));
  step.uid = static_cast<uid_t>(Draw(3) == 0 ? uint64_t{0xffffffff} : 4700 + Draw(3));
  step.gid = static_cast<gid_t>(Draw(3) == 0 ? uint64_t{0xffffffff} : 4700 + Draw(3));
  step.seed = random_();
  if (step.kind == TwinKind::kUtimes) {
    step.offset = 1'000'000'000 + Draw(600'000'000);
    step.length = Draw(1'000'000'000);
  }
  const bool acl = step.kind == TwinKind::kSetAcl;
  const bool xattr = step.kind == TwinKind::kSetXattr || step.kind == TwinKind::kRemoveXattr;
  if (acl || xattr) {
    // Together within what every file system takes, and more than fits into metadata.
    step.length = Draw(1100);
    step.to = kAttributes.at(Draw(kAttributes.size()));
    if (acl || (xattr && features_.acls && step.kind == TwinKind::kRemoveXattr && Draw(3) == 0))
      step.to = Draw(2) == 0 ? kAccessList : kDefaultList;
    step.uid = 4711 + static_cast<uid_t>(Draw(2));
    const uint64_t how = Draw(6);
    step.flags = how == 0 ? XATTR_CREATE : how == 1 ? XATTR_REPLACE : 0;
    if (acl ? !features_.acls : !features_.xattrs) step.kind = TwinKind::kStat;
  }
  return step;
}

}  // namespace quayfs::mounttest
