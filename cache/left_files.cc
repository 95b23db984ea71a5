// SPDX-License-Identifier: Apache-2.0

#include "cache/left_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <set>

#include "base/text.h"
#include "cache/attempt_record.h"
#include "cache/cache_directory.h"
#include "cache/file_data.h"
#include "cache/kept_bytes.h"
#include "cache/set_aside.h"

namespace quayfs {
namespace {

int64_t Nanoseconds(WallTime time) { return time.time_since_epoch().count(); }

struct LeftUpload {
  UploadRow row;
  std::vector<PartRow> parts;
};

class Takeover {
 public:
  Takeover(const std::string& directory, Disk& disk, StateDb& state, Clock& clock)
      : directory_(directory), disk_(disk), state_(state), now_(clock.Now()) {}

  Result<LeftFiles> Run() {
    QUAY_TRY(ReadRows());
    for (auto& [inode, file] : files_) QUAY_TRY(TakeUp(inode, file));
    QUAY_TRY(OrphanUploadsWithoutFile());
    QUAY_TRY(Sweep());
    LeftFiles left;
    QUAY_TRY(ListClean(&left));
    for (auto& [inode, file] : files_) left.files.push_back(std::move(file));
    left.orphans = std::move(orphans_);
    return left;
  }

 private:
  Status ReadRows() {
    QUAY_TRY(state_.ReadContents([&](ContentRow row, std::vector<ByteRange> dirty) {
      LeftFile& file = files_[row.ino];
      file.row = std::move(row);
      file.dirty = std::move(dirty);
    }));
    QUAY_TRY(state_.ReadCleans([&](CleanRow row) {
      const uint64_t inode = row.ino;
      cleans_[inode] = std::move(row);
    }));
    QUAY_TRY(state_.ReadSeals([&](SealRow row) { seals_[row.ino] = std::move(row); }));
    QUAY_TRY(state_.ReadUploads([&](UploadRow row, std::vector<PartRow> parts) {
      const uint64_t inode = row.ino;
      uploads_[inode] = {std::move(row), std::move(parts)};
    }));
    QUAY_TRY(state_.ReadOrphans([&](std::string key, std::string upload_id) {
      orphans_.emplace_back(std::move(key), std::move(upload_id));
    }));
    return state_.ReadNotes([&](const NoteRow& note) {
      if (note.kind == kSetAsideNote) notes_[note.ino] = note.path;
    });
  }

  Status TakeUp(uint64_t inode, LeftFile& file) {
    std::optional<SealRow> seal;
    if (const auto it = seals_.find(inode); it != seals_.end()) seal = it->second;
    if (seal && seal->generation == kCondemned) {
      file.usable = false;
      file.set_aside = notes_[inode];
      return {};
    }
    LeftVerdict verdict = JudgeLeftFile(file.row, seal, state_.same_boot());
    if (!file.row.modified) return TakeUpClean(inode, file);
    QUAY_ASSIGN(const bool whole, HoldsWhatItShould(inode, verdict, file, seal));
    if (!whole) verdict = LeftVerdict::kUnusable;
    switch (verdict) {
      case LeftVerdict::kUnusable:
        return Condemn(inode, file, whole);
      case LeftVerdict::kAsSealed:
        QUAY_TRY(GoBack(inode, file, *seal));
        break;
      case LeftVerdict::kAsRecorded:
        AdoptUpload(inode, file);
        break;
    }
    if (seal && seal->bytes != SealBytes::kLost) file.seal = std::move(seal);
    return Tidy(inode, file);
  }

  /// The bytes are in the bucket; the data file goes with the sweep, unless it can be told to hold
  /// them.
  Status TakeUpClean(uint64_t inode, LeftFile& file) {
    file.dirty.clear();
    file.row.base_limit = file.row.size;
    const auto found = disk_.Stat(DataFile(directory_, inode));
    if (!found || !found->is_regular || !HasClean(inode, file)) return {};
    file.on_disk = true;
    file.local_length = found->size;
    return Tidy(inode, file);
  }

  bool HasClean(uint64_t inode, const LeftFile& file) const {
    const auto it = cleans_.find(inode);
    return it != cleans_.end() && SameVersion(it->second.base, file.row.base);
  }

