// SPDX-License-Identifier: Apache-2.0
//
// The S3 client: single objects.

#include <fmt/format.h>

#include <utility>

#include "base/text.h"
#include "s3/client_impl.h"
#include "s3/errors.h"
#include "s3/metadata_codec.h"

namespace quayfs::s3 {
namespace {

Status CheckKey(const std::string& key) {
  if (key.empty()) return Error(Code::kInvalidArgument, "an object's key cannot be empty");
  return {};
}

}  // namespace

// ---- Head and Delete.

Result<ObjectHead> Client::Impl::HeadOf(const std::string& key, const CallOptions& call) {
  QUAY_TRY(CheckKey(key));
  Operation operation = ObjectOperation("look at object", "HEAD", key);
  AddCustomerKey(&operation.headers);
  QUAY_ASSIGN(const Reply reply, Run(operation, call));
  ObjectHead head = ParseObjectHeaders(dialect, key, reply.headers);
  const Result<uint64_t> size = ParseUint(reply.headers.Get("content-length"));
  if (!size)
    return Error(Code::kCorrupt,
                 fmt::format("cannot {}: the reply has no usable length", operation.doing));
  head.info.size = *size;
  return head;
}

Result<ObjectHead> Client::Head(const std::string& key, const CallOptions& call) {
  return impl_->HeadOf(key, call);
}

Status Client::Delete(const std::string& key, const Condition& condition, const CallOptions& call) {
  QUAY_TRY(CheckKey(key));
  if (condition.kind == Condition::Kind::kIfAbsent) {
    return Error(Code::kInvalidArgument,
                 "an object cannot be deleted on condition that it is absent");
  }
  Operation operation = impl_->ObjectOperation("delete object", "DELETE", key);
  QUAY_TRY(impl_->AddCondition(condition, &operation.headers));
  const Result<Reply> reply = impl_->Run(operation, call);
  if (reply || reply.Is(Code::kNotFound)) return {};
  return reply.error();
}

// ---- Get.

namespace {

// "bytes 0-9/100"
struct ContentRange {
  ByteRange range;
  uint64_t total = 0;
};

std::optional<ContentRange> ParseContentRange(std::string_view text) {
  text = TrimBlanks(text);
  if (!text.starts_with("bytes ")) return std::nullopt;
  text.remove_prefix(6);
  const size_t dash = text.find('-');
  const size_t slash = text.find('/');
  if (dash == std::string_view::npos || slash == std::string_view::npos || dash > slash)
    return std::nullopt;
  const Result<uint64_t> first = ParseUint(text.substr(0, dash));
  const Result<uint64_t> last = ParseUint(text.substr(dash + 1, slash - dash - 1));
  const Result<uint64_t> total = ParseUint(text.substr(slash + 1));
  if (!first || !last || !total || *first > *last || *last >= *total) return std::nullopt;
  return ContentRange{{*first, *last + 1}, *total};
}

// One Get over all its attempts: what was asked, and how far the bytes have come.
class Download final : public SuccessBody {
 public:
  Download(const Dialect& dialect, const GetRequest& request, ByteSink& sink)
      : dialect_(dialect),
        request_(request),
        sink_(sink),
        pin_(request.if_match),
        next_(request.range ? request.range->begin : 0),
        start_(next_) {}

  /// The Range header for what is missing, "" for everything.
  std::string RangeHeader() const {
    if (!request_.range && next_ == 0) return "";
    if (end_) return fmt::format("bytes={}-{}", next_, *end_ - 1);
    if (request_.range) return fmt::format("bytes={}-{}", next_, request_.range->end - 1);
    return fmt::format("bytes={}-", next_);
  }
  const std::string& pin() const { return pin_; }
  bool begun() const { return next_ > start_; }
  bool complete() const { return end_ && next_ == *end_; }
  bool sink_failed() const { return sink_failed_; }
  /// A success without a length said nothing of its end: what came was all.
  void EndOfBody() {
    if (!end_) {
      end_ = next_;
      total_ = next_;
    }
  }
  ObjectHead TakeHead() {
    head_.info.size = total_;
    return std::move(head_);
  }

