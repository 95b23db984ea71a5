// SPDX-License-Identifier: Apache-2.0

#include "s3/client.h"

#include <fmt/format.h>

#include <array>
#include <utility>

#include "base/text.h"
#include "s3/client_impl.h"
#include "s3/metadata_codec.h"

namespace quayfs::s3 {
namespace {

Error BadField(std::string_view field, std::string_view why) {
  return Error(Code::kInvalidArgument, fmt::format("{} {}", field, why));
}

Status CheckHeaders(const ClientConfig& config) {
  constexpr std::array<std::string_view, 5> kOurs = {"authorization", "content-length", "host",
                                                     "transfer-encoding", "connection"};
  for (const HttpHeader& header : config.extra_headers) {
    if (!IsHeaderName(header.name) || !IsHeaderValue(header.value)) {
      return BadField("extra header", fmt::format("'{}' cannot be sent", Printable(header.name)));
    }
    for (const std::string_view ours : kOurs) {
      if (EqualsIgnoreCase(header.name, ours)) {
        return BadField("extra header", fmt::format("'{}' is set by quayfs itself", header.name));
      }
    }
  }
  const std::pair<std::string_view, const std::string&> values[] = {
      {"storage class", config.storage_class},
      {"ACL", config.acl},
      {"server-side encryption", config.sse},
      {"KMS key id", config.sse_kms_key_id},
      {"session token", config.credentials.session_token},
      {"access key id", config.credentials.access_key_id},
  };
  for (const auto& [field, value] : values) {
    if (!IsHeaderValue(value) || TrimBlanks(value) != value)
      return BadField(field, "has characters it cannot have");
  }
  return {};
}

Status CheckSecrets(const ClientConfig& config) {
  if (config.credentials.anonymous() && !config.credentials.session_token.empty()) {
    return BadField("session token", "is given without an access key");
  }
  if (!config.credentials.anonymous() && config.credentials.secret_access_key.empty()) {
    return BadField("secret access key", "is missing");
  }
  if (config.sse_customer_key.empty()) return {};
  if (config.sse_customer_key.size() != 32) return BadField("SSE-C key", "must be 32 bytes");
  if (config.scheme != "https") return BadField("SSE-C key", "is only sent over https");
  if (!config.sse.empty())
    return BadField("SSE-C key", "and server-side encryption exclude each other");
  return {};
}

}  // namespace

Status CheckClientConfig(const ClientConfig& config) {
  if (config.scheme != "http" && config.scheme != "https")
    return BadField("scheme", "must be http or https");
  if (config.host.empty()) return BadField("host", "is missing");
  if (config.bucket.empty()) return BadField("bucket", "is missing");
  if (config.bucket.find('/') != std::string::npos || !IsHeaderValue(config.bucket)) {
    return BadField("bucket", fmt::format("cannot be '{}'", Printable(config.bucket)));
  }
  if (!config.anonymous() && config.signature == SignatureVersion::kV4 && config.region.empty()) {
    return BadField("region", "is missing");
  }
  if (config.delete_batch_max < 1 || config.delete_batch_max > 1000) {
    return BadField("delete_batch_max", "must be 1 to 1000");
  }
  QUAY_TRY(CheckHeaders(config));
  return CheckSecrets(config);
}

Client::Client(ClientConfig config, HttpClient& http, Clock& clock)
    : impl_(std::make_unique<Impl>(std::move(config), http, clock)) {
  QUAY_CHECK(CheckClientConfig(impl_->config).ok());
}

Client::~Client() = default;

std::string Client::region() const { return impl_->region(); }
bool Client::batch_delete_supported() const { return impl_->batch_delete; }
ListVersion Client::list_version() const {
  return impl_->list_v2 ? ListVersion::kV2 : ListVersion::kV1;
}
Duration Client::clock_offset() const { return impl_->offset(); }
RetryCounters Client::retry_counters() const { return impl_->retrier.counters(); }
const ClientConfig& Client::config() const { return impl_->config; }

Result<std::string> Client::PresignGet(const std::string& key,
                                       std::chrono::seconds lifetime) const {
  if (impl_->config.anonymous()) {
    return Error(Code::kInvalidArgument, "a link cannot be signed without an access key");
  }
  if (key.empty() || lifetime < std::chrono::seconds(1) || lifetime > std::chrono::hours(24 * 7)) {
    return Error(Code::kInvalidArgument,
                 "a signed link needs a key and a lifetime of 1 second to 7 days");
  }
  QUAY_ASSIGN(const HttpRequest request, impl_->PresignedGet(key, lifetime));
  return fmt::format("{}://{}{}?{}", request.scheme, request.headers.Get("host"), request.path,
                     request.query);
}

Status Client::HeadBucket(const CallOptions& call) {
  const Result<Reply> reply = impl_->Run(impl_->BucketOperation("look at bucket", "HEAD"), call);
  if (reply) return {};
  const Error& error = reply.error();
  if (error.detail().http_status != 404) return error;
  return Error(Code::kNotFound, fmt::format("there is no bucket '{}'", impl_->config.bucket),
               error.detail());
}

Result<std::string> Client::BucketRegion(const CallOptions& call) {
  return impl_->retrier.Run(RetryTraits{}, call, [&](int /*attempt*/) -> Result<std::string> {
    return impl_->LookUpRegion(call);
  });
}

Status Client::CreateBucket(const std::string& acl, const CallOptions& call) {
  if (!IsHeaderValue(acl)) return BadField("bucket ACL", "has characters it cannot have");
  Operation operation = impl_->BucketOperation("create bucket", "PUT");
  if (!acl.empty() && !impl_->dialect.names().acl.empty())
    operation.headers.Set(impl_->dialect.names().acl, acl);
  // Where buckets have a class of their own, it is the same header; elsewhere it means nothing.
  if (const std::string& name = impl_->config.storage_class;
      !name.empty() && !impl_->dialect.names().storage_class.empty())
    operation.headers.Set(impl_->dialect.names().storage_class, name);
  const std::string region = impl_->region();
  const std::string text = impl_->dialect.WriteCreateBucket(region);
  const MemoryBody body{text};
  if (!text.empty()) impl_->AddDocument(&body, text, &operation);
  const Result<Reply> reply = impl_->Run(operation, call);
  if (reply || reply.error().detail().service_code == "BucketAlreadyOwnedByYou") return {};
  return reply.error();
}

Result<std::vector<std::string>> Client::ListBuckets(const CallOptions& call) {
  Operation operation;
  operation.doing = "list buckets";
  operation.method = "GET";
  operation.scope = Operation::Scope::kService;
  operation.reply_limit = kXmlReplyLimit;
  QUAY_ASSIGN(const Reply reply, impl_->Run(operation, call));
  return impl_->dialect.ParseBuckets(reply.body);
}

}  // namespace quayfs::s3