  /// C5: of what the database says, the blocks that may be right.
  void TakeClean(uint64_t inode, LeftFile& file) {
    if (!HasClean(inode, file)) return;
    const ExtentSet dirty(file.dirty);
    const uint64_t limit = std::min(file.local_length, file.row.base_limit);
    for (const BlockSum& sum : cleans_.at(inode).sums) {
      const ByteRange block = SumBlock(sum, file.row.base.size);
      if (block.empty() || block.end > limit || dirty.Overlaps(block)) continue;
      file.clean.push_back(sum);
    }
    if (file.clean.empty()) return;
    cleans_.erase(inode);
    ++clean_rows_;
  }

  static ByteRange SumBlock(const BlockSum& sum, uint64_t base_size) {
    return {sum.block * kSumBlock, std::min((sum.block + 1) * kSumBlock, base_size)};
  }

  /// Files of which nothing but clean bytes is there, and rows of which nothing is.
  Status ListClean(LeftFiles* left) {
    StateBatch batch;
    for (const auto& [inode, row] : cleans_) {
      if (!kept_.contains(inode)) {
        batch.DropClean(inode);
        continue;
      }
      uint64_t bytes = 0;
      for (const BlockSum& sum : row.sums) bytes += SumBlock(sum, row.base.size).length();
      left->clean.emplace_back(inode, bytes);
      ++clean_rows_;
    }
    left->clean_rows = clean_rows_;
    return batch.empty() ? Status() : state_.Apply(std::move(batch), Persist::kSurvivesKill);
  }

  Result<bool> HoldsWhatItShould(uint64_t inode, LeftVerdict verdict, LeftFile& file,
                                 const std::optional<SealRow>& seal) {
    auto found = disk_.Stat(DataFile(directory_, inode));
    file.on_disk = found && found->is_regular;
    file.local_length = file.on_disk ? found->size : 0;
    if (verdict != LeftVerdict::kAsSealed) {
      return file.dirty.empty() || file.dirty.back().end <= file.local_length;
    }
    ExtentSet wanted(seal->dirty);
    if (seal->bytes == SealBytes::kKept) {
      QUAY_ASSIGN(const ExtentSet kept, KeptRanges(disk_, directory_, inode, seal->generation));
      if (kept.empty() || !file.on_disk) return false;
      for (const ByteRange& range : kept.ranges()) wanted.Remove(range);
    }
    return wanted.empty() || wanted.ranges().back().end <= file.local_length;
  }

  /// What was changed in place since is as it was.
  Status Unwind(uint64_t inode, LeftFile& file, SealRow& seal) {
    if (seal.bytes != SealBytes::kKept) return {};
    const ExtentSet wanted(seal.dirty);
    QUAY_ASSIGN(const std::unique_ptr<DiskFile> data,
                disk_.Open(DataFile(directory_, inode), OpenMode::kReadWrite));
    QUAY_TRY(RestoreKept(disk_, directory_, inode, seal.generation, wanted, *data));
    QUAY_TRY(data->SyncData());
    QUAY_ASSIGN(file.local_length, data->Size());
    seal.bytes = SealBytes::kInPlace;
    return {};
  }

  void AdoptUpload(uint64_t inode, LeftFile& file) {
    const auto it = uploads_.find(inode);
    if (it == uploads_.end()) return;
    file.upload = std::move(it->second.row);
    file.parts = std::move(it->second.parts);
    uploads_.erase(it);
  }

