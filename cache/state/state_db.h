// SPDX-License-Identifier: Apache-2.0
//
// What a mount must not forget: names, attributes, which bytes of which file are newer than the
// bucket, uploads under way, and objects that are still to be removed. One SQLite database,
// `state.db`, in the mount's cache directory; FORMAT.md describes the tables.
//
// It is storage, not policy: it knows rows, not what they mean for the bucket. Everything that
// belongs together goes into one StateBatch and is applied whole or not at all.
//
// - Thread safety: every method may be called by any number of threads; batches are applied one
//   after the other, in the order of the calls.
// - Blocking: the local disk only. Apply with kSurvivesKill costs some 20 µs and no disk flush.
// - Errors: kIo, kNoSpace (the disk; nothing of the batch has happened), kCorrupt (the database is
//   damaged), kReadOnly. After kCorrupt or kIo from Apply the database takes no further changes.
// - SQLite is known here only.

#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/byte_range.h"
#include "base/result.h"
#include "providers/object_store.h"

namespace quayfs {

/// A version of an object. "" as etag: none.
struct StoredVersion {
  std::string key;
  std::string etag;
  uint64_t size = 0;
  int64_t modified_seconds = 0;  // 0: not known
};

/// One inode. Times are nanoseconds since 1970 (UTC).
struct InodeRow {
  uint64_t ino = 0;
  uint64_t parent = 0;  // 0: not linked (an open file that was removed)
  std::string name;
  uint32_t mode = 0;
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint64_t rdev = 0;
  uint64_t size = 0;  // of a file with a ContentRow that one's counts
  int64_t atime = 0;
  int64_t mtime = 0;
  int64_t ctime = 0;
  std::string symlink_target;
  uint32_t flags = 0;       // the owner's; kept as they are
  uint64_t generation = 0;  // of the content that size, mtime and ctime go with
  StoredVersion version;    // the object of this inode, if any
  ObjectProperties properties;
};

/// The content of one file that is, or was, newer than the bucket. Its bytes lie in the data file
/// of that number.
struct ContentRow {
  uint64_t ino = 0;
  uint64_t size = 0;
  uint64_t base_limit = 0;  // how much of the base the file still shows
  uint64_t generation = 0;
  bool modified = false;  // the base is not this content
  StoredVersion base;
  int64_t changed_at = 0;  // nanoseconds since 1970: the last content change that was recorded
};

/// Where the bytes of a seal are now. The numbers are those of the database.
enum class SealBytes : uint8_t {
  kInPlace = 0,
  kLost = 1,  // changed in place since: it cannot be had back
  kKept = 2,  // changed in place since, but what they were lies beside it (cache/kept_bytes.h)
};

/// A generation that has reached the disk (C2): what the file was then.
struct SealRow {
  uint64_t ino = 0;
  uint64_t size = 0;
  uint64_t base_limit = 0;
  uint64_t generation = 0;
  StoredVersion base;
  std::vector<ByteRange> dirty;
  SealBytes bytes = SealBytes::kInPlace;
};

/// A block of a data file, and the CRC32C of what it held when it was a copy of the base's bytes.
struct BlockSum {
  uint64_t block = 0;  // its number: it begins at block * kSumBlock
  uint32_t crc = 0;
  friend bool operator==(const BlockSum&, const BlockSum&) = default;
};

/// All blocks but the last one of an object are of this size.
inline constexpr uint64_t kSumBlock = 128ull << 10;

/// Clean bytes that are worth keeping (C5). It may be out of date: what does not fit its sum is not
/// what it speaks of.
struct CleanRow {
  uint64_t ino = 0;
  StoredVersion base;          // without the time
  std::vector<BlockSum> sums;  // by number, each once
};

/// A multipart upload of ours (C7).
struct UploadRow {
  uint64_t ino = 0;
  std::string key;
  std::string upload_id;
  ObjectProperties properties;
};

struct PartRow {
  uint64_t ino = 0;
  int number = 0;
  ByteRange range;
  bool copied = false;  // from the base, by part copy
  std::string etag;
  uint64_t size = 0;
};

/// An object that this mount has removed or replaced under its key, and that is still there.
struct RemovalRow {
  std::string key;
  std::string etag;
  uint64_t size = 0;
};

/// Something set aside or in conflict, for people: kept until somebody deals with it.
struct NoteRow {
  int64_t id = 0;  // 0 when it is added: the database chooses
  std::string kind;
  uint64_t ino = 0;
  std::string path;
  std::string text;
  int64_t at = 0;  // nanoseconds since 1970
};

/// Changes that become true together. Built by one thread, applied once.
class StateBatch {
 public:
  StateBatch& PutInode(InodeRow row);
  StateBatch& DropInode(uint64_t ino);

