// SPDX-License-Identifier: Apache-2.0
//
// An object store in memory for the cache's tests: logs every request, and lets a test pause, fail
// or watch any of them.

#pragma once

#include <atomic>
#include <chrono>
#include <cstring>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/hash.h"
#include "base/mutex.h"
#include "providers/object_store.h"
#include "tests/unit/hook.h"

namespace quayfs {

/// One call, as the store saw it.
struct FakeRequest {
  enum class Kind {
    kHead,
    kGet,
    kPut,
    kCreate,
    kPart,
    kCopyPart,
    kComplete,
    kAbort,
    kListParts,
    kOther
  };
  Kind kind = Kind::kOther;
  int index = 0;  // over all requests, from 0
  std::string key;
  ByteRange range;                     // kGet, kCopyPart
  std::string if_match;                // kGet, kCopyPart
  int part = 0;                        // kPart, kCopyPart
  uint64_t bytes = 0;                  // of the body
  std::optional<uint64_t> work_bytes;  // the caller's
};

class FakeObjectStore final : public ObjectStore {
 public:
  using Kind = FakeRequest::Kind;
  struct Object {
    std::string data;
    std::string etag;
    ObjectProperties properties;
  };

  explicit FakeObjectStore(Capabilities capabilities = {}) : capabilities_(capabilities) {}

  /// Called at the start of each request, without locks: may block, and may fail the request by
  /// returning an error.
  Hook<const FakeRequest&> before;
  /// The same after the request has had its effect: an error here is an unclear failure.
  Hook<const FakeRequest&> after;
  /// The same between two pieces of a GET's or part's body.
  Hook<const FakeRequest&> mid_body;
  size_t piece = 64ull << 10;  // bytes per DataSink::Write and DataSource::Read
  bool md5_parts = false;      // a part's ETag is the MD5 of its bytes, as with most services

  // ---- for tests
  std::string SetObject(const std::string& key, std::string data) {
    MutexLock lock(mutex_);
    objects_[key] = {std::move(data), NewEtag(), {}};
    return objects_[key].etag;
  }
  std::optional<Object> Find(const std::string& key) const {
    MutexLock lock(mutex_);
    auto it = objects_.find(key);
    return it == objects_.end() ? std::nullopt : std::optional(it->second);
  }
  void Erase(const std::string& key) {
    MutexLock lock(mutex_);
    objects_.erase(key);
  }
  std::vector<FakeRequest> log() const {
    MutexLock lock(mutex_);
    return log_;
  }
  int Count(Kind kind) const {
    MutexLock lock(mutex_);
    int count = 0;
    for (const FakeRequest& request : log_) count += request.kind == kind ? 1 : 0;
    return count;
  }
  void ClearLog() {
    MutexLock lock(mutex_);
    log_.clear();
  }
  size_t open_uploads() const {
    MutexLock lock(mutex_);
    return uploads_.size();
  }
  void ForgetUploads() {
    MutexLock lock(mutex_);
    uploads_.clear();
  }
  /// Another client has replaced a part.
  void ReplacePart(int number, const std::string& body) {
    MutexLock lock(mutex_);
    for (auto& [id, upload] : uploads_) upload.parts[number] = {body, NewEtag()};
  }
  int most_at_once() const { return most_at_once_; }

  // ---- ObjectStore
  const std::string& name() const override { return name_; }
  Capabilities capabilities() const override { return capabilities_; }
  Status CheckBucket(const CallOptions& /*call*/) override { return {}; }

  Result<ObjectHead> Head(const std::string& key, const CallOptions& call) override {
    Call scope(*this, {Kind::kHead, 0, key}, call);
    QUAY_TRY(scope.status());
    MutexLock lock(mutex_);
    auto it = objects_.find(key);
    if (it == objects_.end()) return Error(Code::kNotFound, "no object '" + key + "'");
    return ObjectHead{Info(key, it->second), it->second.properties};
  }

