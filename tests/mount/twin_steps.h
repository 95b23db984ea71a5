// SPDX-License-Identifier: Apache-2.0
//
// Random system calls, made alike in two folders: one on a mount, one on the machine's own file
// system, which knows what they have to do. Nothing is predicted: answers and trees are compared.

#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <vector>

namespace quayfs::mounttest {

enum class TwinKind {
  kOpen,  // `handle` becomes `path`, whatever it was
  kClose,
  kRead,
  kWrite,
  kResizeOpen,
  kAllocate,  // flags: of fallocate(2)
  kMapWrite,
  kCopyRange,  // from `handle` to `other`
  kFsync,
  kStatOpen,
  kResize,
  kStat,
  kList,
  kMkdir,
  kRmdir,
  kUnlink,
  kSymlink,
  kMknod,
  kLink,
  kRename,  // flags: of renameat2(2)
  kChmod,
  kChown,
  kUtimes,
  kSetXattr,
  kRemoveXattr,
  kSetAcl,
  // Of the mount; the other folder only has its files closed.
  kRemount,
  kRemountCold,  // the cache directory is gone
  kKill,
};

struct TwinStep {
  TwinKind kind = TwinKind::kStat;
  std::string path;  // relative to the folder
  std::string to;    // the other path, a link's target, an attribute's name
  size_t handle = 0;
  size_t other = 0;
  uint64_t offset = 0;  // or a size, or a time in seconds
  uint64_t length = 0;
  uint64_t destination = 0;
  mode_t mode = 0;
  int flags = 0;
  uint64_t seed = 0;  // of bytes
  uid_t uid = 0;
  gid_t gid = 0;

  std::string Describe() const;
  bool interrupts() const {
    return kind == TwinKind::kRemount || kind == TwinKind::kRemountCold || kind == TwinKind::kKill;
  }
};

/// One of the two folders, and the files open in it.
class TwinFolder {
 public:
  explicit TwinFolder(std::string root);
  ~TwinFolder();
  TwinFolder(const TwinFolder&) = delete;
  TwinFolder& operator=(const TwinFolder&) = delete;

  /// What the call answered: an errno's name, or what it returned. Not for steps that interrupt.
  std::string Perform(const TwinStep& step);
  void CloseAll();
  /// What is to be the same in both, by path. `thorough`: contents and extended attributes, too.
  /// `folder_times`: those of folders, too, which the cache knows better than the bucket.
  std::map<std::string, std::string> Describe(bool thorough, bool folder_times) const;
  const std::string& root() const { return root_; }

  static constexpr size_t kHandles = 4;

 private:
  std::string PerformOnHandle(const TwinStep& step);
  std::string PerformOnName(const TwinStep& step);
  std::string PerformOnAttributes(const TwinStep& step);
  std::string Open(const TwinStep& step);
  std::string CopyRange(const TwinStep& step);
  std::string MapWrite(const TwinStep& step);
  std::string Path(const std::string& name) const { return root_ + "/" + name; }

  const std::string root_;
  std::array<int, kHandles> handles_{};
};

/// What differs between two such descriptions; "" if nothing.
std::string DescribeDifference(const std::map<std::string, std::string>& wanted,
                               const std::map<std::string, std::string>& found);

struct TwinFeatures {
  bool xattrs = true;
  bool acls = true;
  bool zero_range = true;
};
/// What the file system of an existing folder can do.
TwinFeatures FeaturesOf(const std::string& folder);

class TwinChooser {
 public:
  TwinChooser(uint64_t seed, TwinFeatures features) : random_(seed), features_(features) {}
  /// `paths`: those that are there.
  TwinStep Choose(const std::vector<std::string>& paths);

 private:
  uint64_t Draw(uint64_t below) { return random_() % below; }
  std::string AnyPath(const std::vector<std::string>& paths);
  std::string NewPath(const std::vector<std::string>& paths);
  TwinStep ChooseOnHandle(const std::vector<std::string>& paths);
  TwinStep ChooseName(const std::vector<std::string>& paths);
  TwinStep ChooseAttribute(const std::vector<std::string>& paths);

  std::mt19937_64 random_;
  const TwinFeatures features_;
};

}  // namespace quayfs::mounttest