  /// C3: the last sealed generation is what there is; what came after it is kept for people.
  Status GoBack(uint64_t inode, LeftFile& file, SealRow& seal) {
    if (file.on_disk) {
      auto copied = CopyAside(directory_, inode, now_, disk_);
      if (!copied) {
        return Error(copied.code(),
                     fmt::format("cannot set aside what was written to inode {} after it was last "
                                 "synced, before the machine went down: {}",
                                 inode, copied.error().message()));
      }
      file.set_aside = *std::move(copied);
    }
    const bool unwound = seal.bytes == SealBytes::kKept;
    if (Status done = Unwind(inode, file, seal); !done) {
      return Error(done.error().code(),
                   fmt::format("cannot take inode {} back to what it was when it was last synced, "
                               "before the machine went down: {}",
                               inode, done.error().message()));
    }
    // Parts that were sent ahead are not of this generation. What an attempt to publish has come
    // to is still to be found out.
    const auto upload = uploads_.find(inode);
    const bool attempt = upload != uploads_.end() && AttemptOf(upload->second.row).has_value();
    file.row.size = seal.size;
    file.row.base_limit = seal.base_limit;
    file.row.generation = seal.generation;
    file.row.base = seal.base;
    file.dirty = seal.dirty;
    StateBatch batch;
    if (attempt) {
      AdoptUpload(inode, file);
    } else if (upload != uploads_.end()) {
      OrphanUpload(inode, batch);
    }
    batch.PutContent(file.row).SetDirty(inode, file.dirty);
    if (unwound) batch.PutSeal(seal);
    batch.AddNote(
        {0, std::string(kSetAsideNote), inode, file.set_aside,
         NamedLike(inode) +
             "the machine went down before what was written last had reached the disk; the "
             "file is as it was when it was last synced, and this is what was found",
         Nanoseconds(now_)});
    return state_.Apply(std::move(batch), Persist::kSurvivesPowerCut);
  }

  /// C3: there is no generation that may be published.
  Status Condemn(uint64_t inode, LeftFile& file, bool whole) {
    if (file.on_disk) {
      QUAY_ASSIGN(file.set_aside, LinkAside(directory_, inode, now_, disk_));
      file.on_disk = false;  // the sweep removes the name under which it was used
    }
    file.usable = false;
    SealRow seal;
    seal.ino = inode;
    seal.generation = kCondemned;
    seal.bytes = SealBytes::kLost;
    StateBatch batch;
    batch.PutSeal(std::move(seal));
    if (uploads_.contains(inode)) OrphanUpload(inode, batch);
    batch.AddNote(
        {0, std::string(kSetAsideNote), inode, file.set_aside,
         NamedLike(inode) +
             (whole ? "the machine went down before the file was synced; what was found cannot "
                      "be trusted"
                    : "the cache disk has lost bytes of the file; this is what was found"),
         Nanoseconds(now_)});
    return state_.Apply(std::move(batch), Persist::kSurvivesPowerCut);
  }

  /// "'folder/name': ", for people; "" if it has no name. Read when the first file needs it.
  std::string NamedLike(uint64_t inode) {
    if (!names_read_) {
      names_read_ = true;
      // Without names a note still says where the bytes are.
      Ignore(state_.ReadInodes([this](InodeRow row) {
        const auto parent = names_.find(row.parent);
        const bool top = parent == names_.end() || parent->second.empty();
        if (row.parent == row.ino) row.name.clear();
        names_[row.ino] = top ? row.name : parent->second + "/" + row.name;
      }));
    }
    const auto it = names_.find(inode);
    return it == names_.end() || it->second.empty() ? "" : fmt::format("'{}': ", it->second);
  }

  /// Leaves the dirty bytes, and clean ones with checksums: whatever else is there is a cached
  /// byte, which is not trusted any more, or was being written and never acknowledged.
  Status Tidy(uint64_t inode, LeftFile& file) {
    if (!file.on_disk) return {};
    TakeClean(inode, file);
    ExtentSet wanted(file.dirty);
    for (const BlockSum& sum : file.clean) wanted.Add(SumBlock(sum, file.row.base.size));
    std::vector<ByteRange> gaps;
    const uint64_t length = std::min(file.local_length, file.row.size);
    uint64_t at = 0;
    for (const ByteRange& range : wanted.ranges()) {
      if (at < std::min(range.begin, length)) gaps.push_back({at, std::min(range.begin, length)});
      at = range.end;
    }
    if (at < length) gaps.push_back({at, length});
    if (gaps.empty() && file.local_length <= file.row.size) return {};
    QUAY_ASSIGN(const std::unique_ptr<DiskFile> data,
                disk_.Open(DataFile(directory_, inode), OpenMode::kReadWrite));
    if (file.local_length > file.row.size) QUAY_TRY(data->Truncate(file.row.size));
    file.local_length = length;
    for (const ByteRange& gap : gaps) QUAY_TRY(data->PunchHole(gap));
    return {};
  }

