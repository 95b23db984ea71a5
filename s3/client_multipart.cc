// SPDX-License-Identifier: Apache-2.0
//
// The S3 client: multipart uploads.

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/hash.h"
#include "base/text.h"
#include "s3/client_impl.h"
#include "s3/errors.h"
#include "s3/metadata_codec.h"

namespace quayfs::s3 {
namespace {

constexpr int kMaxParts = 10'000;

Status CheckUpload(const std::string& key, const std::string& upload_id) {
  if (key.empty() || upload_id.empty()) {
    return Error(Code::kInvalidArgument, "an upload needs a key and an upload id");
  }
  return {};
}

Status CheckPartNumber(int number) {
  if (number < 1 || number > kMaxParts) {
    return Error(Code::kInvalidArgument,
                 fmt::format("there is no part {}: parts are 1 to {}", number, kMaxParts));
  }
  return {};
}

// The ETag that a store with MD5 ETags gives an object made of these parts, "" if a part's is not
// one.
std::string MultipartEtag(const std::vector<PartInfo>& parts) {
  std::string digests;
  for (const PartInfo& part : parts) {
    const std::string hex = Md5OfEtag(part.etag);
    if (hex.empty()) return "";
    for (size_t i = 0; i < hex.size(); i += 2) {
      const auto nibble = [&](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
      digests += static_cast<char>(nibble(hex[i]) * 16 + nibble(hex[i + 1]));
    }
  }
  return fmt::format("\"{}-{}\"", HexEncode(Md5(digests)), parts.size());
}

// For an ETag of the form HEX-N: N; else 0.
uint64_t PartsInEtag(std::string_view etag) {
  while (!etag.empty() && etag.back() == '"') etag.remove_suffix(1);
  const size_t dash = etag.rfind('-');
  if (dash == std::string_view::npos) return 0;
  const Result<uint64_t> count = ParseUint(etag.substr(dash + 1));
  return count ? *count : 0;
}

}  // namespace

// ---- Create.

Result<std::string> Client::CreateUpload(const std::string& key, const ObjectProperties& properties,
                                         const CallOptions& call) {
  if (key.empty()) return Error(Code::kInvalidArgument, "an object's key cannot be empty");
  Operation operation = impl_->ObjectOperation("begin the upload of object", "POST", key);
  operation.query = {{"uploads", std::nullopt}};
  QUAY_TRY(impl_->AddObjectHeaders(properties, &operation.headers));
  // A POST always has a type, and signatures cover it.
  if (!operation.headers.Has("content-type"))
    operation.headers.Set("Content-Type", "binary/octet-stream");
  operation.reply_must_be_document = true;

  const WallTime began = impl_->clock.Now();
  Corrections corrections;
  bool unclear = false;
  WallTime created{};
  const auto attempt = [&](int /*number*/) -> Result<std::string> {
    const Result<Reply> reply = impl_->Exchange(operation, nullptr, &corrections, call);
    if (!reply) {
      unclear = unclear || MayHaveHappened(reply.error());
      return reply.error();
    }
    Result<std::string> upload_id = impl_->dialect.ParseInitiate(reply->body);
    if (!upload_id) return upload_id.error().WithContext("cannot " + operation.doing);
    created = ServerTime(reply->headers, "").value_or(impl_->clock.Now());
    return upload_id;
  };
  QUAY_ASSIGN(std::string upload_id, impl_->retrier.Run(RetryTraits{}, call, attempt));
  impl_->RememberUpload(upload_id, created);
  if (!unclear) return upload_id;

  // An attempt whose reply was lost may have left an upload that nobody knows. Failing to find or
  // abort it costs only space.
  const Result<std::vector<UploadInfo>> all = ListUploads(key, call);
  if (!all) return upload_id;
  for (const UploadInfo& upload : *all) {
    const bool ours = upload.key == key && upload.initiated >= impl_->ServerMoment(began) &&
                      upload.initiated <= created + std::chrono::seconds(3);
    if (!ours || impl_->UploadCreated(upload.upload_id)) continue;
    Ignore(AbortUpload(key, upload.upload_id, call));  // as said above
  }
  return upload_id;
}

// ---- Parts.

Result<PartInfo> Client::UploadPart(const UploadPartRequest& request, const CallOptions& call) {
  QUAY_TRY(CheckUpload(request.key, request.upload_id));
  QUAY_TRY(CheckPartNumber(request.number));
  Operation operation = impl_->ObjectOperation(
      fmt::format("upload part {} of object", request.number), "PUT", request.key);
  operation.query = impl_->PartQuery(request.upload_id, request.number);
  impl_->AddCustomerKey(&operation.headers);
  QUAY_ASSIGN(const BodyDigest digest,
              impl_->AddBody(request.body, impl_->config.content_md5, &operation));
  Corrections corrections;
  const auto attempt = [&](int /*number*/) -> Result<PartInfo> {
    QUAY_ASSIGN(const Reply reply, impl_->Exchange(operation, nullptr, &corrections, call));
    QUAY_TRY(impl_->CheckEtag(operation, digest, reply.headers, true));
    PartInfo part{request.number, std::string(TrimBlanks(reply.headers.Get("etag"))),
                  operation.body->size()};
    if (part.etag.empty()) {
      return Error(Code::kCorrupt,
                   fmt::format("cannot {}: the reply has no ETag", operation.doing));
    }
    return part;
  };
  return impl_->retrier.Run(RetryTraits{}, call, attempt);
}

Result<PartInfo> Client::CopyPart(const CopyPartRequest& request, const CallOptions& call) {
  QUAY_TRY(CheckUpload(request.key, request.upload_id));
  QUAY_TRY(CheckPartNumber(request.number));
  if (request.source_key.empty() || request.source_range.begin >= request.source_range.end ||
      !IsHeaderValue(request.source_etag)) {
    return Error(Code::kInvalidArgument,
                 "a part copy needs a source, a range that is not empty, and a proper ETag");
  }
  Operation operation = impl_->ObjectOperation(
      fmt::format("copy part {} of object", request.number), "PUT", request.key);
  operation.query = impl_->PartQuery(request.upload_id, request.number);
  operation.reply_must_be_document = impl_->dialect.writes_answer_in_documents();
  operation.long_work = true;
  operation.work_bytes = call.work_bytes;
  impl_->AddCustomerKey(&operation.headers);
  impl_->AddCopySource(request.source_key, request.source_etag, &operation.headers);
  operation.headers.Set(
      impl_->dialect.names().copy_source_range,
      fmt::format("bytes={}-{}", request.source_range.begin, request.source_range.end - 1));
  QUAY_ASSIGN(const Reply reply, impl_->Run(operation, call));
  Result<CopyReply> copied = impl_->dialect.ParseCopy(reply.body, reply.headers);
  if (!copied) return copied.error().WithContext("cannot " + operation.doing);
  PartInfo part{request.number, copied->etag, request.source_range.length()};
  if (!part.etag.empty()) return part;
  // The reply does not say; the list does.
  QUAY_ASSIGN(const std::vector<PartInfo> parts, ListParts(request.key, request.upload_id, call));
  for (const PartInfo& listed : parts) {
    if (listed.number == request.number && listed.size == part.size) return listed;
  }
  return Error(Code::kCorrupt,
               fmt::format("cannot {}: the part is not there afterwards", operation.doing));
}

// ---- Complete and abort.

namespace {

uint64_t SumOfParts(const std::vector<PartInfo>& parts) {
  uint64_t sum = 0;
  for (const PartInfo& part : parts) sum += part.size;
  return sum;
}

Status CheckComplete(const CompleteRequest& request) {
  QUAY_TRY(CheckUpload(request.key, request.upload_id));
  if (request.parts.empty())
    return Error(Code::kInvalidArgument, "an upload cannot be completed without parts");
  int last = 0;
  for (const PartInfo& part : request.parts) {
    QUAY_TRY(CheckPartNumber(part.number));
    if (part.number <= last)
      return Error(Code::kInvalidArgument, "the parts of an upload are not in order");
    if (part.etag.empty() || !XmlCarriesKey(part.etag)) {
      return Error(Code::kInvalidArgument, fmt::format("part {} has no usable ETag", part.number));
    }
    last = part.number;
  }
  return {};
}

}  // namespace

// Evidence that the object is the one this upload makes: the ETag that this client was told when it
// completed the upload, or that its parts must give; or, where ETags cannot be foretold, the size,
// the number of parts, and an age not above that of the upload, for which its creation must be
// known.
Result<std::optional<ObjectInfo>> Client::Impl::RecogniseCompleted(const CompleteRequest& request,
                                                                   const CallOptions& call) {
  using Found = std::optional<ObjectInfo>;
  const Result<ObjectHead> head = HeadOf(request.key, call);
  if (head.Is(Code::kNotFound)) return Found();
  if (!head) return head.error();
  const ObjectInfo& info = head->info;
  if (info.size != SumOfParts(request.parts)) return Found();
  if (request.condition.kind == Condition::Kind::kIfEtag &&
      EtagsMatch(info.etag, request.condition.etag)) {
    return Found();
  }
  if (const std::string told = CompletedEtag(request.upload_id); !told.empty())
    return EtagsMatch(told, info.etag) ? Found(info) : Found();
  const std::string foretold = config.etag_is_md5 ? MultipartEtag(request.parts) : "";
  if (!foretold.empty()) {
    if (EtagsMatch(foretold, info.etag)) return Found(info);
    if (config.sse.empty() && config.sse_customer_key.empty()) return Found();
  }
  const std::optional<WallTime> created = UploadCreated(request.upload_id);
  if (!created || info.last_modified + std::chrono::seconds(3) < *created) return Found();
  const uint64_t count = PartsInEtag(info.etag);
  if (count != 0 && count != request.parts.size()) return Found();
  return Found(info);
}

Result<ObjectInfo> Client::CompleteUpload(const CompleteRequest& request, const CallOptions& call) {
  QUAY_TRY(CheckComplete(request));
  Operation operation =
      impl_->ObjectOperation("complete the upload of object", "POST", request.key);
  operation.query = {{std::string(impl_->dialect.names().upload_id), request.upload_id}};
  operation.reply_must_be_document = impl_->dialect.writes_answer_in_documents();
  operation.long_work = true;
  operation.work_bytes = call.work_bytes;
  operation.sent_once = true;
  QUAY_TRY(impl_->AddCondition(request.condition, &operation.headers));
  impl_->AddCustomerKey(&operation.headers);
  const std::string text = impl_->dialect.WriteComplete(request.parts);
  const MemoryBody body{text};
  impl_->AddDocument(&body, text, &operation);
  const std::string announced = impl_->dialect.AnnouncedEtag(request.parts);
  if (!announced.empty()) operation.headers.Set("ETag", announced);

  Corrections corrections;
  bool unclear = false;
  const auto attempt = [&](int /*number*/) -> Result<ObjectInfo> {
    if (unclear) {
      // If it cannot be looked at, sending it again does no harm.
      Result<std::optional<ObjectInfo>> done = impl_->RecogniseCompleted(request, call);
      if (done && *done) return **std::move(done);
    }
    const Result<Reply> reply = impl_->Exchange(operation, nullptr, &corrections, call);
    if (!reply) {
      const Error& error = reply.error();
      const bool gone =
          error.detail().service_code == "NoSuchUpload" || error.code() == Code::kNotFound;
      if (gone || (unclear && error.code() == Code::kChanged)) {
        // Not to know is something else than to know that it is gone.
        QUAY_ASSIGN(std::optional<ObjectInfo> done, impl_->RecogniseCompleted(request, call));
        if (done) return *std::move(done);
      }
      unclear = unclear || MayHaveHappened(error);
      return WithCondition(error, request.condition);
    }
    Result<std::string> etag = impl_->dialect.ParseComplete(reply->body, reply->headers);
    if (!etag) return etag.error().WithContext("cannot " + operation.doing);
    ObjectInfo info;
    info.key = request.key;
    info.size = SumOfParts(request.parts);
    info.etag = *std::move(etag);
    info.storage_class = impl_->config.storage_class;
    if (info.etag.empty() && !impl_->dialect.writes_answer_in_documents()) {
      const Result<ObjectHead> made = impl_->HeadOf(request.key, call);
      if (made && made->info.size == info.size) return made->info;
    }
    if (const std::optional<WallTime> now = ServerTime(reply->headers, ""))
      info.last_modified = *now;
    return info;
  };
  Result<ObjectInfo> completed = impl_->retrier.Run(RetryTraits{}, call, attempt);
  if (completed) impl_->RememberCompleted(request.upload_id, completed->etag);
  if (completed || completed.Is(Code::kNotFound)) impl_->ForgetUpload(request.upload_id);
  return completed;
}

Status Client::AbortUpload(const std::string& key, const std::string& upload_id,
                           const CallOptions& call) {
  QUAY_TRY(CheckUpload(key, upload_id));
  Operation operation = impl_->ObjectOperation("abort the upload of object", "DELETE", key);
  operation.query = {{std::string(impl_->dialect.names().upload_id), upload_id}};
  const Result<Reply> reply = impl_->Run(operation, call);
  if (!reply && !reply.Is(Code::kNotFound)) return reply.error();
  impl_->ForgetUpload(upload_id);
  return {};
}

// ---- What is there.

Result<std::vector<PartInfo>> Client::ListParts(const std::string& key,
                                                const std::string& upload_id,
                                                const CallOptions& call) {
  QUAY_TRY(CheckUpload(key, upload_id));
  std::vector<PartInfo> parts;
  int marker = 0;
  for (;;) {
    Operation operation = impl_->ObjectOperation("list the uploaded parts of object", "GET", key);
    operation.query = impl_->dialect.PartsQuery(upload_id, marker);
    operation.reply_limit = kXmlReplyLimit;
    QUAY_ASSIGN(const Reply reply, impl_->Run(operation, call));
    Result<PartsReply> page = impl_->dialect.ParseParts(reply.body);
    if (!page) return page.error().WithContext("cannot " + operation.doing);
    parts.insert(parts.end(), page->parts.begin(), page->parts.end());
    if (!page->truncated) break;
    if (page->next_marker <= marker) {
      return Error(Code::kCorrupt,
                   fmt::format("cannot {}: the listing does not get on", operation.doing));
    }
    marker = page->next_marker;
  }
  std::sort(parts.begin(), parts.end(),
            [](const PartInfo& a, const PartInfo& b) { return a.number < b.number; });
  // A marker may be the last of one page or the first of the next.
  parts.erase(
      std::unique(parts.begin(), parts.end(),
                  [](const PartInfo& a, const PartInfo& b) { return a.number == b.number; }),
      parts.end());
  return parts;
}

Result<std::vector<UploadInfo>> Client::ListUploads(const std::string& prefix,
                                                    const CallOptions& call) {
  std::vector<UploadInfo> uploads;
  std::pair<std::string, std::string> marker;
  for (;;) {
    Operation operation = impl_->BucketOperation("list the unfinished uploads of bucket", "GET");
    operation.query = impl_->dialect.UploadsQuery(prefix, marker.first, marker.second,
                                                  impl_->config.list_url_encode);
    operation.reply_limit = kXmlReplyLimit;
    QUAY_ASSIGN(const Reply reply, impl_->Run(operation, call));
    Result<UploadsReply> page = impl_->dialect.ParseUploads(reply.body, prefix);
    if (!page) return page.error().WithContext("cannot " + operation.doing);
    uploads.insert(uploads.end(), page->uploads.begin(), page->uploads.end());
    if (!page->truncated) return uploads;
    std::pair<std::string, std::string> next(page->next_key_marker, page->next_upload_id_marker);
    if (next.first.empty() || next == marker) {
      return Error(Code::kCorrupt,
                   fmt::format("cannot {}: the listing does not get on", operation.doing));
    }
    marker = std::move(next);
  }
}

}  // namespace quayfs::s3