  StateBatch& PutContent(ContentRow row);
  /// `range` is dirty, as one extent: what it overlaps or touches is merged into it.
  StateBatch& AddDirty(uint64_t ino, ByteRange range);
  StateBatch& CutDirty(uint64_t ino, ByteRange range);
  StateBatch& SetDirty(uint64_t ino, std::vector<ByteRange> ranges);
  /// The content, its extents, its seal, its upload and parts.
  StateBatch& DropContent(uint64_t ino);

  /// The same, unless the content is newer than the bucket (again).
  StateBatch& DropContentIfClean(uint64_t ino);

  StateBatch& PutSeal(SealRow row);
  StateBatch& DropSeal(uint64_t ino);
  StateBatch& SealKept(uint64_t ino);

  StateBatch& PutClean(CleanRow row);
  StateBatch& DropClean(uint64_t ino);

  StateBatch& PutUpload(UploadRow row);
  /// And its parts.
  StateBatch& DropUpload(uint64_t ino);
  StateBatch& PutPart(PartRow row);
  StateBatch& DropPart(uint64_t ino, int number);
  /// An upload that is nobody's any more and has to be aborted.
  StateBatch& PutOrphan(std::string key, std::string upload_id);
  StateBatch& DropOrphan(std::string key, std::string upload_id);

  StateBatch& PutRemoval(RemovalRow row);
  StateBatch& DropRemoval(std::string key);

  StateBatch& AddNote(NoteRow row);
  StateBatch& DropNote(int64_t id);

  /// Small numbers by name, such as the next inode number.
  StateBatch& SetNumber(std::string name, int64_t value);

  /// All of `later`, after what there is.
  StateBatch& Append(StateBatch later);

  bool empty() const { return changes_.empty(); }

 private:
  friend class StateWriter;

  enum class Act {
    kDropInode,
    kDropContent,
    kDropContentIfClean,
    kDropSeal,
    kSealKept,
    kDropClean,
    kDropUpload,
    kDropPart,  // number
    kDropNote,  // number
  };
  struct ByNumber {
    Act act;
    uint64_t ino = 0;
    int64_t number = 0;
  };
  struct AddRange {
    uint64_t ino = 0;
    ByteRange range;
  };
  struct CutRange {
    uint64_t ino = 0;
    ByteRange range;
  };
  struct SetRanges {
    uint64_t ino = 0;
    std::vector<ByteRange> ranges;
  };
  struct Orphan {
    std::string key;
    std::string upload_id;
    bool put = false;
  };
  struct RemovalDone {
    std::string key;
  };
  struct NamedNumber {
    std::string name;
    int64_t value = 0;
  };
  using Change =
      std::variant<ByNumber, AddRange, CutRange, SetRanges, InodeRow, ContentRow, SealRow, CleanRow,
                   UploadRow, PartRow, Orphan, RemovalRow, RemovalDone, NoteRow, NamedNumber>;
  std::vector<Change> changes_;
};

enum class Persist {
  kSurvivesKill,      // of the process; written, not flushed
  kSurvivesPowerCut,  // flushed, with everything applied before
};

struct StateIdentity {
  /// What the state belongs to: endpoint, bucket, prefix. Another one is refused.
  std::string bucket;
};

class StateDb {
 public:
  virtual ~StateDb() = default;

  /// Opens or makes DIRECTORY/state.db, for this process alone. The directory exists.
  /// kBusy: another process has it open. kConflict-like refusals are kNotPermitted: it belongs to
  /// another bucket, or a newer quayfs has made it. kCorrupt: it is damaged, or no database of
  /// ours. Each message says what to do; the files are left as they were.
  static Result<std::unique_ptr<StateDb>> Open(const std::string& directory,
                                               const StateIdentity& identity);

  virtual Status Apply(StateBatch batch, Persist persist) = 0;

  /// What Open found. To be read before the first Apply; in any order.
  virtual Status ReadInodes(const std::function<void(InodeRow row)>& take) = 0;  // parents first
  virtual Status ReadContents(
      const std::function<void(ContentRow row, std::vector<ByteRange> dirty)>& take) = 0;
  virtual Status ReadSeals(const std::function<void(SealRow row)>& take) = 0;
  virtual Status ReadCleans(const std::function<void(CleanRow row)>& take) = 0;
  /// One of them, at any time. Nothing if there is none.
  virtual Result<std::optional<CleanRow>> FindClean(uint64_t ino) = 0;
  virtual Status ReadUploads(
      const std::function<void(UploadRow row, std::vector<PartRow> parts)>& take) = 0;
  virtual Status ReadOrphans(
      const std::function<void(std::string key, std::string upload_id)>& take) = 0;
  virtual Status ReadRemovals(const std::function<void(RemovalRow row)>& take) = 0;
  virtual Status ReadNotes(const std::function<void(NoteRow row)>& take) = 0;
  virtual Result<int64_t> Number(const std::string& name, int64_t otherwise) = 0;

  /// The boot during which the last changes before this Open were made was this one: what was
  /// written without a flush is still there.
  virtual bool same_boot() const = 0;
  /// Nothing was there: the database has just been made.
  virtual bool is_new() const = 0;
};

}  // namespace quayfs