  Result<ObjectHead> Get(const GetRequest& request, DataSink& sink,
                         const CallOptions& call) override {
    FakeRequest entry{Kind::kGet, 0, request.key, request.range.value_or(ByteRange{}),
                      request.if_match};
    Call scope(*this, entry, call);
    QUAY_TRY(scope.status());
    Object object;
    {
      MutexLock lock(mutex_);
      auto it = objects_.find(request.key);
      if (it == objects_.end()) return Error(Code::kNotFound, "no object '" + request.key + "'");
      object = it->second;
    }
    if (!request.if_match.empty() && request.if_match != object.etag) {
      return Error(Code::kChanged, "'" + request.key + "' has another version");
    }
    ByteRange range = request.range.value_or(ByteRange{0, object.data.size()});
    range.end = std::min<uint64_t>(range.end, object.data.size());
    if (request.range && range.begin >= object.data.size()) {
      return Error(Code::kInvalidArgument, "the range begins beyond the end");
    }
    for (uint64_t offset = range.begin; offset < range.end; offset += piece) {
      QUAY_TRY(Alive(call));
      const uint64_t count = std::min<uint64_t>(piece, range.end - offset);
      QUAY_TRY(sink.Write(std::as_bytes(std::span(object.data.data() + offset, count))));
      QUAY_TRY(mid_body(scope.request()));
    }
    return ObjectHead{Info(request.key, object), object.properties};
  }

  Result<ObjectInfo> Put(const std::string& key, const DataSource& data,
                         const ObjectProperties& properties, const Condition& condition,
                         const CallOptions& call) override {
    FakeRequest entry{Kind::kPut, 0, key};
    entry.bytes = data.size();
    Call scope(*this, entry, call);
    QUAY_TRY(scope.status());
    QUAY_ASSIGN(std::string body, ReadAll(data, scope.request(), call));
    QUAY_ASSIGN(ObjectInfo info, Store(key, std::move(body), properties, condition));
    QUAY_TRY(scope.Finish());
    return info;
  }

  Result<std::string> CreateUpload(const std::string& key, const ObjectProperties& properties,
                                   const CallOptions& call) override {
    Call scope(*this, {Kind::kCreate, 0, key}, call);
    QUAY_TRY(scope.status());
    MutexLock lock(mutex_);
    std::string id = "upload-" + std::to_string(++last_id_);
    uploads_[id] = {key, properties, {}};
    return id;
  }

  Result<PartInfo> UploadPart(const std::string& key, const std::string& upload_id, int number,
                              const DataSource& data, const CallOptions& call) override {
    FakeRequest entry{Kind::kPart, 0, key};
    entry.part = number;
    entry.bytes = data.size();
    Call scope(*this, entry, call);
    QUAY_TRY(scope.status());
    QUAY_ASSIGN(std::string body, ReadAll(data, scope.request(), call));
    QUAY_ASSIGN(PartInfo info, StorePart(key, upload_id, number, std::move(body)));
    QUAY_TRY(scope.Finish());
    return info;
  }

  Result<PartInfo> CopyPart(const std::string& key, const std::string& upload_id, int number,
                            const std::string& source_key, const std::string& source_etag,
                            ByteRange source_range, const CallOptions& call) override {
    FakeRequest entry{Kind::kCopyPart, 0, key, source_range, source_etag};
    entry.part = number;
    Call scope(*this, entry, call);
    QUAY_TRY(scope.status());
    std::string body;
    {
      MutexLock lock(mutex_);
      auto it = objects_.find(source_key);
      if (it == objects_.end()) return Error(Code::kNotFound, "no object '" + source_key + "'");
      if (!source_etag.empty() && it->second.etag != source_etag)
        return Error(Code::kChanged, "the source changed");
      if (source_range.end > it->second.data.size())
        return Error(Code::kInvalidArgument, "range beyond the source");
      body = it->second.data.substr(source_range.begin, source_range.length());
    }
    QUAY_ASSIGN(PartInfo info, StorePart(key, upload_id, number, std::move(body)));
    QUAY_TRY(scope.Finish());
    return info;
  }

