// SPDX-License-Identifier: Apache-2.0
//
// What a file system that loses nothing has to look like after it was killed: a tree in memory, a
// writer that changes a folder of a mount at random and notes every change that was acknowledged,
// and comparisons of that tree with what is found afterwards.
//
// One writer is one thread with a folder of its own, so at most one of its steps is in flight when
// the mount dies. That step may have happened or not; a write, up to any byte.

#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace quayfs::mounttest {

struct ModelNode {
  mode_t mode = 0;               // with the type
  std::string text;              // a file's contents, a link's target
  uint64_t ino = 0;              // 0: not known
  std::optional<uid_t> owner;    // and group; absent: nobody has said
  std::optional<int64_t> mtime;  // in ns; absent: whatever the clock said
  std::map<std::string, std::shared_ptr<ModelNode>> children;
};

using ModelTree = std::shared_ptr<ModelNode>;

enum class StepKind {
  kCreate,  // and keep it open
  kOpen,    // for writing, and keep it open
  kOpenTruncated,
  kClose,
  kWrite,     // through an open handle
  kTruncate,  // by path
  kRead,
  kMkdir,
  kSymlink,
  kUnlink,
  kRmdir,
  kRename,
  kChmod,
  kChown,  // both owner and group
  kUtimes,
  kFsync,
};

struct Step {
  StepKind kind = StepKind::kCreate;
  std::string path;  // relative to the writer's folder
  std::string to;    // rename: the new path; symlink: the target
  size_t handle = 0;
  uint64_t offset = 0;  // of a write; size of a truncate
  std::string bytes;
  mode_t mode = 0;
  uid_t owner = 0;
  int64_t mtime = 0;

  std::string Describe() const;
};

/// How large files get. Sizes are drawn so that most are small.
struct LoadShape {
  size_t small_max = 6000;
  size_t medium_max = 700 << 10;  // one step in forty
  size_t large = 0;               // one step in a thousand, if not 0
  size_t nodes_max = 50;
  /// fsync, close and read may report what the store did to them.
  bool faults = false;
};

class CrashWriter {
 public:
  /// `folder` exists and is empty, with the tree below it known to be `tree`.
  CrashWriter(std::string folder, uint64_t seed);
  ~CrashWriter();
  CrashWriter(const CrashWriter&) = delete;
  CrashWriter& operator=(const CrashWriter&) = delete;

  void SetShape(const LoadShape& shape) { shape_ = shape; }
  /// Changes things until `stop`, or until the mount dies, which it may once `dying` is set. Any
  /// other failure is a failure of the test.
  void Run(const std::atomic<bool>& stop, const std::atomic<bool>& dying);
  /// Forgets its handles; to be called when the mount is gone or before it goes in peace.
  void CloseAll();

  /// What keeps `folder` from being the acknowledged tree, "" if it is. Takes over what has become
  /// of the step that was in flight.
  std::string Verify();
  /// The same for another view of the same tree, after Verify.
  std::string VerifyAt(const std::string& folder) const;
  /// The objects that a bucket has to show, by key below `prefix`: bodies.
  void AddObjects(const std::string& prefix, std::map<std::string, std::string>* objects) const;

  /// Acknowledged so far; may be asked while it runs.
  size_t steps() const { return steps_; }
  const std::string& folder() const { return folder_; }
  /// The last steps, for people.
  std::string History() const;

 private:
  struct Handle {
    int fd = -1;
    ModelTree node;
    std::string opened_as;
  };
  struct Place {
    std::string path;
    ModelTree node;
  };

  std::vector<Place> Places(const std::function<bool(const ModelNode&)>& wanted) const;
  ModelTree Find(const std::string& path) const;
  std::pair<ModelTree, std::string> ParentOf(const std::string& path) const;
  std::optional<std::string> NewPath(bool may_exist);
  std::optional<Step> Pick();
  std::optional<Step> PickRename();
  std::optional<Step> PickWrite();
  std::string Bytes(size_t size);
  size_t DrawSize();
  uint64_t Draw(uint64_t below) { return random_() % below; }
  /// 0 or an errno.
  int Perform(const Step& step);
  int PerformRead(const Step& step);
  int KeepOpen(const Step& step, int flags);
  void Apply(const Step& step);
  void ApplyNamed(const Step& step);
  bool TakeWritePrefix(const Step& step);
  std::string PathOf(const ModelTree& node) const;

  const std::string folder_;
  ModelTree tree_ = std::make_shared<ModelNode>();
  std::mt19937_64 random_;
  LoadShape shape_;
  std::vector<Handle> handles_;
  std::optional<Step> in_flight_;
  ModelTree in_flight_node_;  // of a write
  std::deque<std::string> history_;
  std::atomic<size_t> steps_{0};
};

}  // namespace quayfs::mounttest
