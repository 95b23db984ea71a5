// SPDX-License-Identifier: Apache-2.0

#include "tests/mount/crash_model.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "base/unique_fd.h"
#include "tests/mount/program.h"

namespace quayfs::mounttest {
namespace {

constexpr size_t kHandlesMax = 4;
constexpr size_t kHistoryMax = 20000;
constexpr size_t kHistoryShown = 150;
constexpr size_t kDepthMax = 3;
// Few, so that names meet.
constexpr std::array<const char*, 8> kNames = {"a", "b", "c", "d", "e", "f f", "g%", "h.txt"};
constexpr std::array<mode_t, 4> kModes = {0644, 0600, 0755, 0711};
constexpr int64_t kBillion = 1000000000;

bool IsFile(const ModelNode& node) { return S_ISREG(node.mode); }
bool IsDirectory(const ModelNode& node) { return S_ISDIR(node.mode); }

std::string Below(const std::string& path, const std::string& name) {
  return path.empty() ? name : path + "/" + name;
}

size_t Count(const ModelNode& node) {
  size_t count = 1;
  for (const auto& [name, child] : node.children) count += Count(*child);
  return count;
}

int64_t Nanoseconds(const timespec& time) { return time.tv_sec * kBillion + time.tv_nsec; }

/// Where two texts part, for people.
std::string Difference(const std::string& expected, const std::string& found) {
  const auto at = std::mismatch(expected.begin(), expected.end(), found.begin(), found.end());
  const auto offset = static_cast<size_t>(at.first - expected.begin());
  const bool zeros =
      offset < found.size() && found.find_first_not_of('\0', offset) == std::string::npos;
  return fmt::format("{} bytes instead of {}, different from {}{}", found.size(), expected.size(),
                     offset, zeros ? " (zeros)" : "");
}

std::string CompareText(const std::string& path, const ModelNode& node, const struct stat& found) {
  std::string text;
  if (S_ISLNK(node.mode)) {
    std::array<char, 4096> target;
    const ssize_t got = ::readlink(path.c_str(), target.data(), target.size());
    if (got < 0) return fmt::format("{}: readlink: {}\n", path, std::strerror(errno));
    text.assign(target.data(), static_cast<size_t>(got));
  } else {
    if (static_cast<uint64_t>(found.st_size) != node.text.size())
      return fmt::format("{}: size {} instead of {}\n", path, found.st_size, node.text.size());
    text = ReadFile(path);
  }
  if (text == node.text) return "";
  return fmt::format("{}: {}\n", path, Difference(node.text, text));
}

std::string CompareNode(const std::string& path, ModelNode& node, bool with_ino);

std::string CompareChildren(const std::string& path, ModelNode& node, bool with_ino) {
  std::string report;
  std::vector<std::string> expected;
  for (const auto& [name, child] : node.children) expected.push_back(name);
  const std::vector<std::string> found = Names(path);
  for (const std::string& name : found) {
    if (node.children.find(name) == node.children.end())
      report += fmt::format("{}/{}: should not be there\n", path, name);
  }
  for (const std::string& name : expected) {
    if (!std::binary_search(found.begin(), found.end(), name))
      report += fmt::format("{}/{}: not listed\n", path, name);
  }
  for (const auto& [name, child] : node.children)
    report += CompareNode(fmt::format("{}/{}", path, name), *child, with_ino);
  return report;
}

std::string CompareNode(const std::string& path, ModelNode& node, bool with_ino) {
  struct stat found = {};
  if (::lstat(path.c_str(), &found) != 0)
    return fmt::format("{}: {}\n", path, std::strerror(errno));
  std::string report;
  const bool link = S_ISLNK(node.mode);
  if (link ? !S_ISLNK(found.st_mode) : found.st_mode != node.mode)
    return fmt::format("{}: mode {:o} instead of {:o}\n", path, found.st_mode, node.mode);
  if (node.owner && (found.st_uid != *node.owner || found.st_gid != *node.owner))
    report += fmt::format("{}: owned by {} instead of {}\n", path, found.st_uid, *node.owner);
  if (node.mtime && Nanoseconds(found.st_mtim) != *node.mtime) {
    report += fmt::format("{}: modified {} instead of {}\n", path, Nanoseconds(found.st_mtim),
                          *node.mtime);
  }
  if (with_ino && node.ino != 0 && found.st_ino != node.ino)
    report += fmt::format("{}: inode {} instead of {}\n", path, found.st_ino, node.ino);
  return report + (IsDirectory(node) ? CompareChildren(path, node, with_ino)
                                     : CompareText(path, node, found));
}

void WriteAt(std::string* text, uint64_t offset, const std::string& bytes) {
  if (text->size() < offset + bytes.size()) text->resize(offset + bytes.size(), '\0');
  text->replace(offset, bytes.size(), bytes);
}

void AddObjectsOf(const ModelNode& node, const std::string& key,
                  std::map<std::string, std::string>* objects) {
  if (!IsDirectory(node)) {
    (*objects)[key] = node.text;
    return;
  }
  (*objects)[key + "/"] = "";
  for (const auto& [name, child] : node.children)
    AddObjectsOf(*child, fmt::format("{}/{}", key, name), objects);
}

}  // namespace

std::string Step::Describe() const {
  switch (kind) {
    case StepKind::kCreate:
      return fmt::format("create {} {:o} as #{}", path, mode, handle);
    case StepKind::kOpen:
      return fmt::format("open {} as #{}", path, handle);
    case StepKind::kOpenTruncated:
      return fmt::format("open, truncate {} as #{}", path, handle);
    case StepKind::kClose:
      return fmt::format("close #{} {}", handle, path);
    case StepKind::kWrite:
      return fmt::format("write #{} {} {}+{}", handle, path, offset, bytes.size());
    case StepKind::kTruncate:
      return fmt::format("truncate {} {}", path, offset);
    case StepKind::kRead:
      return fmt::format("read {}", path);
    case StepKind::kMkdir:
      return fmt::format("mkdir {} {:o}", path, mode);
    case StepKind::kSymlink:
      return fmt::format("symlink {} -> {}", path, to);
    case StepKind::kUnlink:
      return fmt::format("unlink {}", path);
    case StepKind::kRmdir:
      return fmt::format("rmdir {}", path);
    case StepKind::kRename:
      return fmt::format("rename {} to {}", path, to);
    case StepKind::kChmod:
      return fmt::format("chmod {} {:o}", path, mode);
    case StepKind::kChown:
      return fmt::format("chown {} {}", path, owner);
    case StepKind::kUtimes:
      return fmt::format("utimes {} {}", path, mtime);
    case StepKind::kFsync:
      return fmt::format("fsync #{} {}", handle, path);
  }
  return "";
}

CrashWriter::CrashWriter(std::string folder, uint64_t seed)
    : folder_(std::move(folder)), random_(seed) {
  tree_->mode = S_IFDIR | 0755;
}

CrashWriter::~CrashWriter() { CloseAll(); }

void CrashWriter::CloseAll() {
  for (const Handle& handle : handles_) ::close(handle.fd);
  handles_.clear();
}

std::vector<CrashWriter::Place> CrashWriter::Places(
    const std::function<bool(const ModelNode&)>& wanted) const {
  std::vector<Place> places;
  std::vector<Place> open = {{"", tree_}};
  while (!open.empty()) {
    const Place place = open.back();
    open.pop_back();
    if (wanted(*place.node)) places.push_back(place);
    for (const auto& [name, child] : place.node->children)
      open.push_back({Below(place.path, name), child});
  }
  return places;
}

std::string CrashWriter::PathOf(const ModelTree& node) const {
  for (const Place& place : Places([&](const ModelNode& one) { return &one == node.get(); }))
    return place.path;
  return "";
}

ModelTree CrashWriter::Find(const std::string& path) const {
  ModelTree at = tree_;
  size_t begin = 0;
  while (begin < path.size() && at != nullptr) {
    const size_t end = std::min(path.find('/', begin), path.size());
    const auto found = at->children.find(path.substr(begin, end - begin));
    at = found == at->children.end() ? nullptr : found->second;
    begin = end + 1;
  }
  return at;
}

std::pair<ModelTree, std::string> CrashWriter::ParentOf(const std::string& path) const {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return {tree_, path};
  return {Find(path.substr(0, slash)), path.substr(slash + 1)};
}

std::optional<std::string> CrashWriter::NewPath(bool may_exist) {
  const auto folders = Places(IsDirectory);
  const Place& folder = folders[Draw(folders.size())];
  if (std::count(folder.path.begin(), folder.path.end(), '/') + 1 >= static_cast<int>(kDepthMax))
    return std::nullopt;
  const std::string name = kNames[Draw(kNames.size())];
  if (!may_exist && folder.node->children.count(name) != 0) return std::nullopt;
  return Below(folder.path, name);
}

std::string CrashWriter::Bytes(size_t size) { return Pattern(size, random_()); }

size_t CrashWriter::DrawSize() {
  if (shape_.large != 0 && Draw(1000) == 0) return shape_.large;
  if (Draw(40) == 0) return Draw(shape_.medium_max);
  return Draw(shape_.small_max);
}

std::optional<Step> CrashWriter::PickRename() {
  const auto sources = Places([&](const ModelNode& node) { return &node != tree_.get(); });
  const auto to = NewPath(/*may_exist=*/true);
  if (sources.empty() || !to) return std::nullopt;
  const Place& from = sources[Draw(sources.size())];
  // rename(2)'s rules; what breaks them is tested elsewhere.
  if (*to == from.path || to->rfind(from.path + "/", 0) == 0) return std::nullopt;
  const ModelTree target = Find(*to);
  if (target != nullptr) {
    if (IsDirectory(*target) != IsDirectory(*from.node) || !target->children.empty())
      return std::nullopt;
  }
  Step step;
  step.kind = StepKind::kRename;
  step.path = from.path;
  step.to = *to;
  return step;
}

std::optional<Step> CrashWriter::PickWrite() {
  if (handles_.empty()) return std::nullopt;
  Step step;
  step.kind = StepKind::kWrite;
  step.handle = Draw(handles_.size());
  step.path = handles_[step.handle].opened_as;
  const uint64_t size = handles_[step.handle].node->text.size();
  // Append, overwrite in place, leave a hole.
  const uint64_t how = Draw(10);
  step.offset = how < 5 ? size : how < 9 ? Draw(size + 1) : size + Draw(20000);
  step.bytes = Bytes(DrawSize() + 1);
  if (step.offset + step.bytes.size() > (12 << 20)) return std::nullopt;
  return step;
}

std::optional<Step> CrashWriter::Pick() {
  const bool full = Count(*tree_) > shape_.nodes_max;
  Step step;
  step.mode = kModes[Draw(kModes.size())];
  const auto with_path = [&](StepKind kind, const auto& wanted) -> std::optional<Step> {
    const auto places =
        Places([&](const ModelNode& node) { return &node != tree_.get() && wanted(node); });
    if (places.empty()) return std::nullopt;
    step.kind = kind;
    step.path = places[Draw(places.size())].path;
    return step;
  };
  const auto made = [&](StepKind kind) -> std::optional<Step> {
    const auto path = full ? std::nullopt : NewPath(/*may_exist=*/false);
    if (!path) return std::nullopt;
    step.kind = kind;
    step.path = *path;
    return step;
  };
  const uint64_t what = Draw(100);
  if (what < 14) {
    step.handle = handles_.size();
    return handles_.size() < kHandlesMax ? made(StepKind::kCreate) : std::nullopt;
  }
  if (what < 18) return made(StepKind::kMkdir);
  if (what < 20) {
    step.to = std::string(1 + Draw(60), static_cast<char>('a' + Draw(26)));
    return made(StepKind::kSymlink);
  }
  if (what < 26) {
    step.handle = handles_.size();
    if (handles_.size() >= kHandlesMax) return std::nullopt;
    return with_path(what < 24 ? StepKind::kOpen : StepKind::kOpenTruncated, IsFile);
  }
  if (what < 42) {
    if (handles_.empty()) return std::nullopt;
    step.kind = what < 41 ? StepKind::kClose : StepKind::kFsync;
    step.handle = Draw(handles_.size());
    step.path = handles_[step.handle].opened_as;
    return step;
  }
  if (what < 62) return PickWrite();
  if (what < 65) {
    auto picked = with_path(StepKind::kTruncate, IsFile);
    if (picked) picked->offset = Draw(2 * Find(picked->path)->text.size() + 100);
    return picked;
  }
  if (what < 68) return with_path(StepKind::kRead, IsFile);
  if (what < 80) return PickRename();
  if (what < 88) {
    return with_path(StepKind::kUnlink, [](const ModelNode& node) { return !IsDirectory(node); });
  }
  if (what < 92) {
    return with_path(StepKind::kRmdir, [](const ModelNode& node) {
      return IsDirectory(node) && node.children.empty();
    });
  }
  if (what < 95) {
    return with_path(StepKind::kChmod, [](const ModelNode& node) { return !S_ISLNK(node.mode); });
  }
  const auto any = [](const ModelNode&) { return true; };
  if (what < 97) {
    step.owner = static_cast<uid_t>(1000 + Draw(5));
    return with_path(StepKind::kChown, any);
  }
  step.mtime = static_cast<int64_t>(1000000000 + Draw(600000000)) * kBillion +
               static_cast<int64_t>(Draw(kBillion));
  return with_path(StepKind::kUtimes, any);
}

int CrashWriter::KeepOpen(const Step& step, int flags) {
  const std::string path = folder_ + "/" + step.path;
  const int fd = ::open(path.c_str(), flags | O_CLOEXEC, step.mode);
  if (fd < 0) return errno;
  handles_.push_back({fd, nullptr, step.path});  // Apply knows the node
  return 0;
}

int CrashWriter::PerformRead(const Step& step) {
  const UniqueFd file(::open((folder_ + "/" + step.path).c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return errno;
  const std::string expected = Find(step.path)->text;
  std::string text(expected.size() + 1, '\0');
  size_t have = 0;
  while (have < text.size()) {
    const ssize_t got =
        ::pread(file.get(), text.data() + have, text.size() - have, static_cast<off_t>(have));
    if (got < 0) return errno;
    if (got == 0) break;
    have += static_cast<size_t>(got);
  }
  text.resize(have);
  EXPECT_TRUE(text == expected) << step.path << " before any crash: " << Difference(expected, text)
                                << "\n"
                                << History();
  return 0;
}

int CrashWriter::Perform(const Step& step) {
  const std::string path = folder_ + "/" + step.path;
  const auto code = [](int result) { return result == 0 ? 0 : errno; };
  switch (step.kind) {
    case StepKind::kCreate:
      return KeepOpen(step, O_RDWR | O_CREAT | O_EXCL);
    case StepKind::kOpen:
      return KeepOpen(step, O_RDWR);
    case StepKind::kOpenTruncated:
      return KeepOpen(step, O_WRONLY | O_TRUNC);
    case StepKind::kClose: {
      const int fd = handles_[step.handle].fd;
      handles_.erase(handles_.begin() + static_cast<ptrdiff_t>(step.handle));
      return code(::close(fd));
    }
    case StepKind::kWrite: {
      const ssize_t written = ::pwrite(handles_[step.handle].fd, step.bytes.data(),
                                       step.bytes.size(), static_cast<off_t>(step.offset));
      if (written < 0) return errno;
      return written == static_cast<ssize_t>(step.bytes.size()) ? 0 : EIO;
    }
    case StepKind::kTruncate:
      return code(::truncate(path.c_str(), static_cast<off_t>(step.offset)));
    case StepKind::kRead:
      return PerformRead(step);
    case StepKind::kMkdir:
      return code(::mkdir(path.c_str(), step.mode));
    case StepKind::kSymlink:
      return code(::symlink(step.to.c_str(), path.c_str()));
    case StepKind::kUnlink:
      return code(::unlink(path.c_str()));
    case StepKind::kRmdir:
      return code(::rmdir(path.c_str()));
    case StepKind::kRename:
      return code(::rename(path.c_str(), (folder_ + "/" + step.to).c_str()));
    case StepKind::kChmod:
      return code(::chmod(path.c_str(), step.mode));
    case StepKind::kChown:
      return code(::lchown(path.c_str(), step.owner, step.owner));
    case StepKind::kUtimes: {
      const timespec time = {step.mtime / kBillion, step.mtime % kBillion};
      const std::array<timespec, 2> times = {time, time};
      return code(::utimensat(AT_FDCWD, path.c_str(), times.data(), AT_SYMLINK_NOFOLLOW));
    }
    case StepKind::kFsync:
      return code(::fsync(handles_[step.handle].fd));
  }
  return EINVAL;
}

// Steps that change which names there are.
void CrashWriter::ApplyNamed(const Step& step) {
  const auto [parent, name] = ParentOf(step.path);
  parent->mtime.reset();
  if (step.kind == StepKind::kUnlink || step.kind == StepKind::kRmdir) {
    parent->children.erase(name);
  } else if (step.kind == StepKind::kRename) {
    const ModelTree moved = parent->children.at(name);
    parent->children.erase(name);
    const auto [into, new_name] = ParentOf(step.to);
    into->children[new_name] = moved;
    into->mtime.reset();
  } else {
    const auto node = std::make_shared<ModelNode>();
    const mode_t type = step.kind == StepKind::kCreate  ? S_IFREG
                        : step.kind == StepKind::kMkdir ? S_IFDIR
                                                        : S_IFLNK;
    node->mode = type | step.mode;
    node->text = step.to;
    parent->children[name] = node;
  }
}

void CrashWriter::Apply(const Step& step) {
  switch (step.kind) {
    case StepKind::kCreate:
    case StepKind::kMkdir:
    case StepKind::kSymlink:
    case StepKind::kUnlink:
    case StepKind::kRmdir:
    case StepKind::kRename:
      ApplyNamed(step);
      break;
    case StepKind::kOpenTruncated:
    case StepKind::kTruncate: {
      ModelNode& node = *Find(step.path);
      // Truncating to the same size changes the time, too, but opening an empty file does not.
      node.mtime.reset();
      node.text.resize(step.offset, '\0');
      break;
    }
    case StepKind::kChmod: {
      ModelNode& node = *Find(step.path);
      node.mode = (node.mode & S_IFMT) | step.mode;
      break;
    }
    case StepKind::kChown:
      Find(step.path)->owner = step.owner;
      break;
    case StepKind::kUtimes:
      Find(step.path)->mtime = step.mtime;
      break;
    case StepKind::kWrite:
      WriteAt(&in_flight_node_->text, step.offset, step.bytes);
      in_flight_node_->mtime.reset();
      break;
    case StepKind::kOpen:
    case StepKind::kClose:
    case StepKind::kRead:
    case StepKind::kFsync:
      break;
  }
}

void CrashWriter::Run(const std::atomic<bool>& stop, const std::atomic<bool>& dying) {
  while (!stop) {
    const auto step = Pick();
    if (!step) continue;
    in_flight_ = step;
    in_flight_node_ = step->kind == StepKind::kWrite ? handles_[step->handle].node : nullptr;
    const int failed = Perform(*step);
    const bool reporting = step->kind == StepKind::kFsync || step->kind == StepKind::kClose ||
                           step->kind == StepKind::kRead;
    if (failed != 0 && dying) {
      history_.push_back("in flight: " + step->Describe());
      return;
    }
    if (failed != 0 && !(reporting && shape_.faults)) {
      ADD_FAILURE() << step->Describe() << ": " << std::strerror(failed) << "\n" << History();
      return;
    }
    Apply(*step);
    if (!handles_.empty() && handles_.back().node == nullptr)
      handles_.back().node = Find(step->path);
    in_flight_.reset();
    in_flight_node_.reset();
    history_.push_back(step->Describe());
    if (history_.size() > kHistoryMax) history_.pop_front();
    ++steps_;
    if (step->kind != StepKind::kCreate && step->kind != StepKind::kMkdir) continue;
    struct stat found = {};
    if (::lstat((folder_ + "/" + step->path).c_str(), &found) == 0)
      Find(step->path)->ino = found.st_ino;
  }
}

// A write that was in flight may have got as far as any byte.
bool CrashWriter::TakeWritePrefix(const Step& step) {
  const std::string path = PathOf(in_flight_node_);
  in_flight_node_->mtime.reset();
  if (path.empty()) return true;  // removed; nobody will see it
  const std::string found = ReadFile(folder_ + "/" + path);
  std::string& text = in_flight_node_->text;
  if (found == text) return true;
  // The longest start of the bytes that is there.
  size_t done = 0;
  while (done < step.bytes.size() && step.offset + done < found.size() &&
         found[step.offset + done] == step.bytes[done]) {
    ++done;
  }
  std::string expected = text;
  if (done > 0) WriteAt(&expected, step.offset, step.bytes.substr(0, done));
  if (found != expected) return false;
  text = found;
  return true;
}

std::string CrashWriter::Verify() {
  std::string report = CompareNode(folder_, *tree_, /*with_ino=*/true);
  if (in_flight_) {
    const Step step = *in_flight_;
    const bool sized = step.kind == StepKind::kTruncate || step.kind == StepKind::kOpenTruncated;
    if (sized) Find(step.path)->mtime.reset();
    if (step.kind == StepKind::kWrite) {
      if (TakeWritePrefix(step)) report = CompareNode(folder_, *tree_, /*with_ino=*/true);
    } else if (!report.empty()) {
      Apply(step);
      const std::string after = CompareNode(folder_, *tree_, /*with_ino=*/true);
      if (!after.empty()) report += "or, with the step that was in flight:\n" + after;
      if (after.empty()) report.clear();
    }
    in_flight_.reset();
    in_flight_node_.reset();
  }
  if (!report.empty()) report += History();
  return report;
}

std::string CrashWriter::VerifyAt(const std::string& folder) const {
  std::string report = CompareNode(folder, *tree_, /*with_ino=*/false);
  if (!report.empty()) report += History();
  return report;
}

void CrashWriter::AddObjects(const std::string& prefix,
                             std::map<std::string, std::string>* objects) const {
  AddObjectsOf(*tree_, prefix, objects);
}

std::string CrashWriter::History() const {
  std::string text = "the last steps in " + folder_ + ":\n";
  const size_t first = history_.size() > kHistoryShown ? history_.size() - kHistoryShown : 0;
  for (size_t i = first; i < history_.size(); ++i) text += "  " + history_[i] + "\n";
  return text;
}

}  // namespace quayfs::mounttest
