// SPDX-License-Identifier: Apache-2.0

#include "providers/s3_store.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <atomic>
#include <utility>

#include "base/hash.h"
#include "base/log.h"
#include "providers/kodo/native.h"
#include "s3/client.h"

namespace quayfs {
namespace {

// ---- Between the types of this room and those of s3/.

class SourceBody final : public s3::RequestBody {
 public:
  explicit SourceBody(const DataSource& source) : source_(source) {}
  uint64_t size() const override { return source_.size(); }
  Status Read(uint64_t offset, std::span<std::byte> out) const override {
    return source_.Read(offset, out);
  }

 private:
  const DataSource& source_;
};

class SinkAdapter final : public s3::ByteSink {
 public:
  explicit SinkAdapter(DataSink& sink) : sink_(sink) {}
  Status Write(std::span<const std::byte> data) override { return sink_.Write(data); }

 private:
  DataSink& sink_;
};

s3::ObjectProperties ToS3(const ObjectProperties& properties) {
  return {properties.content_type,     properties.cache_control,    properties.content_disposition,
          properties.content_encoding, properties.content_language, properties.expires,
          properties.metadata};
}

s3::Condition ToS3(const Condition& condition) {
  switch (condition.kind) {
    case Condition::Kind::kIfAbsent:
      return {s3::Condition::Kind::kIfAbsent, {}};
    case Condition::Kind::kIfEtag:
      return {s3::Condition::Kind::kIfEtag, condition.etag};
    case Condition::Kind::kNone:
      break;
  }
  return {};
}

ObjectInfo FromS3(s3::ObjectInfo info) {
  return {std::move(info.key), info.size, std::move(info.etag), info.last_modified,
          std::move(info.storage_class)};
}

ObjectHead FromS3(s3::ObjectHead head) {
  s3::ObjectProperties& from = head.properties;
  ObjectProperties to{std::move(from.content_type),
                      std::move(from.cache_control),
                      std::move(from.content_disposition),
                      std::move(from.content_encoding),
                      std::move(from.content_language),
                      std::move(from.expires),
                      std::move(from.metadata)};
  return {FromS3(std::move(head.info)), std::move(to)};
}

PartInfo FromS3(s3::PartInfo part) { return {part.number, std::move(part.etag), part.size}; }

template <typename T>
auto Converted(Result<T> result) -> Result<decltype(FromS3(std::declval<T>()))> {
  if (!result) return result.error();
  return FromS3(std::move(*result));
}

// ---- Rules that are checked before anything is sent.

Status CheckProperties(const ObjectProperties& properties, const Capabilities& caps) {
  uint64_t size = 0;
  for (const auto& [name, value] : properties.metadata) size += name.size() + value.size();
  if (size <= caps.metadata_size_max) return {};
  return Error(Code::kTooLarge,
               fmt::format("{} bytes of metadata; {} are allowed", size, caps.metadata_size_max));
}

/// What a store's name begins with in logs.
std::string_view Scheme(const Profile& profile) {
  return profile.protocol == Protocol::kQingStor ? "qingstor" : "s3";
}

Error Unsupported(const char* what) {
  return {Code::kNotSupported, fmt::format("the store does not honour {}", what)};
}

}  // namespace

class S3Store final : public ObjectStore {
 public:
  S3Store(ResolvedStore resolved, std::unique_ptr<s3::HttpClient> http, Clock& clock)
      : name_(fmt::format("{}://{}", Scheme(*resolved.profile), resolved.client.bucket)),
        profile_(*resolved.profile),
        declared_(resolved.capabilities),
        create_bucket_(resolved.create_bucket),
        bucket_acl_(resolved.bucket_acl),
        http_(std::move(http)),
        client_(std::move(resolved.client), *http_, clock) {
    if (!resolved.native) return;
    resolved.native->clock_offset = [this] { return client_.clock_offset(); };
    native_ = std::make_unique<kodo::NativeClient>(*std::move(resolved.native), *http_, clock);
  }

  StoreRegion region() const { return {client_.config().region, client_.region()}; }