  Status Begin(int status, const HttpHeaders& headers) override {
    ObjectHead head = ParseObjectHeaders(dialect_, request_.key, headers);
    QUAY_TRY(CheckVersion(head.info.etag));
    QUAY_TRY(status == 206 ? CheckPartial(headers) : CheckWhole(headers));
    if (pin_.empty()) pin_ = head.info.etag;
    head_ = std::move(head);
    return {};
  }

  Status Write(std::span<const std::byte> data) override {
    if (end_ && data.size() > *end_ - next_) return Broken("more bytes than the reply announced");
    if (Status written = sink_.Write(data); !written) {
      sink_failed_ = true;
      return written;
    }
    next_ += data.size();
    return {};
  }

 private:
  Error Broken(std::string_view why) const {
    return Error(Code::kCorrupt, fmt::format("the service answered with {}", why));
  }

  Status CheckVersion(std::string_view etag) const {
    if (pin_.empty()) return {};
    if (etag.empty()) return Broken("no ETag to a request for a certain one");
    if (!EtagsMatch(pin_, etag)) {
      return Error(Code::kChanged,
                   fmt::format("object '{}' is no longer the version that was asked for",
                               Printable(request_.key)));
    }
    return {};
  }

  Status CheckPartial(const HttpHeaders& headers) {
    const std::optional<ContentRange> got = ParseContentRange(headers.Get("content-range"));
    if (!got) return Broken("an unreadable Content-Range");
    if (RangeHeader().empty()) return Broken("a part where the whole was asked for");
    const uint64_t wanted_end =
        request_.range ? std::min(request_.range->end, got->total) : got->total;
    if (got->range.begin != next_ || got->range.end != wanted_end) {
      return Broken(fmt::format("bytes {}-{} where {}-{} were asked for", got->range.begin,
                                got->range.end - 1, next_, wanted_end - 1));
    }
    if (end_ && got->total != total_) return Broken("another size than before");
    if (headers.Has("content-length") && !LengthIs(headers, got->range.length())) {
      return Broken("a length that does not fit its range");
    }
    end_ = got->range.end;
    total_ = got->total;
    return {};
  }

  // A service may ignore a range; that is harmless only if the whole is what the range covers.
  Status CheckWhole(const HttpHeaders& headers) {
    if (next_ != 0) return Broken("the whole object where a range was asked for");
    if (!headers.Has("content-length")) {
      if (request_.range) return Broken("the whole object where a range was asked for");
      return {};
    }
    const Result<uint64_t> length = ParseUint(headers.Get("content-length"));
    if (!length) return Broken("an unreadable Content-Length");
    if (request_.range && *length > request_.range->end) {
      return Broken("the whole object where a range was asked for");
    }
    if (request_.range && *length == 0) {
      return Error(
          Code::kInvalidArgument,
          fmt::format("the range lies beyond the end of object '{}'", Printable(request_.key)));
    }
    end_ = *length;
    total_ = *length;
    return {};
  }

  static bool LengthIs(const HttpHeaders& headers, uint64_t expected) {
    const Result<uint64_t> length = ParseUint(headers.Get("content-length"));
    return length && *length == expected;
  }

