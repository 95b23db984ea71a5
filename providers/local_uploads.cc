// SPDX-License-Identifier: Apache-2.0
//
// Multipart uploads of a local store: .quayfs-uploads/ID/upload is a trailer without a body,
// .quayfs-uploads/ID/NNNNN a part. An upload exists while its `upload` file does.

#include <fmt/format.h>

#include <algorithm>
#include <tuple>
#include <utility>

#include "base/hash.h"
#include "base/text.h"
#include "providers/local_names.h"
#include "providers/local_rules.h"
#include "providers/local_store_impl.h"

namespace quayfs {
namespace {

constexpr std::string_view kUploadFile = "upload";
constexpr size_t kUploadIdSize = 32;
constexpr size_t kPartNameSize = 5;

/// An id becomes part of a path, so it is nothing but hex digits.
bool IsUploadId(std::string_view id) {
  return id.size() == kUploadIdSize &&
         id.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

std::string UploadPath(std::string_view id) { return fmt::format("{}/{}", kLocalUploadsName, id); }

std::string RecordPath(std::string_view id) {
  return fmt::format("{}/{}", UploadPath(id), kUploadFile);
}

std::string PartPath(std::string_view id, int number) {
  return fmt::format("{}/{:05d}", UploadPath(id), number);
}

Error NoUpload(std::string_view id, const std::string& key) {
  return {Code::kNotFound, fmt::format("no upload {} of {}", ShownKey(id), ShownKey(key))};
}

Status CheckPartNumber(int number) {
  const int limit = LocalCapabilities().parts_max;
  if (number >= 1 && number <= limit) return {};
  return Error(Code::kInvalidArgument,
               fmt::format("part number {}; 1 to {} are allowed", number, limit));
}

Status CheckPartList(const std::vector<PartInfo>& parts) {
  if (parts.empty()) return Error(Code::kInvalidArgument, "an upload without parts");
  int last = 0;
  for (const PartInfo& part : parts) {
    QUAY_TRY(CheckPartNumber(part.number));
    if (part.number <= last) {
      return Error(Code::kInvalidArgument, "part numbers are not in ascending order");
    }
    last = part.number;
  }
  return {};
}

}  // namespace

Result<LocalRecord> LocalStore::FindUpload(const std::string& key,
                                           const std::string& upload_id) const {
  if (!IsUploadId(upload_id)) return NoUpload(upload_id, key);
  QUAY_ASSIGN(std::optional<LocalRecord> record, bucket_.Peek(RecordPath(upload_id)));
  if (!record || record->kind != LocalRecord::Kind::kUpload || record->key != key) {
    return NoUpload(upload_id, key);
  }
  return std::move(*record);
}

Result<std::string> LocalStore::CreateUpload(const std::string& key,
                                             const ObjectProperties& properties,
                                             const CallOptions& call) {
  QUAY_TRY(CheckLocalKey(key));
  QUAY_TRY(CheckLocalProperties(properties));
  QUAY_ASSIGN(Temporary temporary, bucket_.MakeTemporary(call));
  LocalRecord record;
  record.kind = LocalRecord::Kind::kUpload;
  record.key = key;
  record.properties = properties;
  record.modified = bucket_.clock().Now();
  QUAY_TRY(temporary.Finish(record));
  std::string id = HexEncode(RandomBytes(kUploadIdSize / 2));
  {
    QUAY_ASSIGN(const Guard guard, bucket_.Lock(call));
    QUAY_TRY(bucket_.Publish(temporary, RecordPath(id), guard));
  }
  QUAY_TRY(bucket_.Persist(RecordPath(id)));
  return id;
}

Result<PartInfo> LocalStore::PublishPart(Temporary& temporary, const std::string& key,
                                         const std::string& upload_id, int number,
                                         const CallOptions& call) {
  LocalRecord record;
  record.kind = LocalRecord::Kind::kPart;
  record.etag = LocalBucket::NewEtag();
  record.modified = bucket_.clock().Now();
  QUAY_TRY(temporary.Finish(record));
  const std::string path = PartPath(upload_id, number);
  {
    QUAY_ASSIGN(const Guard guard, bucket_.Lock(call));
    // Completed or aborted while the part was written?
    QUAY_TRY(FindUpload(key, upload_id));
    QUAY_TRY(bucket_.Publish(temporary, path, guard));
  }
  QUAY_TRY(bucket_.Persist(path));
  return PartInfo{number, std::move(record.etag), record.size};
}

Result<PartInfo> LocalStore::UploadPart(const std::string& key, const std::string& upload_id,
                                        int number, const DataSource& data,
                                        const CallOptions& call) {
  QUAY_TRY(CheckLocalKey(key));
  QUAY_TRY(CheckPartNumber(number));
  QUAY_TRY(FindUpload(key, upload_id));
  QUAY_ASSIGN(Temporary temporary, bucket_.MakeTemporary(call));
  QUAY_TRY(temporary.AppendSource(data, call));
  return PublishPart(temporary, key, upload_id, number, call);
}

Result<PartInfo> LocalStore::CopyPart(const std::string& key, const std::string& upload_id,
                                      int number, const std::string& source_key,
                                      const std::string& source_etag, ByteRange source_range,
                                      const CallOptions& call) {
  QUAY_TRY(CheckLocalKey(key));
  QUAY_TRY(CheckPartNumber(number));
  QUAY_TRY(FindUpload(key, upload_id));
  QUAY_ASSIGN(LocalBucket::OpenObject source, OpenVersion(source_key, source_etag));
  if (source_range.empty() || source_range.end > source.record.size) {
    return Error(Code::kInvalidArgument,
                 fmt::format("range {}-{} of {}, which has {} bytes", source_range.begin,
                             source_range.end, ShownKey(source_key), source.record.size));
  }
  QUAY_ASSIGN(Temporary temporary, bucket_.MakeTemporary(call));
  QUAY_TRY(temporary.AppendFile(*source.file, source_range, call));
  return PublishPart(temporary, key, upload_id, number, call);
}

Result<std::optional<ObjectInfo>> LocalStore::FindCompleted(const std::string& key,
                                                            const std::string& upload_id) const {
  QUAY_ASSIGN(std::optional<LocalRecord> record, bucket_.Peek(LocalObjectPath(key)));
  if (!record || record->upload_id != upload_id) return std::optional<ObjectInfo>();
  return std::optional<ObjectInfo>(LocalHead(key, std::move(*record)).info);
}

Result<LocalBucket::Temporary> LocalStore::JoinParts(const std::string& upload_id,
                                                     const std::vector<PartInfo>& parts,
                                                     const CallOptions& call) {
  QUAY_ASSIGN(Temporary temporary, bucket_.MakeTemporary(call));
  for (const PartInfo& part : parts) {
    auto file = bucket_.Open(PartPath(upload_id, part.number));
    if (file.Is(Code::kNotFound) || (file.ok() && !SameEtag(file->record.etag, part.etag))) {
      return Error(Code::kInvalidArgument,
                   fmt::format("part {} of upload {} is not {}", part.number, upload_id,
                               part.etag.empty() ? "there" : part.etag));
    }
    if (!file) return file.error();
    QUAY_TRY(temporary.AppendFile(*file->file, ByteRange{0, file->record.size}, call));
  }
  return temporary;
}

Result<ObjectInfo> LocalStore::PublishUpload(Temporary& temporary, const std::string& key,
                                             const std::string& upload_id, LocalRecord record,
                                             const Condition& condition, const CallOptions& call) {
  record.kind = LocalRecord::Kind::kObject;
  record.key.clear();
  record.upload_id = upload_id;
  record.etag = LocalBucket::NewEtag();
  record.modified = bucket_.clock().Now();
  QUAY_TRY(temporary.Finish(record));
  const std::string path = LocalObjectPath(key);
  std::optional<ObjectInfo> completed;
  std::string discarded;
  {
    QUAY_ASSIGN(const Guard guard, bucket_.Lock(call));
    // A second call for the same upload may have been first.
    QUAY_ASSIGN(completed, FindCompleted(key, upload_id));
    if (!completed) {
      QUAY_TRY(FindUpload(key, upload_id));
      QUAY_TRY(CheckDestination(key, condition));
      QUAY_TRY(bucket_.Publish(temporary, path, guard));
      QUAY_TRY(bucket_.Discard(UploadPath(upload_id), guard, &discarded));
    }
  }
  QUAY_TRY(bucket_.Persist(path));
  if (completed) return std::move(*completed);
  bucket_.RemoveDiscarded(discarded);
  return LocalHead(key, std::move(record)).info;
}

Result<ObjectInfo> LocalStore::CompleteUpload(const std::string& key, const std::string& upload_id,
                                              const std::vector<PartInfo>& parts,
                                              const Condition& condition, const CallOptions& call) {
  QUAY_TRY(CheckLocalKey(key));
  QUAY_TRY(CheckPartList(parts));
  if (!IsUploadId(upload_id)) return NoUpload(upload_id, key);
  QUAY_ASSIGN(std::optional<ObjectInfo> completed, FindCompleted(key, upload_id));
  if (completed) {
    // The first call published, but may have been stopped before it cleaned up or synced.
    QUAY_TRY(bucket_.Persist(LocalObjectPath(key)));
    QUAY_TRY(AbortUpload(key, upload_id, call));
    return std::move(*completed);
  }
  QUAY_ASSIGN(LocalRecord record, FindUpload(key, upload_id));
  QUAY_TRY(CheckDestination(key, condition));
  QUAY_ASSIGN(Temporary temporary, JoinParts(upload_id, parts, call));
  return PublishUpload(temporary, key, upload_id, std::move(record), condition, call);
}

Status LocalStore::AbortUpload(const std::string& key, const std::string& upload_id,
                               const CallOptions& call) {
  QUAY_TRY(CheckLocalKey(key));
  QUAY_TRY(bucket_.CheckCall(call));
  const auto record = FindUpload(key, upload_id);
  if (record.Is(Code::kNotFound)) return {};
  if (!record) return record.error();
  std::string discarded;
  {
    QUAY_ASSIGN(const Guard guard, bucket_.Lock(call));
    QUAY_TRY(bucket_.Discard(UploadPath(upload_id), guard, &discarded));
  }
  QUAY_TRY(bucket_.Persist(UploadPath(upload_id)));
  bucket_.RemoveDiscarded(discarded);
  return {};
}

Result<std::vector<PartInfo>> LocalStore::ListParts(const std::string& key,
                                                    const std::string& upload_id,
                                                    const CallOptions& call) {
  QUAY_TRY(CheckLocalKey(key));
  QUAY_TRY(FindUpload(key, upload_id));
  auto entries = bucket_.disk().List(bucket_.Absolute(UploadPath(upload_id)));
  if (entries.Is(Code::kNotFound)) return NoUpload(upload_id, key);
  if (!entries) return entries.error();
  std::vector<PartInfo> parts;
  for (const DiskEntry& entry : *entries) {
    QUAY_TRY(bucket_.CheckCall(call));
    const auto number = ParseUint(entry.name);
    if (!number || entry.name.size() != kPartNameSize) continue;
    const int part = static_cast<int>(*number);
    QUAY_ASSIGN(std::optional<LocalRecord> record, bucket_.Peek(PartPath(upload_id, part)));
    if (record) parts.push_back(PartInfo{part, std::move(record->etag), record->size});
  }
  std::sort(parts.begin(), parts.end(),
            [](const PartInfo& a, const PartInfo& b) { return a.number < b.number; });
  return parts;
}

Result<std::vector<UploadInfo>> LocalStore::ListUploads(const std::string& prefix,
                                                        const CallOptions& call) {
  std::vector<UploadInfo> uploads;
  auto entries = bucket_.disk().List(bucket_.Absolute(kLocalUploadsName));
  if (entries.Is(Code::kNotFound)) return uploads;
  if (!entries) return entries.error();
  for (const DiskEntry& entry : *entries) {
    QUAY_TRY(bucket_.CheckCall(call));
    if (!IsUploadId(entry.name)) continue;
    QUAY_ASSIGN(std::optional<LocalRecord> record, bucket_.Peek(RecordPath(entry.name)));
    if (!record || !record->key.starts_with(prefix)) continue;
    uploads.push_back(UploadInfo{std::move(record->key), entry.name, record->modified});
  }
  std::sort(uploads.begin(), uploads.end(), [](const UploadInfo& a, const UploadInfo& b) {
    return std::tie(a.key, a.upload_id) < std::tie(b.key, b.upload_id);
  });
  return uploads;
}

}  // namespace quayfs
