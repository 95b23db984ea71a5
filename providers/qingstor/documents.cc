// SPDX-License-Identifier: Apache-2.0

#include "providers/qingstor/documents.h"

#include <fmt/format.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/clock.h"
#include "base/text.h"
#include "providers/json_text.h"

namespace quayfs::qingstor {
namespace {

using Json = nlohmann::json;

constexpr size_t kPartsOfAPage = 200;

Error Bad(std::string_view what, std::string_view why) {
  return Error(Code::kCorrupt, fmt::format("the reply is no {}: {}", what, why));
}

/// Also for text that is no JSON: then it is discarded().
Json Parse(std::string_view body) { return Json::parse(body, nullptr, false); }

Result<Json> ParseObject(std::string_view body, std::string_view what) {
  Json document = Parse(body);
  if (!document.is_object()) return Bad(what, "not a JSON object");
  return document;
}

/// A number, also where it is written as text; nothing if there is none.
std::optional<uint64_t> Number(const Json& object, const char* name) {
  const auto found = object.find(name);
  if (found == object.end()) return std::nullopt;
  if (found->is_number_unsigned()) return found->get<uint64_t>();
  if (found->is_number_float() && found->get<double>() >= 0) {
    return static_cast<uint64_t>(found->get<double>());
  }
  if (!found->is_string()) return std::nullopt;
  const Result<uint64_t> parsed = ParseUint(found->get<std::string>());
  return parsed ? std::optional<uint64_t>(*parsed) : std::nullopt;
}

std::optional<bool> Flag(const Json& object, const char* name) {
  const auto found = object.find(name);
  if (found == object.end() || !found->is_boolean()) return std::nullopt;
  return found->get<bool>();
}

/// The elements of an array that may be missing or null.
Result<std::vector<Json>> Elements(const Json& object, const char* name, std::string_view what) {
  const auto found = object.find(name);
  if (found == object.end() || found->is_null()) return std::vector<Json>();
  if (!found->is_array()) return Bad(what, fmt::format("'{}' is no list", name));
  return std::vector<Json>(found->begin(), found->end());
}

WallTime Moment(const Json& object) {
  if (const std::optional<uint64_t> seconds = Number(object, "modified")) {
    return WallTime(std::chrono::seconds(*seconds));
  }
  const Result<WallTime> created = ParseIso(TextOf(object, "created"));
  return created ? *created : WallTime{};
}

Result<s3::ObjectInfo> ParseKey(const Json& entry, const std::string& prefix) {
  constexpr std::string_view kWhat = "listing";
  s3::ObjectInfo info;
  info.key = TextOf(entry, "key");
  if (info.key.empty()) return Bad(kWhat, "an entry without a key");
  if (!info.key.starts_with(prefix)) return Bad(kWhat, "a key without the prefix asked for");
  const std::optional<uint64_t> size = Number(entry, "size");
  if (!size) return Bad(kWhat, "an entry without a size");
  info.size = *size;
  info.etag = TextOf(entry, "etag");
  info.last_modified = Moment(entry);
  info.storage_class = TextOf(entry, "storage_class");
  return info;
}

}  // namespace

bool IsJsonObject(std::string_view body) { return Parse(body).is_object(); }

std::optional<s3::ErrorDocument> ParseError(std::string_view body) {
  const Json document = Parse(body);
  if (!document.is_object()) return std::nullopt;
  s3::ErrorDocument error;
  error.code = TextOf(document, "code");
  error.message = TextOf(document, "message");
  error.request_id = TextOf(document, "request_id");
  if (error.code.empty() || !document.contains("message")) return std::nullopt;
  return error;
}

Result<s3::ListReply> ParseList(std::string_view body, const s3::ListRequest& request) {
  constexpr std::string_view kWhat = "listing";
  QUAY_ASSIGN(const Json document, ParseObject(body, kWhat));
  s3::ListReply reply;
  reply.is_v1 = true;
  if (!document.contains("keys") && !document.contains("common_prefixes")) {
    return Bad(kWhat, "it has neither keys nor common prefixes");
  }
  QUAY_ASSIGN(const std::vector<Json> keys, Elements(document, "keys", kWhat));
  for (const Json& entry : keys) {
    QUAY_ASSIGN(s3::ObjectInfo info, ParseKey(entry, request.prefix));
    reply.objects.push_back(std::move(info));
  }
  QUAY_ASSIGN(const std::vector<Json> prefixes, Elements(document, "common_prefixes", kWhat));
  for (const Json& entry : prefixes) {
    if (!entry.is_string()) return Bad(kWhat, "a common prefix that is no text");
    auto text = entry.get<std::string>();
    const bool fits = text.starts_with(request.prefix) && text.size() > request.prefix.size() &&
                      !request.delimiter.empty() && text.ends_with(request.delimiter);
    if (!fits) return Bad(kWhat, "a common prefix that was not asked for");
    reply.common_prefixes.push_back(std::move(text));
  }
  reply.next = TextOf(document, "next_marker");
  reply.truncated = Flag(document, "has_more").value_or(!reply.next.empty());
  if (reply.truncated && reply.next.empty()) return Bad(kWhat, "more without a marker");
  if (!reply.truncated) reply.next.clear();
  return reply;
}

Result<std::string> ParseInitiate(std::string_view body) {
  QUAY_ASSIGN(const Json document, ParseObject(body, "upload"));
  std::string upload_id = TextOf(document, "upload_id");
  if (upload_id.empty()) return Bad("upload", "it has no upload_id");
  return upload_id;
}

Result<s3::PartsReply> ParseParts(std::string_view body) {
  constexpr std::string_view kWhat = "list of parts";
  QUAY_ASSIGN(const Json document, ParseObject(body, kWhat));
  QUAY_ASSIGN(const std::vector<Json> parts, Elements(document, "object_parts", kWhat));
  s3::PartsReply reply;
  for (const Json& entry : parts) {
    const std::optional<uint64_t> number = Number(entry, "part_number");
    const std::optional<uint64_t> size = Number(entry, "size");
    if (!number || *number > 100'000 || !size) return Bad(kWhat, "a part without number or size");
    // Parts begin at 0 or at 1; this client's begin at 1.
    if (*number == 0) continue;
    reply.parts.push_back({static_cast<int>(*number), TextOf(entry, "etag"), *size});
    reply.next_marker = std::max(reply.next_marker, static_cast<int>(*number));
  }
  reply.truncated = Flag(document, "has_more").value_or(parts.size() >= kPartsOfAPage);
  return reply;
}

Result<s3::UploadsReply> ParseUploads(std::string_view body, std::string_view prefix) {
  constexpr std::string_view kWhat = "list of uploads";
  QUAY_ASSIGN(const Json document, ParseObject(body, kWhat));
  QUAY_ASSIGN(const std::vector<Json> uploads, Elements(document, "uploads", kWhat));
  s3::UploadsReply reply;
  for (const Json& entry : uploads) {
    s3::UploadInfo upload{TextOf(entry, "key"), TextOf(entry, "upload_id"), Moment(entry)};
    if (upload.key.empty() || upload.upload_id.empty()) {
      return Bad(kWhat, "an upload without key or id");
    }
    if (upload.key.starts_with(prefix)) reply.uploads.push_back(std::move(upload));
  }
  reply.next_key_marker = TextOf(document, "next_key_marker");
  reply.next_upload_id_marker = TextOf(document, "next_upload_id_marker");
  reply.truncated = Flag(document, "has_more").value_or(!reply.next_key_marker.empty());
  return reply;
}

Result<s3::DeleteReply> ParseDelete(std::string_view body) {
  constexpr std::string_view kWhat = "reply to a deletion";
  QUAY_ASSIGN(const Json document, ParseObject(body, kWhat));
  s3::DeleteReply reply;
  QUAY_ASSIGN(const std::vector<Json> deleted, Elements(document, "deleted", kWhat));
  for (const Json& entry : deleted) reply.deleted.push_back(TextOf(entry, "key"));
  QUAY_ASSIGN(const std::vector<Json> errors, Elements(document, "errors", kWhat));
  for (const Json& entry : errors) {
    reply.failures.push_back(
        {TextOf(entry, "key"), TextOf(entry, "code"), TextOf(entry, "message")});
  }
  return reply;
}

Result<std::vector<std::string>> ParseBuckets(std::string_view body) {
  constexpr std::string_view kWhat = "list of buckets";
  QUAY_ASSIGN(const Json document, ParseObject(body, kWhat));
  QUAY_ASSIGN(const std::vector<Json> buckets, Elements(document, "buckets", kWhat));
  std::vector<std::string> names;
  for (const Json& entry : buckets) {
    std::string name = TextOf(entry, "name");
    if (!name.empty()) names.push_back(std::move(name));
  }
  return names;
}

bool JsonCarriesKey(std::string_view key) {
  // Whatever is not UTF-8 comes back as a replacement character.
  const std::string text = Json(key).dump(-1, ' ', false, Json::error_handler_t::replace);
  const Json back = Parse(text);
  return back.is_string() && back.get_ref<const std::string&>() == key;
}

std::string WriteDelete(const std::vector<std::string>& keys) {
  Json objects = Json::array();
  for (const std::string& key : keys) objects.push_back({{"key", key}});
  const Json document = {{"objects", std::move(objects)}, {"quiet", false}};
  return document.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string WriteComplete(const std::vector<s3::PartInfo>& parts) {
  Json list = Json::array();
  for (const s3::PartInfo& part : parts) {
    Json entry = {{"part_number", part.number}, {"size", part.size}};
    if (!part.etag.empty()) entry["etag"] = part.etag;
    list.push_back(std::move(entry));
  }
  const Json document = {{"object_parts", std::move(list)}};
  return document.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace quayfs::qingstor