  const Dialect& dialect_;
  const GetRequest& request_;
  ByteSink& sink_;
  std::string pin_;  // the ETag that every further reply must have
  uint64_t next_;    // of the object, the next byte the sink needs
  const uint64_t start_;
  std::optional<uint64_t>
      end_;  // of the object, one past the last byte wanted; known from the first reply on
  uint64_t total_ = 0;
  bool sink_failed_ = false;
  ObjectHead head_;
};

}  // namespace

Result<ObjectHead> Client::Get(const GetRequest& request, ByteSink& sink, const CallOptions& call) {
  QUAY_TRY(CheckKey(request.key));
  if (request.range && request.range->begin >= request.range->end) {
    return Error(Code::kInvalidArgument, "the range of a read is empty");
  }
  if (!IsHeaderValue(request.if_match))
    return Error(Code::kInvalidArgument, "the ETag of a read is none");
  Download download(impl_->dialect, request, sink);
  Corrections corrections;
  // The inner result is an error that must not be repeated, whatever its code says to the retry
  // layer.
  using Outcome = std::optional<Error>;
  const auto attempt = [&](int /*number*/) -> Result<Outcome> {
    if (download.begun() && download.pin().empty()) {
      return Outcome(Error(Code::kUnavailable,
                           fmt::format("the transfer of object '{}' broke off, and without an ETag "
                                       "it cannot go on",
                                       Printable(request.key))));
    }
    Operation operation = impl_->ObjectOperation("read object", "GET", request.key);
    const std::string range = download.RangeHeader();
    if (!range.empty()) operation.headers.Set("Range", range);
    if (!download.pin().empty()) operation.headers.Set("If-Match", download.pin());
    impl_->AddCustomerKey(&operation.headers);
    const Result<Reply> reply = impl_->Exchange(operation, &download, &corrections, call);
    if (download.complete())
      return Outcome();  // also when the connection broke after the last byte
    if (!reply && download.sink_failed()) return Outcome(reply.error());
    if (!reply) return reply.error();
    download.EndOfBody();
    if (download.complete()) return Outcome();
    return Error(Code::kUnavailable,
                 fmt::format("cannot {}: the transfer ended early", operation.doing));
  };
  QUAY_ASSIGN(const Outcome outcome, impl_->retrier.Run(RetryTraits{}, call, attempt));
  if (outcome) return *outcome;
  return download.TakeHead();
}

// ---- Put and Copy.

Result<ObjectInfo> Client::Put(const PutRequest& request, const CallOptions& call) {
  QUAY_TRY(CheckKey(request.key));
  Operation operation = impl_->ObjectOperation("write object", "PUT", request.key);
  QUAY_TRY(impl_->AddObjectHeaders(request.properties, &operation.headers));
  QUAY_TRY(impl_->AddCondition(request.condition, &operation.headers));
  QUAY_ASSIGN(const BodyDigest digest,
              impl_->AddBody(request.body, impl_->config.content_md5, &operation));

  const uint64_t size = operation.body->size();
  const bool conditional = request.condition.kind != Condition::Kind::kNone;
  operation.sent_once = conditional;
  Expected expected{request.key, size, "", &request.properties, impl_->clock.Now()};
  Corrections corrections;
  bool unclear = false;
  const auto attempt = [&](int /*number*/) -> Result<ObjectInfo> {
    const Result<Reply> reply = impl_->Exchange(operation, nullptr, &corrections, call);
    if (!reply) {
      if (conditional && unclear && reply.Is(Code::kChanged)) {
        expected.etag = impl_->Md5Etag(*operation.body, digest);
        if (std::optional<ObjectInfo> ours = impl_->Recognise(expected, call))
          return *std::move(ours);
      }
      unclear = unclear || MayHaveHappened(reply.error());
      return WithCondition(reply.error(), request.condition);
    }
    QUAY_TRY(impl_->CheckEtag(operation, digest, reply->headers, !conditional));
    ObjectInfo info = ParseObjectHeaders(impl_->dialect, request.key, reply->headers).info;
    info.size = size;
    info.storage_class = impl_->config.storage_class;
    if (const std::optional<WallTime> now = ServerTime(reply->headers, ""))
      info.last_modified = *now;
    return info;
  };
  return impl_->retrier.Run(RetryTraits{}, call, attempt);
}

namespace {

Error CopyError(const Error& error, const CopyRequest& request) {
  // With a version asked of the source, a failed precondition may be either; without, it is the
  // destination's.
  return request.source_etag.empty() ? WithCondition(error, request.condition) : error;
}

}  // namespace

Result<ObjectInfo> Client::Copy(const CopyRequest& request, const CallOptions& call) {
  QUAY_TRY(CheckKey(request.key));
  QUAY_TRY(CheckKey(request.source_key));
  if (!IsHeaderValue(request.source_etag))
    return Error(Code::kInvalidArgument, "the ETag of a copy's source is none");
  Operation operation = impl_->ObjectOperation(
      fmt::format("copy object '{}' to", Printable(request.source_key)), "PUT", request.key);
  operation.reply_must_be_document = impl_->dialect.writes_answer_in_documents();
  operation.long_work = true;
  operation.work_bytes = call.work_bytes;
  const DialectNames& names = impl_->dialect.names();
  if (request.properties) {
    operation.headers.Set(names.metadata_directive, names.metadata_replace);
  }
  QUAY_TRY(
      impl_->AddObjectHeaders(request.properties.value_or(ObjectProperties{}), &operation.headers));
  QUAY_TRY(impl_->AddCondition(request.condition, &operation.headers));
  impl_->AddCopySource(request.source_key, request.source_etag, &operation.headers);

  const bool conditional =
      request.condition.kind != Condition::Kind::kNone || !request.source_etag.empty();
  operation.sent_once = conditional;
  Expected expected{request.key, std::nullopt, "", nullptr, impl_->clock.Now()};
  if (request.properties) {
    expected.properties = &*request.properties;
  } else {
    expected.etag = request.source_etag;
  }
  Corrections corrections;
  bool unclear = false;
  const auto attempt = [&](int /*number*/) -> Result<ObjectInfo> {
    const Result<Reply> reply = impl_->Exchange(operation, nullptr, &corrections, call);
    if (!reply) {
      if (conditional && unclear && reply.Is(Code::kChanged)) {
        if (std::optional<ObjectInfo> ours = impl_->Recognise(expected, call))
          return *std::move(ours);
      }
      unclear = unclear || MayHaveHappened(reply.error());
      return CopyError(reply.error(), request);
    }
    Result<CopyReply> copied = impl_->dialect.ParseCopy(reply->body, reply->headers);
    if (!copied) return copied.error().WithContext("cannot " + operation.doing);
    ObjectInfo info;
    info.key = request.key;
    info.etag = copied->etag;
    info.last_modified = copied->last_modified;
    info.storage_class = impl_->config.storage_class;
    if (!info.etag.empty()) return info;
    QUAY_ASSIGN(ObjectHead made, impl_->HeadOf(request.key, call));  // the reply does not say
    return std::move(made.info);
  };
  Result<ObjectInfo> copied = impl_->retrier.Run(RetryTraits{}, call, attempt);
  if (request.condition.kind == Condition::Kind::kIfAbsent && copied.Is(Code::kChanged) &&
      impl_->HeadOf(request.key, call)) {
    return Error(Code::kAlreadyExists, copied.error().message(), copied.error().detail());
  }
  return copied;
}

// ---- Move.

Result<ObjectInfo> Client::Move(const MoveRequest& request, const CallOptions& call) {
  QUAY_TRY(CheckKey(request.key));
  QUAY_TRY(CheckKey(request.source_key));
  const std::string_view source_header = impl_->dialect.names().move_source;
  if (source_header.empty()) return Error(Code::kNotSupported, "the service has no move");
  if (request.key == request.source_key) {
    return Error(Code::kInvalidArgument, "an object cannot be moved onto itself");
  }
  QUAY_ASSIGN(ObjectHead source, impl_->HeadOf(request.source_key, call));
  Operation operation = impl_->ObjectOperation(
      fmt::format("move object '{}' to", Printable(request.source_key)), "PUT", request.key);
  operation.headers.Set(source_header, "/" + PercentEncode(impl_->config.bucket, false) + "/" +
                                           impl_->dialect.EncodeKey(request.source_key));
  // Some services forget the type of what they move.
  if (!source.properties.content_type.empty()) {
    operation.headers.Set("Content-Type", source.properties.content_type);
  }
  impl_->AddCustomerKeyAs(impl_->dialect.names().copy_source_customer_key, &operation.headers);
  impl_->AddCustomerKey(&operation.headers);
  operation.long_work = true;
  operation.work_bytes = call.work_bytes;
  operation.sent_once = true;

  ObjectInfo moved = source.info;
  moved.key = request.key;
  Corrections corrections;
  bool unclear = false;
  // Sent again it can do no harm: once the source has gone, there is nothing to move.
  const auto attempt = [&](int /*number*/) -> Result<ObjectInfo> {
    const Result<Reply> reply = impl_->Exchange(operation, nullptr, &corrections, call);
    if (!reply) {
      if (unclear && reply.Is(Code::kNotFound)) {
        QUAY_ASSIGN(ObjectHead there, impl_->HeadOf(request.key, call));
        const bool ours =
            there.info.size == source.info.size && EtagsMatch(there.info.etag, source.info.etag);
        if (ours) return std::move(there.info);
      }
      unclear = unclear || MayHaveHappened(reply.error());
      return reply.error();
    }
    if (const std::optional<WallTime> now = ServerTime(reply->headers, "")) {
      moved.last_modified = *now;
    }
    return moved;
  };
  return impl_->retrier.Run(RetryTraits{}, call, attempt);
}

}  // namespace quayfs::s3