  void OrphanUpload(uint64_t inode, StateBatch& batch) {
    const auto it = uploads_.find(inode);
    const std::string id = UploadIdOf(it->second.row);
    batch.DropUpload(inode);
    if (!id.empty()) {
      batch.PutOrphan(it->second.row.key, id);
      orphans_.emplace_back(it->second.row.key, id);
    }
    uploads_.erase(it);
  }

  Status OrphanUploadsWithoutFile() {
    StateBatch batch;
    while (!uploads_.empty()) OrphanUpload(uploads_.begin()->first, batch);
    return batch.empty() ? Status() : state_.Apply(std::move(batch), Persist::kSurvivesKill);
  }

  /// Data files that nothing speaks of.
  Status Sweep() {
    const std::string root = DataRoot(directory_);
    QUAY_ASSIGN(const std::vector<DiskEntry> folders, disk_.List(root));
    for (const DiskEntry& folder : folders) {
      if (!folder.is_directory) continue;
      const std::string path = fmt::format("{}/{}", root, folder.name);
      QUAY_ASSIGN(const std::vector<DiskEntry> entries, disk_.List(path));
      for (const DiskEntry& entry : entries) {
        if (!entry.is_directory) QUAY_TRY(SweepOne(path, entry.name));
      }
    }
    return {};
  }

  Status SweepOne(const std::string& folder, const std::string& name) {
    uint64_t inode = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), inode);
    std::string path = fmt::format("{}/{}", folder, name);
    const bool ours = error == std::errc() && end == name.data() + name.size() &&
                      path == DataFile(directory_, inode);
    if (error == std::errc() && path == KeptFile(directory_, inode)) {
      const auto it = files_.find(inode);
      if (it != files_.end() && it->second.seal && it->second.seal->bytes == SealBytes::kKept) {
        return {};
      }
    }
    if (ours) {
      const auto it = files_.find(inode);
      if (it != files_.end() && it->second.on_disk) return {};
      if (it == files_.end() && cleans_.contains(inode)) {
        kept_.insert(inode);
        return {};
      }
      if (state_.is_new()) {
        // Somebody has removed the database; its files may hold what is nowhere else.
        QUAY_ASSIGN(const std::string aside, LinkAside(directory_, inode, now_, disk_));
        StateBatch batch;
        batch.AddNote({0, std::string(kSetAsideNote), inode, aside,
                       "found without a database that tells what it is", Nanoseconds(now_)});
        QUAY_TRY(state_.Apply(std::move(batch), Persist::kSurvivesPowerCut));
      }
    }
    return disk_.RemoveFile(path);
  }

  const std::string& directory_;
  Disk& disk_;
  StateDb& state_;
  const WallTime now_;
  std::map<uint64_t, LeftFile> files_;
  std::map<uint64_t, SealRow> seals_;
  std::map<uint64_t, CleanRow> cleans_;  // that belong to no file in files_ (yet)
  std::set<uint64_t> kept_;              // of cleans_: there is a data file
  size_t clean_rows_ = 0;
  std::map<uint64_t, LeftUpload> uploads_;
  std::map<uint64_t, std::string> notes_;
  std::vector<std::pair<std::string, std::string>> orphans_;
  bool names_read_ = false;
  std::map<uint64_t, std::string> names_;
};

}  // namespace

LeftVerdict JudgeLeftFile(const ContentRow& row, const std::optional<SealRow>& seal,
                          bool same_boot) {
  if (!row.modified || same_boot) return LeftVerdict::kAsRecorded;
  if (!seal || seal->bytes == SealBytes::kLost) return LeftVerdict::kUnusable;
  // Changes of bytes that are dirty already need not have moved the row's generation.
  return row.generation == seal->generation && seal->bytes == SealBytes::kInPlace
             ? LeftVerdict::kAsRecorded
             : LeftVerdict::kAsSealed;
}

Result<LeftFiles> TakeUpLeftFiles(const std::string& directory, Disk& disk, StateDb& state,
                                  Clock& clock) {
  return Takeover(directory, disk, state, clock).Run();
}

}  // namespace quayfs
