// SPDX-License-Identifier: Apache-2.0
//
// QingStor's multipart uploads (protocol.md 2.5).

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/hash.h"
#include "base/text.h"
#include "tests/server/qingstor_service.h"

namespace quayfs::testserver {
namespace {

using Json = nlohmann::json;

constexpr uint64_t kDocumentMax = 4 << 20;
constexpr uint64_t kUploadsMax = 200;

Reply JsonReply(const Json& document) {
  Reply reply;
  reply.Set("Content-Type", "application/json");
  reply.text = document.dump();
  return reply;
}

uint64_t NumberOr(const Query& query, const char* name, uint64_t fallback) {
  const Result<uint64_t> number = ParseUint(query.Get(name));
  return number ? *number : fallback;
}

/// The first text between `open` and `close`.
std::string Between(const std::string& text, const std::string& open, const std::string& close) {
  const size_t begin = text.find(open);
  if (begin == std::string::npos) return "";
  const size_t from = begin + open.size();
  return text.substr(from, text.find(close, from) - from);
}

/// The parts that the document names, put together. `part_size_min` holds for all but the last.
Outcome<Object> Assemble(const Json& document, const Upload& upload, uint64_t part_size_min) {
  const S3Error invalid(400, "InvalidPart", "the document does not fit the parts");
  if (!document.is_object() || !document.contains("object_parts")) return invalid;
  const Json& parts = document["object_parts"];
  if (!parts.is_array() || parts.empty()) return invalid;
  Object object;
  int64_t previous = -1;
  for (const Json& entry : parts) {
    const int64_t number = entry.value("part_number", int64_t{-1});
    const auto part = upload.parts.find(static_cast<int>(number));
    if (number <= previous || part == upload.parts.end()) return invalid;
    previous = number;
    const uint64_t size = part->second->body.size();
    std::string etag = entry.value("etag", "");
    std::erase(etag, '"');
    if (!etag.empty() && etag != part->second->etag) return invalid;
    if (entry.value("size", size) != size) return invalid;
    if (&entry != &parts.back() && size < part_size_min) {
      return S3Error(400, "EntityTooSmall", "a part that is not the last is too small");
    }
    object.body.Append(part->second->body);
  }
  object.key = upload.key;
  object.headers = upload.headers;
  return object;
}

}  // namespace

Outcome<Reply> QingStorService::CreateUpload(S3Request& request) {
  const Outcome<Reply> made = AsS3(request, "CreateMultipartUpload", 0);
  if (!made) return made.error();
  return JsonReply({{"bucket", request.route.bucket},
                    {"key", request.route.key},
                    {"upload_id", Between(made->text, "<UploadId>", "</UploadId>")}});
}

Outcome<Reply> QingStorService::CompleteUpload(S3Request& request) {
  const Outcome<std::string> body = ReceiveText(request.payload(), kDocumentMax);
  if (!body) return body.error();
  const std::string id = request.query.Get("upload_id");
  const Outcome<Upload> upload = store_.FindUpload(request.route.bucket, request.route.key, id);
  if (!upload) return upload.error();
  Outcome<Object> object =
      Assemble(Json::parse(*body, nullptr, false), *upload, config_.part_size_min);
  if (!object) return object.error();
  // The service computes none: it is the client's, or an opaque one.
  std::string etag = request.Header("etag");
  std::erase(etag, '"');
  object->etag = etag.empty() ? HexEncode(RandomBytes(16)) : etag;
  object->modified = NowSeconds();
  if (Problem problem = store_.CompleteUpload(request.route.bucket, id, std::move(*object), {})) {
    return *problem;
  }
  Reply reply;
  reply.status = 201;
  return reply;
}

Outcome<Reply> QingStorService::ListParts(S3Request& request) {
  const Outcome<Upload> upload =
      store_.FindUpload(request.route.bucket, request.route.key, request.query.Get("upload_id"));
  if (!upload) return upload.error();
  const uint64_t limit = std::min<uint64_t>(NumberOr(request.query, "limit", 100),
                                            static_cast<uint64_t>(config_.page_size_max));
  const auto marker = static_cast<int>(NumberOr(request.query, "part_number_marker", 0));
  Json parts = Json::array();
  for (auto it = upload->parts.upper_bound(marker);
       it != upload->parts.end() && parts.size() < limit; ++it) {
    parts.push_back({{"part_number", it->first},
                     {"size", it->second->body.size()},
                     {"etag", Quoted(it->second->etag)},
                     {"created", XmlDate(it->second->modified)}});
  }
  return JsonReply({{"count", parts.size()}, {"object_parts", std::move(parts)}});
}

Outcome<Reply> QingStorService::ListUploads(S3Request& request) {
  const Outcome<std::vector<Upload>> all = store_.Uploads(request.route.bucket);
  if (!all) return all.error();
  const uint64_t limit = std::min<uint64_t>(NumberOr(request.query, "limit", 100), kUploadsMax);
  const std::string prefix = request.query.Get("prefix");
  const std::string key_marker = request.query.Get("key_marker");
  const std::string id_marker = request.query.Get("upload_id_marker");
  Json uploads = Json::array();
  bool more = false;
  bool behind = key_marker.empty();
  for (const Upload& upload : *all) {
    const bool was_behind = behind || upload.key > key_marker;
    if (upload.key == key_marker && (id_marker.empty() || upload.id == id_marker)) behind = true;
    if (!was_behind || !upload.key.starts_with(prefix)) continue;
    if (uploads.size() == limit) {
      more = true;
      break;
    }
    uploads.push_back(
        {{"key", upload.key}, {"upload_id", upload.id}, {"created", XmlDate(upload.initiated)}});
  }
  const Json last = uploads.empty() ? Json::object() : uploads.back();
  return JsonReply({{"name", request.route.bucket},
                    {"uploads", std::move(uploads)},
                    {"next_key_marker", more ? last.value("key", "") : ""},
                    {"next_upload_id_marker", more ? last.value("upload_id", "") : ""},
                    {"has_more", more}});
}

}  // namespace quayfs::testserver
