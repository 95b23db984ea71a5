// SPDX-License-Identifier: Apache-2.0

#include <iterator>
#include <utility>

#include "cache/state/state_db.h"

namespace quayfs {

StateBatch& StateBatch::PutInode(InodeRow row) {
  changes_.emplace_back(std::move(row));
  return *this;
}

StateBatch& StateBatch::DropInode(uint64_t ino) {
  changes_.emplace_back(ByNumber{Act::kDropInode, ino});
  return *this;
}

StateBatch& StateBatch::PutContent(ContentRow row) {
  changes_.emplace_back(std::move(row));
  return *this;
}

StateBatch& StateBatch::AddDirty(uint64_t ino, ByteRange range) {
  changes_.emplace_back(AddRange{ino, range});
  return *this;
}

StateBatch& StateBatch::CutDirty(uint64_t ino, ByteRange range) {
  changes_.emplace_back(CutRange{ino, range});
  return *this;
}

StateBatch& StateBatch::SetDirty(uint64_t ino, std::vector<ByteRange> ranges) {
  changes_.emplace_back(SetRanges{ino, std::move(ranges)});
  return *this;
}

StateBatch& StateBatch::DropContent(uint64_t ino) {
  changes_.emplace_back(ByNumber{Act::kDropContent, ino});
  return *this;
}

StateBatch& StateBatch::DropContentIfClean(uint64_t ino) {
  changes_.emplace_back(ByNumber{Act::kDropContentIfClean, ino});
  return *this;
}

StateBatch& StateBatch::PutSeal(SealRow row) {
  changes_.emplace_back(std::move(row));
  return *this;
}

StateBatch& StateBatch::DropSeal(uint64_t ino) {
  changes_.emplace_back(ByNumber{Act::kDropSeal, ino});
  return *this;
}

StateBatch& StateBatch::SealKept(uint64_t ino) {
  changes_.emplace_back(ByNumber{Act::kSealKept, ino});
  return *this;
}

StateBatch& StateBatch::PutClean(CleanRow row) {
  changes_.emplace_back(std::move(row));
  return *this;
}

StateBatch& StateBatch::DropClean(uint64_t ino) {
  changes_.emplace_back(ByNumber{Act::kDropClean, ino});
  return *this;
}

StateBatch& StateBatch::PutUpload(UploadRow row) {
  changes_.emplace_back(std::move(row));
  return *this;
}

StateBatch& StateBatch::DropUpload(uint64_t ino) {
  changes_.emplace_back(ByNumber{Act::kDropUpload, ino});
  return *this;
}

StateBatch& StateBatch::PutPart(PartRow row) {
  changes_.emplace_back(std::move(row));
  return *this;
}

StateBatch& StateBatch::DropPart(uint64_t ino, int number) {
  changes_.emplace_back(ByNumber{Act::kDropPart, ino, number});
  return *this;
}

StateBatch& StateBatch::PutOrphan(std::string key, std::string upload_id) {
  changes_.emplace_back(Orphan{std::move(key), std::move(upload_id), true});
  return *this;
}

StateBatch& StateBatch::DropOrphan(std::string key, std::string upload_id) {
  changes_.emplace_back(Orphan{std::move(key), std::move(upload_id), false});
  return *this;
}

StateBatch& StateBatch::PutRemoval(RemovalRow row) {
  changes_.emplace_back(std::move(row));
  return *this;
}

StateBatch& StateBatch::DropRemoval(std::string key) {
  changes_.emplace_back(RemovalDone{std::move(key)});
  return *this;
}

StateBatch& StateBatch::AddNote(NoteRow row) {
  changes_.emplace_back(std::move(row));
  return *this;
}

StateBatch& StateBatch::DropNote(int64_t id) {
  changes_.emplace_back(ByNumber{Act::kDropNote, 0, id});
  return *this;
}

StateBatch& StateBatch::SetNumber(std::string name, int64_t value) {
  changes_.emplace_back(NamedNumber{std::move(name), value});
  return *this;
}

StateBatch& StateBatch::Append(StateBatch later) {
  if (changes_.empty()) {
    changes_ = std::move(later.changes_);
  } else {
    changes_.insert(changes_.end(), std::make_move_iterator(later.changes_.begin()),
                    std::make_move_iterator(later.changes_.end()));
  }
  return *this;
}

}  // namespace quayfs
