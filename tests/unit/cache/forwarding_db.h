// SPDX-License-Identifier: Apache-2.0
//
// A state database in front of another one, for tests that want to see or stop what goes in.

#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cache/state/state_db.h"

namespace quayfs {

class ForwardingDb : public StateDb {
 public:
  explicit ForwardingDb(std::unique_ptr<StateDb> db) : db_(std::move(db)) {}

  Status Apply(StateBatch batch, Persist persist) override {
    return db_->Apply(std::move(batch), persist);
  }
  Status ReadInodes(const std::function<void(InodeRow row)>& take) override {
    return db_->ReadInodes(take);
  }
  Status ReadContents(
      const std::function<void(ContentRow row, std::vector<ByteRange> dirty)>& take) override {
    return db_->ReadContents(take);
  }
  Status ReadSeals(const std::function<void(SealRow row)>& take) override {
    return db_->ReadSeals(take);
  }
  Status ReadCleans(const std::function<void(CleanRow row)>& take) override {
    return db_->ReadCleans(take);
  }
  Result<std::optional<CleanRow>> FindClean(uint64_t ino) override { return db_->FindClean(ino); }
  Status ReadUploads(
      const std::function<void(UploadRow row, std::vector<PartRow> parts)>& take) override {
    return db_->ReadUploads(take);
  }
  Status ReadOrphans(
      const std::function<void(std::string key, std::string upload_id)>& take) override {
    return db_->ReadOrphans(take);
  }
  Status ReadRemovals(const std::function<void(RemovalRow row)>& take) override {
    return db_->ReadRemovals(take);
  }
  Status ReadNotes(const std::function<void(NoteRow row)>& take) override {
    return db_->ReadNotes(take);
  }
  Result<int64_t> Number(const std::string& name, int64_t otherwise) override {
    return db_->Number(name, otherwise);
  }
  bool same_boot() const override { return db_->same_boot(); }
  bool is_new() const override { return db_->is_new(); }

 private:
  const std::unique_ptr<StateDb> db_;
};

}  // namespace quayfs