  const std::string& name() const override { return name_; }
  Capabilities capabilities() const override;
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
  /// What the service said that it has not. Only ever set.
  struct Missing {
    std::atomic<bool> put_if_absent{false};
    std::atomic<bool> put_if_match{false};
    std::atomic<bool> complete_if_absent{false};
    std::atomic<bool> complete_if_match{false};
    std::atomic<bool> delete_if_match{false};
    std::atomic<bool> copy_if_absent{false};
    std::atomic<bool> part_copy{false};
    std::atomic<bool> copy{false};
    std::atomic<bool> move{false};
  };

  Status CheckKey(const std::string& key) const;
  s3::Condition WireCondition(const Condition& condition) const;
  /// kChanged if a source is not the version `etag`. For services that do not check it themselves;
  /// "" is any version.
  Status CheckSource(const std::string& key, const std::string& etag, const CallOptions& call);
  /// The flag to set when the service refuses the condition; null if there is none.
  static std::atomic<bool>* FlagOf(const Condition& condition, std::atomic<bool>& if_absent,
                                   std::atomic<bool>& if_match);
  /// Looks at what came of a request that named a condition or an optional feature.
  template <typename T>
  Result<T> Judged(Result<T> result, const Condition& condition, std::atomic<bool>* missing,
                   const char* feature) const;
  // Kodo's native API.
  /// `source` is what lies there.
  Result<s3::ObjectInfo> MoveNatively(const s3::ObjectHead& source, const std::string& key,
                                      bool replace, const CallOptions& call);
  Result<ObjectInfo> CreateNatively(const std::string& key, const DataSource& data,
                                    const ObjectProperties& properties, const CallOptions& call);
  Result<bool> IsThere(const s3::ObjectHead& source, const std::string& key,
                       const CallOptions& call);
  Error WithoutNative(const Error& error);
  bool native_works() const { return native_ != nullptr && !missing_.move; }
  /// What the first move has done to an object's version and attributes. Repairs the latter.
  Result<s3::ObjectInfo> CheckMoved(const s3::ObjectHead& source, const std::string& key,
                                    const CallOptions& call);
  Result<std::vector<DeleteOutcome>> DeleteNatively(const std::vector<std::string>& keys,
                                                    const CallOptions& call);
  Status DeleteOneByOne(const std::vector<std::string>& keys, std::vector<DeleteOutcome>* outcomes,
                        const CallOptions& call);

