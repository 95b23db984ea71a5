// SPDX-License-Identifier: Apache-2.0

#include "tests/server/s3_service.h"

#include <chrono>

#include "base/hash.h"
#include "tests/server/xml.h"

namespace quayfs::testserver {
namespace {

constexpr size_t kKeyMax = 1024;

bool IsUtf8(std::string_view text) {
  size_t i = 0;
  while (i < text.size()) {
    const auto lead = static_cast<unsigned char>(text[i]);
    const size_t length = lead < 0x80   ? 1
                          : lead < 0xc2 ? 0
                          : lead < 0xe0 ? 2
                          : lead < 0xf0 ? 3
                          : lead < 0xf5 ? 4
                                        : 0;
    if (length == 0 || i + length > text.size()) return false;
    uint32_t point = length == 1 ? lead : lead & (0xffu >> (length + 1));
    for (size_t k = 1; k < length; ++k) {
      const auto next = static_cast<unsigned char>(text[i + k]);
      if ((next & 0xc0) != 0x80) return false;
      point = (point << 6) | (next & 0x3fu);
    }
    const bool overlong = (length == 3 && point < 0x800) || (length == 4 && point < 0x10000);
    if (overlong || point > 0x10ffff || (point >= 0xd800 && point < 0xe000)) return false;
    i += length;
  }
  return true;
}

Problem CheckKey(const std::string& key) {
  if (key.size() > kKeyMax) {
    return S3Error(400, "KeyTooLongError", "the key is longer than 1024 bytes")
        .With("Size", std::to_string(key.size()))
        .With("MaxSizeAllowed", std::to_string(kKeyMax));
  }
  if (!IsUtf8(key) || key.find('\0') != std::string::npos) {
    return S3Error(400, "InvalidURI", "the key is not UTF-8");
  }
  return std::nullopt;
}

/// A body must be announced with its length.
Problem CheckFraming(const RequestHead& head) {
  // As S3: a chunked transfer is for aws-chunked bodies, which say how long they are.
  if (head.chunked && head.headers.Has("x-amz-decoded-content-length")) return std::nullopt;
  if (head.chunked) {
    return S3Error(411, "MissingContentLength", "a body of unknown length is refused");
  }
  if ((head.method == "PUT" || head.method == "POST") && !head.content_length) {
    return S3Error(411, "MissingContentLength", "Content-Length is missing");
  }
  return std::nullopt;
}

}  // namespace

S3Service::S3Service(const ServerConfig& config, Store& store, std::function<WallTime()> now)
    : config_(config), store_(store), now_(std::move(now)) {}

const std::map<std::string, S3Service::Handler>& S3Service::Handlers() {
  static const std::map<std::string, Handler> handlers = {
      {"ListBuckets", &S3Service::ListBuckets},
      {"CreateBucket", &S3Service::CreateBucket},
      {"DeleteBucket", &S3Service::DeleteBucket},
      {"HeadBucket", &S3Service::HeadBucket},
      {"GetBucketLocation", &S3Service::GetBucketLocation},
      {"GetBucketVersioning", &S3Service::GetBucketVersioning},
      {"GetBucketAcl", &S3Service::GetAcl},
      {"GetObjectAcl", &S3Service::GetAcl},
      {"PutBucketAcl", &S3Service::PutAcl},
      {"PutObjectAcl", &S3Service::PutAcl},
      {"ListObjects", &S3Service::ListObjectsV1},
      {"ListObjectsV2", &S3Service::ListObjectsV2},
      {"PutObject", &S3Service::PutObject},
      {"GetObject", &S3Service::GetObject},
      {"HeadObject", &S3Service::HeadObject},
      {"RestoreObject", &S3Service::RestoreObject},
      {"CopyObject", &S3Service::CopyObject},
      {"UploadPartCopy", &S3Service::UploadPartCopy},
      {"DeleteObject", &S3Service::DeleteObject},
      {"DeleteObjects", &S3Service::DeleteObjects},
      {"CreateMultipartUpload", &S3Service::CreateMultipartUpload},
      {"UploadPart", &S3Service::UploadPart},
      {"CompleteMultipartUpload", &S3Service::CompleteMultipartUpload},
      {"AbortMultipartUpload", &S3Service::AbortMultipartUpload},
      {"ListParts", &S3Service::ListParts},
      {"ListMultipartUploads", &S3Service::ListMultipartUploads},
  };
  return handlers;
}

Reply S3Service::Handle(S3Request& request) {
  Outcome<Reply> reply = HandleChecked(request);
  return reply ? std::move(*reply) : ErrorReply(reply.error(), request);
}

Outcome<Reply> S3Service::HandleChecked(S3Request& request) {
  if (Problem problem = CheckFraming(request.head)) return *problem;
  const AuthContext context{config_.accounts,
                            config_.region,
                            config_.allow_anonymous,
                            Now(),
                            "s3",
                            config_.protocol != Protocol::kKodo};
  const AuthTarget target{request.head, request.query, request.route.host_bucket};
  const Outcome<Identity> identity = Authenticate(target, context);
  if (!identity) return identity.error();
  request.identity = *identity;
  return Perform(request.route.operation, request);
}

Outcome<Reply> S3Service::Perform(const std::string& operation, S3Request& request) {
  if (Problem problem = CheckKey(request.route.key)) return *problem;
  const auto handler = Handlers().find(operation);
  if (handler == Handlers().end()) {
    return S3Error(501, "NotImplemented", "this server does not know the operation");
  }
  return (this->*handler->second)(request);
}

Reply S3Service::ErrorReply(const S3Error& error, const S3Request& request) const {
  Reply reply;
  if (error.status == 0) {
    reply.drop = true;
    return reply;
  }
  reply.status = error.status;
  reply.headers = error.headers;
  if (error.status == 304) return reply;
  reply.Set("Content-Type", "application/xml");
  reply.text = ErrorXml(error, request.head.raw_path, request.request_id);
  return reply;
}

int64_t S3Service::NowSeconds() const {
  return std::chrono::duration_cast<std::chrono::seconds>(Now().time_since_epoch()).count();
}

std::string S3Service::NewEtag(const std::string& md5_raw, uint64_t size) {
  if (!config_.fast_etag) return HexEncode(md5_raw);
  char text[33];
  std::snprintf(text, sizeof(text), "%016llx%016llx",
                static_cast<unsigned long long>(etag_counter_.fetch_add(1)),
                static_cast<unsigned long long>(size));
  return text;
}

}  // namespace quayfs::testserver
