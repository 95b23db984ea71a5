// SPDX-License-Identifier: Apache-2.0
//
// FileCore: holes. The local file is sparse; a range of it that is local and has no blocks is
// zeros.

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "cache/file_core.h"

namespace quayfs {
namespace {

constexpr uint64_t kStatBlock = 512;  // of st_blocks

/// Where in `range` of the local file the next hole or data begins; its end if nowhere. A file
/// system that cannot tell has data everywhere.
uint64_t SeekLocal(const DiskFile& file, ByteRange range, bool hole) {
  const off_t at =
      ::lseek(file.fd(), static_cast<off_t>(range.begin), hole ? SEEK_HOLE : SEEK_DATA);
  if (at < 0) return !hole && errno != ENXIO ? range.begin : range.end;
  return std::min(range.end, static_cast<uint64_t>(at));
}

}  // namespace

Status FileCore::ZeroLocked(ByteRange range) {
  QUAY_ASSIGN(std::shared_ptr<DiskFile> file, OpenLocal());
  QUAY_TRY(TellBeforeWrite(range));
  const Saved before = SaveDirty(*file, range);
  StopSending();
  Status done = file->PunchHole(range);
  // Its length tells a file that lost its end.
  if (done && local_length_ < range.end) done = file->Truncate(range.end);
  if (done) done = TellWrite(range);  // C1, as in WriteLocked
  if (!done) {
    UndoWrite(*file, range, before);
    return done;
  }
  local_length_ = std::max(local_length_, range.end);
  broken_.Remove(range);
  NoteChange(extents_.Zero(range));
  return {};
}

Status FileCore::Zero(ByteRange range) {
  // What has to be undone if the disk fails is kept in memory meanwhile.
  constexpr uint64_t kPiece = 4ull << 20;
  for (uint64_t begin = range.begin; begin < range.end;) {
    bool ended = false;
    const uint64_t end = std::min(range.end, begin + kPiece);
    QUAY_TRY(WithRoom([&]() -> Status {
      MutexLock lock(mutex_);
      while (writers_paused_ || seal_pauses_writers_) changed_.Wait(mutex_);
      const ByteRange piece{begin, std::min(end, extents_.size())};
      ended = piece.begin >= piece.end;
      return ended ? Status() : ZeroLocked(piece);
    }));
    if (ended) break;
    begin = end;
  }
  return {};
}

Result<ExtentSet> FileCore::Holes(uint64_t least) {
  // A file so full of them is taken to have none from there on.
  constexpr int kMostSteps = 1 << 16;
  ExtentSet found;
  std::shared_ptr<DiskFile> file = file_;
  if (file == nullptr && on_disk_) {
    QUAY_ASSIGN(file, OpenLocal());
  }
  struct stat facts {};
  const bool full = file == nullptr || file->fd() < 0 || ::fstat(file->fd(), &facts) != 0 ||
                    static_cast<uint64_t>(facts.st_blocks) * kStatBlock + least > local_length_;
  int steps = 0;
  for (const ByteRange& range : extents_.dirty().Within({0, extents_.size()})) {
    // Beyond the local file's end there is nothing but zeros.
    const uint64_t stored = std::clamp(local_length_, range.begin, range.end);
    for (uint64_t at = full ? stored : range.begin; at < stored && steps < kMostSteps; ++steps) {
      const uint64_t hole = SeekLocal(*file, {at, stored}, true);
      at = hole < stored ? SeekLocal(*file, {hole, stored}, false) : stored;
      if (hole < at) found.Add({hole, at});
    }
    if (stored < range.end) found.Add({stored, range.end});
  }
  for (const ByteRange& range : found.ranges()) {
    if (range.length() < least) found.Remove(range);
  }
  return found;
}

void FileCore::RestoreHoles() {
  constexpr uint64_t kLeast = 1 << 20;
  if (!on_disk_ || extents_.dirty_bytes() < kLeast) return;
  const auto file = OpenLocal();
  const auto holes = file ? Holes(kLeast) : Result<ExtentSet>(ExtentSet());
  if (holes) extents_.RestoreHoles(*holes);
  CloseLocal();
}

bool FileCore::IsHole(ByteRange range) {
  if (!extents_.dirty().Contains(range)) return false;
  const uint64_t stored = std::clamp(local_length_, range.begin, range.end);
  if (range.begin == stored) return true;
  return file_ != nullptr && SeekLocal(*file_, {range.begin, stored}, false) == stored;
}

Result<std::optional<uint64_t>> FileCore::Seek(uint64_t offset, bool hole) {
  MutexLock lock(mutex_);
  const uint64_t size = extents_.size();
  if (offset >= size) return std::optional<uint64_t>();
  std::shared_ptr<DiskFile> file = file_;
  if (file == nullptr && on_disk_) {
    QUAY_ASSIGN(file, OpenLocal());
  }
  uint64_t at = offset;
  const auto in_missing = [&](uint64_t begin, uint64_t end) {
    // Only the store knows these bytes.
    if (!hole && begin < end) return std::optional(begin);
    at = end;
    return std::optional<uint64_t>();
  };
  ExtentSet local = extents_.dirty();
  for (const ByteRange& clean : extents_.clean().Within({offset, size})) local.Add(clean);
  for (const ByteRange& range : local.Within({offset, size})) {
    if (const auto found = in_missing(at, range.begin)) return found;
    // Beyond the local file's end there is nothing but zeros.
    const uint64_t stored = std::clamp(local_length_, range.begin, range.end);
    if (range.begin < stored && file != nullptr) {
      const uint64_t found = SeekLocal(*file, {range.begin, stored}, hole);
      if (found < stored) return std::optional(found);
    }
    if (hole && stored < range.end) return std::optional(stored);
    at = range.end;
  }
  if (const auto found = in_missing(at, size)) return found;
  return hole ? std::optional(size) : std::nullopt;
}

}  // namespace quayfs
