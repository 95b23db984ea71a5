// SPDX-License-Identifier: Apache-2.0

#include "tests/server/qingstor_service.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/hash.h"
#include "base/text.h"
#include "tests/server/auth_qs.h"

namespace quayfs::testserver {
namespace {

using Json = nlohmann::json;

constexpr size_t kKeyMax = 1023;
constexpr size_t kDeleteMax = 200;
constexpr uint64_t kListMax = 1000;
constexpr uint64_t kDocumentMax = 4 << 20;
constexpr std::string_view kCustomerMark = "x-amz-meta-quayfs-testserver-customer-key";

struct ErrorRow {
  std::string_view s3;
  int status;
  std::string_view qingstor;
};

/// What the shared handlers say, as QingStor says it.
constexpr std::array<ErrorRow, 17> kErrors = {{
    {"NoSuchKey", 404, "object_not_exists"},
    {"NoSuchBucket", 404, "bucket_not_exists"},
    {"NoSuchUpload", 400, "upload_not_exists"},
    {"BucketAlreadyOwnedByYou", 409, "bucket_already_exists"},
    {"PreconditionFailed", 412, "precondition_failed"},
    {"InvalidRange", 416, "invalid_range"},
    {"BadDigest", 400, "bad_digest"},
    {"IncompleteBody", 400, "incomplete_body"},
    {"EntityTooSmall", 400, "entity_too_small"},
    {"EntityTooLarge", 400, "entity_too_large"},
    {"MetadataTooLarge", 400, "metadata_too_large"},
    {"KeyTooLongError", 400, "invalid_object_name"},
    {"InvalidObjectState", 400, "invalid_object_state"},
    {"InvalidAccessKeyId", 401, "invalid_access_key_id"},
    {"SignatureDoesNotMatch", 401, "signature_not_matched"},
    {"RequestTimeTooSkewed", 403, "request_expired"},
    {"AccessDenied", 403, "permission_denied"},
}};

/// "NoSuchKey" to "no_such_key", for what the table does not have.
std::string SnakeCase(const std::string& code) {
  std::string snake;
  for (const char c : code) {
    const bool upper = c >= 'A' && c <= 'Z';
    if (upper && !snake.empty()) snake += '_';
    snake += upper ? static_cast<char>(c - 'A' + 'a') : c;
  }
  return snake;
}

struct Translation {
  std::string_view qingstor;
  std::string_view s3;
};

constexpr std::array<Translation, 7> kHeaderNames = {{
    {"x-qs-meta-", "x-amz-meta-"},
    {"x-qs-storage-class", "x-amz-storage-class"},
    {"x-qs-copy-range", "x-amz-copy-source-range"},
    {"x-qs-copy-source", "x-amz-copy-source"},
    {"x-qs-metadata-directive", "x-amz-metadata-directive"},
    {"x-qs-request-id", "x-amz-request-id"},
    {"x-qs-date", "x-amz-date"},
}};

/// The name with its beginning translated; itself if nothing fits.
std::string Translated(const std::string& name, bool to_s3) {
  for (const Translation& row : kHeaderNames) {
    const std::string_view from = to_s3 ? row.qingstor : row.s3;
    if (ToLower(name).starts_with(from)) {
      return std::string(to_s3 ? row.s3 : row.qingstor) + name.substr(from.size());
    }
  }
  return name;
}

RequestHead HeadForS3(const RequestHead& head) {
  RequestHead translated = head;
  translated.headers = HeaderList();
  const bool writes = head.method == "PUT" || head.method == "POST" || head.method == "DELETE";
  for (const auto& [name, value] : head.headers.fields()) {
    // There are no conditions on a destination: they are ignored.
    if (writes && (name == "if-match" || name == "if-none-match")) continue;
    const bool directive = name == "x-qs-metadata-directive";
    std::string upper = value;
    if (directive) std::transform(upper.begin(), upper.end(), upper.begin(), ::toupper);
    translated.headers.Add(Translated(name, true), upper);
  }
  return translated;
}

Reply JsonReply(const Json& document) {
  Reply reply;
  reply.Set("Content-Type", "application/json");
  reply.text = document.dump();
  return reply;
}

Outcome<uint64_t> NumberOf(const Query& query, const char* name, uint64_t fallback) {
  const std::string* text = query.Find(name);
  if (text == nullptr) return fallback;
  const Result<uint64_t> number = ParseUint(*text);
  if (!number) return S3Error(400, "InvalidArgument", std::string(name) + " is not a number");
  return *number;
}

/// The labels before the domain: [], [zone] or [bucket, zone]. Nothing for another host.
std::vector<std::string> LabelsOfHost(const RequestHead& head, const std::string& domain) {
  std::string host = ToLower(head.headers.Get("host"));
  host = host.substr(0, host.find(':'));
  const std::string suffix = "." + ToLower(domain);
  if (host.size() <= suffix.size() || !host.ends_with(suffix)) return {};
  host.resize(host.size() - suffix.size());
  std::vector<std::string> labels;
  for (const std::string_view label : Split(host, '.')) labels.emplace_back(label);
  return labels;
}

/// The service itself rather than a zone of it.
bool IsServiceHost(const RequestHead& head, const std::string& domain) {
  const std::string host = ToLower(head.headers.Get("host"));
  return host.substr(0, host.find(':')) == ToLower(domain);
}

std::string BucketOperation(const RequestHead& head, const Query& query) {
  for (const char* other : {"acl", "cors", "policy", "lifecycle", "stats", "notification"}) {
    if (query.Has(other)) return "Unsupported";
  }
  if (head.method == "GET") return query.Has("uploads") ? "ListMultipartUploads" : "ListObjects";
  if (head.method == "HEAD") return "HeadBucket";
  if (head.method == "PUT") return "CreateBucket";
  if (head.method == "DELETE") return "DeleteBucket";
  return head.method == "POST" && query.Has("delete") ? "DeleteObjects" : "Unsupported";
}

std::string ObjectOperation(const RequestHead& head, const Query& query) {
  const bool part = query.Has("upload_id");
  if (query.Has("append") || query.Has("acl")) return "Unsupported";
  if (head.method == "GET") return part ? "ListParts" : "GetObject";
  if (head.method == "HEAD") return "HeadObject";
  if (head.method == "DELETE") return part ? "AbortMultipartUpload" : "DeleteObject";
  if (head.method == "POST") {
    if (query.Has("uploads")) return "CreateMultipartUpload";
    return part ? "CompleteMultipartUpload" : "Unsupported";
  }
  if (head.method != "PUT") return "Unsupported";
  const bool copies = head.headers.Has("x-qs-copy-source");
  if (part) return copies ? "UploadPartCopy" : "UploadPart";
  if (head.headers.Has("x-qs-move-source")) return "MoveObject";
  return copies ? "CopyObject" : "PutObject";
}

Json EntryOf(const ListEntry& entry) {
  const Object& object = *entry.object;
  const auto type = object.headers.find("content-type");
  return {{"key", entry.name},
          {"size", object.body.size()},
          {"etag", Quoted(object.etag)},
          {"mime_type", type == object.headers.end() ? "" : type->second},
          {"created", XmlDate(object.modified)},
          {"modified", object.modified},
          {"encrypted", false},
          {"storage_class", StorageClassOf(object)}};
}

std::string TokenOf(const std::string& next) { return next.empty() ? "" : HexEncode("qs:" + next); }

Outcome<std::string> PositionOf(const std::string& token) {
  if (token.empty()) return std::string();
  std::string raw;
  for (size_t i = 0; i + 1 < token.size(); i += 2) {
    raw += static_cast<char>(std::stoi("0x" + token.substr(i, 2), nullptr, 16));
  }
  if (!raw.starts_with("qs:")) return S3Error(400, "InvalidArgument", "the marker is not ours");
  return raw.substr(3);
}

}  // namespace

Route RouteQingStor(const RequestHead& head, const Query& query, const ServerConfig& config) {
  Route route;
  const std::vector<std::string> labels = LabelsOfHost(head, config.domain);
  PlaceOfPath(head, labels.size() == 2 ? labels[0] : "", &route);
  if (route.bucket.empty()) {
    route.operation = head.method == "GET" ? "ListBuckets" : "Unsupported";
  } else if (IsServiceHost(head, config.domain)) {
    route.operation = "LocateBucket";
  } else if (route.key.empty()) {
    route.operation = BucketOperation(head, query);
  } else {
    route.operation = ObjectOperation(head, query);
  }
  return route;
}

QingStorService::QingStorService(const ServerConfig& config, Store& store, S3Service& s3)
    : config_(config), store_(store), s3_(s3) {}

int64_t QingStorService::NowSeconds() const {
  return std::chrono::duration_cast<std::chrono::seconds>(s3_.Now().time_since_epoch()).count();
}

Reply QingStorService::Handle(S3Request& request) {
  Outcome<Reply> outcome = HandleChecked(request);
  if (!outcome) return ErrorReply(outcome.error(), request);
  outcome->Set("X-QS-Request-ID", request.request_id);
  return std::move(*outcome);
}

Reply QingStorService::ErrorReply(const S3Error& error, const S3Request& request) const {
  Reply reply;
  if (error.status == 0) {
    reply.drop = true;
    return reply;
  }
  reply.status = error.status;
  std::string code = SnakeCase(error.code);
  for (const ErrorRow& row : kErrors) {
    if (row.s3 != error.code) continue;
    code = row.qingstor;
    reply.status = row.status;
  }
  reply.headers = error.headers;
  reply.Set("X-QS-Request-ID", request.request_id);
  if (reply.status == 304) return reply;
  reply.Set("Content-Type", "application/json");
  reply.text = Json({{"code", code},
                     {"message", error.message},
                     {"request_id", request.request_id},
                     {"url", "http://docs.example.org/errors"}})
                   .dump(-1, ' ', false, Json::error_handler_t::replace);
  return reply;
}

Outcome<Reply> QingStorService::HandleChecked(S3Request& request) {
  const bool has_body = request.head.method == "PUT" || request.head.method == "POST";
  if (has_body && !request.head.content_length) {
    return S3Error(411, "MissingContentLength", "Content-Length is missing");
  }
  if (request.route.operation == "LocateBucket") return LocateBucket(request);
  const AuthContext context{config_.accounts, config_.region, config_.allow_anonymous, s3_.Now()};
  const AuthTarget target{request.head, request.query, request.route.host_bucket};
  const Outcome<Identity> identity = AuthenticateQs(target, context);
  if (!identity) return identity.error();
  request.identity = *identity;
  if (Problem problem = CheckZone(request)) return *problem;
  if (request.route.key.size() > kKeyMax) {
    return S3Error(400, "KeyTooLongError", "the key is longer than 1023 bytes");
  }
  if (Problem problem = CheckCustomerKey(request)) return *problem;
  Outcome<Reply> reply = Dispatch(request);
  if (!reply) return reply;
  NameValues headers;
  for (auto& [name, value] : reply->headers) {
    if (ToLower(name) != kCustomerMark) headers.emplace_back(Translated(name, false), value);
  }
  reply->headers = std::move(headers);
  return reply;
}

/// A bucket is not known in another zone. An address names none.
Problem QingStorService::CheckZone(const S3Request& request) const {
  const std::vector<std::string> labels = LabelsOfHost(request.head, config_.domain);
  if (labels.empty() || labels.back() == config_.region) return std::nullopt;
  return S3Error(404, "NoSuchBucket", "the bucket does not exist in this zone");
}

/// An object that was written with a key of the customer is read with the same one only.
Problem QingStorService::CheckCustomerKey(S3Request& request) const {
  const std::string key = request.Header("x-qs-encryption-customer-key");
  const std::string md5 = request.Header("x-qs-encryption-customer-key-md5");
  std::string raw;
  if (!key.empty()) {
    const bool good = Base64Decode(key, &raw) && raw.size() == 32 &&
                      request.Header("x-qs-encryption-customer-algorithm") == "AES256" &&
                      md5 == Base64Encode(Md5(raw));
    if (!good) return S3Error(400, "InvalidArgument", "the customer's key is malformed");
  }
  if (request.route.operation != "GetObject") return std::nullopt;
  const Outcome<ObjectPtr> found = store_.Find(request.route.bucket, request.route.key);
  if (!found) return std::nullopt;
  const auto mark = (*found)->headers.find(std::string(kCustomerMark));
  const std::string stored = mark == (*found)->headers.end() ? "" : mark->second;
  if (stored == md5) return std::nullopt;
  return S3Error(400, "InvalidArgument", "the object was encrypted with another key, or none");
}

Outcome<Reply> QingStorService::AsS3(S3Request& request, const std::string& operation, int status) {
  RequestHead head = HeadForS3(request.head);
  const std::string md5 = request.Header("x-qs-encryption-customer-key-md5");
  const bool writes =
      operation == "PutObject" || operation == "CreateMultipartUpload" || operation == "CopyObject";
  if (!md5.empty() && writes) head.headers.Add(std::string(kCustomerMark), md5);
  const std::string storage_class = head.headers.Get("x-amz-storage-class");
  if (!storage_class.empty() && storage_class != "STANDARD" && storage_class != "STANDARD_IA") {
    return S3Error(400, "InvalidArgument", "the storage class is STANDARD or STANDARD_IA");
  }
  std::string raw_query;
  if (request.query.Has("upload_id")) {
    raw_query = "uploadId=" + PercentEncode(request.query.Get("upload_id"), false);
  }
  if (request.query.Has("part_number")) {
    raw_query += "&partNumber=" + PercentEncode(request.query.Get("part_number"), false);
  }
  for (const auto& [name, value] : request.query.pairs()) {
    if (name.starts_with("response-")) {
      raw_query += "&" + name + "=" + PercentEncode(value, false);
    }
  }
  const Query query(raw_query);
  S3Request translated{head,
                       query,
                       request.route,
                       request.body,
                       request.request_id,
                       request.ignore_range,
                       request.wrong_range,
                       request.identity};
  Outcome<Reply> reply = s3_.Perform(operation, translated);
  if (reply && status != 0) reply->status = status;
  return reply;
}

Outcome<Reply> QingStorService::Dispatch(S3Request& request) {
  const std::string& operation = request.route.operation;
  using Own = Outcome<Reply> (QingStorService::*)(S3Request&);
  static const std::map<std::string, Own> own = {
      {"ListBuckets", &QingStorService::ListBuckets},
      {"ListObjects", &QingStorService::ListObjects},
      {"DeleteObjects", &QingStorService::DeleteObjects},
      {"MoveObject", &QingStorService::MoveObject},
      {"CreateMultipartUpload", &QingStorService::CreateUpload},
      {"CompleteMultipartUpload", &QingStorService::CompleteUpload},
      {"ListParts", &QingStorService::ListParts},
      {"ListMultipartUploads", &QingStorService::ListUploads},
  };
  if (const auto found = own.find(operation); found != own.end()) {
    return (this->*found->second)(request);
  }
  static const std::map<std::string, int> alike = {
      {"HeadBucket", 200},   {"CreateBucket", 201},  {"DeleteBucket", 204},
      {"PutObject", 201},    {"GetObject", 0},       {"HeadObject", 0},
      {"DeleteObject", 204}, {"UploadPart", 201},    {"AbortMultipartUpload", 204},
      {"CopyObject", 201},   {"UploadPartCopy", 201}};
  const auto found = alike.find(operation);
  if (found == alike.end()) return S3Error(405, "MethodNotAllowed", "not served here");
  Outcome<Reply> reply = AsS3(request, operation, found->second);
  const bool copies = operation == "CopyObject" || operation == "UploadPartCopy";
  if (reply && copies) {
    reply->text.clear();
    reply->headers.clear();
  }
  return reply;
}

// ---- Buckets.

Outcome<Reply> QingStorService::ListBuckets(S3Request& /*request*/) {
  Json buckets = Json::array();
  for (const auto& [name, created] : store_.Buckets()) {
    buckets.push_back(
        {{"name", name}, {"location", config_.region}, {"created", XmlDate(created)}});
  }
  return JsonReply({{"count", buckets.size()}, {"buckets", std::move(buckets)}});
}

/// The service redirects to the zone, whoever asks.
Outcome<Reply> QingStorService::LocateBucket(S3Request& request) {
  if (Problem problem = store_.CheckBucket(request.route.bucket)) return *problem;
  Reply reply;
  reply.status = 301;
  reply.Set("Location", (config_.tls ? "https://" : "http://") + config_.region + "." +
                            request.Header("host") + request.head.raw_path);
  return reply;
}

Outcome<Reply> QingStorService::ListObjects(S3Request& request) {
  const Outcome<uint64_t> limit = NumberOf(request.query, "limit", 100);
  if (!limit) return limit.error();
  if (*limit > kListMax) return S3Error(400, "InvalidArgument", "limit is 1000 at most");
  const Outcome<std::string> after = PositionOf(request.query.Get("marker"));
  if (!after) return after.error();
  const std::string prefix = request.query.Get("prefix");
  const std::string delimiter = request.query.Get("delimiter");
  const auto max =
      static_cast<size_t>(std::min<uint64_t>(*limit, static_cast<uint64_t>(config_.page_size_max)));
  const Outcome<ListPage> page =
      store_.List(request.route.bucket, {prefix, delimiter, *after, max});
  if (!page) return page.error();
  Json keys = Json::array();
  Json prefixes = Json::array();
  for (const ListEntry& entry : page->entries) {
    if (entry.object == nullptr) {
      prefixes.push_back(entry.name);
    } else {
      keys.push_back(EntryOf(entry));
    }
  }
  return JsonReply({{"name", request.route.bucket},
                    {"owner", {{"id", "owner"}, {"name", "owner"}}},
                    {"prefix", prefix},
                    {"delimiter", delimiter},
                    {"limit", *limit},
                    {"marker", request.query.Get("marker")},
                    {"next_marker", page->truncated ? TokenOf(page->next) : ""},
                    {"has_more", page->truncated},
                    {"keys", std::move(keys)},
                    {"common_prefixes", std::move(prefixes)}});
}

Outcome<Reply> QingStorService::DeleteObjects(S3Request& request) {
  if (!request.head.headers.Has("content-md5")) {
    return S3Error(400, "InvalidArgument", "Content-MD5 is required");
  }
  const Outcome<std::string> body = ReceiveText(request.payload(), kDocumentMax);
  if (!body) return body.error();
  if (Problem problem = store_.CheckBucket(request.route.bucket)) return *problem;
  const Json document = Json::parse(*body, nullptr, false);
  if (!document.is_object() || !document.contains("objects")) {
    return S3Error(400, "InvalidArgument", "not a list of objects");
  }
  const bool quiet = document.value("quiet", false);
  if (document["objects"].size() > kDeleteMax) {
    return S3Error(400, "TooManyObjects", "200 objects at most");
  }
  Json deleted = Json::array();
  for (const Json& entry : document["objects"]) {
    const auto key = entry.value("key", "");
    if (Problem problem = store_.Delete(request.route.bucket, key, {})) return *problem;
    if (!quiet) deleted.push_back({{"key", key}});
  }
  return JsonReply({{"deleted", std::move(deleted)}, {"errors", Json::array()}});
}

// ---- Objects.

Outcome<Reply> QingStorService::MoveObject(S3Request& request) {
  std::string source = PercentDecode(request.Header("x-qs-move-source"), false);
  if (source.starts_with("/")) source.erase(0, 1);
  const size_t slash = source.find('/');
  if (slash == std::string::npos || source.substr(0, slash) != request.route.bucket) {
    return S3Error(400, "InvalidArgument", "X-QS-Move-Source must be /BUCKET/KEY");
  }
  const std::string from = source.substr(slash + 1);
  const Outcome<ObjectPtr> found = store_.Find(request.route.bucket, from);
  if (!found) return found.error();
  Object object = **found;
  object.key = request.route.key;
  object.modified = NowSeconds();
  const std::string type = request.Header("content-type");
  object.headers["content-type"] = type.empty() ? "application/octet-stream" : type;
  if (Problem problem = store_.Put(request.route.bucket, std::move(object), {})) return *problem;
  if (from != request.route.key) {
    if (Problem problem = store_.Delete(request.route.bucket, from, {})) return *problem;
  }
  Reply reply;
  reply.status = 201;
  return reply;
}

}  // namespace quayfs::testserver
