// SPDX-License-Identifier: Apache-2.0

#include "tests/server/store.h"

#include <algorithm>

#include "base/text.h"
#include "tests/server/journal.h"
#include "tests/server/listing.h"

namespace quayfs::testserver {
namespace {

S3Error NoSuchBucket(const std::string& bucket) {
  return S3Error(404, "NoSuchBucket", "there is no such bucket").With("BucketName", bucket);
}

S3Error NoSuchKey(const std::string& key) {
  return S3Error(404, "NoSuchKey", "there is no such object").With("Key", key);
}

S3Error NoSuchUpload(const std::string& id) {
  return S3Error(404, "NoSuchUpload", "the upload was never begun, or is completed or aborted")
      .With("UploadId", id);
}

std::string_view Unquoted(std::string_view etag) {
  etag = TrimBlanks(etag);
  if (etag.size() >= 2 && etag.front() == '"' && etag.back() == '"') {
    return etag.substr(1, etag.size() - 2);
  }
  return etag;
}

ObjectPtr Lookup(const std::map<std::string, ObjectPtr>& objects, const std::string& key) {
  const auto found = objects.find(key);
  return found == objects.end() ? nullptr : found->second;
}

}  // namespace

bool EtagMatches(std::string_view condition, std::string_view etag) {
  const std::vector<std::string_view> names = Split(condition, ',');
  return std::any_of(names.begin(), names.end(), [&](std::string_view name) {
    return TrimBlanks(name) == "*" || Unquoted(name) == etag;
  });
}

Problem WriteCondition::Check(const ObjectPtr& existing) const {
  if (!if_match.empty()) {
    if (existing == nullptr) return NoSuchKey("");
    if (!EtagMatches(if_match, existing->etag)) {
      return S3Error(412, "PreconditionFailed", "the object has another ETag")
          .With("Condition", "If-Match");
    }
  }
  if (!if_none_match.empty() && existing != nullptr && EtagMatches(if_none_match, existing->etag)) {
    return S3Error(412, "PreconditionFailed", "the object exists")
        .With("Condition", "If-None-Match");
  }
  return std::nullopt;
}

Store::Store(std::unique_ptr<ChunkStore> chunks, std::unique_ptr<Journal> journal,
             std::optional<uint64_t> shuffle_seed)
    : shuffle_seed_(shuffle_seed), journal_(std::move(journal)), chunks_(std::move(chunks)) {}

Store::~Store() = default;

std::unique_ptr<Store> MakeMemoryStore(std::optional<uint64_t> shuffle_seed) {
  return std::make_unique<Store>(MakeMemoryChunkStore(), nullptr, shuffle_seed);
}

const Store::Bucket* Store::FindBucket(const std::string& bucket) const {
  const auto found = buckets_.find(bucket);
  return found == buckets_.end() ? nullptr : &found->second;
}

Store::Bucket* Store::FindBucket(const std::string& bucket) {
  const auto found = buckets_.find(bucket);
  return found == buckets_.end() ? nullptr : &found->second;
}

Problem Store::Write(const std::string& line) {
  if (journal_ == nullptr) return std::nullopt;
  if (const Status written = journal_->Append(line); !written) {
    return S3Error::Internal(written.error().message());
  }
  return std::nullopt;
}

Problem Store::CreateBucket(const std::string& bucket, int64_t now) {
  const MutexLock lock(mutex_);
  if (FindBucket(bucket) != nullptr) {
    return S3Error(409, "BucketAlreadyOwnedByYou", "the bucket exists and is yours")
        .With("BucketName", bucket);
  }
  if (Problem problem = Write(journal_ ? BucketLine(bucket, now) : "")) return problem;
  buckets_[bucket].created = now;
  return std::nullopt;
}

Problem Store::DeleteBucket(const std::string& bucket) {
  Bucket gone;  // its chunks are released after the lock
  const MutexLock lock(mutex_);
  Bucket* found = FindBucket(bucket);
  if (found == nullptr) return NoSuchBucket(bucket);
  if (!found->objects.empty()) {
    return S3Error(409, "BucketNotEmpty", "the bucket still holds objects")
        .With("BucketName", bucket);
  }
  if (Problem problem = Write(journal_ ? NoBucketLine(bucket) : "")) return problem;
  gone = std::move(*found);
  buckets_.erase(bucket);
  return std::nullopt;
}

Problem Store::CheckBucket(const std::string& bucket) const {
  const MutexLock lock(mutex_);
  if (FindBucket(bucket) == nullptr) return NoSuchBucket(bucket);
  return std::nullopt;
}

std::map<std::string, int64_t> Store::Buckets() const {
  const MutexLock lock(mutex_);
  std::map<std::string, int64_t> names;
  for (const auto& [name, bucket] : buckets_) names[name] = bucket.created;
  return names;
}

Outcome<ObjectPtr> Store::Find(const std::string& bucket, const std::string& key) const {
  const MutexLock lock(mutex_);
  const Bucket* found = FindBucket(bucket);
  if (found == nullptr) return NoSuchBucket(bucket);
  ObjectPtr object = Lookup(found->objects, key);
  if (object == nullptr) return NoSuchKey(key);
  return object;
}

Problem Store::CheckCondition(const std::string& bucket, const std::string& key,
                              const WriteCondition& condition) const {
  const MutexLock lock(mutex_);
  const Bucket* found = FindBucket(bucket);
  if (found == nullptr) return NoSuchBucket(bucket);
  return condition.Check(Lookup(found->objects, key));
}

Problem Store::Put(const std::string& bucket, Object object, const WriteCondition& condition) {
  auto fresh = std::make_shared<const Object>(std::move(object));
  ObjectPtr old;  // released after the lock
  const MutexLock lock(mutex_);
  Bucket* found = FindBucket(bucket);
  if (found == nullptr) return NoSuchBucket(bucket);
  old = Lookup(found->objects, fresh->key);
  if (Problem problem = condition.Check(old)) return problem;
  if (Problem problem = Write(journal_ ? PutLine(bucket, *fresh, "") : "")) return problem;
  found->objects[fresh->key] = std::move(fresh);
  return std::nullopt;
}

Problem Store::Delete(const std::string& bucket, const std::string& key,
                      const WriteCondition& condition) {
  ObjectPtr old;
  const MutexLock lock(mutex_);
  Bucket* found = FindBucket(bucket);
  if (found == nullptr) return NoSuchBucket(bucket);
  old = Lookup(found->objects, key);
  if (Problem problem = condition.Check(old)) return problem;
  if (old == nullptr) return std::nullopt;
  if (Problem problem = Write(journal_ ? DeleteLine(bucket, key) : "")) return problem;
  found->objects.erase(key);
  return std::nullopt;
}

Outcome<ListPage> Store::List(const std::string& bucket, const ListQuery& query) const {
  const MutexLock lock(mutex_);
  const Bucket* found = FindBucket(bucket);
  if (found == nullptr) return NoSuchBucket(bucket);
  if (shuffle_seed_) return ListShuffled(found->objects, query, *shuffle_seed_);
  return ListInOrder(found->objects, query);
}

std::vector<std::string> Store::Keys(const std::string& bucket) const {
  const MutexLock lock(mutex_);
  std::vector<std::string> keys;
  const Bucket* found = FindBucket(bucket);
  if (found == nullptr) return keys;
  keys.reserve(found->objects.size());
  for (const auto& [key, object] : found->objects) keys.push_back(key);
  return keys;
}

Problem Store::CreateUpload(const std::string& bucket, Upload upload) {
  const MutexLock lock(mutex_);
  Bucket* found = FindBucket(bucket);
  if (found == nullptr) return NoSuchBucket(bucket);
  if (Problem problem = Write(journal_ ? UploadLine(bucket, upload) : "")) return problem;
  std::string id = upload.id;
  found->uploads.emplace(std::move(id), std::move(upload));
  return std::nullopt;
}

Upload* Store::FindUploadLocked(const std::string& bucket, const std::string& key,
                                const std::string& id) {
  Bucket* found = FindBucket(bucket);
  if (found == nullptr) return nullptr;
  const auto upload = found->uploads.find(id);
  return upload == found->uploads.end() || upload->second.key != key ? nullptr : &upload->second;
}

Outcome<Upload> Store::FindUpload(const std::string& bucket, const std::string& key,
                                  const std::string& id) const {
  const MutexLock lock(mutex_);
  const Bucket* found = FindBucket(bucket);
  if (found == nullptr) return NoSuchBucket(bucket);
  const auto upload = found->uploads.find(id);
  if (upload == found->uploads.end() || upload->second.key != key) return NoSuchUpload(id);
  return upload->second;
}

Problem Store::AddPart(const std::string& bucket, const std::string& key, const std::string& id,
                       int number, Part part) {
  auto fresh = std::make_shared<const Part>(std::move(part));
  std::shared_ptr<const Part> old;
  const MutexLock lock(mutex_);
  Upload* upload = FindUploadLocked(bucket, key, id);
  if (upload == nullptr) return NoSuchUpload(id);
  if (Problem problem = Write(journal_ ? PartLine(bucket, id, number, *fresh) : "")) return problem;
  std::shared_ptr<const Part>& place = upload->parts[number];
  old = std::move(place);
  place = std::move(fresh);
  return std::nullopt;
}

Problem Store::CompleteUpload(const std::string& bucket, const std::string& id, Object object,
                              const WriteCondition& condition) {
  auto fresh = std::make_shared<const Object>(std::move(object));
  ObjectPtr old;
  Upload gone;
  const MutexLock lock(mutex_);
  Upload* upload = FindUploadLocked(bucket, fresh->key, id);
  if (upload == nullptr) return NoSuchUpload(id);
  Bucket* found = FindBucket(bucket);
  old = Lookup(found->objects, fresh->key);
  if (Problem problem = condition.Check(old)) return problem;
  if (Problem problem = Write(journal_ ? PutLine(bucket, *fresh, id) : "")) return problem;
  gone = std::move(*upload);
  found->uploads.erase(id);
  found->objects[fresh->key] = std::move(fresh);
  return std::nullopt;
}

Problem Store::AbortUpload(const std::string& bucket, const std::string& key,
                           const std::string& id) {
  Upload gone;
  const MutexLock lock(mutex_);
  Upload* upload = FindUploadLocked(bucket, key, id);
  if (upload == nullptr) return NoSuchUpload(id);
  if (Problem problem = Write(journal_ ? AbortLine(bucket, id) : "")) return problem;
  gone = std::move(*upload);
  FindBucket(bucket)->uploads.erase(id);
  return std::nullopt;
}

Outcome<std::vector<Upload>> Store::Uploads(const std::string& bucket) const {
  std::vector<Upload> uploads;
  {
    const MutexLock lock(mutex_);
    const Bucket* found = FindBucket(bucket);
    if (found == nullptr) return NoSuchBucket(bucket);
    for (const auto& [id, upload] : found->uploads) {
      uploads.push_back({upload.id, upload.key, upload.headers, upload.initiated, {}});
    }
  }
  std::sort(uploads.begin(), uploads.end(), [](const Upload& a, const Upload& b) {
    return std::tie(a.key, a.initiated, a.id) < std::tie(b.key, b.initiated, b.id);
  });
  return uploads;
}

}  // namespace quayfs::testserver
