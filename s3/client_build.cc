// SPDX-License-Identifier: Apache-2.0
//
// Client::Impl, the part that builds requests and reads replies.

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/hash.h"
#include "base/text.h"
#include "s3/client_impl.h"
#include "s3/metadata_codec.h"

namespace quayfs::s3 {
namespace {

constexpr size_t kReadChunk = 256u << 10;  // bytes read at a time for a digest

struct PropertyHeader {
  std::string_view name;
  std::string ObjectProperties::*field;
};

constexpr PropertyHeader kPropertyHeaders[] = {
    {"Content-Type", &ObjectProperties::content_type},
    {"Cache-Control", &ObjectProperties::cache_control},
    {"Content-Disposition", &ObjectProperties::content_disposition},
    {"Content-Encoding", &ObjectProperties::content_encoding},
    {"Content-Language", &ObjectProperties::content_language},
    {"Expires", &ObjectProperties::expires},
};

void AddUnlessEmpty(std::string_view name, std::string_view value, HttpHeaders* headers) {
  if (!value.empty() && !name.empty()) headers->Set(name, value);
}

Result<BodyDigest> DigestBody(const RequestBody& body, bool want_sha256, bool want_md5) {
  Hasher sha256(HashKind::kSha256);
  Hasher md5(HashKind::kMd5);
  std::vector<std::byte> buffer(static_cast<size_t>(std::min<uint64_t>(body.size(), kReadChunk)));
  for (uint64_t offset = 0; offset < body.size(); offset += buffer.size()) {
    const auto length =
        static_cast<size_t>(std::min<uint64_t>(buffer.size(), body.size() - offset));
    const std::span<std::byte> chunk(buffer.data(), length);
    QUAY_TRY(body.Read(offset, chunk));
    if (want_sha256) sha256.Update(chunk);
    if (want_md5) md5.Update(chunk);
  }
  BodyDigest digest;
  if (want_sha256) digest.sha256 = HexEncode(sha256.Finish());
  if (want_md5) digest.md5 = md5.Finish();
  return digest;
}

}  // namespace

std::string Md5OfEtag(std::string_view etag) {
  std::string digits;
  for (const char c : etag) {
    if (c != '"') digits += c;
  }
  digits = ToLower(digits);
  const bool hex =
      digits.size() == 32 && digits.find_first_not_of("0123456789abcdef") == std::string::npos;
  return hex ? digits : "";
}

Error WithCondition(const Error& error, const Condition& condition) {
  if (condition.kind == Condition::Kind::kIfAbsent && error.code() == Code::kChanged) {
    return Error(Code::kAlreadyExists, error.message(), error.detail());
  }
  if (condition.kind == Condition::Kind::kIfEtag && error.code() == Code::kNotFound &&
      error.detail().service_code != "NoSuchUpload") {
    return Error(Code::kChanged, error.message(), error.detail());
  }
  return error;
}

Operation Client::Impl::ObjectOperation(std::string_view verb, std::string_view method,
                                        const std::string& key) const {
  Operation operation;
  operation.doing = fmt::format("{} '{}'", verb, Printable(key));
  operation.method = method;
  operation.key = key;
  return operation;
}

Operation Client::Impl::BucketOperation(std::string_view doing, std::string_view method) const {
  Operation operation;
  operation.doing = fmt::format("{} '{}'", doing, config.bucket);
  operation.method = method;
  operation.scope = Operation::Scope::kBucket;
  return operation;
}

std::vector<QueryParameter> Client::Impl::PartQuery(const std::string& upload_id,
                                                    int number) const {
  const DialectNames& names = dialect.names();
  return {{std::string(names.part_number), std::to_string(number)},
          {std::string(names.upload_id), upload_id}};
}

Status Client::Impl::AddObjectHeaders(const ObjectProperties& properties,
                                      HttpHeaders* headers) const {
  for (const PropertyHeader& property : kPropertyHeaders) {
    const std::string_view value = TrimBlanks(properties.*property.field);
    if (!IsHeaderValue(value)) {
      return Error(Code::kInvalidArgument,
                   fmt::format("the value of {} cannot stand in a header: '{}'", property.name,
                               Printable(value)));
    }
    AddUnlessEmpty(property.name, value, headers);
  }
  const DialectNames& names = dialect.names();
  QUAY_TRY(AddMetadataHeaders(properties.metadata, headers, names.metadata_prefix));
  AddUnlessEmpty(names.storage_class, config.storage_class, headers);
  AddUnlessEmpty(names.acl, config.acl, headers);
  AddUnlessEmpty(names.sse, config.sse, headers);
  AddUnlessEmpty(names.sse_kms_key_id, config.sse_kms_key_id, headers);
  AddCustomerKey(headers);
  return {};
}

Status Client::Impl::AddCondition(const Condition& condition, HttpHeaders* headers) const {
  switch (condition.kind) {
    case Condition::Kind::kNone:
      return {};
    case Condition::Kind::kIfAbsent:
      headers->Set("If-None-Match", "*");
      return {};
    case Condition::Kind::kIfEtag:
      if (condition.etag.empty() || !IsHeaderValue(condition.etag)) {
        return Error(Code::kInvalidArgument, "a condition names no usable ETag");
      }
      headers->Set("If-Match", condition.etag);
      return {};
  }
  return Error(Code::kInternal, "an unknown kind of condition");
}

void Client::Impl::AddCustomerKey(HttpHeaders* headers) const {
  AddCustomerKeyAs(dialect.names().customer_key, headers);
}

void Client::Impl::AddCustomerKeyAs(std::string_view prefix, HttpHeaders* headers) const {
  if (config.sse_customer_key.empty() || prefix.empty()) return;
  const std::string begin(prefix);
  headers->Set(begin + "algorithm", "AES256");
  headers->Set(begin + "key", Base64Encode(config.sse_customer_key));
  headers->Set(begin + "key-MD5", Base64Encode(Md5(config.sse_customer_key)));
}

void Client::Impl::AddCopySource(const std::string& source_key, const std::string& source_etag,
                                 HttpHeaders* headers) const {
  const DialectNames& names = dialect.names();
  headers->Set(names.copy_source,
               "/" + PercentEncode(config.bucket, false) + "/" + dialect.EncodeKey(source_key));
  AddUnlessEmpty(names.copy_source_if_match, source_etag, headers);
  AddCustomerKeyAs(names.copy_source_customer_key, headers);
}

Result<BodyDigest> Client::Impl::AddBody(const RequestBody* body, bool md5_header,
                                         Operation* operation) const {
  static const MemoryBody kEmpty{std::string_view()};
  operation->body = body == nullptr ? &kEmpty : body;
  const bool hashes = config.signature == SignatureVersion::kV4 && !dialect.has_own_signature() &&
                      !config.anonymous();
  const bool want_sha256 = hashes && !payload_unsigned();
  // One proof that the bytes arrived is enough: the hash in the signature, else the ETag of the
  // reply.
  const bool want_md5 = md5_header || (config.etag_is_md5 && !want_sha256);
  BodyDigest digest;
  if (want_sha256 || want_md5) {
    Result<BodyDigest> made = DigestBody(*operation->body, want_sha256, want_md5);
    if (!made) return made.error().WithContext("cannot " + operation->doing);
    digest = *std::move(made);
  }
  operation->payload_hash = want_sha256 ? digest.sha256 : std::string(kUnsignedPayload);
  if (md5_header) operation->headers.Set("Content-MD5", Base64Encode(digest.md5));
  return digest;
}

std::string Client::Impl::Md5Etag(const RequestBody& body, const BodyDigest& digest) const {
  if (!ExpectsMd5Etag({})) return "";
  if (!digest.md5.empty()) return HexEncode(digest.md5);
  const Result<BodyDigest> made = DigestBody(body, false, true);
  return made ? HexEncode(made->md5) : "";
}

void Client::Impl::AddDocument(const MemoryBody* body, std::string_view text,
                               Operation* operation) const {
  operation->body = body;
  operation->payload_hash = HexEncode(Sha256(text));
  operation->headers.Set("Content-Type", dialect.names().document_type);
}

ObjectHead ParseObjectHeaders(const Dialect& dialect, const std::string& key,
                              const HttpHeaders& headers) {
  ObjectHead head;
  head.info.key = key;
  head.info.etag = TrimBlanks(headers.Get("etag"));
  head.info.storage_class = headers.Get(dialect.names().storage_class);
  if (const Result<WallTime> time = ParseHttpDate(headers.Get("last-modified")))
    head.info.last_modified = *time;
  for (const PropertyHeader& property : kPropertyHeaders) {
    head.properties.*property.field = headers.Get(property.name);
  }
  head.properties.metadata = MetadataFromHeaders(headers, dialect.names().metadata_prefix);
  return head;
}

bool Client::Impl::ExpectsMd5Etag(const HttpHeaders& reply) const {
  if (!config.etag_is_md5 || !config.sse_customer_key.empty()) return false;
  if (config.sse.starts_with("aws:kms")) return false;
  if (reply.Get("x-amz-server-side-encryption").starts_with("aws:kms")) return false;
  return !reply.Has("x-amz-server-side-encryption-customer-algorithm");
}

Status Client::Impl::CheckEtag(const Operation& operation, const BodyDigest& digest,
                               const HttpHeaders& reply, bool worth_a_retry) const {
  if (digest.md5.empty() || !ExpectsMd5Etag(reply)) return {};
  const std::string stored = Md5OfEtag(reply.Get("etag"));
  if (stored.empty() || stored == HexEncode(digest.md5)) return {};
  ServiceDetail detail;
  // The code that services use for damage on the way; the retry layer sends such a request again.
  if (worth_a_retry) {
    detail.http_status = 400;
    detail.service_code = "BadDigest";
  }
  detail.request_id = reply.Get(dialect.names().request_id);
  return Error(
      Code::kCorrupt,
      fmt::format("cannot {}: the service stored other bytes than were sent (ETag {}, MD5 {})",
                  operation.doing, stored, HexEncode(digest.md5)),
      std::move(detail));
}

std::optional<ObjectInfo> Client::Impl::Recognise(const Expected& expected,
                                                  const CallOptions& call) {
  Result<ObjectHead> head = HeadOf(expected.key, call);
  if (!head) return std::nullopt;
  const ObjectInfo& info = head->info;
  if (expected.size && info.size != *expected.size) return std::nullopt;
  const bool has_metadata =
      expected.properties != nullptr && !expected.properties->metadata.empty();
  if (has_metadata && head->properties.metadata != expected.properties->metadata)
    return std::nullopt;
  if (!expected.etag.empty()) {
    return EtagsMatch(expected.etag, info.etag) ? std::optional<ObjectInfo>(info) : std::nullopt;
  }
  // Without a predictable ETag the metadata, which holds times in nanoseconds, and the age have to
  // do.
  if (!has_metadata || info.last_modified < ServerMoment(expected.since)) return std::nullopt;
  return info;
}

}  // namespace quayfs::s3
