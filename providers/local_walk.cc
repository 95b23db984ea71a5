// SPDX-License-Identifier: Apache-2.0

#include "providers/local_walk.h"

#include <dirent.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <utility>

#include "providers/local_names.h"

namespace quayfs {
namespace {

/// "a/b/c" -> "a/b/"; "" if there is no '/'.
std::string_view DirectoryPart(std::string_view prefix) {
  const size_t slash = prefix.rfind('/');
  return slash == std::string_view::npos ? std::string_view() : prefix.substr(0, slash + 1);
}

struct CloseDirectory {
  void operator()(DIR* directory) const { closedir(directory); }
};

}  // namespace

LocalWalk::LocalWalk(const LocalBucket& bucket, std::string prefix, bool delimited,
                     std::string after)
    : bucket_(bucket),
      prefix_(std::move(prefix)),
      delimited_(delimited),
      after_(std::move(after)) {}

size_t LocalWalk::footprint() const {
  size_t bytes = sizeof(*this);
  for (const Frame& frame : frames_) {
    bytes +=
        sizeof(frame) + frame.arena.capacity() + frame.names.capacity() * sizeof(std::string_view);
  }
  return bytes;
}

/// Appends every name below `path` to the arena, those of continued segments with `text` in front.
Status LocalWalk::ReadNames(const std::string& path, const std::string& text, bool continuing,
                            std::vector<std::pair<size_t, size_t>>* pieces,
                            std::string* arena) const {
  auto entries = bucket_.disk().List(bucket_.Absolute(path));
  if (entries.Is(Code::kNotFound)) return {};
  if (!entries) return entries.error();
  for (const DiskEntry& entry : *entries) {
    const std::optional<LocalName> name = ParseLocalName(entry.name, continuing);
    if (!name || entry.is_directory == (name->kind == LocalName::Kind::kObject)) continue;
    if (name->kind == LocalName::Kind::kContinued) {
      const std::string below = path.empty() ? entry.name : path + "/" + entry.name;
      QUAY_TRY(ReadNames(below, text + name->text, /*continuing=*/true, pieces, arena));
      continue;
    }
    const size_t start = arena->size();
    arena->append(text).append(name->text);
    if (name->kind == LocalName::Kind::kPrefix) arena->push_back('/');
    pieces->emplace_back(start, arena->size() - start);
  }
  return {};
}

Status LocalWalk::Enter(std::string prefix) {
  Frame frame;
  std::string path = LocalDirectoryPath(prefix);
  if (!path.empty()) path.pop_back();
  std::vector<std::pair<size_t, size_t>> pieces;
  std::string arena;
  QUAY_TRY(ReadNames(path, "", /*continuing=*/false, &pieces, &arena));
  frame.prefix = std::move(prefix);
  frames_.push_back(std::move(frame));

  Frame& top = frames_.back();
  top.arena = std::move(arena);
  const std::string_view all = top.arena;
  // Only the directory that the prefix ends in needs the filter: all below begins with the prefix.
  const std::string_view wanted =
      prefix_.size() > top.prefix.size() ? std::string_view(prefix_).substr(top.prefix.size()) : "";
  top.names.reserve(pieces.size());
  for (const auto& [start, length] : pieces) {
    const std::string_view name = all.substr(start, length);
    if (name.starts_with(wanted)) top.names.push_back(name);
  }
  std::sort(top.names.begin(), top.names.end());

  const auto is_past = [&](std::string_view name) {
    const std::string full = top.prefix + std::string(name);
    const bool contains_start = !delimited_ && name.ends_with('/') && after_.starts_with(full);
    return full <= after_ && !contains_start;
  };
  if (!after_.empty()) {
    top.next = static_cast<size_t>(
        std::partition_point(top.names.begin(), top.names.end(), is_past) - top.names.begin());
  }
  return {};
}

Result<std::optional<LocalWalk::Item>> LocalWalk::Next() {
  if (put_back_) return std::exchange(put_back_, std::nullopt);
  if (!started_) {
    started_ = true;
    QUAY_TRY(Enter(std::string(DirectoryPart(prefix_))));
  }
  while (!frames_.empty()) {
    Frame& top = frames_.back();
    if (top.next == top.names.size()) {
      frames_.pop_back();
      continue;
    }
    const std::string_view name = top.names[top.next++];
    Item item{top.prefix + std::string(name), name.ends_with('/')};
    if (!item.is_prefix) return std::optional<Item>(std::move(item));
    if (!delimited_) {
      QUAY_TRY(Enter(std::move(item.text)));
      continue;
    }
    QUAY_ASSIGN(const bool any, LocalTreeHasObject(bucket_, LocalDirectoryPath(item.text)));
    if (any) return std::optional<Item>(std::move(item));
  }
  return std::optional<Item>();
}

// Not through the Disk seam: it only looks, and a Disk lists a directory whole, however large.
Result<bool> LocalTreeHasObject(const LocalBucket& bucket, const std::string& relative) {
  std::vector<std::string> pending = {bucket.Absolute(relative)};
  while (!pending.empty()) {
    const std::string path = std::move(pending.back());
    pending.pop_back();
    const std::unique_ptr<DIR, CloseDirectory> directory(opendir(path.c_str()));
    if (directory == nullptr) {
      if (errno == ENOENT || errno == ENOTDIR) continue;
      return ErrnoError(errno, "cannot list '" + path + "'");
    }
    // Whether a name continues a segment changes what is valid, not what is an object.
    const bool continuing = path.ends_with('+');
    while (const dirent* entry = readdir(directory.get())) {
      const std::optional<LocalName> name = ParseLocalName(entry->d_name, continuing);
      if (!name) continue;
      if (name->kind == LocalName::Kind::kObject) {
        if (entry->d_type != DT_DIR) return true;
        continue;
      }
      pending.push_back(path + (path.ends_with('/') ? "" : "/") + entry->d_name);
    }
  }
  return false;
}

}  // namespace quayfs