  Result<ObjectInfo> CompleteUpload(const std::string& key, const std::string& upload_id,
                                    const std::vector<PartInfo>& parts, const Condition& condition,
                                    const CallOptions& call) override {
    Call scope(*this, {Kind::kComplete, 0, key}, call);
    QUAY_TRY(scope.status());
    Upload upload;
    {
      MutexLock lock(mutex_);
      auto it = uploads_.find(upload_id);
      if (it == uploads_.end() || it->second.key != key) {
        // As the contract says: asked again, it tells whether the first call had succeeded.
        auto completed = completed_.find(upload_id);
        if (completed != completed_.end() && objects_[key].etag == completed->second.etag) {
          return completed->second;
        }
        return Error(Code::kNotFound, "no such upload");
      }
      upload = it->second;
    }
    std::string body;
    for (size_t i = 0; i < parts.size(); ++i) {
      auto part = upload.parts.find(parts[i].number);
      if (part == upload.parts.end() || part->second.second != parts[i].etag ||
          (i > 0 && parts[i].number <= parts[i - 1].number)) {
        return Error(Code::kInvalidArgument, "the list of parts is wrong");
      }
      if (i + 1 < parts.size() && part->second.first.size() < capabilities_.part_size_min) {
        return Error(Code::kInvalidArgument, "a part is too small");
      }
      body += part->second.first;
    }
    QUAY_ASSIGN(ObjectInfo info, Store(key, std::move(body), upload.properties, condition));
    {
      MutexLock lock(mutex_);
      uploads_.erase(upload_id);
      completed_[upload_id] = info;
    }
    QUAY_TRY(scope.Finish());
    return info;
  }

  Status AbortUpload(const std::string& key, const std::string& upload_id,
                     const CallOptions& call) override {
    Call scope(*this, {Kind::kAbort, 0, key}, call);
    QUAY_TRY(scope.status());
    MutexLock lock(mutex_);
    uploads_.erase(upload_id);
    return {};
  }

  Result<std::vector<PartInfo>> ListParts(const std::string& key, const std::string& upload_id,
                                          const CallOptions& call) override {
    Call scope(*this, {Kind::kListParts, 0, key}, call);
    QUAY_TRY(scope.status());
    MutexLock lock(mutex_);
    auto it = uploads_.find(upload_id);
    if (it == uploads_.end() || it->second.key != key)
      return Error(Code::kNotFound, "no such upload");
    std::vector<PartInfo> parts;
    for (const auto& [number, part] : it->second.parts) {
      parts.push_back({number, part.second, part.first.size()});
    }
    return parts;
  }
  Result<std::vector<UploadInfo>> ListUploads(const std::string&, const CallOptions&) override {
    return Unused();
  }
  Result<ListPage> List(const ListRequest&, const CallOptions&) override { return Unused(); }
  Status Delete(const std::string&, const Condition&, const CallOptions&) override {
    return Unused();
  }
  Result<std::vector<DeleteOutcome>> DeleteMany(const std::vector<std::string>&,
                                                const CallOptions&) override {
    return Unused();
  }
  Result<ObjectInfo> Copy(const std::string&, const std::string&, const std::string&,
                          const std::optional<ObjectProperties>&, const Condition&,
                          const CallOptions&) override {
    return Unused();
  }
  Result<ObjectInfo> Move(const std::string&, const std::string&, const CallOptions&) override {
    return Unused();
  }

 private:
  struct Upload {
    std::string key;
    ObjectProperties properties;
    std::map<int, std::pair<std::string, std::string>> parts;  // number -> body, etag
  };

