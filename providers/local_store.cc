// SPDX-License-Identifier: Apache-2.0

#include "providers/local_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

#include "providers/local_names.h"
#include "providers/local_rules.h"
#include "providers/local_store_impl.h"

namespace quayfs {
namespace {

constexpr size_t kReadBuffer = 256 * 1024;
constexpr size_t kDeleteBatch = 64;

Error NoObject(const std::string& key) {
  return {Code::kNotFound, fmt::format("no object {}", ShownKey(key))};
}

}  // namespace

LocalStore::LocalStore(std::string directory, Disk& disk, Clock& clock)
    : name_("local:" + directory), bucket_(std::move(directory), disk, clock) {}

Capabilities LocalStore::capabilities() const { return LocalCapabilities(); }

std::optional<StoreSpace> LocalStore::Space() const {
  const auto space = bucket_.disk().Space(bucket_.Absolute("."));
  if (!space) return std::nullopt;
  return StoreSpace{space->total_bytes, space->available_bytes};
}

Status LocalStore::CheckBucket(const CallOptions& call) {
  QUAY_TRY(bucket_.CheckCall(call));
  auto stat = bucket_.disk().Stat(bucket_.Absolute("."));
  if (stat.ok() && stat->is_directory) return {};
  if (stat.ok()) return Error(Code::kNotDirectory, bucket_.root() + " is not a folder");
  if (!stat.Is(Code::kNotFound)) return stat.error();
  return Error(Code::kNotFound,
               fmt::format("there is no folder {0}; make it with: mkdir -p {0}", bucket_.root()));
}

Result<LocalBucket::OpenObject> LocalStore::OpenVersion(const std::string& key,
                                                        const std::string& etag) const {
  QUAY_TRY(CheckLocalKey(key));
  auto object = bucket_.Open(LocalObjectPath(key));
  if (object.Is(Code::kNotFound)) return NoObject(key);
  if (!object) return object.error();
  if (!etag.empty() && !SameEtag(object->record.etag, etag)) {
    return Error(Code::kChanged, fmt::format("{} is not the version {}", ShownKey(key), etag));
  }
  return object;
}

Result<ObjectHead> LocalStore::Head(const std::string& key, const CallOptions& call) {
  QUAY_TRY(bucket_.CheckCall(call));
  QUAY_ASSIGN(LocalBucket::OpenObject object, OpenVersion(key, ""));
  return LocalHead(key, std::move(object.record));
}

Result<ObjectHead> LocalStore::Get(const GetRequest& request, DataSink& sink,
                                   const CallOptions& call) {
  QUAY_TRY(bucket_.CheckCall(call));
  QUAY_ASSIGN(LocalBucket::OpenObject object, OpenVersion(request.key, request.if_match));
  QUAY_ASSIGN(ByteRange range, LocalRange(request.range, object.record.size, request.key));
  std::vector<std::byte> buffer(std::min<uint64_t>(range.length(), kReadBuffer));
  while (!range.empty()) {
    QUAY_TRY(bucket_.CheckCall(call));
    const auto piece = std::span(buffer).first(std::min<uint64_t>(range.length(), buffer.size()));
    QUAY_ASSIGN(const size_t got, object.file->Read(range.begin, piece));
    if (got != piece.size()) {
      return Error(Code::kCorrupt,
                   fmt::format("the file of {} is shorter than it says", ShownKey(request.key)));
    }
    QUAY_TRY(sink.Write(piece));
    range.begin += got;
  }
  return LocalHead(request.key, std::move(object.record));
}

Status LocalStore::CheckDestination(const std::string& key, const Condition& condition) const {
  if (condition.kind == Condition::Kind::kNone) return {};
  QUAY_ASSIGN(std::optional<LocalRecord> current, bucket_.Peek(LocalObjectPath(key)));
  std::optional<std::string> etag;
  if (current) etag = std::move(current->etag);
  return CheckLocalCondition(condition, etag, key);
}

Result<ObjectInfo> LocalStore::PublishObject(Temporary& temporary, const std::string& key,
                                             LocalRecord record, const Condition& condition,
                                             const CallOptions& call) {
  record.kind = LocalRecord::Kind::kObject;
  record.etag = LocalBucket::NewEtag();
  record.modified = bucket_.clock().Now();
  QUAY_TRY(temporary.Finish(record));
  const std::string path = LocalObjectPath(key);
  {
    QUAY_ASSIGN(const Guard guard, bucket_.Lock(call));
    QUAY_TRY(CheckDestination(key, condition));
    QUAY_TRY(bucket_.Publish(temporary, path, guard));
  }
  QUAY_TRY(bucket_.Persist(path));
  return LocalHead(key, std::move(record)).info;
}

Result<ObjectInfo> LocalStore::Put(const std::string& key, const DataSource& data,
                                   const ObjectProperties& properties, const Condition& condition,
                                   const CallOptions& call) {
  QUAY_TRY(CheckLocalKey(key));
  QUAY_TRY(CheckLocalProperties(properties));
  // Early, so that a body is not written in vain; what counts is the look under the lock.
  QUAY_TRY(CheckDestination(key, condition));
  QUAY_ASSIGN(Temporary temporary, bucket_.MakeTemporary(call));
  QUAY_TRY(temporary.AppendSource(data, call));
  LocalRecord record;
  record.properties = properties;
  return PublishObject(temporary, key, std::move(record), condition, call);
}

Status LocalStore::DeleteLocked(const std::string& key, const Condition& condition,
                                const Guard& guard) {
  const std::string path = LocalObjectPath(key);
  if (condition.kind != Condition::Kind::kNone) {
    QUAY_ASSIGN(const std::optional<LocalRecord> current, bucket_.Peek(path));
    if (current) QUAY_TRY(CheckLocalCondition(condition, current->etag, key));
  }
  return bucket_.Remove(path, guard);
}

Status LocalStore::Delete(const std::string& key, const Condition& condition,
                          const CallOptions& call) {
  QUAY_TRY(CheckLocalKey(key));
  if (condition.kind == Condition::Kind::kIfAbsent) {
    return Error(Code::kInvalidArgument, "a delete can not require that there is nothing");
  }
  {
    QUAY_ASSIGN(const Guard guard, bucket_.Lock(call));
    QUAY_TRY(DeleteLocked(key, condition, guard));
  }
  return bucket_.Persist(LocalObjectPath(key));
}

/// Keys [begin, end) under one lock, and one sync for each directory among them.
void LocalStore::DeleteBatch(const std::vector<std::string>& keys, size_t begin, size_t end,
                             std::vector<DeleteOutcome>* outcomes, const CallOptions& call) {
  std::map<std::string, std::vector<size_t>> by_directory;
  {
    auto guard = bucket_.Lock(call);
    for (size_t i = begin; i < end; ++i) {
      Status status = CheckLocalKey(keys[i]);
      if (status.ok() && !guard) status = guard.error();
      if (status.ok()) status = DeleteLocked(keys[i], Condition::None(), *guard);
      if (status.ok()) {
        const std::string path = LocalObjectPath(keys[i]);
        by_directory[path.substr(0, path.rfind('/') + 1)].push_back(i);
      }
      outcomes->push_back(DeleteOutcome{keys[i], std::move(status)});
    }
  }
  for (const auto& [directory, indexes] : by_directory) {
    const Status persisted = bucket_.Persist(directory);
    if (persisted.ok()) continue;
    for (const size_t i : indexes) (*outcomes)[i].status = persisted;
  }
}

Result<std::vector<DeleteOutcome>> LocalStore::DeleteMany(const std::vector<std::string>& keys,
                                                          const CallOptions& call) {
  QUAY_TRY(bucket_.CheckCall(call));
  std::vector<DeleteOutcome> outcomes;
  outcomes.reserve(keys.size());
  for (size_t begin = 0; begin < keys.size(); begin += kDeleteBatch) {
    DeleteBatch(keys, begin, std::min(begin + kDeleteBatch, keys.size()), &outcomes, call);
  }
  return outcomes;
}

/// Nothing if the object was replaced while it was being copied onto itself.
Result<std::optional<ObjectInfo>> LocalStore::TryCopy(
    const std::string& source_key, const std::string& source_etag, const std::string& key,
    const std::optional<ObjectProperties>& properties, const Condition& condition,
    const CallOptions& call) {
  QUAY_ASSIGN(LocalBucket::OpenObject source, OpenVersion(source_key, source_etag));
  QUAY_TRY(CheckDestination(key, condition));
  QUAY_ASSIGN(Temporary temporary, bucket_.MakeTemporary(call));
  QUAY_TRY(temporary.AppendFile(*source.file, ByteRange{0, source.record.size}, call));
  LocalRecord record;
  record.properties = properties ? *properties : source.record.properties;
  if (source_key != key || condition.kind != Condition::Kind::kNone) {
    QUAY_ASSIGN(ObjectInfo info, PublishObject(temporary, key, std::move(record), condition, call));
    return std::optional<ObjectInfo>(std::move(info));
  }
  // A newer version must not be overwritten by a copy of what it replaced.
  auto copied =
      PublishObject(temporary, key, std::move(record), Condition::IfEtag(source.record.etag), call);
  if (copied.ok()) return std::optional<ObjectInfo>(std::move(*copied));
  if (copied.Is(Code::kChanged) && source_etag.empty()) return std::optional<ObjectInfo>();
  return copied.error();
}

Result<ObjectInfo> LocalStore::Copy(const std::string& source_key, const std::string& source_etag,
                                    const std::string& key,
                                    const std::optional<ObjectProperties>& properties,
                                    const Condition& condition, const CallOptions& call) {
  QUAY_TRY(CheckLocalKey(key));
  if (properties) QUAY_TRY(CheckLocalProperties(*properties));
  if (source_key == key && !properties) {
    return Error(Code::kInvalidArgument, "a copy onto itself needs new properties");
  }
  while (true) {
    QUAY_TRY(bucket_.CheckCall(call));
    QUAY_ASSIGN(std::optional<ObjectInfo> info,
                TryCopy(source_key, source_etag, key, properties, condition, call));
    if (info) return std::move(*info);
  }
}

Result<ObjectInfo> LocalStore::Move(const std::string& source_key, const std::string& key,
                                    const CallOptions& call) {
  QUAY_TRY(CheckLocalKey(key));
  const std::string target = LocalObjectPath(key);
  LocalRecord record;
  {
    QUAY_ASSIGN(const Guard guard, bucket_.Lock(call));
    QUAY_ASSIGN(LocalBucket::OpenObject source, OpenVersion(source_key, ""));
    record = std::move(source.record);
    if (source_key != key) {
      const std::string from = LocalObjectPath(source_key);
      QUAY_TRY(bucket_.Rename(from, target, guard));
      QUAY_TRY(bucket_.Remove(from, guard));
    }
  }
  QUAY_TRY(bucket_.Persist(target));
  QUAY_TRY(bucket_.Persist(LocalObjectPath(source_key)));
  return LocalHead(key, std::move(record)).info;
}

Result<std::unique_ptr<ObjectStore>> OpenLocalStore(const std::string& directory, Disk& disk,
                                                    Clock& clock) {
  if (!directory.starts_with('/')) {
    return Error(Code::kInvalidArgument,
                 fmt::format("bucket: '{}' is not an absolute path; a local store needs the full "
                             "path of a folder, such as /srv/objects",
                             directory));
  }
  std::string root = directory;
  while (root.size() > 1 && root.ends_with('/')) root.pop_back();
  return std::unique_ptr<ObjectStore>(std::make_unique<LocalStore>(std::move(root), disk, clock));
}

}  // namespace quayfs