  const std::string name_;
  const Profile& profile_;
  const Capabilities declared_;
  const bool create_bucket_;
  const std::string bucket_acl_;
  const std::unique_ptr<s3::HttpClient> http_;
  s3::Client client_;
  std::unique_ptr<kodo::NativeClient> native_;  // null without
  /// A move was seen to keep both the version and the attributes of an object.
  std::atomic<bool> moves_keep_all_{false};
  Missing missing_;
};

// ---- What is known of the store.

Capabilities S3Store::capabilities() const {
  Capabilities now = declared_;
  now.put_if_absent &= !missing_.put_if_absent;
  now.put_if_match &= !missing_.put_if_match;
  now.complete_if_absent &= !missing_.complete_if_absent;
  now.complete_if_match &= !missing_.complete_if_match;
  now.delete_if_match &= !missing_.delete_if_match;
  now.copy_if_absent &= !missing_.copy_if_absent;
  now.part_copy &= !missing_.part_copy;
  now.copy &= !missing_.copy;
  now.move &= !missing_.move;
  // Creation that is exclusive by way of a move needs moves that lose nothing.
  if (native_ != nullptr) now.put_if_absent &= !missing_.move;
  now.batch_delete &= client_.batch_delete_supported();
  return now;
}

Status S3Store::CheckKey(const std::string& key) const {
  if (key.empty()) return Error(Code::kInvalidArgument, "an empty key");
  if (key.size() <= static_cast<size_t>(declared_.key_size_max)) return {};
  return Error(Code::kNameTooLong, fmt::format("a key of {} bytes; {} are allowed", key.size(),
                                               declared_.key_size_max));
}

s3::Condition S3Store::WireCondition(const Condition& condition) const {
  s3::Condition wire = ToS3(condition);
  if (profile_.bare_etag_conditions) std::erase(wire.etag, '"');
  return wire;
}

Status S3Store::CheckSource(const std::string& key, const std::string& etag,
                            const CallOptions& call) {
  if (etag.empty() || profile_.source_conditions) return {};
  QUAY_ASSIGN(const s3::ObjectHead head, client_.Head(key, call));
  if (SameEtag(head.info.etag, etag)) return {};
  return Error(Code::kChanged, fmt::format("'{}' is not the version {}", key, etag));
}

std::atomic<bool>* S3Store::FlagOf(const Condition& condition, std::atomic<bool>& if_absent,
                                   std::atomic<bool>& if_match) {
  switch (condition.kind) {
    case Condition::Kind::kIfAbsent:
      return &if_absent;
    case Condition::Kind::kIfEtag:
      return &if_match;
    case Condition::Kind::kNone:
      break;
  }
  return nullptr;
}

template <typename T>
Result<T> S3Store::Judged(Result<T> result, const Condition& condition, std::atomic<bool>* missing,
                          const char* feature) const {
  if (result.ok()) return result;
  if (result.Is(Code::kNotSupported) && missing != nullptr) {
    if (!missing->exchange(true)) {
      Log(LogLevel::kDebug, "store.not_supported", {{"store", name_}, {"feature", feature}});
    }
    return result;
  }
  // If-Match on an object that is not there is a 404 (protocol.md 3.8): not the version that was
  // named.
  if (condition.kind == Condition::Kind::kIfEtag && result.Is(Code::kNotFound) &&
      result.error().detail().service_code != "NoSuchUpload") {
    return Error(Code::kChanged, result.error().message(), result.error().detail());
  }
  return result;
}

Status S3Store::CheckBucket(const CallOptions& call) {
  Status status = client_.HeadBucket(call);
  if (create_bucket_ && status.Is(Code::kNotFound)) {
    QUAY_TRY(client_.CreateBucket(bucket_acl_, call));
    return client_.HeadBucket(call);
  }
  if (!status.Is(Code::kNotFound) && !status.Is(Code::kPermissionDenied)) return status;
  // The S3 name of a bucket can differ from the one its owner knows (protocol.md 1.2): show what
  // there is.
  const auto names = client_.ListBuckets(call);
  // The reply to a HEAD has no body that could say why; this one has.
  if (names.Is(Code::kUnauthenticated) || names.Is(Code::kClockSkew)) return names.error();
  if (!names || names->empty()) return status;
  return Error(status.code(),
               fmt::format("{}; these credentials own: {}", status.error().message(),
                           fmt::join(*names, ", ")),
               status.error().detail());
}

// ---- Objects.

Result<ObjectHead> S3Store::Head(const std::string& key, const CallOptions& call) {
  QUAY_TRY(CheckKey(key));
  return Converted(client_.Head(key, call));
}

Result<ObjectHead> S3Store::Get(const GetRequest& request, DataSink& sink,
                                const CallOptions& call) {
  QUAY_TRY(CheckKey(request.key));
  if (request.range && request.range->begin >= request.range->end) {
    return Error(Code::kInvalidArgument, "an empty range");
  }
  SinkAdapter adapter(sink);
  return Converted(client_.Get({request.key, request.range, request.if_match}, adapter, call));
}

Result<ObjectInfo> S3Store::Put(const std::string& key, const DataSource& data,
                                const ObjectProperties& properties, const Condition& condition,
                                const CallOptions& call) {
  QUAY_TRY(CheckKey(key));
  const Capabilities caps = capabilities();
  QUAY_TRY(CheckProperties(properties, caps));
  if (condition.kind == Condition::Kind::kIfAbsent && !caps.put_if_absent) {
    return Unsupported("If-None-Match on a write");
  }
  if (condition.kind == Condition::Kind::kIfEtag && !caps.put_if_match) {
    return Unsupported("If-Match on a write");
  }
  if (data.size() > caps.put_size_max) {
    return Error(Code::kTooLarge, fmt::format("{} bytes in one request; {} are allowed",
                                              data.size(), caps.put_size_max));
  }
  if (condition.kind == Condition::Kind::kIfAbsent && native_ != nullptr) {
    return CreateNatively(key, data, properties, call);
  }
  const SourceBody body(data);
  auto info = client_.Put({key, &body, ToS3(properties), WireCondition(condition)}, call);
  return Converted(Judged(std::move(info), condition,
                          FlagOf(condition, missing_.put_if_absent, missing_.put_if_match),
                          "conditional put"));
}

Status S3Store::Delete(const std::string& key, const Condition& condition,
                       const CallOptions& call) {
  QUAY_TRY(CheckKey(key));
  if (condition.kind == Condition::Kind::kIfAbsent) {
    return Error(Code::kInvalidArgument, "a delete can not require that there is nothing");
  }
  if (condition.kind == Condition::Kind::kIfEtag && !capabilities().delete_if_match) {
    return Unsupported("If-Match on a delete");
  }
  Status status = client_.Delete(key, WireCondition(condition), call);
  // Gone is what was wanted.
  if (status.Is(Code::kNotFound)) return {};
  return Judged(std::move(status), condition,
                FlagOf(condition, missing_.delete_if_match, missing_.delete_if_match),
                "conditional delete");
}

Status S3Store::DeleteOneByOne(const std::vector<std::string>& keys,
                               std::vector<DeleteOutcome>* outcomes, const CallOptions& call) {
  for (const std::string& key : keys) {
    outcomes->push_back({key, Delete(key, Condition::None(), call)});
  }
  return {};
}

Result<std::vector<DeleteOutcome>> S3Store::DeleteMany(const std::vector<std::string>& keys,
                                                       const CallOptions& call) {
  if (native_works()) {
    auto done = DeleteNatively(keys, call);
    if (!done.Is(Code::kNotSupported)) return done;
  }
  std::vector<DeleteOutcome> outcomes;
  outcomes.reserve(keys.size());
  if (!declared_.batch_delete) {
    QUAY_TRY(DeleteOneByOne(keys, &outcomes, call));
    return outcomes;
  }
  QUAY_ASSIGN(auto found, client_.DeleteMany(keys, call));
  for (s3::DeleteOutcome& outcome : found) {
    outcomes.push_back({std::move(outcome.key), std::move(outcome.status)});
  }
  return outcomes;
}

Result<ObjectInfo> S3Store::Copy(const std::string& source_key, const std::string& source_etag,
                                 const std::string& key,
                                 const std::optional<ObjectProperties>& properties,
                                 const Condition& condition, const CallOptions& call) {
  QUAY_TRY(CheckKey(source_key));
  QUAY_TRY(CheckKey(key));
  if (source_key == key && !properties) {
    return Error(Code::kInvalidArgument, "a copy onto itself needs new properties");
  }
  const Capabilities caps = capabilities();
  if (!caps.copy) return Unsupported("copies");
  if (condition.kind == Condition::Kind::kIfAbsent && !caps.copy_if_absent) {
    return Unsupported("If-None-Match on a copy");
  }
  // No Capabilities field says that a store honours this one, so none is trusted to.
  if (condition.kind == Condition::Kind::kIfEtag) return Unsupported("If-Match on a copy");
  s3::CopyRequest request{source_key, source_etag, key, std::nullopt, WireCondition(condition)};
  if (properties) {
    QUAY_TRY(CheckProperties(*properties, caps));
    request.properties = ToS3(*properties);
  }
  QUAY_TRY(CheckSource(source_key, source_etag, call));
  std::atomic<bool>* missing =
      condition.kind == Condition::Kind::kNone ? &missing_.copy : &missing_.copy_if_absent;
  auto info = Judged(client_.Copy(request, call), condition, missing, "copy");
  if (info.Is(Code::kInvalidArgument)) {
    // AWS refuses a source that is too large with a code that says no more than InvalidRequest.
    const auto head = client_.Head(source_key, call);
    if (head && head->info.size > caps.copy_size_max) {
      return Error(Code::kTooLarge, info.error().message(), info.error().detail());
    }
  }
  // The source may have been replaced since it was looked at. A copy with the source's own ETag is
  // proof enough; one onto itself has just replaced it.
  if (info.ok() && source_key != key && !SameEtag(info->etag, source_etag)) {
    QUAY_TRY(CheckSource(source_key, source_etag, call));
  }
  return Converted(std::move(info));
}

Result<ObjectInfo> S3Store::Move(const std::string& source_key, const std::string& key,
                                 const CallOptions& call) {
  QUAY_TRY(CheckKey(source_key));
  QUAY_TRY(CheckKey(key));
  if (!capabilities().move) return Unsupported("moves");
  if (native_ != nullptr) {
    // Looked at first, so that a lost reply leaves no doubt.
    QUAY_ASSIGN(const s3::ObjectHead source, client_.Head(source_key, call));
    return Converted(MoveNatively(source, key, /*replace=*/true, call));
  }
  return Converted(client_.Move({source_key, key}, call));
}

// ---- Kodo's native API.

Result<s3::ObjectInfo> S3Store::MoveNatively(const s3::ObjectHead& source, const std::string& key,
                                             bool replace, const CallOptions& call) {
  const std::string& source_key = source.info.key;
  if (source_key == key) {
    return Error(Code::kInvalidArgument, "an object cannot be moved onto itself");
  }
  Status moved = native_->Move(source_key, key, replace, call);
  if (!moved && kodo::MayHaveBeenMoved(moved.error())) {
    const auto left = client_.Head(source_key, call);
    if (!left && !left.Is(Code::kNotFound)) return moved.error();
    // Not carried out: once more. It may still be on its way, and then the source goes meanwhile.
    if (left) moved = native_->Move(source_key, key, replace, call);
    const bool gone = !left || moved.Is(Code::kNotFound) || moved.Is(Code::kAlreadyExists);
    if (!moved && gone) {
      QUAY_ASSIGN(const bool ours, IsThere(source, key, call));
      if (ours) moved = {};
    }
  }
  if (!moved) return WithoutNative(moved.error());
  return CheckMoved(source, key, call);
}

// Whether the object at `key` can only be what `source` was.
Result<bool> S3Store::IsThere(const s3::ObjectHead& source, const std::string& key,
                              const CallOptions& call) {
  const auto there = client_.Head(key, call);
  if (there.Is(Code::kNotFound)) return false;
  if (!there) return there.error();
  if (there->info.size != source.info.size) return false;
  const auto& metadata = source.properties.metadata;
  return SameEtag(there->info.etag, source.info.etag) ||
         (!metadata.empty() && there->properties.metadata == metadata);
}

// What will be refused the next time as well is done without from now on.
Error S3Store::WithoutNative(const Error& error) {
  const bool for_good = error.code() == Code::kPermissionDenied ||
                        error.code() == Code::kUnauthenticated ||
                        error.code() == Code::kInvalidArgument;
  if (!for_good) return error;
  if (!missing_.move.exchange(true)) {
    Log(LogLevel::kDebug, "store.not_supported",
        {{"store", name_}, {"feature", "native API"}, {"error", error.message()}});
  }
  return {Code::kNotSupported, error.message(), error.detail()};
}

Result<s3::ObjectInfo> S3Store::CheckMoved(const s3::ObjectHead& source, const std::string& key,
                                           const CallOptions& call) {
  s3::ObjectInfo expected = source.info;
  expected.key = key;
  if (moves_keep_all_) return expected;
  QUAY_ASSIGN(s3::ObjectHead made, client_.Head(key, call));
  const bool same_attributes = made.properties.metadata == source.properties.metadata &&
                               (source.properties.content_type.empty() ||
                                made.properties.content_type == source.properties.content_type);
  if (same_attributes) {
    // Otherwise each one is looked at, for the version that it has got.
    if (SameEtag(made.info.etag, expected.etag)) moves_keep_all_ = true;
    return std::move(made.info);
  }
  if (!missing_.move.exchange(true)) {
    Log(LogLevel::kDebug, "store.not_supported", {{"store", name_}, {"feature", "native move"}});
  }
  s3::CopyRequest repair{key, made.info.etag, key, source.properties, {}};
  QUAY_ASSIGN(s3::ObjectInfo repaired, client_.Copy(repair, call));
  repaired.size = made.info.size;
  return repaired;
}

// The object is written aside and moved to its name, which fails if there is something.
Result<ObjectInfo> S3Store::CreateNatively(const std::string& key, const DataSource& data,
                                           const ObjectProperties& properties,
                                           const CallOptions& call) {
  const std::string aside =
      native_->config().scratch_prefix + ".quayfs/new/" + HexEncode(RandomBytes(16));
  const SourceBody body(data);
  s3::ObjectHead written;
  written.properties = ToS3(properties);
  QUAY_ASSIGN(written.info, client_.Put({aside, &body, written.properties, {}}, call));
  written.info.key = aside;
  auto made = MoveNatively(written, key, /*replace=*/false, call);
  // Nothing of it may stay, whatever went wrong; the error to tell is the one before.
  if (!made) Ignore(client_.Delete(aside, {}, {}));
  return Converted(std::move(made));
}

Result<std::vector<DeleteOutcome>> S3Store::DeleteNatively(const std::vector<std::string>& keys,
                                                           const CallOptions& call) {
  std::vector<kodo::NativeStep> steps;
  steps.reserve(keys.size());
  for (const std::string& key : keys) {
    QUAY_TRY(CheckKey(key));
    steps.push_back({kodo::NativeStep::Kind::kDelete, key, "", false});
  }
  Result<std::vector<Status>> done = native_->Batch(steps, call);
  if (!done) return WithoutNative(done.error());
  std::vector<DeleteOutcome> outcomes;
  outcomes.reserve(keys.size());
  for (size_t i = 0; i < keys.size(); ++i) outcomes.push_back({keys[i], std::move((*done)[i])});
  return outcomes;
}

// ---- Multipart uploads.

Result<std::string> S3Store::CreateUpload(const std::string& key,
                                          const ObjectProperties& properties,
                                          const CallOptions& call) {
  QUAY_TRY(CheckKey(key));
  const Capabilities caps = capabilities();
  QUAY_TRY(CheckProperties(properties, caps));
  if (!caps.multipart) return Unsupported("multipart uploads");
  return client_.CreateUpload(key, ToS3(properties), call);
}

Result<PartInfo> S3Store::UploadPart(const std::string& key, const std::string& upload_id,
                                     int number, const DataSource& data, const CallOptions& call) {
  QUAY_TRY(CheckKey(key));
  if (data.size() > declared_.part_size_max) {
    return Error(Code::kTooLarge, fmt::format("a part of {} bytes; {} are allowed", data.size(),
                                              declared_.part_size_max));
  }
  const SourceBody body(data);
  return Converted(client_.UploadPart({key, upload_id, number, &body}, call));
}

Result<PartInfo> S3Store::CopyPart(const std::string& key, const std::string& upload_id, int number,
                                   const std::string& source_key, const std::string& source_etag,
                                   ByteRange source_range, const CallOptions& call) {
  QUAY_TRY(CheckKey(key));
  QUAY_TRY(CheckKey(source_key));
  if (source_range.empty()) return Error(Code::kInvalidArgument, "an empty range");
  if (!capabilities().part_copy) return Unsupported("part copies");
  QUAY_TRY(CheckSource(source_key, source_etag, call));
  auto part = Judged(
      client_.CopyPart({key, upload_id, number, source_key, source_etag, source_range}, call),
      Condition::None(), &missing_.part_copy, "part copy");
  if (part.ok()) QUAY_TRY(CheckSource(source_key, source_etag, call));
  return Converted(std::move(part));
}

Result<ObjectInfo> S3Store::CompleteUpload(const std::string& key, const std::string& upload_id,
                                           const std::vector<PartInfo>& parts,
                                           const Condition& condition, const CallOptions& call) {
  QUAY_TRY(CheckKey(key));
  const Capabilities caps = capabilities();
  if (condition.kind == Condition::Kind::kIfAbsent && !caps.complete_if_absent) {
    return Unsupported("If-None-Match on a completion");
  }
  if (condition.kind == Condition::Kind::kIfEtag && !caps.complete_if_match) {
    return Unsupported("If-Match on a completion");
  }
  s3::CompleteRequest request{key, upload_id, {}, WireCondition(condition)};
  for (const PartInfo& part : parts) {
    request.parts.push_back({part.number, part.etag, part.size});
  }
  auto info = client_.CompleteUpload(request, call);
  if (info.ok() && info->etag.empty()) {
    // Older RADOS gateways do not say which version they made.
    QUAY_ASSIGN(s3::ObjectHead head, client_.Head(key, call));
    if (head.info.size == info->size) info = std::move(head.info);
  }
  // They also take an upload that is not there for one that is being completed, and say 500.
  if (info.Is(Code::kUnavailable) && info.error().detail().http_status >= 500 &&
      client_.ListParts(key, upload_id, call).Is(Code::kNotFound)) {
    return Error(Code::kNotFound, info.error().message(), info.error().detail());
  }
  return Converted(
      Judged(std::move(info), condition,
             FlagOf(condition, missing_.complete_if_absent, missing_.complete_if_match),
             "conditional completion"));
}

Status S3Store::AbortUpload(const std::string& key, const std::string& upload_id,
                            const CallOptions& call) {
  QUAY_TRY(CheckKey(key));
  return client_.AbortUpload(key, upload_id, call);
}

Result<std::vector<PartInfo>> S3Store::ListParts(const std::string& key,
                                                 const std::string& upload_id,
                                                 const CallOptions& call) {
  QUAY_TRY(CheckKey(key));
  QUAY_ASSIGN(auto found, client_.ListParts(key, upload_id, call));
  std::vector<PartInfo> parts;
  parts.reserve(found.size());
  for (s3::PartInfo& part : found) parts.push_back(FromS3(std::move(part)));
  return parts;
}

Result<std::vector<UploadInfo>> S3Store::ListUploads(const std::string& prefix,
                                                     const CallOptions& call) {
  QUAY_ASSIGN(auto found, client_.ListUploads(prefix, call));
  std::vector<UploadInfo> uploads;
  uploads.reserve(found.size());
  for (s3::UploadInfo& upload : found) {
    uploads.push_back({std::move(upload.key), std::move(upload.upload_id), upload.initiated});
  }
  return uploads;
}

// ---- Listing.

Result<ListPage> S3Store::List(const ListRequest& request, const CallOptions& call) {
  if (request.max_keys <= 0) return Error(Code::kInvalidArgument, "max_keys must be positive");
  QUAY_ASSIGN(auto found, client_.List({request.prefix, request.delimiter, request.token,
                                        std::min(request.max_keys, 1000)},
                                       call));
  ListPage page;
  page.objects.reserve(found.objects.size());
  for (s3::ObjectInfo& info : found.objects) page.objects.push_back(FromS3(std::move(info)));
  page.common_prefixes = std::move(found.common_prefixes);
  page.next_token = std::move(found.next_token);
  return page;
}

std::unique_ptr<ObjectStore> MakeS3Store(ResolvedStore resolved,
                                         std::unique_ptr<s3::HttpClient> http, Clock& clock) {
  return std::make_unique<S3Store>(std::move(resolved), std::move(http), clock);
}

std::optional<StoreRegion> RegionOf(const ObjectStore& store) {
  const auto* const s3 = dynamic_cast<const S3Store*>(&store);
  if (s3 == nullptr || s3->region().configured.empty()) return std::nullopt;
  return s3->region();
}

}  // namespace quayfs
