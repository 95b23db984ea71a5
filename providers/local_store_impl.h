// SPDX-License-Identifier: Apache-2.0
//
// The class behind local_store.h. Split over three files: objects (local_store.cc), multipart
// uploads (local_uploads.cc), listing (local_list.cc).

#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "providers/local_bucket.h"
#include "providers/local_walk.h"
#include "providers/object_store.h"

namespace quayfs {

class LocalStore final : public ObjectStore {
 public:
  LocalStore(std::string directory, Disk& disk, Clock& clock);

  const std::string& name() const override { return name_; }
  Capabilities capabilities() const override;
  std::optional<StoreSpace> Space() const override;
  Status CheckBucket(const CallOptions& call) override;
  Result<ObjectHead> Head(const std::string& key, const CallOptions& call) override;
  Result<ObjectHead> Get(const GetRequest& request, DataSink& sink,
                         const CallOptions& call) override;
  Result<ObjectInfo> Put(const std::string& key, const DataSource& data,
                         const ObjectProperties& properties, const Condition& condition,
                         const CallOptions& call) override;
  Result<std::string> CreateUpload(const std::string& key, const ObjectProperties& properties,
                                   const CallOptions& call) override;
  Result<PartInfo> UploadPart(const std::string& key, const std::string& upload_id, int number,
                              const DataSource& data, const CallOptions& call) override;
  Result<PartInfo> CopyPart(const std::string& key, const std::string& upload_id, int number,
                            const std::string& source_key, const std::string& source_etag,
                            ByteRange source_range, const CallOptions& call) override;
  Result<ObjectInfo> CompleteUpload(const std::string& key, const std::string& upload_id,
                                    const std::vector<PartInfo>& parts, const Condition& condition,
                                    const CallOptions& call) override;
  Status AbortUpload(const std::string& key, const std::string& upload_id,
                     const CallOptions& call) override;
  Result<std::vector<PartInfo>> ListParts(const std::string& key, const std::string& upload_id,
                                          const CallOptions& call) override;
  Result<std::vector<UploadInfo>> ListUploads(const std::string& prefix,
                                              const CallOptions& call) override;
  Result<ListPage> List(const ListRequest& request, const CallOptions& call) override;
  Status Delete(const std::string& key, const Condition& condition,
                const CallOptions& call) override;
  Result<std::vector<DeleteOutcome>> DeleteMany(const std::vector<std::string>& keys,
                                                const CallOptions& call) override;
  Result<ObjectInfo> Copy(const std::string& source_key, const std::string& source_etag,
                          const std::string& key, const std::optional<ObjectProperties>& properties,
                          const Condition& condition, const CallOptions& call) override;
  Result<ObjectInfo> Move(const std::string& source_key, const std::string& key,
                          const CallOptions& call) override;

 private:
  using Temporary = LocalBucket::Temporary;
  using Guard = LocalBucket::Guard;

  /// Opens an object for reading; kChanged if `etag` is not empty and differs.
  Result<LocalBucket::OpenObject> OpenVersion(const std::string& key,
                                              const std::string& etag) const;
  Status CheckDestination(const std::string& key, const Condition& condition) const;
  /// Finishes a temporary file as an object and publishes it under the condition.
  Result<ObjectInfo> PublishObject(Temporary& temporary, const std::string& key, LocalRecord record,
                                   const Condition& condition, const CallOptions& call);
  Result<std::optional<ObjectInfo>> TryCopy(const std::string& source_key,
                                            const std::string& source_etag, const std::string& key,
                                            const std::optional<ObjectProperties>& properties,
                                            const Condition& condition, const CallOptions& call);
  void DeleteBatch(const std::vector<std::string>& keys, size_t begin, size_t end,
                   std::vector<DeleteOutcome>* outcomes, const CallOptions& call);
  Status DeleteLocked(const std::string& key, const Condition& condition, const Guard& guard);

  /// The record of an unfinished upload of `key`; kNotFound.
  Result<LocalRecord> FindUpload(const std::string& key, const std::string& upload_id) const;
  Result<PartInfo> PublishPart(Temporary& temporary, const std::string& key,
                               const std::string& upload_id, int number, const CallOptions& call);
  /// The object, if it is the one that this upload made.
  Result<std::optional<ObjectInfo>> FindCompleted(const std::string& key,
                                                  const std::string& upload_id) const;
  Result<Temporary> JoinParts(const std::string& upload_id, const std::vector<PartInfo>& parts,
                              const CallOptions& call);
  Result<ObjectInfo> PublishUpload(Temporary& temporary, const std::string& key,
                                   const std::string& upload_id, LocalRecord record,
                                   const Condition& condition, const CallOptions& call);

  /// Continues the walk that `request.token` names, or begins one.
  Result<std::unique_ptr<LocalWalk>> StartWalk(const ListRequest& request);
  std::string ParkWalk(std::unique_ptr<LocalWalk> walk, const std::string& last);
  std::optional<ObjectInfo> Describe(const std::string& key) const;

  const std::string name_;
  LocalBucket bucket_;

  /// A walk that waits for its next page. If it is gone by then, a new one starts behind the last
  /// key.
  struct ParkedWalk {
    uint64_t id = 0;
    std::string last;
    std::unique_ptr<LocalWalk> walk;
  };
  Mutex walks_mutex_{LockRank::kProvider};
  uint64_t last_walk_ QUAY_GUARDED_BY(walks_mutex_) = 0;
  std::list<ParkedWalk> walks_ QUAY_GUARDED_BY(walks_mutex_);  // oldest first
};

}  // namespace quayfs