  /// Logs a request, runs the hooks, counts how many run at once.
  class Call {
   public:
    Call(FakeObjectStore& store, FakeRequest request, const CallOptions& call)
        : store_(store), request_(std::move(request)) {
      request_.work_bytes = call.work_bytes;
      {
        MutexLock lock(store_.mutex_);
        request_.index = store_.requests_++;
        store_.log_.push_back(request_);
      }
      const int now = ++store_.running_;
      int most = store_.most_at_once_;
      while (now > most && !store_.most_at_once_.compare_exchange_weak(most, now)) {
      }
      status_ = Alive(call);
      if (status_) status_ = store_.before(request_);
    }
    ~Call() { --store_.running_; }
    Call(const Call&) = delete;
    Call& operator=(const Call&) = delete;

    const Status& status() const { return status_; }
    const FakeRequest& request() const { return request_; }
    Status Finish() const { return store_.after(request_); }

   private:
    FakeObjectStore& store_;
    FakeRequest request_;
    Status status_;
  };

  static Error Unused() { return {Code::kNotSupported, "the cache does not use this"}; }

  static Status Alive(const CallOptions& call) {
    if (call.cancel.stop_requested()) return Error(Code::kCancelled, "cancelled");
    if (call.deadline && std::chrono::steady_clock::now() > *call.deadline) {
      return Error(Code::kTimedOut, "timed out");
    }
    return {};
  }

  std::string NewEtag() QUAY_REQUIRES(mutex_) { return "\"v" + std::to_string(++last_id_) + "\""; }

  static ObjectInfo Info(const std::string& key, const Object& object) {
    return {key, object.data.size(), object.etag, {}, ""};
  }

  Result<std::string> ReadAll(const DataSource& data, const FakeRequest& request,
                              const CallOptions& call) const {
    std::string body(data.size(), '\0');
    for (uint64_t offset = 0; offset < body.size(); offset += piece) {
      QUAY_TRY(Alive(call));
      const uint64_t count = std::min<uint64_t>(piece, body.size() - offset);
      QUAY_TRY(data.Read(offset, std::as_writable_bytes(std::span(body.data() + offset, count))));
      QUAY_TRY(mid_body(request));
    }
    return body;
  }

  Result<ObjectInfo> Store(const std::string& key, std::string body,
                           const ObjectProperties& properties, const Condition& condition) {
    MutexLock lock(mutex_);
    auto it = objects_.find(key);
    if (condition.kind == Condition::Kind::kIfAbsent && it != objects_.end()) {
      return Error(Code::kAlreadyExists, "'" + key + "' is there");
    }
    if (condition.kind == Condition::Kind::kIfEtag &&
        (it == objects_.end() || it->second.etag != condition.etag)) {
      return Error(Code::kChanged, "'" + key + "' has another version");
    }
    Object& object = objects_[key];
    object = {std::move(body), NewEtag(), properties};
    return Info(key, object);
  }

  Result<PartInfo> StorePart(const std::string& key, const std::string& upload_id, int number,
                             std::string body) {
    MutexLock lock(mutex_);
    auto it = uploads_.find(upload_id);
    if (it == uploads_.end() || it->second.key != key)
      return Error(Code::kNotFound, "no such upload");
    const PartInfo info{number, md5_parts ? '"' + HexEncode(Md5(body)) + '"' : NewEtag(),
                        body.size()};
    it->second.parts[number] = {std::move(body), info.etag};
    return info;
  }

  const std::string name_ = "fake";
  const Capabilities capabilities_;
  mutable Mutex mutex_{LockRank::kProvider};
  std::map<std::string, Object> objects_ QUAY_GUARDED_BY(mutex_);
  std::map<std::string, Upload> uploads_ QUAY_GUARDED_BY(mutex_);
  std::map<std::string, ObjectInfo> completed_ QUAY_GUARDED_BY(mutex_);
  std::vector<FakeRequest> log_ QUAY_GUARDED_BY(mutex_);
  int requests_ QUAY_GUARDED_BY(mutex_) = 0;
  int last_id_ QUAY_GUARDED_BY(mutex_) = 0;
  std::atomic<int> running_{0};
  std::atomic<int> most_at_once_{0};
};

}  // namespace quayfs
