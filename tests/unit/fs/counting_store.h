// SPDX-License-Identifier: Apache-2.0
//
// An object store around another one that counts the calls and, on request, fails some of them.

#pragma once

#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "providers/object_store.h"
#include "tests/unit/hook.h"

namespace quayfs {

class CountingStore final : public ObjectStore {
 public:
  explicit CountingStore(ObjectStore& inner) : inner_(inner), capabilities_(inner.capabilities()) {}

  std::optional<StoreSpace> Space() const override { return space; }
  std::optional<StoreSpace> space;  // to be set before it is used

  /// Called with the operation's name and key before it is passed on; an error is returned instead.
  Hook<const std::string&, const std::string&> before;
  /// The same after it has happened.
  Hook<const std::string&, const std::string&> after;
  void ChangeCapabilities(const std::function<void(Capabilities&)>& change) {
    MutexLock lock(mutex_);
    change(capabilities_);
  }

  std::map<std::string, int> Counts() const {
    MutexLock lock(mutex_);
    return counts_;
  }
  int Count(const std::string& operation) const {
    MutexLock lock(mutex_);
    const auto it = counts_.find(operation);
    return it == counts_.end() ? 0 : it->second;
  }
  int Total() const {
    int total = 0;
    for (const auto& [operation, count] : Counts()) total += count;
    return total;
  }
  void Reset() {
    MutexLock lock(mutex_);
    counts_.clear();
  }

  const std::string& name() const override { return inner_.name(); }
  Capabilities capabilities() const override {
    MutexLock lock(mutex_);
    return capabilities_;
  }
  Status CheckBucket(const CallOptions& call) override { return inner_.CheckBucket(call); }
  Result<ObjectHead> Head(const std::string& key, const CallOptions& call) override {
    QUAY_TRY(Note("Head", key));
    return inner_.Head(key, call);
  }
  Result<ObjectHead> Get(const GetRequest& request, DataSink& sink,
                         const CallOptions& call) override {
    QUAY_TRY(Note("Get", request.key));
    return inner_.Get(request, sink, call);
  }
  Result<ObjectInfo> Put(const std::string& key, const DataSource& data,
                         const ObjectProperties& properties, const Condition& condition,
                         const CallOptions& call) override {
    QUAY_TRY(Note("Put", key));
    auto put = inner_.Put(key, data, properties, condition, call);
    QUAY_TRY(after("Put", key));
    return put;
  }
  Result<std::string> CreateUpload(const std::string& key, const ObjectProperties& properties,
                                   const CallOptions& call) override {
    QUAY_TRY(Note("CreateUpload", key));
    return inner_.CreateUpload(key, properties, call);
  }
  Result<PartInfo> UploadPart(const std::string& key, const std::string& upload_id, int number,
                              const DataSource& data, const CallOptions& call) override {
    QUAY_TRY(Note("UploadPart", key));
    return inner_.UploadPart(key, upload_id, number, data, call);
  }
  Result<PartInfo> CopyPart(const std::string& key, const std::string& upload_id, int number,
                            const std::string& source_key, const std::string& source_etag,
                            ByteRange source_range, const CallOptions& call) override {
    QUAY_TRY(Note("CopyPart", key));
    return inner_.CopyPart(key, upload_id, number, source_key, source_etag, source_range, call);
  }
  Result<ObjectInfo> CompleteUpload(const std::string& key, const std::string& upload_id,
                                    const std::vector<PartInfo>& parts, const Condition& condition,
                                    const CallOptions& call) override {
    QUAY_TRY(Note("CompleteUpload", key));
    return inner_.CompleteUpload(key, upload_id, parts, condition, call);
  }
  Status AbortUpload(const std::string& key, const std::string& upload_id,
                     const CallOptions& call) override {
    QUAY_TRY(Note("AbortUpload", key));
    return inner_.AbortUpload(key, upload_id, call);
  }
  Result<std::vector<PartInfo>> ListParts(const std::string& key, const std::string& upload_id,
                                          const CallOptions& call) override {
    QUAY_TRY(Note("ListParts", key));
    return inner_.ListParts(key, upload_id, call);
  }
  Result<std::vector<UploadInfo>> ListUploads(const std::string& prefix,
                                              const CallOptions& call) override {
    QUAY_TRY(Note("ListUploads", prefix));
    return inner_.ListUploads(prefix, call);
  }
  Result<ListPage> List(const ListRequest& request, const CallOptions& call) override {
    QUAY_TRY(Note("List", request.prefix));
    ListRequest smaller = request;
    smaller.max_keys = std::min(request.max_keys, page_size);
    auto page = inner_.List(smaller, call);
    QUAY_TRY(after("List", request.prefix));
    return page;
  }
  Status Delete(const std::string& key, const Condition& condition,
                const CallOptions& call) override {
    QUAY_TRY(Note("Delete", key));
    return inner_.Delete(key, condition, call);
  }
  Result<std::vector<DeleteOutcome>> DeleteMany(const std::vector<std::string>& keys,
                                                const CallOptions& call) override {
    QUAY_TRY(Note("DeleteMany", keys.empty() ? "" : keys.front()));
    return inner_.DeleteMany(keys, call);
  }
  Result<ObjectInfo> Copy(const std::string& source_key, const std::string& source_etag,
                          const std::string& key, const std::optional<ObjectProperties>& properties,
                          const Condition& condition, const CallOptions& call) override {
    QUAY_TRY(Note("Copy", key));
    auto copied = inner_.Copy(source_key, source_etag, key, properties, condition, call);
    QUAY_TRY(after("Copy", key));
    return copied;
  }
  Result<ObjectInfo> Move(const std::string& source_key, const std::string& key,
                          const CallOptions& call) override {
    QUAY_TRY(Note("Move", key));
    return inner_.Move(source_key, key, call);
  }

  int page_size = 1000;

 private:
  Status Note(const std::string& operation, const std::string& key) {
    {
      MutexLock lock(mutex_);
      ++counts_[operation];
    }
    return before(operation, key);
  }

  ObjectStore& inner_;
  mutable Mutex mutex_{LockRank::kLeaf};
  Capabilities capabilities_ QUAY_GUARDED_BY(mutex_);
  std::map<std::string, int> counts_ QUAY_GUARDED_BY(mutex_);
};

}  // namespace quayfs
